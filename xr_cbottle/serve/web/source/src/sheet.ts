// The picture as a file has it: globe, lines and wind with their heading, names, colours and origin.

import type { Shown } from "./bar";
import { logTicks, placeOf, table, ticks } from "./colours";
import type { Scene } from "./scene";
import { prettyNumber, prettyUnits, tickLabels } from "./text";

export interface Sheet {
  title: string;
  subtitle: string;
  legend: string;
  /** What made it. */
  origin: string;
  names: string[];
  bars: Shown[];
}

const [MARGIN, HEAD, BAR, FOOT] = [16, 54, 46, 24];

/** Draws all of it on a canvas, `scale` pixels to each of the page's. */
export function composed(scene: Scene, overlay: HTMLCanvasElement, sheet: Sheet, scale: number): HTMLCanvasElement {
  const { clientWidth: width, clientHeight: height } = scene.canvas;
  const canvas = document.createElement("canvas");
  const whole = [width + 2 * MARGIN, height + HEAD + BAR + FOOT + MARGIN];
  [canvas.width, canvas.height] = whole.map((size) => Math.round(size * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.scale(scale, scale);
  const styles = getComputedStyle(document.documentElement);
  const colour = (name: string) => styles.getPropertyValue(name).trim();
  const { fontFamily } = getComputedStyle(document.body);
  const write = (text: string, x: number, y: number, size: number, ink: string, align: CanvasTextAlign = "left", weight = "") => {
    context.font = `${weight} ${size}px ${fontFamily}`;
    context.fillStyle = colour(ink);
    context.textAlign = align;
    context.fillText(text, x, y, whole[0] - 2 * MARGIN);
  };
  context.fillStyle = colour("--paper");
  context.fillRect(0, 0, whole[0], whole[1]);
  write(sheet.title, MARGIN, 26, 19, "--ink", "left", "600");
  write([sheet.subtitle, sheet.legend].filter(Boolean).join(" · "), MARGIN, 46, 13, "--soft");
  // In one go: what a card has drawn is gone when the browser shows it.
  scene.drawNow();
  context.drawImage(scene.canvas, MARGIN, HEAD, width, height);
  if (!overlay.hidden) context.drawImage(overlay, MARGIN, HEAD, width, height);
  sheet.names.forEach((name, i) => {
    const { left, top, width: wide } = scene.panels[i];
    write(name, MARGIN + left + wide / 2, HEAD + top - 8, 14, "--ink", "center", "600");
  });
  const share = (whole[0] - 2 * MARGIN) / sheet.bars.length;
  sheet.bars.forEach((bar, i) => drawBar(context, bar, MARGIN + share * (i + 0.15), HEAD + height + 14, share * 0.7, write));
  write(sheet.origin, MARGIN, whole[1] - 10, 11, "--soft");
  return canvas;
}

type Write = (text: string, x: number, y: number, size: number, ink: string, align?: CanvasTextAlign) => void;

function drawBar(context: CanvasRenderingContext2D, bar: Shown, x: number, y: number, width: number, write: Write): void {
  const { limits, log, colours, units } = bar;
  const rgba = table(colours);
  for (let i = 0; i < 256; i++) {
    context.fillStyle = `rgb(${rgba.subarray(4 * i, 4 * i + 3).join(" ")})`;
    context.fillRect(x + (width * i) / 256, y, width / 256 + 0.5, 12);
  }
  const marks = log ? logTicks(limits) : ticks(limits, Math.max(3, Math.min(8, width / 75)));
  const labels = log ? marks.map((value) => prettyNumber(value, 1)) : tickLabels(marks, limits[1] - limits[0]);
  marks.forEach((value, i) => write(labels[i], x + width * placeOf(value, limits, log), y + 27, 12, "--ink", "center"));
  write(prettyUnits(units), x + width + 8, y + 11, 12, "--soft");
}
