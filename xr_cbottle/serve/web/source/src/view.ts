// What the page shows, and how it is written into the address of the page: #bottle=gcm@f3469962d7ae&variable=tas&...

import { type BottleFacts, bottleOf, type Catalog, type SettingFacts, zoomsOf } from "./catalog";
import { COLOUR_MAPS, type Limits } from "./colours";
import { MOST_MEMBERS, type Statistic, STATISTICS, type Threshold } from "./ensembles";
import type { Wanted } from "./frames";
import { bounded, type Camera, MAX_SCALE, type Projection, PROJECTIONS } from "./projections";
import { isoTime, readPeriod, readTime } from "./text";

export const COMPARED = ["member", "seed", "label"] as const;

export interface Comparison {
  what: (typeof COMPARED)[number];
  value: number | string;
}

/** A quantity: a variable, and its pressure if it is on levels. */
export interface Quantity {
  variable: string;
  pressure: number | null;
}

export const WIND_STYLES = ["particles", "arrows"] as const;

export interface View extends Wanted, Camera {
  /** What is shown of the members from `member` on. */
  statistic: Statistic;
  members: number;
  /** Of which the probability is shown; null: the middle of the colours. */
  threshold: Threshold | null;
  compare: Comparison | null;
  difference: boolean;
  /** Lowest and highest colour in the shown unit; null: those of each picture. */
  limits: Limits | null;
  /** Colour map; null: the quantity's own. */
  colours: string | null;
  log: boolean;
  contours: Quantity | null;
  /** The eastward component of the wind that is drawn over the field. */
  wind: Quantity | null;
  windStyle: (typeof WIND_STYLES)[number];
  /** A place whose values in time are shown: longitude and latitude. */
  point: [number, number] | null;
  /** Only the picture: for frames in other pages. */
  embed: boolean;
  coast: boolean;
  grid: boolean;
}

/** What is shown when nothing is asked for. */
export function defaultView(catalog: Catalog, name?: string): View {
  const bottle = (name ? bottleOf(catalog, name) : undefined) ?? catalog.bottles[0];
  const variables = Object.keys(bottle.variables);
  const variable = variables.includes("tas") ? "tas" : variables[0];
  return {
    bottle: bottle.pinned || bottle.name,
    variable,
    pressure: levelOf(bottle, variable, 85000),
    time: readTime(bottle.time.start),
    step: bottle.steps.includes("PT6H") ? "PT6H" : bottle.steps[0],
    method: bottle.time_methods[0],
    member: 0,
    seed: 0,
    zoom: bottle.zoom,
    label: bottle.default_label ?? bottle.labels[0] ?? null,
    settings: {},
    statistic: "one",
    members: 8,
    threshold: null,
    compare: null,
    difference: false,
    limits: null,
    colours: null,
    log: false,
    contours: null,
    wind: null,
    windStyle: "particles",
    point: null,
    embed: false,
    projection: "globe",
    lon: 10,
    lat: 25,
    scale: 1,
    coast: true,
    grid: false,
  };
}

/** The pressure that a variable has and that is nearest; null if it has none. */
export function levelOf(bottle: BottleFacts, variable: string, pressure: number | null): number | null {
  const levels = bottle.variables[variable]?.pressures ?? [];
  if (!levels.length) return null;
  const wanted = pressure ?? 85000;
  return levels.reduce((best, level) => (Math.abs(level - wanted) < Math.abs(best - wanted) ? level : best));
}

/** How many instants a picture is made of. */
export function instantsOf(view: View, bottle: BottleFacts): number {
  const { method, step } = view;
  return membersOf(view).length * (method === "mean" ? Math.round(readPeriod(step) / readPeriod(bottle.time.step)) : 1);
}

/** Numbers of the members that a picture is made of. */
export function membersOf({ statistic, member, members }: View): number[] {
  return Array.from({ length: statistic === "one" ? 1 : members }, (_, i) => member + i);
}

/** Variables with their levels, one after the other. */
export function quantitiesOf(bottle: BottleFacts): Quantity[] {
  return Object.entries(bottle.variables).flatMap(([variable, { pressures }]) =>
    (pressures.length ? pressures : [null]).map((pressure) => ({ variable, pressure })),
  );
}

/** Eastward components of winds whose northward component is there too. */
export function windsOf(bottle: BottleFacts): Quantity[] {
  return quantitiesOf(bottle).filter(
    ({ variable, pressure }) =>
      bottle.variables[variable].standard_name === "eastward_wind" &&
      bottle.variables[northward(variable)]?.standard_name === "northward_wind" &&
      (pressure === null || bottle.variables[northward(variable)].pressures.includes(pressure)),
  );
}

/** Name of the northward component that goes with an eastward one: vas with uas. */
export function northward(eastward: string): string {
  return eastward.replace("u", "v");
}

/** The name of a quantity in addresses and lists: zg:50000. */
export function keyOfQuantity(quantity: Quantity | null): string {
  return quantity ? `${quantity.variable}${quantity.pressure === null ? "" : `:${quantity.pressure}`}` : "";
}

/** Whether a setting may have a value. */
export function mayBe({ default: standard, allowed = [], pattern }: SettingFacts, value: string): boolean {
  if (value === standard || allowed.includes(value)) return true;
  return pattern !== undefined && /^[A-Za-z0-9.+-]{1,40}$/.test(value) && new RegExp(`^(?:${pattern})$`).test(value);
}

/** What a setting may be, in words. */
export function hintOf({ default: standard, allowed = [], hint }: SettingFacts): string {
  return hint ?? listed([...new Set([standard, ...allowed])]);
}

/** The second picture of a comparison. */
export function compared(view: View): Wanted | null {
  return view.compare && { ...view, [view.compare.what]: view.compare.value };
}

export function writeHash(view: View): string {
  const digits = view.scale > 8 ? 3 : 2;
  const entries: [string, string | number | null | false][] = [
    ["bottle", view.bottle],
    ["variable", view.variable],
    ["pressure", view.pressure],
    ["time", isoTime(view.time)],
    ["step", view.step],
    ["method", view.method],
    ["member", view.member],
    ["seed", view.seed],
    ["zoom", view.zoom],
    ["label", view.label],
    ...Object.entries(view.settings),
    ["show", view.statistic !== "one" && view.statistic],
    ["members", view.statistic !== "one" && view.members],
    [view.threshold?.side ?? "above", view.statistic === "probability" && view.threshold && number(view.threshold.value)],
    ["with", view.compare && `${view.compare.what}:${view.compare.value}`],
    ["difference", view.difference && 1],
    ["limits", view.limits && view.limits.map(number).join(",")],
    ["colours", view.colours],
    ["scale", view.log && "log"],
    ["contours", keyOfQuantity(view.contours) || null],
    ["wind", keyOfQuantity(view.wind) || null],
    ["as", view.wind && view.windStyle],
    ["point", view.point && view.point.map((v) => v.toFixed(2)).join(",")],
    ["embed", view.embed && 1],
    ["map", view.projection],
    ["at", [view.lon.toFixed(digits), view.lat.toFixed(digits), Number(view.scale.toPrecision(4))].join(",")],
    ["lines", [view.coast && "coast", view.grid && "grid"].filter(Boolean).join("+") || "none"],
  ];
  return entries
    .filter(([, value]) => value !== null && value !== false)
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value)).replace(/%(?:3A|2C|40|2B|2F)/g, decodeURIComponent)}`)
    .join("&");
}

/** The view of an address, with a sentence for each part of it that cannot be shown. */
export function readHash(hash: string, catalog: Catalog): { view: View; problems: string[] } {
  const given = new Map<string, string>();
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [key, ...rest] = part.split("=");
    try {
      if (key) given.set(key, decodeURIComponent(rest.join("=")));
    } catch {
      given.set(key, rest.join("="));
    }
  }
  const problems: string[] = [];
  const name = given.get("bottle");
  const view = defaultView(catalog, name);
  const bottle = bottleOf(catalog, view.bottle)!;
  if (name !== undefined && !bottleOf(catalog, name)) {
    problems.push(`The bottle of this link, ${short(name)}, is not served here: this is ${view.bottle}.`);
  }
  const refuse = (key: string, allowed: string) =>
    problems.push(`${key}=${short(given.get(key)!)} of this link cannot be shown: it must be ${allowed}.`);

  function choice<T extends string>(key: string, allowed: readonly T[], use: (value: T) => void): void {
    const text = given.get(key);
    if (text === undefined) return;
    if (allowed.includes(text as T)) use(text as T);
    else refuse(key, listed(allowed));
  }
  function whole(key: string, most: number, use: (value: number) => void): void {
    const text = given.get(key);
    if (text === undefined) return;
    const value = Number(text);
    if (/^\d{1,16}$/.test(text) && value <= most) use(value);
    else refuse(key, `a whole number from 0 to ${most}`);
  }
  choice("variable", Object.keys(bottle.variables), (v) => {
    view.variable = v;
    view.pressure = levelOf(bottle, v, view.pressure);
  });
  const levels = bottle.variables[view.variable].pressures ?? [];
  if (levels.length) choice("pressure", levels.map(String), (v) => (view.pressure = Number(v)));
  choice("step", bottle.steps, (v) => (view.step = v));
  choice("method", bottle.time_methods, (v) => (view.method = v));
  choice("zoom", zoomsOf(bottle, view.variable).map(String), (v) => (view.zoom = Number(v)));
  if (bottle.labels.length) choice("label", bottle.labels, (v) => (view.label = v));
  whole("member", mostMember(bottle), (v) => (view.member = v));
  whole("seed", Number.MAX_SAFE_INTEGER, (v) => (view.seed = v));
  if (given.has("time")) {
    const time = readTime(given.get("time")!);
    const [first, last] = [readTime(bottle.time.start), readTime(bottle.time.end)];
    // A mean is stamped at its end, up to one step later.
    if (time >= first && time <= last + readPeriod(view.step)) view.time = time;
    else refuse("time", `a time from ${bottle.time.start} to ${bottle.time.end}`);
  }
  for (const setting of bottle.settings ?? []) {
    const value = given.get(setting.name);
    if (value === undefined) continue;
    if (mayBe(setting, value)) view.settings[setting.name] = value;
    else refuse(setting.name, hintOf(setting));
  }
  choice("show", STATISTICS, (v) => (view.statistic = v));
  whole("members", MOST_MEMBERS, (v) => (view.members = Math.max(2, v)));
  for (const side of ["above", "below"] as const) {
    if (!given.has(side)) continue;
    const value = Number(given.get(side) || NaN);
    if (Number.isFinite(value)) view.threshold = { side, value };
    else refuse(side, "a number");
  }
  if (given.has("with")) {
    const [what, ...rest] = given.get("with")!.split(":");
    const comparison = comparisonOf(bottle, what, rest.join(":"));
    if (comparison) view.compare = comparison;
    else refuse("with", "member:NUMBER, seed:NUMBER or label:NAME");
  }
  view.difference = given.get("difference") === "1" && view.compare !== null;
  if (given.has("limits")) {
    const [low, high] = given.get("limits")!.split(",").map(Number);
    if (Number.isFinite(low) && high > low && Number.isFinite(high)) view.limits = [low, high];
    else refuse("limits", "two numbers, the lower first");
  }
  choice("colours", COLOUR_MAPS, (v) => (view.colours = v));
  choice("scale", ["log", "linear"], (v) => (view.log = v === "log"));
  for (const [key, quantities] of [["contours", quantitiesOf(bottle)], ["wind", windsOf(bottle)]] as const) {
    choice(key, quantities.map(keyOfQuantity), (v) => (view[key] = quantities.find((q) => keyOfQuantity(q) === v)!));
  }
  choice("as", WIND_STYLES, (v) => (view.windStyle = v));
  if (given.has("point")) {
    const [lon, lat] = given.get("point")!.split(",").map((text) => Number(text || NaN));
    if (Math.abs(lon) <= 360 && Math.abs(lat) <= 90) view.point = [lon, lat];
    else refuse("point", "a longitude and a latitude");
  }
  view.embed = given.get("embed") === "1";
  choice("map", PROJECTIONS, (v: Projection) => (view.projection = v));
  if (given.has("at")) {
    const [lon, lat, scale = 1] = given.get("at")!.split(",").map(Number);
    if ([lon, lat, scale].every(Number.isFinite)) Object.assign(view, { lon, lat, scale });
    else refuse("at", `longitude, latitude and a magnification of 1 to ${MAX_SCALE}`);
  }
  Object.assign(view, bounded(view));
  if (given.has("lines")) {
    const lines = given.get("lines")!.split("+");
    view.coast = lines.includes("coast");
    view.grid = lines.includes("grid");
  }
  return { view: fitting(view, view, catalog), problems };
}

/** A view that can be shown: what a change makes impossible gives way. */
export function fitting(view: View, before: View, catalog: Catalog): View {
  const bottle = bottleOf(catalog, view.bottle) ?? bottleOf(catalog, before.bottle)!;
  const standard = defaultView(catalog, bottle.name);
  const fits = { ...view, bottle: standard.bottle };
  if (!Object.hasOwn(bottle.variables, view.variable)) fits.variable = standard.variable;
  fits.pressure = levelOf(bottle, fits.variable, view.pressure);
  // Of a variable that is not there above the bottle's own zoom, that is the finest there is.
  if (!zoomsOf(bottle, fits.variable).includes(view.zoom)) fits.zoom = standard.zoom;
  if (view.label === null || !bottle.labels.includes(view.label)) fits.label = standard.label;
  if (!bottle.time_methods.includes(view.method)) fits.method = standard.method;
  const steps = fits.method === "mean" ? (bottle.mean_steps ?? bottle.steps) : bottle.steps;
  if (!steps.includes(view.step)) fits.step = steps.at(-1) ?? standard.step;
  const [first, last] = [readTime(bottle.time.start), readTime(bottle.time.end) + readPeriod(fits.step)];
  fits.time = Math.min(last, Math.max(first, view.time));
  if (view.compare?.what === "label" && !bottle.labels.includes(String(view.compare.value))) fits.compare = null;
  if (view.compare?.what === "member" && view.statistic !== "one") fits.compare = null;
  if (!fits.compare) fits.difference = false;
  const settings = (bottle.settings ?? []).filter((setting) => Object.hasOwn(view.settings, setting.name));
  const given = settings.map((setting) => [setting, view.settings[setting.name]] as const);
  fits.settings = Object.fromEntries(
    given.filter(([setting, value]) => mayBe(setting, value) && value !== setting.default).map(([{ name }, value]) => [name, value]),
  );
  fits.members = Math.min(MOST_MEMBERS, Math.max(2, view.members), mostMember(bottle) + 1);
  if (fits.statistic !== "one") fits.member = Math.min(view.member, mostMember(bottle) + 1 - fits.members);
  const has = (quantity: Quantity | null, among: Quantity[]) =>
    among.find((other) => keyOfQuantity(other) === keyOfQuantity(quantity)) ?? null;
  fits.contours = has(view.contours, quantitiesOf(bottle));
  fits.wind = has(view.wind, windsOf(bottle));
  const isOther = (["bottle", "variable", "pressure"] as const).some((key) => fits[key] !== before[key]);
  if (isOther && view.threshold === before.threshold) fits.threshold = null;
  if (isOther && view.colours === before.colours) [fits.colours, fits.log] = [null, false];
  if (fits.statistic !== before.statistic && view.limits === before.limits) fits.limits = null;
  if (isOther && view.limits === before.limits) fits.limits = null; // they were another quantity's
  return { ...fits, ...bounded(fits) };
}

/** The highest number of a member. */
export function mostMember(bottle: BottleFacts): number {
  return Math.max(0, (bottle.max_members || 4096) - 1);
}

function comparisonOf(bottle: BottleFacts, what: string, value: string): Comparison | null {
  if (what === "label") return bottle.labels.includes(value) ? { what, value } : null;
  const most = what === "member" ? mostMember(bottle) : what === "seed" ? Number.MAX_SAFE_INTEGER : -1;
  const number = Number(value);
  return /^\d{1,16}$/.test(value) && number <= most ? { what: what as "member" | "seed", value: number } : null;
}

function listed(values: readonly string[]): string {
  if (!values.length) return "left out, for this bottle has none";
  return values.length > 12 ? `one of ${values.slice(0, 12).join(", ")}, …` : `one of ${values.join(", ")}`;
}

function number(value: number): number {
  return Number(value.toPrecision(7));
}

function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
