// Contours of a field: marching squares on its grid of latitudes and longitudes.

import { type Limits, ticks } from "./colours";
import { toVector, type Vector } from "./healpix";
import type { Grid } from "./interpolation";

/** Round values at which contours lie, and how far apart they are. */
export function levelsOf(limits: Limits): { levels: number[]; step: number } {
  const levels = ticks(limits, 9);
  return { levels, step: levels.length > 1 ? Number((levels[1] - levels[0]).toPrecision(12)) : 0 };
}

/** Stretches of the contours of a grid at some levels, as pairs of points of the unit sphere. */
export function contoursOf({ columns, rows, values }: Grid, levels: readonly number[]): [Vector, Vector][] {
  const found: [Vector, Vector][] = [];
  const place = (x: number, y: number) => toVector((360 * x) / (columns - 1), -90 + (180 * y) / (rows - 1));
  for (let j = 0; j < rows - 1; j++) {
    for (let i = 0; i < columns - 1; i++) {
      const at = j * columns + i;
      // Corners counterclockwise from the south-west.
      const [a, b, c, d] = [values[at], values[at + 1], values[at + columns + 1], values[at + columns]];
      const [low, high] = [Math.min(a, b, c, d), Math.max(a, b, c, d)];
      if (!(low < high)) continue; // also where one is missing
      for (const level of levels) {
        if (level <= low || level > high) continue;
        const between = (p: number, q: number) => (level - p) / (q - p);
        const crossed = (p: number, q: number) => p < level !== q < level;
        const points: Vector[] = [];
        if (crossed(a, b)) points.push(place(i + between(a, b), j));
        if (crossed(b, c)) points.push(place(i + 1, j + between(b, c)));
        if (crossed(c, d)) points.push(place(i + between(d, c), j + 1));
        if (crossed(d, a)) points.push(place(i, j + between(a, d)));
        if (points.length === 2) found.push([points[0], points[1]]);
        else if (points.length === 4) {
          // A saddle: what lies in the middle says which corners belong together.
          const joined = (a + b + c + d) / 4 < level === a < level;
          const [p, q, r, s] = points;
          found.push(...((joined ? [[p, q], [r, s]] : [[p, s], [q, r]]) as [Vector, Vector][]));
        }
      }
    }
  }
  return found;
}
