// From frames to what the panels and colour bars show.

import type { Shown } from "./bar";
import { beyond, differenceOf, type Limits, limitsOf, type Style } from "./colours";
import type { Frame } from "./frames";
import type { Layer, Rectangle } from "./scene";
import { extent, type Projection } from "./projections";
import type { View } from "./view";

export interface Picture {
  layers: Layer[];
  /** Names of the panels, if there are several. */
  names: string[];
  bar: Shown;
  differenceBar: Shown | null;
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

export function pictureOf(view: View, frames: Frame[]): Picture {
  const [first, second] = frames;
  const { style } = first;
  const fields = frames.map((frame) => frame.values);
  const limits = view.limits ?? limitsOf(fields, style);
  const units = style.units ?? first.attrs.units;
  const layers = frames.map((frame) => layer(frame.values, frame.zoom, style, limits));
  const bar: Shown = {
    colours: style.colours,
    limits,
    beyond: beyond(fields, limits, style.factor),
    units,
    held: view.limits !== null,
  };
  if (!second || !view.compare) return { layers, names: [], bar, differenceBar: null };
  const { what, value } = view.compare;
  const names = [`${what} ${view[what]}`, `${what} ${value}`];
  if (!view.difference) return { layers, names, bar, differenceBar: null };
  const between = differenceOf(style);
  const values = difference(first.values, second.values);
  const reach = limitsOf([values], between);
  return {
    layers: [...layers, layer(values, first.zoom, between, reach)],
    names: [...names, `${names[1]} − ${names[0]}`],
    bar,
    differenceBar: {
      colours: between.colours,
      limits: reach,
      beyond: beyond([values], reach, between.factor),
      units,
      held: false,
    },
  };
}

function layer(values: Float32Array, zoom: number, style: Style, [low, high]: Limits): Layer {
  return { values, zoom, colours: style.colours, limits: [low / style.factor, high / style.factor] };
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
