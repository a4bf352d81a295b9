// Bundles the page's script into ../build/globe.js: one file, no map, the same bytes wherever it is run.

import { build } from "esbuild";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { feature } from "topojson-client";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? join(here, "..", "build");

// Coast lines as flat lists of whole hundredths of a degree, each point the difference to the one before.
function coast(file) {
  const world = JSON.parse(readFileSync(join(here, "node_modules/world-atlas", file), "utf8"));
  const rings = feature(world, world.objects.land).features.flatMap(({ geometry }) =>
    geometry.type === "Polygon" ? geometry.coordinates : geometry.coordinates.flat(),
  );
  return rings.map((ring) => {
    let [east, north] = [0, 0];
    return ring.flatMap(([lon, lat]) => {
      const next = [Math.round(lon * 100), Math.round(lat * 100)];
      const step = [next[0] - east, next[1] - north];
      [east, north] = next;
      return step;
    });
  });
}

// Names of countries, each with the middle of its largest piece and a magnification at which that is seen.
function countries() {
  const world = JSON.parse(readFileSync(join(here, "node_modules/world-atlas/countries-50m.json"), "utf8"));
  return feature(world, world.objects.countries).features.map(({ properties, geometry }) => {
    const pieces = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    const boxes = pieces.map(([ring]) => {
      const [lons, lats] = [0, 1].map((k) => ring.map((point) => point[k]));
      return [Math.min(...lons), Math.max(...lons), Math.min(...lats), Math.max(...lats)];
    });
    const size = ([west, east, south, north]) => (east - west) * (north - south);
    const [west, east, south, north] = boxes.reduce((best, box) => (size(box) > size(best) ? box : best));
    const scale = Math.min(12, Math.max(1, 70 / Math.max(east - west, north - south, 1)));
    return [properties.name, ...[(west + east) / 2, (south + north) / 2, scale].map((v) => Number(v.toFixed(1)))];
  });
}

const inputs = {
  name: "inputs of the globe",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^coast$/ }, () => ({ path: "coast", namespace: "made" }));
    onLoad({ filter: /^coast$/, namespace: "made" }, () => ({
      contents: JSON.stringify({ coarse: coast("land-110m.json"), fine: coast("land-50m.json") }),
      loader: "json",
    }));
    onResolve({ filter: /^places$/ }, () => ({ path: "places", namespace: "made" }));
    onLoad({ filter: /^places$/, namespace: "made" }, () => {
      const places = JSON.parse(readFileSync(join(here, "places.json"), "utf8"));
      return { contents: `export const places = ${JSON.stringify(places)}; export const countries = ${JSON.stringify(countries())};` };
    });
    // The server's chunks are not compressed: half a megabyte of decompressors stays out.
    onResolve({ filter: /^numcodecs\// }, () => ({ path: "numcodecs", namespace: "left-out" }));
    onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "export default undefined" }));
  },
};

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.ts"],
  outfile: join(folder, "globe.js"),
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "esm",
  target: "es2022",
  legalComments: "none",
  metafile: true,
  plugins: [inputs],
});

// The licences of all that is in the bundle, as its packages came with them.
const packages = new Set(["world-atlas"]);
for (const input of Object.keys(metafile.inputs)) {
  const name = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input.split(sep).join("/"))?.[1];
  if (name) packages.add(name);
}
const licences = [...packages].sort().map((name) => {
  const root = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((f) => join(root, f)).find((f) => existsSync(f));
  const text = file ? readFileSync(file, "utf8").trim() : `Published under the ${license} licence.`;
  return `${name} ${version} (${license})\n\n${text}\n`;
});
writeFileSync(
  join(folder, "LICENSES.txt"),
  `globe.js is part of xr_cbottle and holds code and data of these packages.\n\n${licences.join(`\n${"-".repeat(80)}\n\n`)}`,
);
