// How a quantity is drawn: the same colour maps, ranges and units by standard name as xr_cbottle/plot.py.

import * as chromatic from "d3-scale-chromatic";

export type Colour = [number, number, number];
export type Limits = [number, number];

export interface Style {
  colours: string;
  /** Colours run over the field's own range, from zero up, or as far on both sides of zero. */
  span: "range" | "positive" | "symmetric";
  /** From the data set's unit to the one that is shown; null keeps it. */
  factor: number;
  units: string | null;
  /** Lowest and highest colour, whatever the field is. */
  fixed?: Limits;
}

const style = (colours: string, span: Style["span"] = "range", factor = 1, units: string | null = null): Style => ({
  colours,
  span,
  factor,
  units,
});

const WARMTH = style("RdYlBu_r");
const WIND = style("RdBu_r", "symmetric");
const WATER = style("YlGnBu", "positive");
const CLOUD = style("Blues_r", "positive");
const PLAIN = style("viridis");

export const STYLES: Record<string, Style> = {
  air_temperature: WARMTH,
  surface_temperature: WARMTH,
  sea_surface_temperature: WARMTH,
  eastward_wind: WIND,
  northward_wind: WIND,
  lagrangian_tendency_of_air_pressure: WIND,
  precipitation_flux: style("YlGnBu", "positive", 86400, "mm day-1"),
  water_evapotranspiration_flux: style("YlGnBu", "positive", 86400, "mm day-1"),
  specific_humidity: style("YlGnBu", "positive", 1000, "g kg-1"),
  atmosphere_mass_content_of_water_vapor: WATER,
  atmosphere_mass_content_of_cloud_liquid_water: CLOUD,
  atmosphere_mass_content_of_cloud_ice: CLOUD,
  cloud_area_fraction: CLOUD,
  sea_ice_area_fraction: CLOUD,
  air_pressure_at_mean_sea_level: style("viridis", "range", 0.01, "hPa"),
  surface_air_pressure: style("viridis", "range", 0.01, "hPa"),
  toa_outgoing_longwave_flux: style("magma"),
};

export function styleOf(standardName: string | undefined): Style {
  return Object.hasOwn(STYLES, standardName ?? "") ? STYLES[standardName!] : PLAIN;
}

/** How the difference of two fields of a style is drawn. */
export function differenceOf(of: Style): Style {
  return { ...of, colours: "RdBu_r", span: "symmetric" };
}

const hex = (text: string): Colour => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)) as Colour;

/** Straight lines between the colours of a scheme, as matplotlib draws it. */
function between(scheme: readonly string[], reversed = false): (t: number) => Colour {
  const colours = scheme.map(hex);
  if (reversed) colours.reverse();
  return (t) => {
    const place = t * (colours.length - 1);
    const i = Math.min(colours.length - 2, Math.floor(place));
    return colours[i].map((c, k) => c + (colours[i + 1][k] - c) * (place - i)) as Colour;
  };
}

const MAPS: Record<string, (t: number) => Colour> = {
  RdYlBu_r: between(chromatic.schemeRdYlBu[11], true),
  RdBu_r: between(chromatic.schemeRdBu[11], true),
  YlGnBu: between(chromatic.schemeYlGnBu[9]),
  Blues_r: between(chromatic.schemeBlues[9], true),
  viridis: (t) => hex(chromatic.interpolateViridis(t)),
  magma: (t) => hex(chromatic.interpolateMagma(t)),
  inferno: (t) => hex(chromatic.interpolateInferno(t)),
  plasma: (t) => hex(chromatic.interpolatePlasma(t)),
  Greys: between(chromatic.schemeGreys[9]),
  Purples: between(chromatic.schemePurples[9]),
  YlOrRd: between(chromatic.schemeYlOrRd[9]),
  Spectral_r: between(chromatic.schemeSpectral[11], true),
  BrBG: between(chromatic.schemeBrBG[11]),
  PuOr_r: between(chromatic.schemePuOr[11]),
};

/** Colour maps by matplotlib's names, each with its reverse. */
export const COLOUR_MAPS: readonly string[] = Object.keys(MAPS).flatMap((name) => [name, reverseOf(name)]);

function reverseOf(name: string): string {
  return name.endsWith("_r") ? name.slice(0, -2) : `${name}_r`;
}

const TABLES = new Map<string, Uint8Array<ArrayBuffer>>();

/** 256 colours, RGBA, as matplotlib samples a colour map. */
export function table(colours: string): Uint8Array<ArrayBuffer> {
  let known = TABLES.get(colours);
  if (!known) {
    known = new Uint8Array(1024);
    const map = MAPS[colours] ?? ((t: number) => MAPS[reverseOf(colours)](1 - t));
    for (let i = 0; i < 256; i++) known.set([...map(i / 255).map(Math.round), 255], 4 * i);
    TABLES.set(colours, known);
  }
  return known;
}

const MOST_DECADES = 1e4; // of a logarithmic scale, if nobody says

/** Where a value lies between two limits, 0 to 1 within them. */
export function placeOf(value: number, [low, high]: Limits, log: boolean): number {
  return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

/** 1, 2 and 5 times powers of ten between two limits; of many decades only the powers. */
export function logTicks([low, high]: Limits): number[] {
  const decades = Math.log10(high / low);
  const parts = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5];
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const part of parts) found.push(Number((part * 10 ** power).toPrecision(6)));
  }
  return found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

/** Lowest and highest colour of fields in their shown unit: all but the outermost hundredth of the cells. */
export function limitsOf(fields: Float32Array[], { span, factor, fixed }: Style, log = false): Limits {
  if (fixed) return fixed;
  const known = new Float32Array(fields.reduce((n, f) => n + f.length, 0));
  let n = 0;
  for (const field of fields) for (const value of field) if (Number.isFinite(value) && !(log && value <= 0)) known[n++] = value;
  if (!n) return log ? [0.1, 1] : [0, 1];
  const sorted = known.subarray(0, n).sort();
  const quantile = (q: number) => {
    const place = q * (n - 1);
    const i = Math.min(n - 1, Math.floor(place));
    return sorted[i] + (sorted[Math.min(n - 1, i + 1)] - sorted[i]) * (place - i);
  };
  let [low, high] = [quantile(0.01) * factor, quantile(0.99) * factor];
  if (log) return [Math.max(low, high / MOST_DECADES), high > low ? high : 10 * low];
  if (span === "symmetric") [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
  else if (span === "positive") low = 0;
  return high > low ? [low, high] : [low - 0.5, low + 0.5];
}

/** At which ends there is more than the colours reach. */
export function beyond(fields: Float32Array[], [low, high]: Limits, factor: number): [boolean, boolean] {
  let [below, above] = [false, false];
  for (const field of fields) {
    for (const value of field) {
      if (value * factor < low) below = true;
      else if (value * factor > high) above = true;
    }
  }
  return [below, above];
}

/** Round numbers between two limits, about so many. */
export function ticks([low, high]: Limits, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const excess = rough / power;
  const step = (excess >= Math.sqrt(50) ? 10 : excess >= Math.sqrt(10) ? 5 : excess >= Math.SQRT2 ? 2 : 1) * power;
  const first = Math.ceil(low / step - 1e-6);
  const last = Math.floor(high / step + 1e-6);
  // Multiplied, not added up, and freed of the last digits' noise.
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
