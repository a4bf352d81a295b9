// Frames: one variable of one instant, level, member and seed on the whole globe. Kept while there is room;
// one that is wanted twice at the same time is read once, and no longer when nobody wants it any more.

import { type BottleFacts, type Catalog, bottleOf, type Source, urlOf } from "./catalog";
import { type Style, styleOf } from "./colours";
import { type Attributes, Dataset, type TimeAxis } from "./datasets";
import { zoomOf } from "./healpix";
import { type OnWait, Sentence } from "./requests";

export interface Wanted extends Source {
  variable: string;
  pressure: number | null;
  /** Seconds since 1970; the nearest time of the axis is shown. */
  time: number;
}

export interface Frame {
  wanted: Wanted;
  /** The data set's address. */
  url: string;
  values: Float32Array;
  attrs: Attributes;
  /** Attributes of the data set. */
  about: Record<string, unknown>;
  style: Style;
  /** Of its cells. */
  zoom: number;
  /** Which tile of the globe it is, and of how many; null: the globe. */
  tile: number | null;
  tiles: number;
  /** The time that it shows, seconds since 1970. */
  time: number;
  axis: TimeAxis;
  /** Milliseconds that it took to get here. */
  took: number;
}

interface Pending {
  promise: Promise<Frame>;
  controller: AbortController;
  users: number;
}

const ROOM = 128 * 2 ** 20;

export class Frames {
  #datasets = new Map<string, Promise<Dataset>>();
  #kept = new Map<string, Frame>(); // the oldest first
  #bytes = 0;
  #pending = new Map<string, Pending>();

  constructor(
    private readonly catalog: Catalog,
    private readonly onWait: OnWait,
  ) {}

  /** How many tiles the globe of a variable has; 1 up to the bottle's own zoom. */
  async tiles(wanted: Wanted): Promise<number> {
    return (await this.dataset(wanted)).tiles(wanted.variable);
  }

  dataset(source: Source): Promise<Dataset> {
    const bottle = bottleOf(this.catalog, source.bottle) as BottleFacts;
    const url = urlOf(source, bottle);
    let dataset = this.#datasets.get(url);
    if (!dataset) {
      dataset = Dataset.open(url, this.onWait);
      dataset.catch(() => this.#datasets.delete(url));
      this.#datasets.set(url, dataset);
    }
    return dataset;
  }

  /** Whether a frame is here already. */
  has(wanted: Wanted, tile: number | null = null): boolean {
    return this.#kept.has(keyOf(wanted, tile));
  }

  /** The globe of a field, or above the bottle's own zoom one tile of it. */
  async get(wanted: Wanted, signal: AbortSignal, tile: number | null = null): Promise<Frame> {
    const key = keyOf(wanted, tile);
    const kept = this.#kept.get(key);
    if (kept) {
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      return kept;
    }
    let pending = this.#pending.get(key);
    if (!pending) {
      const controller = new AbortController();
      const promise = this.#read(wanted, tile, controller.signal);
      pending = { promise, controller, users: 0 };
      this.#pending.set(key, pending);
      const forget = () => this.#pending.get(key)?.promise === promise && this.#pending.delete(key);
      promise.then((frame) => this.#keep(key, frame)).then(forget, forget);
    }
    return shared(pending, signal, () => this.#pending.delete(key));
  }

  async #read(wanted: Wanted, tile: number | null, signal: AbortSignal): Promise<Frame> {
    const started = performance.now();
    const dataset = await this.dataset(wanted);
    signal.throwIfAborted();
    const index = dataset.time.nearest(wanted.time);
    const { values, attrs, tiles } = await dataset.read(wanted.variable, index, wanted.pressure, signal, tile);
    const zoom = zoomOf(values.length * (tile === null ? 1 : tiles));
    if (Number.isNaN(zoom)) throw new Sentence(`${wanted.variable} has ${values.length} cells: this is not a whole globe.`);
    return {
      wanted,
      url: dataset.url,
      values,
      attrs,
      about: dataset.attrs,
      style: styleOf(attrs.standard_name),
      zoom,
      tile,
      tiles,
      time: dataset.time.at(index),
      axis: dataset.time,
      took: performance.now() - started,
    };
  }

  #keep(key: string, frame: Frame): void {
    this.#kept.set(key, frame);
    this.#bytes += frame.values.byteLength;
    for (const [oldest, { values }] of this.#kept) {
      if (this.#bytes <= ROOM || oldest === key) break;
      this.#kept.delete(oldest);
      this.#bytes -= values.byteLength;
    }
  }
}

export function keyOf(w: Wanted, tile: number | null): string {
  const { bottle, step, method, seed, member, zoom, label, settings, variable, pressure, time } = w;
  return JSON.stringify([bottle, step, method, seed, member, zoom, label, settings, variable, pressure, time, tile]);
}

/** One user's share of a frame: the work is ended with the last of them. */
function shared(pending: Pending, signal: AbortSignal, onEnd: () => void): Promise<Frame> {
  pending.users++;
  return new Promise((resolve, reject) => {
    const leave = () => {
      signal.removeEventListener("abort", stop);
      pending.users--;
    };
    const stop = () => {
      leave();
      reject(signal.reason);
      if (pending.users === 0) {
        onEnd();
        pending.controller.abort();
      }
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) return stop();
    pending.promise.then(
      (frame) => (leave(), resolve(frame)),
      (error) => (leave(), reject(error)),
    );
  });
}
