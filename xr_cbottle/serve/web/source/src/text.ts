// Numbers, units and dates as people read them.

/** kg m-2 s-1 with raised exponents; nothing for what has no unit. */
export function prettyUnits(units: string): string {
  if (units === "1") return "";
  const raised: Record<string, string> = { "-": "⁻" };
  [..."⁰¹²³⁴⁵⁶⁷⁸⁹"].forEach((digit, i) => (raised[i] = digit));
  return units.replace(/(?<=[A-Za-z])-?\d+/g, (power) => [...power].map((c) => raised[c]).join(""));
}

/** So many significant digits, without powers of ten where it can be. */
export function prettyNumber(value: number, digits = 4): string {
  if (Number.isNaN(value)) return "missing";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -4 || size > 7) return value.toExponential(digits - 1).replace("-", "−");
  return value.toFixed(Math.max(0, digits - 1 - size)).replace("-", "−");
}

/** Round numbers that are steps apart, each with the digits that tell it from the next. */
export function tickLabels(marks: readonly number[], range: number): string[] {
  const step = marks.length > 1 ? marks[1] - marks[0] : range;
  const size = (value: number) => Math.floor(Math.log10(value) + 1e-9);
  return marks.map((value) => prettyNumber(value, Math.max(1, size(Math.abs(value) || step) - size(step) + 1)));
}

/** Decimals with which values of a size are told: four significant digits, and at least one decimal. */
export function decimalsFor(size: number): number {
  return size > 0 && Number.isFinite(size) ? Math.max(1, 3 - Math.floor(Math.log10(size))) : 1;
}

/** A value with so many decimals. */
export function prettyValue(value: number, decimals: number): string {
  if (Number.isNaN(value)) return "missing";
  return decimals > 7 ? prettyNumber(value) : value.toFixed(decimals).replace(/^-(?=.*[1-9])/, "−").replace(/^-/, "");
}

/** A limit as it is put into its field: short, and the same number when read again as near as makes no difference. */
export function editable(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** 1990-07-15T06:00, UTC; seconds only where there are any. */
export function isoTime(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString();
  return text.slice(0, text.endsWith(":00.000Z") ? 16 : 19);
}

/** 1990-07-15 06:00 UTC. */
export function prettyTime(seconds: number): string {
  return `${isoTime(seconds).replace("T", " ")} UTC`;
}

/** Seconds since 1970 of an ISO-8601 text in UTC; NaN if it is none. */
export function readTime(text: string): number {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d)(?::?(\d\d))?(?::?(\d\d))?(?:\.0+)?)?Z?$/.exec(text);
  if (!match) return NaN;
  return Date.parse(`${match[1]}T${match[2] ?? "00"}:${match[3] ?? "00"}:${match[4] ?? "00"}Z`) / 1000;
}

/** Seconds of PT6H or P1D; NaN for anything else. */
export function readPeriod(text: string): number {
  const match = /^P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$/.exec(text);
  if (!match) return NaN;
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0));
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
}

/** PT6H as "6 hours". */
export function prettyPeriod(text: string): string {
  const seconds = readPeriod(text);
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]] as const) {
    if (seconds % size === 0) return seconds === size ? `1 ${unit}` : `${seconds / size} ${unit}s`;
  }
  return text;
}

export function prettyLon(lon: number): string {
  return `${Math.abs(lon).toFixed(1)}°${lon < 0 ? "W" : "E"}`;
}

export function prettyLat(lat: number): string {
  return `${Math.abs(lat).toFixed(1)}°${lat < 0 ? "S" : "N"}`;
}
