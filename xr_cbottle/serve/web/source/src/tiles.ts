// Tiles of the zooms above a bottle's own: which of them are in view, and those that are here.

import { cellAt } from "./healpix";
import type { Scene } from "./scene";

/** Most tiles of a picture. Each is drawn by the server, which takes a second or more of its processor. */
export const MOST_TILES = 16;

const EVERY = 14; // pixels between the points that are looked at

/** The part of a field that is here of a finer zoom. A new one is made with each tile that comes. */
export interface FineField {
  zoom: number;
  /** The zoom whose cells are the tiles. */
  tileZoom: number;
  /** Values of a tile's cells, nested order, by the tile's number. */
  tiles: ReadonlyMap<number, Float32Array>;
}

/** Value of a fine field at a place, and its cell; null where no tile is here. */
export function fineAt({ zoom, tileZoom, tiles }: FineField, lon: number, lat: number): { cell: number; value: number } | null {
  const cell = cellAt(lon, lat, zoom);
  const cells = 4 ** (zoom - tileZoom);
  const tile = tiles.get(Math.floor(cell / cells));
  return tile ? { cell, value: tile[cell % cells] } : null;
}

/** Numbers of the tiles in a panel, those in the middle of the picture first. */
export function tilesInView(scene: Scene, panel: number, tileZoom: number): number[] {
  const { left, top, width, height } = scene.panels[panel];
  const nearest = new Map<number, number>();
  for (let y = EVERY / 2; y < height; y += EVERY) {
    for (let x = EVERY / 2; x < width; x += EVERY) {
      const place = scene.place(left + x, top + y);
      if (!place) continue;
      const tile = cellAt(place.lon, place.lat, tileZoom);
      const distance = Math.hypot(x - width / 2, y - height / 2);
      nearest.set(tile, Math.min(distance, nearest.get(tile) ?? Infinity));
    }
  }
  return [...nearest].sort((a, b) => a[1] - b[1]).map(([tile]) => tile);
}
