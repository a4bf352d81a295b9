// What is shown of several members: their mean, their spread, or how many of them are beyond a threshold.

import type { Style } from "./colours";

export const STATISTICS = ["one", "mean", "spread", "probability"] as const;
export type Statistic = (typeof STATISTICS)[number];

/** Most members that a picture is made of: each is drawn. */
export const MOST_MEMBERS = 64;

export interface Threshold {
  side: "above" | "below";
  /** In the shown unit. */
  value: number;
}

/** Mean of fields of one shape; NaN where one of them is. */
function mean(fields: Float32Array[]): Float32Array {
  return Float32Array.from(fields[0], (_, i) => sum(fields, i) / fields.length);
}

/** Standard deviation over members, that of the population they are a sample of: `std("member", ddof=1)` of xarray. */
function spread(fields: Float32Array[]): Float32Array {
  return Float32Array.from(fields[0], (_, i) => {
    const middle = sum(fields, i) / fields.length;
    let squares = 0;
    for (const field of fields) squares += (field[i] - middle) ** 2;
    return Math.sqrt(squares / (fields.length - 1));
  });
}

/** Share of the members that are beyond a value: `(values > value).mean("member")` of xarray, which compares float32. */
function probability(fields: Float32Array[], side: Threshold["side"], value: number): Float32Array {
  const limit = Math.fround(value);
  return Float32Array.from(fields[0], (_, i) => {
    if (Number.isNaN(sum(fields, i))) return NaN;
    let count = 0;
    for (const field of fields) if (side === "above" ? field[i] > limit : field[i] < limit) count++;
    return count / fields.length;
  });
}

function sum(fields: Float32Array[], i: number): number {
  let total = 0;
  for (const field of fields) total += field[i];
  return total;
}

/** One field of those of all members; `value` of the threshold is in the unit of the fields. */
export function reduced(statistic: Statistic, fields: Float32Array[], threshold: Threshold | null): Float32Array {
  if (statistic === "spread" && fields.length > 1) return spread(fields);
  if (statistic === "probability" && threshold) return probability(fields, threshold.side, threshold.value);
  return statistic === "mean" ? mean(fields) : fields[0];
}

/** How a statistic of a quantity is drawn. */
export function styleOfStatistic(statistic: Statistic, style: Style): Style {
  if (statistic === "spread") return { ...style, colours: "YlOrRd", span: "positive" };
  if (statistic === "probability") return { colours: "Purples", span: "positive", factor: 100, units: "%", fixed: [0, 100] };
  return style;
}

/** In words: "members 0 to 15". */
export function membersInWords(first: number, count: number): string {
  return `members ${first} to ${first + count - 1}`;
}
