// Fields on a grid of latitudes and longitudes, for lines and arrows: bilinear between the centres of cells, along
// HEALPix rings and between them, as healpy's get_interp_val. Pictures show the cells themselves.

import { cellAt } from "./healpix";
import { Recent } from "./recent";

const DEGREE = Math.PI / 180;

/** Rows from the south pole to the north pole, columns from 0 degrees east on, both ends of rows included. */
export interface Grid {
  columns: number;
  rows: number;
  values: Float32Array;
}

interface Ring {
  lat: number;
  /** Longitude of the first centre. */
  lon: number;
  /** Nested numbers of its cells, eastward. */
  cells: Int32Array;
}

const RINGS = new Map<number, Ring[]>();

/** Rings of cells from the north pole to the south pole (Górski et al. 2005, section 5.2). */
function ringsOf(zoom: number): Ring[] {
  let rings = RINGS.get(zoom);
  if (rings) return rings;
  const n = 2 ** zoom;
  rings = Array.from({ length: 4 * n - 1 }, (_, k) => {
    const i = Math.min(k + 1, 4 * n - k - 1);
    const polar = i < n;
    const count = 4 * Math.min(i, n);
    const z = polar ? 1 - (i * i) / (3 * n * n) : 4 / 3 - (2 * (k + 1)) / (3 * n);
    const lat = Math.asin(polar && k >= n ? -z : z) / DEGREE;
    const half = polar || (k + 1 - n) % 2 === 0 ? 0.5 : 0;
    const lon = (360 / count) * half;
    return { lat, lon, cells: Int32Array.from({ length: count }, (_, j) => cellAt(lon + (360 / count) * j, lat, zoom)) };
  });
  RINGS.set(zoom, rings);
  return rings;
}

function along({ lon, cells }: Ring, values: Float32Array, at: number): number {
  const count = cells.length;
  const place = (((((at - lon) / 360) * count) % count) + count) % count;
  const i = Math.floor(place);
  const a = values[cells[i % count]];
  return a + (values[cells[(i + 1) % count]] - a) * (place - i);
}

function average({ cells }: Ring, values: Float32Array): number {
  return cells.reduce((total, cell) => total + values[cell], 0) / cells.length;
}

const GRIDS = new Recent<Float32Array, Grid>(24);

/** The grid of a field, about four points to a cell. NaN where a cell that it needs is. */
export function gridOf(field: Float32Array, zoom: number): Grid {
  return GRIDS.get(field, () => interpolated(field, zoom));
}

function interpolated(field: Float32Array, zoom: number): Grid {
  const intervals = Math.max(180, 16 * 2 ** Math.min(zoom, 6));
  const [columns, rows] = [intervals + 1, intervals / 2 + 1];
  const values = new Float32Array(columns * rows);
  const rings = ringsOf(zoom);
  const poles = [rings[0], rings.at(-1)!].map((ring) => average(ring, field));
  let below = rings.length; // rings[below - 1] is the next one north, or the pole
  for (let row = 0; row < rows; row++) {
    const lat = -90 + (360 / intervals) * row;
    while (below > 0 && rings[below - 1].lat <= lat) below--;
    const [north, south] = [rings[below - 1], rings[below]];
    const [top, bottom] = [north?.lat ?? 90, south?.lat ?? -90];
    const weight = top > bottom ? (lat - bottom) / (top - bottom) : 0;
    for (let column = 0; column < columns; column++) {
      const lon = (360 / intervals) * column;
      const a = south ? along(south, field, lon) : poles[1];
      const b = north ? along(north, field, lon) : poles[0];
      values[row * columns + column] = a + (b - a) * weight;
    }
  }
  return { columns, rows, values };
}

/** Value of a grid at a place, bilinear. */
export function sample({ columns, rows, values }: Grid, lon: number, lat: number): number {
  const x = (((lon % 360) + 360) % 360) * ((columns - 1) / 360);
  const y = (lat + 90) * ((rows - 1) / 180);
  const [i, j] = [Math.min(columns - 2, Math.floor(x)), Math.min(rows - 2, Math.max(0, Math.floor(y)))];
  const at = j * columns + i;
  const south = values[at] + (values[at + 1] - values[at]) * (x - i);
  const north = values[at + columns] + (values[at + columns + 1] - values[at + columns]) * (x - i);
  return south + (north - south) * (y - j);
}
