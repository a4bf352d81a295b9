// A colour bar: the colours, ticks, the unit, and its two limits to be edited or held.

import { type Limits, logTicks, placeOf, table, ticks } from "./colours";
import { make } from "./dom";
import { editable, prettyNumber, prettyUnits, tickLabels } from "./text";

export interface Shown {
  colours: string;
  limits: Limits;
  log: boolean;
  /** Whether there is more at the lower and the upper end. */
  beyond: [boolean, boolean];
  units: string;
  /** Whether the limits stay when the picture changes. */
  held: boolean;
}

export class Bar {
  readonly element: HTMLElement;
  #colours = make("canvas", { width: "256", height: "1", "aria-hidden": "true" });
  #ends = [make("span", { class: "end low" }), make("span", { class: "end high" })];
  #ticks = make("div", { class: "ticks", "aria-hidden": "true" });
  #units = make("span", { class: "units" });
  #limits = ["Lowest colour", "Highest colour"].map((name) =>
    make("input", { type: "text", inputmode: "decimal", "aria-label": name, title: name, spellcheck: "false" }),
  );
  #hold = make("button", { type: "button", class: "lock" });
  #shown: Shown | null = null;

  /** `onLimits` is told the limits to hold, or null for those of each picture; without it they cannot be edited. */
  constructor(private readonly onLimits?: (limits: Limits | null) => void) {
    const scale = make("div", { class: "scale" }, this.#ends[0], this.#colours, this.#ends[1]);
    const [low, high] = this.#limits;
    this.element = onLimits
      ? make("div", { class: "bar", role: "group", "aria-label": "Colours" }, low, scale, high, this.#hold, this.#ticks, this.#units)
      : make("div", { class: "bar plain" }, scale, this.#ticks, this.#units);
    for (const input of this.#limits) input.addEventListener("change", () => this.#edited());
    this.#hold.addEventListener("click", () => {
      if (this.#shown) this.onLimits?.(this.#shown.held ? null : this.#read() ?? this.#shown.limits);
    });
    new ResizeObserver(() => this.#label()).observe(this.#colours);
  }

  show(shown: Shown): void {
    this.#shown = shown;
    const colours = table(shown.colours);
    this.#colours.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(colours), 256, 1), 0, 0);
    this.#ends.forEach((end, i) => {
      end.classList.toggle("more", shown.beyond[i]);
      end.style.background = `rgb(${colours.subarray(i ? 1020 : 0, i ? 1023 : 3).join(" ")})`;
    });
    this.#limits.forEach((input, i) => {
      if (input !== document.activeElement) input.value = editable(shown.limits[i]);
      input.setCustomValidity("");
    });
    this.#hold.textContent = shown.held ? "Held" : "Auto";
    this.#hold.setAttribute("aria-pressed", String(shown.held));
    this.#hold.title = shown.held
      ? "These limits are kept. Press to fit them to each picture"
      : "Limits fit each picture, without its lowest and highest 1 %. Press to keep them";
    this.#units.textContent = prettyUnits(shown.units);
    this.#label();
  }

  #label(): void {
    if (!this.#shown) return;
    const [low, high] = this.#shown.limits;
    const width = this.#colours.clientWidth;
    if (!width) return;
    const { log } = this.#shown;
    const marks = log ? logTicks([low, high]) : ticks([low, high], Math.max(4, Math.min(8, width / 75)));
    const labels = log ? marks.map((value) => prettyNumber(value, 1)) : tickLabels(marks, high - low);
    this.#ticks.replaceChildren(
      ...marks.map((value, i) => {
        const span = make("span", {}, labels[i]);
        span.style.left = `${100 * placeOf(value, [low, high], log)}%`;
        return span;
      }),
    );
  }

  #read(): Limits | null {
    const [low, high] = this.#limits.map((input) => Number(input.value.trim().replace("−", "-").replace(",", ".") || NaN));
    return Number.isFinite(low) && Number.isFinite(high) && low < high ? [low, high] : null;
  }

  #edited(): void {
    const limits = this.#read();
    for (const input of this.#limits) input.setCustomValidity(limits ? "" : "The lower limit must be a number below the upper one.");
    if (limits) this.onLimits?.(limits);
    else this.#limits[1].reportValidity();
  }
}
