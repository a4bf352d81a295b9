// Reads a frame as gridlook does: consolidated metadata, crs, time, then twelve faces at once.
// node gridlook.mjs URL v2|v3 VARIABLE TIME [LEVEL]   prints JSON; fields are in base64.
import * as zarr from "zarrita";

const [url, format, name, time, level] = process.argv.slice(2);
const store = await zarr.withConsolidatedMetadata(new zarr.FetchStore(url), { format });
const root = await zarr.open(store, { kind: "group" });
const arrays = store.contents().filter((item) => item.kind === "array");

const field = await zarr.open(root.resolve(name), { kind: "array" });
const crs = await zarr.open(root.resolve(field.attrs.grid_mapping), { kind: "array" });
const nside = crs.attrs.healpix_nside;
let cells = "none";
try {
  const array = await zarr.open(root.resolve("cell"), { kind: "array" });
  cells = (await zarr.get(array)).data.length;
} catch {
  // A global field has no cell array, and gridlook goes on.
}
const times = await zarr.open(root.resolve("time"), { kind: "array" });
const stamps = (await zarr.get(times)).data;

const face = nside * nside;
const lead = [Number(time), ...(level === undefined ? [] : [Number(level)])];
const faces = await Promise.all(
  [...Array(12).keys()].map((i) => zarr.get(field, [...lead, zarr.slice(i * face, (i + 1) * face)])),
);
const values = new Float32Array(12 * face);
faces.forEach(({ data }, i) => values.set(data, i * face));

console.log(
  JSON.stringify({
    arrays: arrays.map((item) => item.path.slice(1)).sort(),
    attributes: root.attrs,
    crs: { ...crs.attrs, value: String(await zarr.get(crs)) },
    cells,
    units: times.attrs.units,
    time: { kind: typeof stamps[0], length: stamps.length, value: String(stamps[Number(time)]) },
    dimensions: field.dimensionNames ?? field.attrs._ARRAY_DIMENSIONS,
    values: Buffer.from(values.buffer).toString("base64"),
  }),
);
