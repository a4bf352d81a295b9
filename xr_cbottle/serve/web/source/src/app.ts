// The page as a whole: the view, the frames that it needs, and all that shows them.

import { Bar } from "./bar";
import { bottleOf, type BottleFacts, type Catalog } from "./catalog";
import { Controls } from "./controls";
import type { TimeAxis } from "./datasets";
import { byId, make } from "./dom";
import { Animation, cellsAsCsv, download, everyCell, png } from "./downloads";
import { type Field, Fields, ownStyle, wantedOf } from "./fields";
import { Frames } from "./frames";
import { Control } from "./gestures";
import { cellsAt, zoomOf } from "./healpix";
import { arranged, type Picture, pictureOf } from "./layers";
import { Notices, sentenceOf } from "./notices";
import type { Place } from "./places";
import { PointPanel } from "./point";
import { describe, headings, legend, noteOn, type Probe, probeOf, tell } from "./readout";
import { Sentence } from "./requests";
import { Scene } from "./scene";
import { composed } from "./sheet";
import { Snippets, snippetsOf } from "./snippets";
import { isoTime } from "./text";
import { type FineField, MOST_TILES, tilesInView } from "./tiles";
import { moved, TimeRow } from "./times";
import { fitting, instantsOf, membersOf, readHash, type View, writeHash } from "./view";
import { Wind } from "./wind";

export type History = "push" | "replace" | "none";

const FIELD_KEYS = [
  "bottle", "step", "method", "seed", "member", "zoom", "label", "settings", "variable", "pressure", "time", "compare",
  "statistic", "members", "threshold", "contours", "wind",
] as const; // prettier-ignore
const CAMERA_KEYS = ["projection", "lon", "lat", "scale"] as const;
const SHORTEST_FRAME = 450; // milliseconds, of play
const AHEAD = 2; // frames that play reads before they are wanted

export class App {
  view: View;
  /** What is seen, which follows the view when it has been read. */
  frames: Field[] = [];
  picture: Picture | null = null;
  scene: Scene | null = null;
  wind: Wind | null = null;
  playing = false;
  readonly point: PointPanel;

  #store: Frames;
  #fields: Fields;
  /** How many tiles the globe has at the zoom that is shown; 1 up to the bottle's own. */
  #tiles = 1;
  #inView = 0;
  #tookTiles = 0; // milliseconds
  #refining = new AbortController();
  #linked: number | null = null;
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
    this.#linked = /(^#|&)time=/.test(location.hash) ? view.time : null;
    this.#store = new Frames(catalog, (seconds) => this.#notices.waiting(seconds));
    this.#fields = new Fields(catalog, this.#store);
    this.point = new PointPanel(this.#store, () => void this.update({ point: null }));
    const absent = (sentence: string | null) => (sentence ? this.#notices.fail(new Sentence(sentence), false) : this.#notices.clear());
    this.#controls = new Controls(catalog, {
      changed: (change) => void this.update(change),
      absent,
      went: (place) => this.#goTo(place),
      took: (what, frames) => void this.take(what, frames),
    });
    this.#times = new TimeRow({
      chosen: (time, final) => void this.update({ time }, final ? "push" : "none"),
      stepped: (by) => this.#step(by),
      played: () => (this.playing ? this.pause() : void this.play()),
      absent,
      strode: () => this.#showPoint(),
    });
    this.#bar = new Bar((limits) => void this.update({ limits }));
    this.#snippets = new Snippets(byId("snippets"));
    try {
      this.scene = new Scene(byId<HTMLCanvasElement>("canvas"));
      this.wind = new Wind(this.scene, byId<HTMLCanvasElement>("overlay"));
      this.scene.onDraw = () => this.wind!.follow();
      this.#control = new Control(this.scene, {
        moved: (settled) => this.#cameraMoved(settled),
        pointed: (point, kept) => {
          if (this.#kept && !point && !kept) return;
          [this.#pointed, this.#kept] = [point, kept];
          this.#probe();
        },
        chosen: (point) => {
          const place = this.scene!.place(...point);
          if (place) void this.update({ point: [place.lon, place.lat] }, "replace");
        },
      });
    } catch (error) {
      document.querySelector<HTMLElement>(".picture")!.hidden = true;
      problems.unshift(sentenceOf(error));
    }
    this.#listen();
    this.#theme();
    this.#embed();
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
    this.#embed();
    if (otherField) this.#settled = this.#load();
    else if (this.frames.length && !this.#loading) {
      this.#show();
      if (differs(CAMERA_KEYS)) this.#settled = this.#refineAgain();
    }
    if (!otherField && differs(["point"])) this.#showPoint();
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
    this.#showPoint();
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

  async #load(): Promise<void> {
    this.#loading?.abort();
    this.#refining.abort();
    const loading = (this.#loading = new AbortController());
    this.#notices.clear();
    const missing = this.#fields.missing(this.view);
    if (missing) this.#notices.begin(Math.max(missing, instantsOf(this.view, this.bottle)));
    try {
      const coarse = this.#fields.coarse(this.view);
      const axis = (await this.#store.dataset(coarse)).time;
      loading.signal.throwIfAborted();
      this.#axis = axis;
      this.#setTime(axis);
      this.#showSnippets();
      if (this.scene) {
        if (this.view.statistic === "probability" && !this.view.threshold) {
          this.view = { ...this.view, threshold: await this.#fields.threshold(this.view, loading.signal) };
          this.#showControls();
          this.#remember("replace");
        }
        const tiles = this.#fields.isFine(this.view) ? await this.#store.tiles(this.view) : 1;
        const fields = await this.#fields.read(this.view, loading.signal);
        loading.signal.throwIfAborted();
        this.#tiles = tiles;
        this.frames = fields;
        // A picture that plays waits for its tiles: coarse cells between two fine pictures would flicker.
        if (!this.playing || tiles === 1) this.#show();
        this.#showControls();
        await this.#refine(loading.signal);
        this.#showPoint();
      }
      this.#end();
    } catch (error) {
      if (loading.signal.aborted) return;
      loading.abort(); // the other picture of a comparison is not needed without this one
      this.#notices.fail(error, true);
    } finally {
      if (this.#loading === loading) this.#loading = null;
    }
  }

  #setTime(axis: TimeAxis): void {
    const asked = this.view.time;
    const nearest = axis.at(axis.nearest(asked));
    if (nearest !== asked) {
      this.view = { ...this.view, time: nearest };
      this.#remember("replace");
      if (this.#linked === asked) this.#tellProblems([`There is no ${isoTime(asked)} here: ${isoTime(nearest)} is the nearest time.`]);
    }
    this.#linked = null;
    this.#times.show(axis, nearest, this.view.step);
  }

  #end(): void {
    const shown = this.#tilesShown();
    const more = this.#inView > shown ? `${shown} of ${this.#inView} tiles in view: zoom in to see the others` : "";
    this.#notices.end(this.frames.length ? Math.max(this.#tookTiles, ...this.frames.map((frame) => frame.took)) : null, more);
  }

  /** How many of the tiles in view are read: of an ensemble or a comparison each is several. */
  #tilesShown(): number {
    const each = membersOf(this.view).length * wantedOf(this.view).length;
    return Math.min(this.#inView, Math.max(1, Math.min(MOST_TILES, Math.floor((4 * MOST_TILES) / each))));
  }

  /** Reads the tiles that are in view, and shows each as it comes. */
  async #refine(signal: AbortSignal): Promise<void> {
    const { scene, view } = this;
    [this.#inView, this.#tookTiles] = [0, 0];
    if (!scene || this.#tiles === 1) return;
    const tileZoom = zoomOf(this.#tiles);
    const inView = tilesInView(scene, 0, tileZoom);
    this.#inView = inView.length;
    const near = inView.slice(0, this.#tilesShown());
    const wanted = wantedOf(view);
    const missing = near.flatMap((tile) => wanted.map((one) => this.#fields.hasTile(view, one, tile))).filter((here) => !here).length;
    if (missing) this.#notices.begin(missing * instantsOf(view, this.bottle), "tiles");
    const found = wanted.map(() => new Map<number, Float32Array>());
    const present = () => {
      this.frames = this.frames.map((field, i) => {
        const fine: FineField = { zoom: view.zoom, tileZoom, tiles: new Map(found[i]) };
        return { ...field, fine };
      });
      this.#show();
    };
    await Promise.all(
      near.flatMap((tile) =>
        wanted.map(async (one, i) => {
          const isHere = this.#fields.hasTile(view, one, tile);
          const { values, took } = await this.#fields.tile(view, one, tile, signal);
          signal.throwIfAborted();
          this.#tookTiles = Math.max(this.#tookTiles, took);
          found[i].set(tile, values);
          if (!isHere && !this.playing) present();
        }),
      ),
    );
    present();
  }

  /** Looks for tiles again where the picture has been moved. */
  async #refineAgain(): Promise<void> {
    if (this.#loading || this.#tiles === 1 || !this.frames.length) return;
    this.#refining.abort();
    const refining = (this.#refining = new AbortController());
    try {
      await this.#refine(refining.signal);
      this.#end();
    } catch (error) {
      if (!refining.signal.aborted) this.#notices.fail(error, true);
    }
  }

  #readAhead(time: number): void {
    let next: number | null = time;
    for (let i = 0; i < AHEAD; i++) {
      next = moved(this.#axis!, next, this.#times.stride, 1);
      if (next === null) return;
      this.#fields.read({ ...this.view, time: next }, this.#ahead.signal).catch(() => undefined); // told when it is wanted
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
    describe(this.view, frames[0], this.bottle, picture.names);
    byId("legend").textContent = legend(this.view, picture.contours);
    this.wind?.show(picture.layers.map((_, i) => frames[i]?.wind ?? null), this.view.windStyle);
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
    this.#controls.show(this.view, this.bottle, this.frames[0] && ownStyle(this.frames[0]));
    noteOn(this.view, this.bottle);
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
    if (this.#tiles > 1) this.#settled = this.#refineAgain();
  }

  /** Goes to a place and says what is there. */
  #goTo({ lon, lat, scale }: Place): void {
    const { scene } = this;
    if (!scene) return;
    this.#control?.look({ lon, lat, scale: Math.max(scale, Math.min(scene.camera.scale, 8)) });
    this.#pointed = scene.screen(0, lon, lat);
    this.#kept = true;
    this.#probe();
  }

  /** Whether only the picture is to be seen, in a frame of another page. */
  #embed(): void {
    document.documentElement.classList.toggle("embed", this.view.embed);
    byId<HTMLAnchorElement>("whole-page").href = `#${writeHash({ ...this.view, embed: false })}`;
  }

  /** The values of the chosen place in time. */
  #showPoint(): void {
    const { view } = this;
    if (!view.point || !this.#axis || !this.frames.length) return this.point.close();
    if (this.playing) return;
    const isTiled = this.#tiles > 1;
    const groups = wantedOf(view).map((wanted) =>
      membersOf({ ...view, member: wanted.member }).map((member) => ({ ...(isTiled ? wanted : this.#fields.coarse(wanted)), member })),
    );
    const [lon, lat] = view.point;
    const { names } = this.picture!;
    const zoom = isTiled ? view.zoom : this.frames[0].zoom;
    this.point.show({ lon, lat, groups, names, axis: this.#axis, stride: this.#times.stride, time: view.time, tiles: this.#tiles, zoom });
  }

  // ---- files

  /** Makes a file of what is seen: a picture, the values, or so many pictures from here on. */
  async take(what: "png" | "csv" | "gif", frames = 24): Promise<void> {
    if (!this.scene || !this.picture) return;
    const name = [this.bottle.name, this.view.variable, this.view.statistic === "one" ? "" : this.view.statistic, isoTime(this.view.time)]
      .filter(Boolean)
      .join("_")
      .replaceAll(":", "");
    try {
      if (what === "png") download(name, "png", await png(this.#sheet(Math.min(2, Math.max(1, devicePixelRatio)))));
      else if (what === "csv") download(name, "csv", this.#csv());
      else download(name, "gif", await this.#film(frames));
    } catch (error) {
      this.#notices.fail(error, false);
    }
  }

  #sheet(scale: number): HTMLCanvasElement {
    const { bar, differenceBar, names, contours } = this.picture!;
    const [title, subtitle] = headings(this.view, this.frames[0], this.bottle);
    const origin = `${this.frames[0].url} · xr_cbottle ${this.catalog.version}`;
    const bars = [bar, ...(differenceBar ? [differenceBar] : [])];
    const sheet = { title: title[0].toUpperCase() + title.slice(1), subtitle, legend: legend(this.view, contours), origin, names, bars };
    return composed(this.scene!, this.wind!.canvas, sheet, scale);
  }

  /** All cells of the globe, and of the tiles that are here. */
  #csv(): Blob {
    const { frames, picture, view } = this;
    const [title, subtitle] = headings(view, frames[0], this.bottle);
    const columns = picture!.names.length ? picture!.names.slice(0, frames.length).map((name) => `${view.variable} ${name}`.replace(/[",\r\n]/g, " ")) : [view.variable];
    function* rows(): Iterable<[number, number, ...number[]]> {
      const { fine, zoom } = frames[0];
      for (const cell of everyCell(zoom)) yield [cell, zoom, ...frames.map(({ values }) => values[cell])];
      for (const tile of fine?.tiles.keys() ?? []) {
        const cells = cellsAt(fine!.zoom) / cellsAt(fine!.tileZoom);
        for (let k = 0; k < cells; k++) {
          yield [tile * cells + k, fine!.zoom, ...frames.map((field) => field.fine?.tiles.get(tile)?.[k] ?? NaN)];
        }
      }
    }
    return cellsAsCsv(`${title}; ${subtitle}; units of the data set: ${frames[0].attrs.units}; ${frames[0].url}`, columns, rows());
  }

  /** The pictures of so many steps from here on. */
  async #film(count: number): Promise<Blob> {
    const start = this.view.time;
    const held = this.view.limits;
    const animation = new Animation(SHORTEST_FRAME);
    if (!held) await this.update({ limits: this.picture!.bar.limits }, "none"); // else colours jump
    try {
      for (let i = 0, time: number | null = start; i < count && time !== null && !this.error; i++) {
        await this.update({ time }, "none");
        animation.add(this.#sheet(1));
        byId("film").textContent = `${i + 1} of ${count}`;
        time = moved(this.#axis!, this.view.time, this.#times.stride, 1);
        await new Promise((resolve) => setTimeout(resolve)); // the page stays alive
      }
      return animation.finish();
    } finally {
      byId("film").textContent = "";
      await this.update({ time: start, limits: held }, "none");
    }
  }

  #probe(): void {
    const { scene, frames } = this;
    if (!scene || !frames.length) return;
    const place = this.#pointed && scene.place(...this.#pointed);
    const found = place && this.at(place.lon, place.lat);
    const marked = found && { cell: found.cell, zoom: found.zoom };
    if (scene.marked?.cell !== marked?.cell || scene.marked?.zoom !== marked?.zoom) {
      scene.marked = marked;
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
    this.#linked = /(^#|&)time=/.test(location.hash) ? view.time : null;
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
