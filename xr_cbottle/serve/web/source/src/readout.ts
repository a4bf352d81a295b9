// In words: what is seen, and what is under the pointer.

import type { BottleFacts } from "./catalog";
import { byId, make } from "./dom";
import { membersInWords } from "./ensembles";
import type { Field } from "./fields";
import type { Frame } from "./frames";
import { cellAt } from "./healpix";
import type { Picture } from "./layers";
import { decimalsFor, editable, prettyLat, prettyLon, prettyNumber, prettyPeriod, prettyTime, prettyUnits, prettyValue } from "./text";
import { fineAt } from "./tiles";
import type { View } from "./view";

/** What is under the pointer. */
export interface Probe {
  lon: number;
  lat: number;
  cell: number;
  /** Of the cell. */
  zoom: number;
  /** One for each frame, in the unit of the data set. */
  values: number[];
  units: string;
}

const NOTES = {
  inst: "Each instant is an independent draw for its hour, season and sea. Playing shows possible states one after the other; they do not follow from each other.",
  mean: "Each value is a mean of independent draws over the step before its time. Neighbouring values do not share any weather.",
  lasts: "Weather lasts from one time to the next, but has no dynamics: storms grow and fade by chance.",
};

/** What fields have at a place, in tiles where they are here. */
export function probeOf(fields: Field[], lon: number, lat: number): Probe | null {
  const [first] = fields;
  if (!first) return null;
  const found = fields.map(({ values, zoom, fine }) => {
    const inTile = fine && fineAt(fine, lon, lat);
    const cell = cellAt(lon, lat, zoom);
    return inTile ? { ...inTile, zoom: fine.zoom } : { cell, zoom, value: values[cell] };
  });
  return { lon, lat, cell: found[0].cell, zoom: found[0].zoom, values: found.map(({ value }) => value), units: first.attrs.units };
}

/** Name of a quantity with its level. */
export function quantityName({ wanted, attrs }: Frame): string {
  return `${attrs.long_name || wanted.variable}${wanted.pressure === null ? "" : ` at ${wanted.pressure / 100} hPa`}`;
}

/** A quantity, or the statistic of it that is shown. */
function titleOf(view: View, field: Field): string {
  const name = quantityName(field);
  if (view.statistic === "mean") return `${name}: mean of members`;
  if (view.statistic === "spread") return `${name}: spread of members`;
  if (view.statistic !== "probability" || !view.threshold) return name;
  const { side, value } = view.threshold;
  const { style, attrs } = field.parts[0];
  return `Probability of ${name} ${side} ${editable(value)} ${prettyUnits(style.units ?? attrs.units)}`;
}

/** Where and when the picture is: time, bottle, label, members, seed and settings. */
function partsOf(view: View, { wanted, time }: Field, bottle: BottleFacts): string[] {
  const { compare } = view;
  const over = prettyPeriod(wanted.step).replace(/^1 /, "the ");
  const settings = (bottle.settings ?? []).filter(({ name }) => Object.hasOwn(wanted.settings, name));
  return [
    wanted.method === "mean" ? `mean over ${over} to ${prettyTime(time)}` : prettyTime(time),
    bottle.name,
    bottle.labels.length > 1 && compare?.what !== "label" && `label ${wanted.label}`,
    view.statistic !== "one" ? membersInWords(view.member, view.members) : compare?.what !== "member" && `member ${wanted.member}`,
    compare?.what !== "seed" && `seed ${wanted.seed}`,
    ...settings.map(({ name, title }) => `${title || name} ${wanted.settings[name]}`),
  ].filter((part): part is string => !!part);
}

/** Title and line below it of the picture, as the page and files of it have them. */
export function headings(view: View, field: Field, bottle: BottleFacts): [string, string] {
  return [titleOf(view, field), partsOf(view, field, bottle).join(" · ")];
}

/** Heading of the picture. */
export function describe(view: View, field: Field, bottle: BottleFacts, names: string[]): void {
  const [title, subtitle] = headings(view, field, bottle);
  byId("title").textContent = title;
  byId("subtitle").textContent = subtitle;
  const which = names.length ? `: ${names.join(", ")}` : "";
  byId("canvas").setAttribute("aria-label", `${title}, ${subtitle.replaceAll(" · ", ", ")}${which}`);
  document.title = `${field.attrs.long_name || field.wanted.variable} · xr_cbottle`;
}

/** What lies over the field: contours and wind. */
export function legend(view: View, contours: Picture["contours"]): string {
  const { frame, step } = contours ?? {};
  const units = frame && prettyUnits(frame.style.units ?? frame.attrs.units);
  const wind = view.wind && `wind ${view.wind.pressure === null ? "near the surface" : `at ${view.wind.pressure / 100} hPa`}`;
  return [frame && `contours: ${quantityName(frame)}${step ? `, every ${prettyNumber(step, 2)} ${units}` : ""}`, wind].filter(Boolean).join(" · ");
}

/** What neighbouring times have to do with each other. */
export function noteOn({ method, settings }: View, bottle: BottleFacts): void {
  const coherence = settings.coherence ?? bottle.settings?.find(({ name }) => name === "coherence")?.default ?? "none";
  byId("note").textContent = coherence !== "none" ? NOTES.lasts : method === "mean" ? NOTES.mean : NOTES.inst;
}

/** Value, place and cell under the pointer. */
export function tell(probe: Probe | null, { style, zoom }: Frame, names: string[]): void {
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
  const where = `${prettyLat(probe.lat)} ${prettyLon(probe.lon)}, cell ${probe.cell}${probe.zoom === zoom ? "" : ` of zoom ${probe.zoom}`}`;
  output.replaceChildren(...lines, make("small", {}, where));
}
