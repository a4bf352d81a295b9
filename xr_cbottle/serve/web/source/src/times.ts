// Steps along a time axis, and the row of the page with which they are made.

import type { TimeAxis } from "./datasets";
import { byId, choices } from "./dom";
import { isoTime, prettyPeriod } from "./text";

export type Stride = "step" | "P1D" | "P1M" | "P1Y";

const DAY = 86400;

/** The time so many strides on; null beyond the axis. */
export function moved(axis: TimeAxis, time: number, stride: Stride, by: number): number | null {
  const [first, last] = [axis.at(0), axis.at(axis.count - 1)];
  if (stride === "step") {
    const index = axis.nearest(time) + by;
    return index < 0 || index >= axis.count ? null : axis.at(index);
  }
  let wanted = time + by * DAY;
  if (stride !== "P1D") {
    const date = new Date(time * 1000);
    const day = date.getUTCDate();
    date.setUTCDate(1);
    date.setUTCMonth(date.getUTCMonth() + by * (stride === "P1Y" ? 12 : 1));
    const days = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
    date.setUTCDate(Math.min(day, days));
    wanted = date.getTime() / 1000;
  }
  return wanted < first || wanted > last ? null : axis.at(axis.nearest(wanted));
}

export interface TimeListener {
  /** A time, and whether it is the last of a movement. */
  chosen(time: number, final: boolean): void;
  /** So many strides on. */
  stepped(by: number): void;
  played(): void;
  /** A time that is not there, in a sentence; null: it was only half typed. */
  absent(sentence: string | null): void;
  /** Another stride. */
  strode(): void;
}

const TYPING = 900; // milliseconds: a year is typed digit by digit

/** Slider, date, hour and buttons. */
export class TimeRow {
  stride: Stride = "step";
  #slider = byId<HTMLInputElement>("slider");
  #date = byId<HTMLInputElement>("date");
  #hour = byId<HTMLSelectElement>("hour");
  #play = byId<HTMLButtonElement>("play");
  #stride = byId<HTMLSelectElement>("stride");
  #axis: TimeAxis | null = null;
  #timer = 0;

  #telling = 0;

  constructor(listener: TimeListener) {
    this.#stride.addEventListener("change", () => {
      this.stride = this.#stride.value as Stride;
      listener.strode();
    });
    byId("back").addEventListener("click", () => listener.stepped(-1));
    byId("forth").addEventListener("click", () => listener.stepped(1));
    this.#play.addEventListener("click", () => listener.played());
    const onTime = (time: number, final: boolean) => listener.chosen(time, final);
    const slid = (final: boolean) => {
      clearTimeout(this.#timer);
      if (!this.#axis) return;
      const time = this.#axis.at(this.#slider.valueAsNumber);
      this.#told(time);
      // A hand that slides passes many instants: only where it rests is one drawn.
      if (final) onTime(time, true);
      else this.#timer = window.setTimeout(() => onTime(time, false), 160);
    };
    this.#slider.addEventListener("input", () => slid(false));
    this.#slider.addEventListener("change", () => slid(true));
    this.#date.addEventListener("change", () => {
      clearTimeout(this.#telling);
      const day = this.#date.valueAsNumber / 1000;
      if (!this.#date.validity.valid) {
        const { value, min, max } = this.#date;
        const tell = () => listener.absent(`There is no ${value} here: times are from ${min} to ${max}.`);
        if (value) this.#telling = window.setTimeout(tell, TYPING);
        return;
      }
      listener.absent(null);
      const ofDay = Number(this.#hour.value) % DAY;
      if (this.#axis && Number.isFinite(day)) onTime(this.#axis.at(this.#axis.nearest(day + (ofDay || 0))), true);
    });
    this.#hour.addEventListener("change", () => onTime(Number(this.#hour.value), true));
  }

  show(axis: TimeAxis, time: number, step: string): void {
    this.#axis = axis;
    const longer = [["P1D", "1 day"], ["P1M", "1 month"], ["P1Y", "1 year"]].filter(([stride]) => stride !== step);
    if (this.stride === step) this.stride = "step";
    choices(this.#stride, [["step", prettyPeriod(step)], ...(longer as [Stride, string][])], this.stride);
    const position = axis.nearest(time);
    this.#slider.max = String(axis.count - 1);
    this.#slider.valueAsNumber = position;
    this.#date.min = isoTime(axis.at(0)).slice(0, 10);
    this.#date.max = isoTime(axis.at(axis.count - 1)).slice(0, 10);
    this.#told(axis.at(position));
  }

  set playing(playing: boolean) {
    this.#play.setAttribute("aria-pressed", String(playing));
    this.#play.textContent = playing ? "❚❚" : "▶";
    this.#play.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  #told(time: number): void {
    const axis = this.#axis!;
    const day = Math.floor(time / DAY) * DAY;
    this.#date.value = isoTime(time).slice(0, 10);
    const times: number[] = [];
    for (let i = axis.nearest(day); i < axis.count && axis.at(i) < day + DAY && times.length < 1440; i++) {
      if (axis.at(i) >= day) times.push(axis.at(i));
    }
    choices(this.#hour, times.map((t) => [String(t), isoTime(t).slice(11)] as const), String(time));
    this.#hour.parentElement!.hidden = times.length < 2;
    const text = `${isoTime(time).replace("T", " ")} UTC`;
    this.#slider.setAttribute("aria-valuetext", text);
  }
}
