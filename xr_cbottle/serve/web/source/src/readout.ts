// In words: what is seen, and what is under the pointer.

import type { BottleFacts } from "./catalog";
import { byId, make } from "./dom";
import type { Frame } from "./frames";
import { cellAt } from "./healpix";
import { decimalsFor, prettyLat, prettyLon, prettyPeriod, prettyTime, prettyUnits, prettyValue } from "./text";
import type { Comparison } from "./view";

/** What is under the pointer. */
export interface Probe {
  lon: number;
  lat: number;
  cell: number;
  /** One for each frame, in the unit of the data set. */
  values: number[];
  units: string;
}

const NOTES = {
  inst: "Each instant is an independent draw for its hour, season and sea: playing shows possible states one after the other, not an evolution.",
  mean: "Each value is the mean of independent draws of the model over the step before its time; neighbouring values have no weather in common.",
};

/** What frames have at a place. */
export function probeOf(frames: Frame[], lon: number, lat: number): Probe | null {
  const [first] = frames;
  if (!first) return null;
  const cell = cellAt(lon, lat, first.zoom);
  return { lon, lat, cell, values: frames.map(({ values }) => values[cell]), units: first.attrs.units };
}

/** Heading of the picture. */
export function describe({ wanted, attrs, time }: Frame, bottle: BottleFacts, compare: Comparison | null, names: string[]): void {
  const level = wanted.pressure === null ? "" : ` at ${wanted.pressure / 100} hPa`;
  const title = `${attrs.long_name || wanted.variable}${level}`;
  const over = prettyPeriod(wanted.step).replace(/^1 /, "the ");
  const parts = [
    wanted.method === "mean" ? `mean over ${over} to ${prettyTime(time)}` : prettyTime(time),
    bottle.name,
    bottle.labels.length > 1 && compare?.what !== "label" && `label ${wanted.label}`,
    compare?.what !== "member" && `member ${wanted.member}`,
    compare?.what !== "seed" && `seed ${wanted.seed}`,
  ].filter(Boolean);
  byId("title").textContent = title;
  byId("subtitle").textContent = parts.join(" · ");
  const which = names.length ? `: ${names.join(", ")}` : "";
  byId("canvas").setAttribute("aria-label", `${title}, ${parts.join(", ")}${which}`);
  document.title = `${attrs.long_name || wanted.variable} · xr_cbottle`;
}

/** What neighbouring times have to do with each other. */
export function noteOn(method: string): void {
  byId("note").textContent = method === "mean" ? NOTES.mean : NOTES.inst;
}

/** Value, place and cell under the pointer. */
export function tell(probe: Probe | null, { style }: Pick<Frame, "style">, names: string[]): void {
  const output = byId("probe");
  if (!probe) return output.replaceChildren();
  const units = prettyUnits(style.units ?? probe.units);
  const sizes = probe.values.map((value) => Math.abs(value * style.factor)).filter(Number.isFinite);
  const decimals = decimalsFor(Math.max(0, ...sizes));
  const written = (value: number) =>
    `${prettyValue(value * style.factor, decimals)}${Number.isNaN(value) || !units ? "" : ` ${units}`}`;
  const [a, b] = probe.values;
  const lines =
    b === undefined
      ? [make("b", {}, written(a))]
      : [
          make("b", {}, `${names[0]}: ${written(a)}`),
          make("br"),
          make("b", {}, `${names[1]}: ${written(b)}`),
          make("br"),
          make("span", {}, `difference: ${written(b - a)}`),
        ];
  const where = `${prettyLat(probe.lat)} ${prettyLon(probe.lon)}, cell ${probe.cell}`;
  output.replaceChildren(...lines, make("small", {}, where));
}
