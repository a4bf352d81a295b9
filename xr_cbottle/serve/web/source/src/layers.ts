// From frames to what the panels and colour bars show.

import type { Shown } from "./bar";
import { beyond, differenceOf, type Limits, limitsOf, type Style } from "./colours";
import { contoursOf, levelsOf } from "./contours";
import type { Field } from "./fields";
import type { Frame } from "./frames";
import { gridOf } from "./interpolation";
import { lines } from "./lines";
import { Recent } from "./recent";
import type { Layer, Rectangle } from "./scene";
import { extent, type Projection } from "./projections";
import type { FineField } from "./tiles";
import type { View } from "./view";

export interface Picture {
  layers: Layer[];
  /** Names of the panels, if there are several. */
  names: string[];
  bar: Shown;
  differenceBar: Shown | null;
  /** What the contours are of. */
  contours: { frame: Frame; levels: number[]; step: number } | null;
}

const DIFFERENCES = new WeakMap<Float32Array, WeakMap<Float32Array, Float32Array>>();

/** b - a, made once. */
export function difference(a: Float32Array, b: Float32Array): Float32Array {
  const known = DIFFERENCES.get(a) ?? new WeakMap<Float32Array, Float32Array>();
  DIFFERENCES.set(a, known);
  let values = known.get(b);
  if (!values) known.set(b, (values = a.map((value, i) => b[i] - value)));
  return values;
}

/** The difference of two fields where both are here at a finer zoom. */
function fineDifference(a: FineField | null, b: FineField | null): FineField | null {
  if (!a || !b || a.zoom !== b.zoom) return null;
  const both = [...a.tiles].filter(([tile]) => b.tiles.has(tile));
  return { ...a, tiles: new Map(both.map(([tile, values]) => [tile, difference(values, b.tiles.get(tile)!)])) };
}

export function pictureOf(view: View, fields: Field[]): Picture {
  const [first, second] = fields;
  const style = { ...first.style, colours: view.colours ?? first.style.colours };
  const log = view.log && mayBeLog(style);
  const values = fields.map((field) => field.values);
  const found = limitsOf(values, style, log);
  const limits: Limits = view.limits && log ? [Math.max(view.limits[0], view.limits[1] / 1e4), view.limits[1]] : view.limits ?? found;
  const units = style.units ?? first.attrs.units;
  const contoured = contourLevels(fields);
  const layers = fields.map((field) => ({
    ...layer(field.values, field.zoom, style, limits, field.fine),
    log,
    contours: field.contours && contoured && contourLines(field.contours, contoured.levels),
  }));
  const everywhere = fields.flatMap(({ values, fine }) => [values, ...(fine?.tiles.values() ?? [])]);
  const bar: Shown = {
    colours: style.colours,
    limits,
    log,
    beyond: beyond(everywhere, limits, style.factor),
    units,
    held: view.limits !== null,
  };
  const contours = contoured && fields[0].contours && { ...contoured, frame: fields[0].contours };
  if (!second || !view.compare) return { layers, names: [], bar, differenceBar: null, contours };
  const { what, value } = view.compare;
  const names = [`${what} ${view[what]}`, `${what} ${value}`];
  if (!view.difference) return { layers, names, bar, differenceBar: null, contours };
  const between = differenceOf(first.style);
  const apart = difference(first.values, second.values);
  const reach = limitsOf([apart], between);
  return {
    layers: [...layers, layer(apart, first.zoom, between, reach, fineDifference(first.fine, second.fine))],
    names: [...names, `${names[1]} − ${names[0]}`],
    bar,
    differenceBar: {
      colours: between.colours,
      limits: reach,
      log: false,
      beyond: beyond([apart], reach, between.factor),
      units,
      held: false,
    },
    contours,
  };
}

/** Whether a logarithmic scale makes sense: not for what lies on both sides of zero, or between two ends. */
export function mayBeLog({ span, fixed }: Style): boolean {
  return span !== "symmetric" && !fixed;
}

function layer(values: Float32Array, zoom: number, style: Style, [low, high]: Limits, fine: FineField | null): Layer {
  const limits: Limits = [low / style.factor, high / style.factor];
  return { values, zoom, colours: style.colours, limits, log: false, fine, contours: null };
}

/** Levels of the contours in their shown unit, the same in all panels. */
function contourLevels(fields: Field[]): { levels: number[]; step: number } | null {
  const frames = fields.flatMap(({ contours }) => contours ?? []);
  return frames.length ? levelsOf(limitsOf(frames.map(({ values }) => values), frames[0].style)) : null;
}

const LINES = new Recent<Float32Array, Recent<string, Layer["contours"]>>(12);

function contourLines({ values, zoom, style }: Frame, levels: number[]): Layer["contours"] {
  const stretches = () => lines(contoursOf(gridOf(values, zoom), levels.map((level) => level / style.factor)));
  return LINES.get(values, () => new Recent(2)).get(levels.join(), stretches);
}

/** Panels in the grid in which they are largest; room for a name above each if there are several. */
export function arranged(count: number, width: number, height: number, projection: Projection): Rectangle[] {
  const name = count > 1 ? 26 : 0;
  const [halfWidth, halfHeight] = extent(projection);
  let best: Rectangle[] = [];
  let largest = -1;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const [w, h] = [Math.floor(width / columns), Math.floor(height / rows)];
    const size = Math.min(w / halfWidth, (h - name) / halfHeight);
    if (size <= largest) continue;
    largest = size;
    best = Array.from({ length: count }, (_, i) => {
      const row = Math.floor(i / columns);
      const inRow = Math.min(columns, count - row * columns);
      const left = Math.floor((width - inRow * w) / 2) + (i % columns) * w;
      return { left, top: row * h + name, width: w, height: Math.max(1, h - name) };
    });
  }
  return best;
}
