// A place's values: in time, and how they are distributed. Every time is drawn, so they come one after the other and
// stop when the panel is closed or another place is taken.

import { bars, type Line, series } from "./charts";
import type { TimeAxis } from "./datasets";
import { byId, make } from "./dom";
import type { Frames, Wanted } from "./frames";
import { cellAt } from "./healpix";
import { download } from "./downloads";
import { decimalsFor, isoTime, prettyLat, prettyLon, prettyUnits, prettyValue } from "./text";
import { moved, type Stride } from "./times";

/** What is to be read for a place. */
export interface Asked {
  lon: number;
  lat: number;
  /** For each panel the members that it is made of, at the zoom that is shown. */
  groups: Wanted[][];
  names: string[];
  axis: TimeAxis;
  stride: Stride;
  time: number;
  /** How many tiles the globe comes in at this zoom, and how many cells it has. */
  tiles: number;
  zoom: number;
}

const COUNTS = ["12", "24", "48", "96"];
const AT_ONCE = 6;
const MOST_FIELDS = 384;

export class PointPanel {
  #element = byId("point");
  #title = make("b");
  #charts = make("div", { class: "charts" });
  #told = make("p", { class: "told", role: "status" });
  #count = make("select", { "aria-label": "How many times" });
  #save = make("button", { type: "button" }, "CSV");
  #asked: Asked | null = null;
  #reading = new AbortController();
  #times: number[] = [];
  /** Values by panel, member and time. */
  values: number[][][] = [];
  #factor = 1;
  #units = "";
  #variable = "";
  #done: Promise<void> = Promise.resolve();

  constructor(
    private readonly frames: Frames,
    onClose: () => void,
  ) {
    const close = make("button", { type: "button", "aria-label": "Close the place", class: "close" }, "×");
    close.addEventListener("click", onClose);
    this.#count.append(...COUNTS.map((count) => make("option", { value: count }, `${count} times`)));
    this.#count.addEventListener("change", () => this.#asked && this.show(this.#asked));
    this.#save.addEventListener("click", () => this.#download());
    this.#element.replaceChildren(
      make("header", {}, this.#title, close),
      this.#charts,
      make("div", { class: "foot" }, this.#told, this.#count, this.#save),
    );
  }

  get times(): readonly number[] {
    return this.#times;
  }

  /** Done when all values are there, or it is closed. */
  idle(): Promise<void> {
    return this.#done;
  }

  close(): void {
    this.#reading.abort();
    this.#asked = null;
    this.#element.hidden = true;
  }

  show(asked: Asked): void {
    this.#reading.abort();
    const reading = (this.#reading = new AbortController());
    this.#asked = asked;
    this.#element.hidden = false;
    this.#title.textContent = `${prettyLat(asked.lat)} ${prettyLon(asked.lon)}`;
    const fields = asked.groups.reduce((n, group) => n + group.length, 0);
    this.#times = timesAround(asked, Math.min(Number(this.#count.value), Math.max(6, Math.floor(MOST_FIELDS / fields))));
    this.values = asked.groups.map((group) => group.map(() => this.#times.map(() => NaN)));
    this.#done = this.#read(asked, reading.signal);
  }

  async #read(asked: Asked, signal: AbortSignal): Promise<void> {
    const { lon, lat, groups, tiles, zoom } = asked;
    const cell = cellAt(lon, lat, zoom);
    const size = (12 * 4 ** zoom) / tiles;
    const tile = tiles > 1 ? Math.floor(cell / size) : null;
    const at = tile === null ? cell : cell % size;
    // The times nearest to the one that is shown come first.
    const order = this.#times.map((_, k) => k).sort((a, b) => Math.abs(this.#times[a] - asked.time) - Math.abs(this.#times[b] - asked.time));
    const jobs = order.flatMap((k) => groups.flatMap((group, g) => group.map((wanted, m) => ({ k, g, m, wanted }))));
    let [next, done, asking] = [0, 0, 0];
    const work = async () => {
      while (next < jobs.length && !signal.aborted) {
        const { k, g, m, wanted } = jobs[next++];
        const frame = await this.frames.get({ ...wanted, time: this.#times[k] }, signal, tile);
        this.values[g][m][k] = frame.values[at];
        [this.#factor, this.#units] = [frame.style.factor, frame.style.units ?? frame.attrs.units];
        this.#variable = wanted.variable;
        done++;
        asking ||= requestAnimationFrame(() => {
          asking = 0;
          if (!signal.aborted) this.#draw(asked, done < jobs.length ? `${done} of ${jobs.length}` : "");
        });
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      if (!signal.aborted) this.#draw(asked, "");
    } catch (error) {
      if (!signal.aborted) this.#told.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  #draw({ groups, names, time }: Asked, progress: string): void {
    const [first, last] = [this.#times[0], this.#times.at(-1)!];
    const share = (t: number) => (last > first ? (t - first) / (last - first) : 0.5);
    const shown = this.values.map((group) => group.map((values) => values.map((value) => value * this.#factor)));
    const lines: Line[] = shown.flatMap((group, g) => {
      const points = (values: number[]) => this.#times.map((t, k): [number, number] => [share(t), values[k]]);
      const mean = this.#times.map((_, k) => group.reduce((sum, values) => sum + values[k], 0) / group.length);
      const single = group.length === 1;
      return [...(single ? [] : group.map((values) => ({ points: points(values), kind: `member of-${g}` }))), { points: points(mean), kind: `of-${g}` }];
    });
    const units = prettyUnits(this.#units);
    const sets = shown.map((group) => group.flat());
    const known = sets.flat().filter(Number.isFinite);
    const middle = known.reduce((sum, value) => sum + value, 0) / known.length;
    const decimals = decimalsFor(Math.max(0, ...known.map(Math.abs)));
    const now = this.#times.indexOf(time);
    const value = shown[0].length === 1 && now >= 0 ? shown[0][0][now] : NaN;
    const about = known.length
      ? `${known.length} values from ${prettyValue(Math.min(...known), decimals)} to ${prettyValue(Math.max(...known), decimals)} ${units}, mean ${prettyValue(middle, decimals)}`
      : "missing here";
    const day = (t: number) => isoTime(t).slice(0, last - first > 5 * 86400 ? 10 : 16).replace("T", " ");
    this.#charts.replaceChildren(
      make("small", {}, `${this.#variable}${units ? `, ${units}` : ""}`),
      series(`Values in time: ${about}`, lines, now >= 0 ? share(time) : null, [[0, day(first)], [1, day(last)]]),
      make("small", {}, groups.length > 1 ? `how often: ${names.slice(0, 2).join(" and ")}` : "how often"),
      bars(`Histogram: ${about}`, sets, groups.map((_, g) => `of-${g}`), value),
    );
    this.#told.textContent = progress || about;
  }

  #download(): void {
    const { asked } = { asked: this.#asked };
    if (!asked) return;
    const columns = asked.groups.flatMap((group, g) => group.map((wanted) => `${wanted.variable}_${g ? "other_" : ""}s${wanted.seed}_m${wanted.member}`));
    const rows = this.#times.map((t, k) => [isoTime(t), ...this.values.flatMap((group) => group.map((values) => String(values[k])))]);
    const comment = `# ${asked.lat},${asked.lon}, in the units of the data set; missing is NaN`;
    const text = [comment, ["time", ...columns].join(","), ...rows.map((row) => row.join(","))].join("\n");
    download(`${this.#variable}_series`, "csv", new Blob([`${text}\n`], { type: "text/csv" }));
  }
}

/** So many times of the axis, strides apart, with the one that is shown in their middle where the axis has them. */
function timesAround({ axis, stride, time }: Asked, count: number): number[] {
  const [before, after]: [number[], number[]] = [[], []];
  const go = (found: number[], by: number) => {
    const next = moved(axis, found.at(-1) ?? time, stride, by);
    if (next === null || next === found.at(-1)) return false;
    found.push(next);
    return true;
  };
  let [back, forth] = [true, true];
  while (before.length + after.length + 1 < count && (back || forth)) {
    if (back) back = go(before, -1);
    if (forth && before.length + after.length + 1 < count) forth = go(after, 1);
  }
  return [...before.reverse(), time, ...after];
}
