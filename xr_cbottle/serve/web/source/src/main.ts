// The page of xr-cbottle serve.
//
// For tests and for the console there is `window.globe`:
//
//   view              what is asked for (see view.ts); frames: what is seen; playing, error
//   update(change)    changes the view; resolves when it is seen or has failed
//   idle(), still()   resolve when nothing is being read, and when nothing moves any more either
//   at(lon, lat)      cell and values of the frames there, in the units of the data set
//   screen(lon, lat, panel = 0)    where in the window that place is seen, or null
//   pixels(every, panel = 0)       [lon, lat, red, green, blue] of pixels of the picture, each so many CSS pixels
//   colour(lon, lat, panel = 0)    [red, green, blue] in the picture there, or null
//   cellAt(lon, lat, zoom)         nested HEALPix
//   tiles(panel = 0)  {zoom, tileZoom, tiles: {number: values}} of the finer zoom that are here, or null
//   values(panel = 0) the values of the globe that a panel shows
//   point             {times, values} of the chosen place, by panel, member and time; read() resolves when all are there
//   wind              {frames, busy, rate, share} of the particles: frames drawn, milliseconds spent, frames a second,
//                     share of them that there is
//   contours(panel = 0)  {levels, points}: levels in the shown unit, and [lon, lat] of points of the contours
//   windAt(lon, lat, panel = 0)    eastward and northward wind as it is drawn
//   link(), play(), pause(), take(what, frames), styles, maps, table(name)

import { App } from "./app";
import { readCatalog } from "./catalog";
import { COLOUR_MAPS, STYLES, table } from "./colours";
import { byId, copy } from "./dom";
import { cellAt, toLonLat, type Vector } from "./healpix";
import { sample } from "./interpolation";
import { listing } from "./listing";
import { sentenceOf } from "./notices";

declare global {
  interface Window {
    globe: unknown;
  }
}

async function start(): Promise<void> {
  for (const link of document.querySelectorAll<HTMLElement>("[data-jump]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the address holds the view
      const aim = byId(link.dataset.jump!);
      aim.scrollIntoView();
      if (link.classList.contains("skip")) aim.querySelector<HTMLElement>("select:not(:disabled)")?.focus();
    });
  }
  const catalog = await readCatalog();
  byId("version").textContent = `xr_cbottle ${catalog.version}.`;
  if (!catalog.bottles.length) throw new Error("this server serves no bottle.");
  const app = new App(catalog);
  byId("list").replaceChildren(
    ...listing(catalog, (bottle) => {
      byId("view").scrollIntoView();
      void app.update({ bottle: bottle.pinned || bottle.name });
    }),
  );
  const button = byId<HTMLButtonElement>("copy-link");
  button.addEventListener("click", () => void copy(app.link(), button));
  window.globe = hook(app);
}

function hook(app: App): unknown {
  return {
    get view() {
      return structuredClone(app.view);
    },
    get frames() {
      return app.frames.map(({ values, wanted, url, time, zoom, took, attrs }) => ({
        url, time, zoom, took, attrs, variable: wanted.variable, cells: values.length,
      })); // prettier-ignore
    },
    get playing() {
      return app.playing;
    },
    get error() {
      return app.error;
    },
    get limits() {
      return app.picture?.bar.limits ?? null;
    },
    get point() {
      return { times: [...app.point.times], values: app.point.values, read: () => app.point.idle() };
    },
    get wind() {
      const { frames, busy, rate, share } = app.wind!;
      return { frames, busy, rate, share };
    },
    styles: STYLES,
    maps: COLOUR_MAPS,
    table: (name: string) => [...table(name)],
    cellAt,
    tiles(panel = 0) {
      const fine = app.frames[panel].fine;
      return fine && { ...fine, tiles: Object.fromEntries([...fine.tiles].map(([tile, values]) => [tile, [...values]])) };
    },
    values: (panel = 0) => [...app.frames[panel].values],
    contours(panel = 0) {
      const starts: Float32Array = app.picture?.layers[panel].contours?.getAttribute("start").array ?? new Float32Array();
      const points = Array.from({ length: starts.length / 3 }, (_, i) => toLonLat([...starts.subarray(3 * i, 3 * i + 3)] as Vector));
      return { levels: app.picture?.contours?.levels ?? [], points };
    },
    windAt(lon: number, lat: number, panel = 0) {
      const { u, v } = app.frames[panel].wind!;
      return [sample(u, lon, lat), sample(v, lon, lat)];
    },
    take: (what: "png" | "csv" | "gif", frames?: number) => app.take(what, frames),
    update: (change: object) => app.update(change),
    idle: () => app.idle(),
    still: () => app.still(),
    at: (lon: number, lat: number) => app.at(lon, lat),
    link: () => app.link(),
    play: () => void app.play(),
    pause: () => app.pause(),
    screen(lon: number, lat: number, panel = 0) {
      const box = byId("canvas").getBoundingClientRect();
      const point = app.scene?.screen(panel, lon, lat);
      return point ? [point[0] + box.left, point[1] + box.top] : null;
    },
    colour(lon: number, lat: number, panel = 0) {
      return app.scene!.pixels(panel, [app.scene!.screen(panel, lon, lat)])[0]?.slice(2) ?? null;
    },
    pixels(every: number, panel = 0) {
      const { left, top, width, height } = app.scene!.panels[panel];
      const points: [number, number][] = [];
      for (let y = every / 2; y < height; y += every) {
        for (let x = every / 2; x < width; x += every) points.push([left + x, top + y]);
      }
      return app.scene!.pixels(panel, points).filter(Boolean);
    },
  };
}

start().catch((error) => {
  const gone = error instanceof TypeError;
  const bar = byId("error");
  bar.querySelector("span")!.textContent = gone
    ? `The server at ${location.host} does not answer: is xr-cbottle serve still running?`
    : sentenceOf(error);
  byId("again").addEventListener("click", () => location.reload());
  byId("dismiss").hidden = true;
  bar.hidden = false;
});
