// Data sets of the server, read from their Zarr with zarrita.

import * as zarr from "zarrita";
import { type OnWait, patient, Sentence } from "./requests";
import { readTime } from "./text";

type FloatArray = zarr.Array<zarr.DataType, zarr.Readable>;

/** Times of a data set, in seconds since 1970: computed where they are regular. */
export interface TimeAxis {
  count: number;
  at(index: number): number;
  /** Position of the time that is nearest. */
  nearest(seconds: number): number;
}

export interface Attributes {
  units: string;
  long_name: string;
  standard_name: string;
}

export class Dataset {
  #arrays = new Map<string, Promise<FloatArray>>();

  private constructor(
    readonly url: string,
    readonly attrs: Record<string, unknown>,
    readonly time: TimeAxis,
    readonly pressures: number[],
    private readonly group: zarr.Group<zarr.Readable>,
  ) {}

  static async open(url: string, onWait: OnWait): Promise<Dataset> {
    const bare = new zarr.FetchStore(url, { fetch: (request) => patient(request, onWait) });
    const store = await zarr.withMaybeConsolidatedMetadata(bare, { format: "v3" });
    const group = await zarr.open.v3(store, { kind: "group" }).catch((error) => {
      if (error instanceof zarr.NotFoundError) throw new Sentence(`There is no data set at ${url}.`);
      throw error;
    });
    const time = await axisOf(bare, await zarr.open.v3(group.resolve("time"), { kind: "array" }));
    // Above a bottle's own zoom there may be no levels: what is not listed is not asked for.
    const listed = "contents" in store ? store.contents().map(({ path }) => path) : ["/pressure"];
    const pressures = listed.includes("/pressure")
      ? await zarr.open.v3(group.resolve("pressure"), { kind: "array" }).then((array) => numbers(array))
      : [];
    return new Dataset(url, group.attrs, time, pressures, group);
  }

  #array(variable: string): Promise<FloatArray> {
    let array = this.#arrays.get(variable);
    if (!array) {
      array = zarr.open.v3(this.group.resolve(variable), { kind: "array" });
      array.catch(() => this.#arrays.delete(variable));
      this.#arrays.set(variable, array);
    }
    return array;
  }

  /** How many chunks the cells of a variable come in. */
  async tiles(variable: string): Promise<number> {
    const array = await this.#array(variable);
    return array.shape.at(-1)! / array.chunks.at(-1)!;
  }

  /** The globe of a variable at a position of the time axis, or one of its chunks of cells. */
  async read(
    variable: string,
    time: number,
    pressure: number | null,
    signal: AbortSignal,
    tile: number | null = null,
  ): Promise<{ values: Float32Array; attrs: Attributes; tiles: number }> {
    const array = await this.#array(variable);
    const cells = array.chunks.at(-1)!;
    const selection = (array.dimensionNames ?? []).map((dim) => {
      if (dim === "cell") return tile === null ? null : zarr.slice(tile * cells, (tile + 1) * cells);
      if (dim === "time") return time;
      const level = dim === "pressure" ? this.pressures.indexOf(pressure ?? NaN) : -1;
      if (level < 0) throw new Sentence(`${variable} cannot be shown: its dimension ${dim} is not chosen.`);
      return level;
    });
    const { data } = (await zarr.get(array, selection, { signal })) as { data: unknown };
    const values = data instanceof Float32Array ? data : Float32Array.from(data as Float64Array);
    const text = (name: string) => String(array.attrs[name] ?? "");
    const attrs = { units: text("units"), long_name: text("long_name"), standard_name: text("standard_name") };
    return { values, attrs, tiles: array.shape.at(-1)! / cells };
  }
}

async function numbers(array: FloatArray): Promise<number[]> {
  const { data } = (await zarr.get(array)) as { data: ArrayLike<number | bigint> };
  return Array.from(data, Number);
}

/** Some times of a chunk, of which nothing else is fetched: of 50,000 times only those at the ends are wanted. */
async function someOf(store: zarr.FetchStore, array: FloatArray, from: number, count: number): Promise<number[]> {
  const [size] = array.chunks;
  const range = { offset: 8 * (from % size), length: 8 * count };
  const bytes = await store.getRange(`${array.path}/c/${Math.floor(from / size)}`, range);
  if (bytes?.length !== range.length) throw new Sentence("The times of this data set are not where they should be.");
  return Array.from(new BigInt64Array(bytes.slice().buffer), Number);
}

async function axisOf(store: zarr.FetchStore, array: FloatArray): Promise<TimeAxis> {
  const units = /^(second|minute|hour|day)s? since (.+)$/.exec(String(array.attrs.units ?? ""));
  const origin = readTime(units?.[2].trim() ?? "");
  if (!units || !Number.isFinite(origin)) throw new Sentence("The times of this data set have no unit that is known.");
  const size = { second: 1, minute: 60, hour: 3600, day: 86400 }[units[1]]!;
  const count = array.shape[0];
  const seconds = async (values: Promise<number[]>) => (await values).map((value) => origin + value * size);
  const [[first, second = NaN], [last]] = await Promise.all([
    seconds(someOf(store, array, 0, Math.min(2, count))),
    seconds(someOf(store, array, count - 1, 1)),
  ]);
  const step = second - first;
  if (count === 1 || first + step * (count - 1) === last) {
    const at = (index: number) => first + (count > 1 ? step * index : 0);
    const nearest = (time: number) =>
      count === 1 ? 0 : Math.min(count - 1, Math.max(0, Math.round((time - first) / step)));
    return { count, at, nearest };
  }
  const all = await seconds(numbers(array));
  const nearest = (time: number) =>
    all.reduce((best, value, i) => (Math.abs(value - time) < Math.abs(all[best] - time) ? i : best), 0);
  return { count, at: (index) => all[index], nearest };
}
