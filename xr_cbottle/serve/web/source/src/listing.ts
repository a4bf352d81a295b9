// The bottles that are served, each with what it says of itself.

import { type BottleFacts, type Catalog, hexDigest } from "./catalog";
import { zoomName } from "./controls";
import { copy, link, make } from "./dom";
import { cellsAt, cellWidth } from "./healpix";
import { prettyPeriod, prettyUnits, readPeriod, readTime } from "./text";

export function listing(catalog: Catalog, onShow: (bottle: BottleFacts) => void): Node[] {
  return catalog.bottles.map((bottle) => {
    const show = make("button", { type: "button", "aria-label": `Show ${bottle.name} on the globe` }, "Show");
    show.addEventListener("click", () => onShow(bottle));
    const digest = make("button", { type: "button", "aria-label": "Copy the digest" }, "Copy");
    digest.addEventListener("click", () => void copy(bottle.digest, digest));
    const references = bottle.references.flatMap((reference) => [link(reference), make("br")]).slice(0, -1);
    const facts: [string, Node[]][] = [
      ["Stands for", [text(virtualExtent(bottle))]],
      ["Finer", finer(bottle)],
      ["Times", [text(`${bottle.time.start} to ${bottle.time.end}, every ${prettyPeriod(bottle.time.step)}`)]],
      ["Variables", [text(variables(bottle))]],
      ["Labels", bottle.labels.length > 1 ? [text(bottle.labels.join(", "))] : []],
      ["Licence", [text(bottle.licence)]],
      ["References", references],
      ["Digest", [make("code", {}, `sha256:${hexDigest(bottle)}`)]],
    ];
    return make(
      "article",
      { class: "card", id: `bottle-${bottle.name}` },
      make("header", {}, make("h3", {}, bottle.title || bottle.name), make("code", {}, bottle.name), show),
      make("p", {}, bottle.summary),
      !bottle.loaded && make("p", { class: "loading" }, "Its networks are being loaded: the first picture takes a moment."),
      make(
        "dl",
        {},
        ...facts.filter(([, values]) => values.length).flatMap(([name, values]) => [make("dt", {}, name), make("dd", {}, ...values)]),
      ),
    );
  });
}

function text(value: string): Node {
  return document.createTextNode(value);
}

function variables(bottle: BottleFacts): string {
  return Object.entries(bottle.variables)
    .map(([name, { units, pressures }]) => {
      const levels = pressures.length ? `${pressures.map((p) => p / 100).join("/")} hPa` : "";
      const inside = [prettyUnits(units), levels].filter(Boolean).join("; ");
      return inside ? `${name} (${inside})` : name;
    })
    .join(", ");
}

/** The zooms above its own, as the list of zooms has them. */
function finer(bottle: BottleFacts): Node[] {
  const [zooms, names] = [bottle.fine_zooms ?? [], bottle.fine_variables ?? []];
  if (!zooms.length || !names.length) return [];
  const which = zooms.map(zoomName).join(", ");
  return [text(`by super-resolution ${zooms.length > 1 ? "zooms" : "zoom"} ${which}: ${names.join(", ")}`)];
}

/** How much a bottle stands for, in float32, one member and one label. */
function virtualExtent(bottle: BottleFacts): string {
  const { start, end, step } = bottle.time;
  const times = Math.floor((readTime(end) - readTime(start)) / readPeriod(step)) + 1;
  const fields = Object.values(bottle.variables).reduce((n, { pressures }) => n + Math.max(1, pressures.length), 0);
  const cells = cellsAt(bottle.zoom);
  let size = 4 * times * fields * cells;
  let unit = 0;
  while (size >= 1000) [size, unit] = [size / 1000, unit + 1];
  const number = (n: number) => n.toLocaleString("en-US");
  return `${number(times)} times × ${fields} fields × ${number(cells)} cells (zoom ${bottle.zoom}, about ${Math.round(
    cellWidth(bottle.zoom),
  )} km): ${size.toPrecision(3)} ${["bytes", "kB", "MB", "GB", "TB", "PB"][unit]} a member and label, as many members and seeds as you ask for`;
}
