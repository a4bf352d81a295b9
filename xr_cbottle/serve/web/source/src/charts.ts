// Small charts as SVG: values in time, and how often values lie where.

import { ticks } from "./colours";
import { tickLabels } from "./text";

const NAMESPACE = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 128];
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 8, 8, 20];

/** A line of values over positions 0 to 1; NaN is a gap. */
export interface Line {
  points: [number, number][];
  kind: string;
}

function svg(tag: string, attributes: Record<string, string | number>, text = ""): SVGElement {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.textContent = text;
  return element;
}

function frame(label: string): SVGElement {
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" });
}

const across = (share: number) => LEFT + share * (WIDTH - LEFT - RIGHT);

/** Labels of two axes: values upwards, and texts at shares of the width. */
function axes(low: number, high: number, texts: [number, string][], whole = false): SVGElement[] {
  const up = (value: number) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const marks = ticks([low, high], 3).filter((value) => !whole || Number.isInteger(value));
  const labels = tickLabels(marks, high - low);
  return [
    ...marks.flatMap((value, i) => [
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value), class: "rule" }),
      svg("text", { x: LEFT - 5, y: up(value) + 3.5, "text-anchor": "end" }, labels[i]),
    ]),
    ...texts.map(([share, text]) =>
      svg("text", { x: across(share), y: HEIGHT - 5, "text-anchor": share < 0.15 ? "start" : share > 0.85 ? "end" : "middle" }, text),
    ),
  ];
}

/** Lines over time, with a mark at one position. */
export function series(label: string, lines: Line[], now: number | null, texts: [number, string][]): SVGElement {
  const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
  const chart = frame(label);
  if (!values.length) return chart;
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
  [low, high] = [low - room, high + room];
  const up = (value: number) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  chart.append(...axes(low, high, texts));
  if (now !== null) chart.append(svg("line", { x1: across(now), x2: across(now), y1: TOP, y2: HEIGHT - BOTTOM, class: "now" }));
  for (const { points, kind } of lines) {
    let path = "";
    let drawing = false;
    for (const [at, value] of points) {
      if (!Number.isFinite(value)) drawing = false;
      else {
        path += `${drawing ? "L" : "M"}${across(at).toFixed(1)} ${up(value).toFixed(1)}`;
        drawing = true;
      }
    }
    chart.append(svg("path", { d: path, class: `line ${kind}` }));
  }
  return chart;
}

/** Edges of bins and how many values are in each, for some sets of values. */
export function histogram(sets: number[][]): { edges: number[]; counts: number[][] } {
  const known = sets.map((values) => values.filter(Number.isFinite));
  const all = known.flat();
  if (!all.length) return { edges: [], counts: [] };
  let [low, high] = [Math.min(...all), Math.max(...all)];
  if (!(high > low)) [low, high] = [low - 0.5, high + 0.5];
  const count = Math.max(5, Math.min(24, Math.round(Math.sqrt(all.length) * 1.5)));
  const edges = Array.from({ length: count + 1 }, (_, i) => low + ((high - low) * i) / count);
  const counts = known.map((values) => {
    const found = new Array<number>(count).fill(0);
    for (const value of values) found[Math.min(count - 1, Math.floor(((value - low) / (high - low)) * count))]++;
    return found;
  });
  return { edges, counts };
}

/** A histogram of one or two sets, beside each other in each bin. */
export function bars(label: string, sets: number[][], kinds: string[], now: number): SVGElement {
  const chart = frame(label);
  const { edges, counts } = histogram(sets);
  if (!edges.length) return chart;
  const [low, high] = [edges[0], edges.at(-1)!];
  const most = Math.max(...counts.flat(), 1);
  const marks = ticks([low, high], 4);
  const share = (value: number) => (value - low) / (high - low);
  const labels = tickLabels(marks, high - low);
  chart.append(...axes(0, most * 1.05, marks.map((value, i) => [share(value), labels[i]]), true));
  const width = (WIDTH - LEFT - RIGHT) / (edges.length - 1) / counts.length;
  counts.forEach((found, k) => {
    found.forEach((n, i) => {
      const height = (n / (most * 1.05)) * (HEIGHT - TOP - BOTTOM);
      const x = across(share(edges[i])) + k * width;
      chart.append(svg("rect", { x: x + 0.5, width: Math.max(1, width - 1), y: HEIGHT - BOTTOM - height, height, class: `bin ${kinds[k]}` }));
    });
  });
  if (now >= low && now <= high) chart.append(svg("line", { x1: across(share(now)), x2: across(share(now)), y1: TOP, y2: HEIGHT - BOTTOM, class: "now" }));
  return chart;
}
