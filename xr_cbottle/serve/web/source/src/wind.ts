// Wind over the picture, on a canvas of its own so that the field below is not drawn again for it: particles that
// go with it, or arrows. Who wants no motion gets arrows.

import { type Grid, sample } from "./interpolation";
import { radius } from "./projections";
import type { Scene } from "./scene";

/** Eastward and northward wind in m s-1. */
export interface Vectors {
  u: Grid;
  v: Grid;
}

interface Particle {
  lon: number;
  lat: number;
  x: number;
  y: number;
  /** Seconds that it has left. */
  left: number;
}

const PACE = 4; // pixels a second for each metre a second
const LIFE = 2.5; // seconds, about
const AREA = 420; // square pixels for each particle
const MOST = 3000;
const [SLOW, FAST] = [33, 50]; // frames a second below which there are fewer particles, and above which there are more
const LEAST = 0.1; // share of them that there is on the slowest machine
const COUNTED = 15; // frames after which this is looked at
const SPACING = 34; // pixels between arrows
const LONGEST = 28; // pixels, of an arrow
const DEGREE = Math.PI / 180;

export class Wind {
  /** Frames of particles drawn, and milliseconds spent on them, since they were last begun. */
  frames = 0;
  busy = 0;
  /** Share of the particles that are moved and drawn: fewer where the machine is slow. */
  share = 1;
  #began = 0;
  #counted = 0;
  #lasted = 0;
  #context: CanvasRenderingContext2D;
  #vectors: (Vectors | null)[] = [];
  #style: "particles" | "arrows" = "particles";
  #particles: Particle[][] = [];
  #next = 0;
  #before = 0;
  #seen = "";
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(
    private readonly scene: Scene,
    readonly canvas: HTMLCanvasElement,
  ) {
    this.#context = canvas.getContext("2d")!;
  }

  /** Frames a second since particles were last begun. */
  get rate(): number {
    return this.frames / ((performance.now() - this.#began) / 1000);
  }

  /** Shows the winds of the panels, from left to right; null: none. */
  show(vectors: (Vectors | null)[], style: "particles" | "arrows"): void {
    const before = this.#vectors;
    [this.#vectors, this.#style] = [vectors, this.#calm.matches ? "arrows" : style];
    const alike = (test: (a: Vectors | null, b: Vectors | null) => boolean) =>
      this.#looks() === this.#seen && vectors.length === before.length && vectors.every((wind, i) => test(wind, before[i]));
    // Particles go on when another time's wind comes.
    if (alike((a, b) => a?.u === b?.u && a?.v === b?.v) || (this.#style === "particles" && alike((a, b) => !a === !b))) return;
    this.#begin();
  }

  /** The picture below has been drawn, perhaps from elsewhere. */
  follow(): void {
    if (this.#looks() !== this.#seen) this.#begin();
  }

  #looks(): string {
    const { camera, panels, canvas } = this.scene;
    return JSON.stringify([this.#style, camera, panels, canvas.clientWidth, canvas.clientHeight]);
  }

  #begin(): void {
    cancelAnimationFrame(this.#next);
    this.#seen = this.#looks();
    const { clientWidth, clientHeight } = this.scene.canvas;
    const ratio = this.scene.soft ? 1 : Math.min(2, devicePixelRatio || 1);
    this.canvas.width = Math.round(clientWidth * ratio); // which also clears it
    this.canvas.height = Math.round(clientHeight * ratio);
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const shown = this.#vectors.some(Boolean);
    this.canvas.hidden = !shown;
    if (!shown) return;
    if (this.#style === "arrows") return this.#arrows();
    this.#particles = this.scene.panels.map(({ width, height }, i) => {
      const count = this.#vectors[i] ? Math.min(MOST, Math.round((width * height) / AREA)) : 0;
      return Array.from({ length: count }, () => ({ lon: 0, lat: 0, x: NaN, y: NaN, left: 0 }));
    });
    [this.frames, this.busy, this.#began, this.#before] = [0, 0, performance.now(), performance.now()];
    this.#next = requestAnimationFrame((now) => this.#step(now));
  }

  #step(now: number): void {
    const started = performance.now();
    const passed = Math.min(0.1, Math.max(0, (now - this.#before) / 1000));
    this.#before = now;
    this.#adapt(passed);
    const context = this.#context;
    const { clientWidth, clientHeight } = this.scene.canvas;
    context.globalCompositeOperation = "destination-in"; // what was drawn fades
    context.fillStyle = `rgba(0, 0, 0, ${Math.exp(-passed * 3.2)})`;
    context.fillRect(0, 0, clientWidth, clientHeight);
    context.globalCompositeOperation = "source-over";
    const path = new Path2D();
    this.#particles.forEach((particles, panel) => {
      const count = Math.ceil(this.share * particles.length);
      for (let i = 0; i < count; i++) this.#move(particles[i], panel, passed, path);
    });
    context.lineWidth = 2.4;
    context.strokeStyle = "rgba(255, 255, 255, 0.35)";
    context.stroke(path);
    context.lineWidth = 1.1;
    context.strokeStyle = "rgba(15, 15, 25, 0.9)";
    context.stroke(path);
    this.frames++;
    this.busy += performance.now() - started;
    this.#next = requestAnimationFrame((next) => this.#step(next));
  }

  /** As many particles as the machine draws often enough a second. */
  #adapt(passed: number): void {
    this.#lasted += passed;
    if (++this.#counted < COUNTED) return;
    const rate = this.#counted / this.#lasted;
    [this.#counted, this.#lasted] = [0, 0];
    if (rate < SLOW) this.share = Math.max(LEAST, this.share * Math.max(0.5, rate / 40));
    else if (rate > FAST) this.share = Math.min(1, this.share * 1.1);
  }

  #move(particle: Particle, panel: number, passed: number, path: Path2D): void {
    const { scene } = this;
    particle.left -= passed;
    if (particle.left <= 0) return this.#place(particle, panel);
    const { u, v } = this.#vectors[panel]!;
    const { width, height } = scene.panels[panel];
    const pace = (PACE * passed) / radius(scene.camera, width, height) / DEGREE;
    particle.lat += sample(v, particle.lon, particle.lat) * pace;
    if (!(Math.abs(particle.lat) < 89.5)) return this.#place(particle, panel); // at a pole, or where there is no wind
    particle.lon += (sample(u, particle.lon, particle.lat) * pace) / Math.cos(particle.lat * DEGREE);
    const to = scene.screen(panel, particle.lon, particle.lat);
    // From one edge of a map to the other is no way.
    if (!to || Math.hypot(to[0] - particle.x, to[1] - particle.y) > 60) return this.#place(particle, panel);
    path.moveTo(particle.x, particle.y);
    path.lineTo(...to);
    [particle.x, particle.y] = to;
  }

  /** Somewhere in a panel; where that is beside the globe, it waits for another try. */
  #place(particle: Particle, panel: number): void {
    const { left, top, width, height } = this.scene.panels[panel];
    const [x, y] = [left + Math.random() * width, top + Math.random() * height];
    const place = this.scene.place(x, y);
    if (!place) return void (particle.left = 0);
    Object.assign(particle, { x, y, lon: place.lon, lat: place.lat, left: LIFE * (0.3 + 1.2 * Math.random()) });
  }

  #arrows(): void {
    const context = this.#context;
    const path = new Path2D();
    this.scene.panels.forEach(({ left, top, width, height }, panel) => {
      const winds = this.#vectors[panel];
      if (!winds) return;
      const found: [number, number, number, number, number][] = [];
      for (let y = SPACING / 2; y < height; y += SPACING) {
        for (let x = SPACING / 2; x < width; x += SPACING) {
          const arrow = this.#arrow(winds, panel, left + x, top + y);
          if (arrow) found.push(arrow);
        }
      }
      const strongest = Math.max(...found.map((arrow) => arrow[4]), 1e-9);
      for (const [x, y, right, down, speed] of found) {
        const size = Math.max(4, (LONGEST * speed) / strongest);
        const [dx, dy] = [right * size, down * size];
        const [fromX, fromY, toX, toY] = [x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2];
        path.moveTo(fromX, fromY);
        path.lineTo(toX, toY);
        const head = Math.min(6, 2 + size / 5);
        for (const turn of [2.6, -2.6]) {
          path.moveTo(toX, toY);
          path.lineTo(toX + head * (right * Math.cos(turn) - down * Math.sin(turn)), toY + head * (right * Math.sin(turn) + down * Math.cos(turn)));
        }
      }
    });
    context.lineCap = "round";
    context.lineWidth = 3;
    context.strokeStyle = "rgba(255, 255, 255, 0.65)";
    context.stroke(path);
    context.lineWidth = 1.3;
    context.strokeStyle = "rgba(15, 15, 25, 0.95)";
    context.stroke(path);
  }

  /** Where an arrow is, its direction on the canvas, and the speed. */
  #arrow({ u, v }: Vectors, panel: number, x: number, y: number): [number, number, number, number, number] | null {
    const place = this.scene.place(x, y);
    if (!place || Math.abs(place.lat) > 88) return null;
    const [east, north] = [sample(u, place.lon, place.lat), sample(v, place.lon, place.lat)];
    const speed = Math.hypot(east, north);
    if (!(speed > 0)) return null;
    const little = 0.05 / speed; // degrees
    const to = this.scene.screen(panel, place.lon + (east * little) / Math.cos(place.lat * DEGREE), place.lat + north * little);
    const way = to && Math.hypot(to[0] - x, to[1] - y);
    return to && way && way < 60 ? [x, y, (to[0] - x) / way, (to[1] - y) / way, speed] : null;
  }
}
