// Fields: what the panels show, made of frames. A statistic takes those of several members; contours and wind come
// from the same instants; above the bottle's own zoom there are tiles over the field at that zoom.

import { type BottleFacts, type Catalog, bottleOf } from "./catalog";
import { limitsOf, type Style, ticks } from "./colours";
import { reduced, type Statistic, styleOfStatistic, type Threshold } from "./ensembles";
import { type Frame, type Frames, keyOf, type Wanted } from "./frames";
import { gridOf } from "./interpolation";
import { Recent } from "./recent";
import type { FineField } from "./tiles";
import { compared, membersOf, northward, type Quantity, type View } from "./view";
import type { Vectors } from "./wind";

/** What a panel shows: a field on the globe, tiles of a finer zoom over it, contours of another field, and wind. */
export interface Field extends Frame {
  fine: FineField | null;
  /** Of the quantity whose contours are drawn. */
  contours: Frame | null;
  wind: Vectors | null;
  /** Frames of the single members. */
  parts: Frame[];
}

const FINEST_LINES = 6; // zoom of fields that lines and arrows are made of
const KEPT = 64;

/** What the panels of a view want, from left to right, at the zoom that is asked for. */
export function wantedOf(view: View): Wanted[] {
  const other = compared(view);
  return other ? [view, other] : [view];
}

export class Fields {
  #reduced = new Recent<string, Frame>(KEPT);

  constructor(
    private readonly catalog: Catalog,
    private readonly frames: Frames,
  ) {}

  /** What is wanted of the whole globe: at most the bottle's own zoom. */
  coarse(wanted: Wanted, most = Infinity): Wanted {
    return { ...wanted, zoom: Math.min(wanted.zoom, this.#bottle(wanted).zoom, most) };
  }

  isFine(wanted: Wanted): boolean {
    return wanted.zoom > this.#bottle(wanted).zoom;
  }

  /** How many frames of a view are not here yet. */
  missing(view: View): number {
    return wantedOf(view).flatMap((wanted) => this.#members(view, this.coarse(wanted))).filter((one) => !this.frames.has(one)).length;
  }

  /** Whether a tile of a view is here, in all its members. */
  hasTile(view: View, wanted: Wanted, tile: number): boolean {
    return this.#members(view, wanted).every((one) => this.frames.has(one, tile));
  }

  /** The fields of a view's panels, without tiles. */
  read(view: View, signal: AbortSignal): Promise<Field[]> {
    return Promise.all(wantedOf(view).map((wanted) => this.#field(view, this.coarse(wanted), signal)));
  }

  /** One tile of what a panel shows. */
  async tile(view: View, wanted: Wanted, tile: number, signal: AbortSignal): Promise<Frame> {
    return this.#statistic(view, view.statistic, wanted, signal, tile);
  }

  /** A threshold for a quantity of which nobody has named one: a round value in the middle of its range. */
  async threshold(view: View, signal: AbortSignal): Promise<Threshold> {
    const { values, style } = await this.frames.get(this.coarse(view), signal);
    const [low, high] = limitsOf([values], style);
    const marks = ticks([low, high], 8);
    const middle = (low + high) / 2;
    return { side: "above", value: marks.reduce((best, mark) => (Math.abs(mark - middle) < Math.abs(best - middle) ? mark : best), marks[0] ?? middle) };
  }

  #bottle(wanted: Wanted): BottleFacts {
    return bottleOf(this.catalog, wanted.bottle)!;
  }

  #members(view: View, wanted: Wanted): Wanted[] {
    return membersOf({ ...view, member: wanted.member }).map((member) => ({ ...wanted, member }));
  }

  async #field(view: View, wanted: Wanted, signal: AbortSignal): Promise<Field> {
    const [shown, parts, contours, wind] = await Promise.all([
      this.#statistic(view, view.statistic, wanted, signal),
      this.#parts(view, wanted, signal, null),
      view.contours && this.#other(view, wanted, view.contours, signal),
      view.wind && this.#wind(view, wanted, view.wind, signal),
    ]);
    return { ...shown, fine: null, contours, wind, parts };
  }

  #parts(view: View, wanted: Wanted, signal: AbortSignal, tile: number | null): Promise<Frame[]> {
    return Promise.all(this.#members(view, wanted).map((one) => this.frames.get(one, signal, tile)));
  }

  async #statistic(view: View, statistic: Statistic, wanted: Wanted, signal: AbortSignal, tile: number | null = null): Promise<Frame> {
    const parts = await this.#parts(view, wanted, signal, tile);
    if (statistic === "one") return parts[0];
    const key = JSON.stringify([statistic, view.members, statistic === "probability" && view.threshold, keyOf(wanted, tile)]);
    return this.#reduced.get(key, () => this.#reduce(view, statistic, parts));
  }

  #reduce(view: View, statistic: Statistic, parts: Frame[]): Frame {
    const { style } = parts[0];
    const threshold = view.threshold && { ...view.threshold, value: view.threshold.value / style.factor };
    const values = reduced(statistic, parts.map((part) => part.values), threshold);
    const took = Math.max(...parts.map((part) => part.took));
    return { ...parts[0], values, style: styleOfStatistic(statistic, style), took };
  }

  /** Another quantity at the same instants; of several members, their mean. */
  #other(view: View, wanted: Wanted, quantity: Quantity, signal: AbortSignal): Promise<Frame> {
    const statistic = view.statistic === "one" ? "one" : "mean";
    return this.#statistic(view, statistic, { ...this.coarse(wanted, FINEST_LINES), ...quantity }, signal);
  }

  async #wind(view: View, wanted: Wanted, east: Quantity, signal: AbortSignal): Promise<Vectors> {
    const north = { ...east, variable: northward(east.variable) };
    const [u, v] = await Promise.all([east, north].map((one) => this.#other(view, wanted, one, signal)));
    return { u: gridOf(u.values, u.zoom), v: gridOf(v.values, v.zoom) };
  }
}

/** Style of the quantity that a field is a statistic of. */
export function ownStyle(field: Field): Style {
  return field.parts[0].style;
}
