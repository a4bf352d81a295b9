// The page as a whole: the view, the frames that it needs, and all that shows them.

import { Bar } from "./bar";
import { bottleOf, type BottleFacts, type Catalog } from "./catalog";
import { Controls } from "./controls";
import type { TimeAxis } from "./datasets";
import { byId, make } from "./dom";
import { type Frame, Frames, type Wanted } from "./frames";
import { Control } from "./gestures";
import { arranged, type Picture, pictureOf } from "./layers";
import { Notices, sentenceOf } from "./notices";
import { describe, noteOn, type Probe, probeOf, tell } from "./readout";
import { Sentence } from "./requests";
import { Scene } from "./scene";
import { Snippets, snippetsOf } from "./snippets";
import { moved, TimeRow } from "./times";
import { compared, fitting, instantsOf, readHash, type View, writeHash } from "./view";

export type History = "push" | "replace" | "none";

const FIELD_KEYS = ["bottle", "step", "method", "seed", "member", "zoom", "label", "variable", "pressure", "time", "compare"] as const;
const CAMERA_KEYS = ["projection", "lon", "lat", "scale"] as const;
const SHORTEST_FRAME = 450; // milliseconds, of play
const AHEAD = 2; // frames that play reads before they are wanted

export class App {
  view: View;
  /** What is seen, which follows the view when it has been read. */
  frames: Frame[] = [];
  picture: Picture | null = null;
  scene: Scene | null = null;
  playing = false;

  #store: Frames;
  #notices = new Notices(() => void (this.#settled = this.#load()));
  #control: Control | null = null;
  #controls: Controls;
  #times: TimeRow;
  #bar: Bar;
  #differenceBar = new Bar();
  #snippets: Snippets;
  #axis: TimeAxis | null = null;
  #loading: AbortController | null = null;
  #settled: Promise<void> = Promise.resolve();
  #ahead = new AbortController();
  #pointed: [number, number] | null = null;
  #kept = false;
  #written = 0;

  constructor(readonly catalog: Catalog) {
    const { view, problems } = readHash(location.hash, catalog);
    this.view = view;
    this.#store = new Frames(catalog, (seconds) => this.#notices.waiting(seconds));
    this.#controls = new Controls(catalog, (change) => void this.update(change));
    this.#times = new TimeRow(
      (time, final) => void this.update({ time }, final ? "push" : "none"),
      (by) => this.#step(by),
      () => (this.playing ? this.pause() : void this.play()),
    );
    this.#bar = new Bar((limits) => void this.update({ limits }));
    this.#snippets = new Snippets(byId("snippets"));
    try {
      this.scene = new Scene(byId<HTMLCanvasElement>("canvas"));
      this.#control = new Control(this.scene, {
        moved: (settled) => this.#cameraMoved(settled),
        pointed: (point, kept) => {
          if (this.#kept && !point && !kept) return;
          [this.#pointed, this.#kept] = [point, kept];
          this.#probe();
        },
      });
    } catch (error) {
      document.querySelector<HTMLElement>(".picture")!.hidden = true;
      problems.unshift(sentenceOf(error));
    }
    this.#listen();
    this.#theme();
    this.#showControls();
    byId("title").textContent = this.bottle.variables[view.variable].long_name || view.variable;
    this.scene?.show([null]);
    this.#showCamera();
    this.#remember("replace");
    this.#settled = this.#load();
    this.#tellProblems(problems);
  }

  get bottle(): BottleFacts {
    return bottleOf(this.catalog, this.view.bottle)!;
  }

  get error(): string | null {
    return this.#notices.error;
  }

  /** Changes the view, shows it, and writes it into the page's address. Done when it is seen, or cannot be. */
  update(change: Partial<View>, history: History = "push"): Promise<void> {
    const before = this.view;
    this.view = fitting({ ...before, ...change }, before, this.catalog);
    const differs = (keys: readonly (keyof View)[]) =>
      keys.some((key) => JSON.stringify(this.view[key]) !== JSON.stringify(before[key]));
    const otherField = differs(FIELD_KEYS);
    if (differs(FIELD_KEYS.filter((key) => key !== "time"))) this.#dropAhead();
    if (differs(CAMERA_KEYS)) this.#showCamera();
    this.#showControls();
    if (otherField) this.#settled = this.#load();
    else if (this.frames.length && !this.#loading) this.#show();
    this.#remember(history);
    return this.#settled;
  }

  /** Done when nothing is being read any more. */
  async idle(): Promise<void> {
    for (let last; last !== this.#settled; ) {
      last = this.#settled;
      await last;
    }
  }

  async play(): Promise<void> {
    if (this.playing || !this.#axis) return;
    this.playing = this.#times.playing = true;
    this.#notices.clear();
    await this.idle();
    if (this.view.limits === null && this.picture) {
      await this.update({ limits: this.picture.bar.limits }, "none"); // colours that jump would hide what changes
    }
    while (this.playing && this.#axis && !this.error) {
      const started = performance.now();
      const time = moved(this.#axis, this.view.time, this.#times.stride, 1);
      if (time === null) break;
      const shown = this.update({ time }, "none");
      this.#readAhead(time);
      await shown;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, started + SHORTEST_FRAME - performance.now())));
    }
    this.pause();
  }

  pause(): void {
    if (!this.playing) return;
    this.playing = this.#times.playing = false;
    this.#dropAhead();
    this.#remember("push");
  }

  /** What the frames have at a place. */
  at(lon: number, lat: number): Probe | null {
    return probeOf(this.frames, lon, lat);
  }

  /** Done when nothing moves any more. */
  async still(): Promise<void> {
    await this.idle();
    const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
    do await next();
    while (this.scene?.moving || this.#control?.moving);
    await next();
  }

  /** The address of what is shown, now. */
  link(): string {
    const hash = `#${writeHash(this.view)}`;
    if (hash !== location.hash) history.replaceState(null, "", hash);
    return location.href;
  }

  // ---- what is read

  #wanted(): Wanted[] {
    const other = compared(this.view);
    return other ? [this.view, other] : [this.view];
  }

  async #load(): Promise<void> {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    this.#notices.clear();
    const missing = this.#wanted().filter((wanted) => !this.#store.has(wanted)).length;
    if (missing) this.#notices.begin(missing * instantsOf(this.view, this.bottle));
    try {
      const axis = (await this.#store.dataset(this.view)).time;
      loading.signal.throwIfAborted();
      this.#axis = axis;
      const nearest = axis.at(axis.nearest(this.view.time));
      if (nearest !== this.view.time) {
        this.view = { ...this.view, time: nearest };
        this.#remember("replace");
      }
      this.#times.show(axis, nearest, this.view.step);
      this.#showSnippets();
      if (this.scene) {
        const frames = await Promise.all(this.#wanted().map((wanted) => this.#store.get(wanted, loading.signal)));
        loading.signal.throwIfAborted();
        this.frames = frames;
        this.#show();
      }
      this.#notices.end(this.frames.length ? Math.max(...this.frames.map((frame) => frame.took)) : null);
    } catch (error) {
      if (loading.signal.aborted) return;
      loading.abort(); // the other picture of a comparison is not needed without this one
      this.#notices.fail(error, true);
    } finally {
      if (this.#loading === loading) this.#loading = null;
    }
  }

  #readAhead(time: number): void {
    let next: number | null = time;
    for (let i = 0; i < AHEAD; i++) {
      next = moved(this.#axis!, next, this.#times.stride, 1);
      if (next === null) return;
      for (const wanted of this.#wanted()) {
        this.#store.get({ ...wanted, time: next }, this.#ahead.signal).catch(() => undefined); // told when it is wanted
      }
    }
  }

  #dropAhead(): void {
    this.#ahead.abort();
    this.#ahead = new AbortController();
  }

  #step(by: number): void {
    const time = this.#axis && moved(this.#axis, this.view.time, this.#times.stride, by);
    if (time !== null) void this.update({ time });
  }

  // ---- what is seen

  #show(): void {
    const { frames, scene } = this;
    const picture = (this.picture = pictureOf(this.view, frames));
    this.#arrange();
    scene?.show(picture.layers);
    this.#bar.show(picture.bar);
    const bars = [this.#bar.element, ...(picture.differenceBar ? [this.#differenceBar.element] : [])];
    if (byId("bars").children.length !== bars.length) byId("bars").replaceChildren(...bars);
    if (picture.differenceBar) this.#differenceBar.show(picture.differenceBar);
    describe(frames[0], this.bottle, this.view.compare, picture.names);
    this.#probe();
  }

  #arrange(): void {
    const { scene } = this;
    if (!scene) return;
    const { canvas } = scene;
    const names = this.picture?.names ?? [];
    canvas.parentElement!.classList.toggle("several", names.length > 0);
    scene.panels = arranged(Math.max(1, names.length), canvas.clientWidth, canvas.clientHeight, this.view.projection);
    scene.coast = this.view.coast;
    scene.grid = this.view.grid;
    byId("names").replaceChildren(
      ...names.map((name, i) => {
        const { left, top, width } = scene.panels[i];
        const span = make("span", {}, name);
        span.style.left = `${left + width / 2}px`;
        span.style.top = `${top - 25}px`;
        return span;
      }),
    );
    scene.draw();
  }

  #showControls(): void {
    this.#controls.show(this.view, this.bottle);
    noteOn(this.view.method);
    if (this.#axis) this.#showSnippets();
  }

  #showSnippets(): void {
    this.#snippets.show(snippetsOf(this.view, this.bottle, this.#axis!.nearest(this.view.time)));
  }

  #showCamera(): void {
    if (!this.scene) return;
    this.#control?.stop();
    const { projection, lon, lat, scale } = this.view;
    this.scene.camera = { projection, lon, lat, scale };
    this.#arrange();
  }

  #cameraMoved(settled: boolean): void {
    if (this.#kept) this.#probe();
    if (!settled) return;
    this.view = { ...this.view, ...this.scene!.camera };
    this.#remember("replace");
    this.#probe();
  }

  #probe(): void {
    const { scene, frames } = this;
    if (!scene || !frames.length) return;
    const place = this.#pointed && scene.place(...this.#pointed);
    const found = place && this.at(place.lon, place.lat);
    const cell = found?.cell ?? -1;
    if (scene.marked !== cell) {
      scene.marked = cell;
      scene.moving ||= scene.soft;
      scene.draw();
    }
    tell(found, frames[0], this.picture?.names ?? []);
  }

  #theme(): void {
    if (this.scene) this.scene.missing = getComputedStyle(document.documentElement).getPropertyValue("--missing").trim();
  }

  // ---- the page's address, and what people do

  #remember(how: History): void {
    const hash = `#${writeHash(this.view)}`;
    clearTimeout(this.#written);
    if (how === "none" || hash === location.hash) return;
    if (how === "push") history.pushState(null, "", hash);
    // Browsers forbid more than some writes a second.
    else this.#written = window.setTimeout(() => history.replaceState(null, "", hash), 60);
  }

  #arrived(): void {
    if (location.hash === `#${writeHash(this.view)}`) return;
    this.pause();
    const { view, problems } = readHash(location.hash, this.catalog);
    void this.update(view, "replace");
    this.#tellProblems(problems);
  }

  #tellProblems(problems: string[]): void {
    if (problems.length) void this.idle().then(() => this.error ?? this.#notices.fail(new Sentence(problems.join(" ")), false));
  }

  #listen(): void {
    addEventListener("popstate", () => this.#arrived());
    addEventListener("hashchange", () => this.#arrived());
    byId("closer").addEventListener("click", () => this.#control?.zoom(1.5));
    byId("farther").addEventListener("click", () => this.#control?.zoom(1 / 1.5));
    byId("whole").addEventListener("click", () => this.#control?.look({ scale: 1 }));
    byId("canvas").addEventListener("keydown", (event) => this.#key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#theme());
    new ResizeObserver(() => this.#arrange()).observe(byId("canvas"));
  }

  #key(event: KeyboardEvent): void {
    const control = this.#control;
    if (!control || event.ctrlKey || event.metaKey || event.altKey) return;
    const turns: Record<string, [number, number]> = {
      ArrowLeft: [1, 0],
      ArrowRight: [-1, 0],
      ArrowUp: [0, 1],
      ArrowDown: [0, -1],
    };
    const way = turns[event.key];
    if (way) {
      control.stop();
      const pixels = event.shiftKey ? 8 : 40;
      const { left, top, width, height } = this.scene!.panels[0];
      [this.#pointed, this.#kept] = [[left + width / 2, top + height / 2], true];
      control.turn(way[0] * pixels, way[1] * pixels);
    } else if (event.key === "+" || event.key === "=") control.zoom(1.5);
    else if (event.key === "-") control.zoom(1 / 1.5);
    else if (event.key === "0") control.look({ scale: 1 });
    else if (event.key === "," || event.key === ".") this.#step(event.key === "," ? -1 : 1);
    else if (event.key === " ") this.playing ? this.pause() : void this.play();
    else return;
    event.preventDefault();
  }
}
