// Files that the page makes: a picture, numbers, a moving picture.

import { applyPalette, GIFEncoder, quantize } from "gifenc";
import { cellsAt, toLonLat, type Vector } from "./healpix";
import { make } from "./dom";

/** Has the browser keep a file. Of the name only plain letters stay: a bottle may call itself anything. */
export function download(name: string, ending: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const plain = name.normalize("NFKD").replace(/[^A-Za-z0-9._+-]+/g, "_").replace(/^[._]+/, "").slice(0, 120) || "xr_cbottle";
  make("a", { href: url, download: `${plain}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A canvas as a PNG file. */
export function png(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/png"));
}

/** Pictures one after the other, as they are added, in the colours of the first: those of a film are held. */
export class Animation {
  #encoder = GIFEncoder();
  #palette: number[][] | null = null;

  constructor(private readonly delay: number) {}

  add(canvas: HTMLCanvasElement): void {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d", { willReadFrequently: true })!.getImageData(0, 0, width, height);
    const palette = (this.#palette ??= quantize(data, 256));
    this.#encoder.writeFrame(applyPalette(data, palette), width, height, { palette, delay: this.delay });
  }

  finish(): Blob {
    this.#encoder.finish();
    return new Blob([this.#encoder.bytes()], { type: "image/gif" });
  }
}

/** Centre of a cell in nested order: longitude and latitude in degrees. */
export function centreOf(cell: number, zoom: number): [number, number] {
  const nside = 2 ** zoom;
  const face = Math.floor(cell / nside ** 2);
  let [x, y] = [0, 0];
  for (let bit = 0, rest = cell % nside ** 2; bit < zoom; bit++, rest = Math.floor(rest / 4)) {
    x += (rest & 1) << bit;
    y += ((rest >> 1) & 1) << bit;
  }
  // Ring number from the north pole on, and the place along it (Górski et al. 2005).
  const ring = (Math.floor(face / 4) + 2) * nside - x - y - 1;
  const within = ring < nside ? ring : ring > 3 * nside ? 4 * nside - ring : nside;
  const z = ring < nside ? 1 - within ** 2 / (3 * nside ** 2) : ring > 3 * nside ? within ** 2 / (3 * nside ** 2) - 1 : (2 * (2 * nside - ring)) / (3 * nside);
  const turn = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7][face];
  const lon = ((turn * within + x - y) * 45) / within;
  const radius = Math.sqrt(Math.max(0, 1 - z * z));
  return toLonLat([radius * Math.cos((lon * Math.PI) / 180), radius * Math.sin((lon * Math.PI) / 180), z] as Vector);
}

/** Cells with their centres and values, as lines of CSV after a comment. */
export function cellsAsCsv(comment: string, columns: string[], rows: Iterable<[cell: number, zoom: number, ...values: number[]]>): Blob {
  const lines = [`# ${comment.replace(/[\r\n]+/g, " ")}`, ["zoom", "cell", "lon", "lat", ...columns].join(",")];
  for (const [cell, zoom, ...values] of rows) {
    const [lon, lat] = centreOf(cell, zoom);
    lines.push([zoom, cell, lon.toFixed(4), lat.toFixed(4), ...values.map(String)].join(","));
  }
  return new Blob([`${lines.join("\n")}\n`], { type: "text/csv" });
}

/** All cells of a zoom. */
export function* everyCell(zoom: number): Iterable<number> {
  for (let cell = 0; cell < cellsAt(zoom); cell++) yield cell;
}
