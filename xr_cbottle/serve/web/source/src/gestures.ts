// Turning and zooming: pointers, the wheel and keys on the canvas. What is under the pointer stays under it when
// it comes closer; a thrown globe runs on.

import { bounded, type Camera, radius, wrapped } from "./projections";
import type { Scene } from "./scene";

export interface Gestures {
  /** The camera has moved; `settled` when it has come to rest. */
  moved(settled: boolean): void;
  /** A place is pointed at, in CSS pixels of the canvas; null: none is. `kept` if by a tap. */
  pointed(point: [number, number] | null, kept: boolean): void;
  /** A point has been clicked or tapped, and not twice. */
  chosen(point: [number, number]): void;
}

const FRICTION = 0.0045; // per millisecond
const REST = 0.02; // pixels per millisecond
const TWICE = 320; // milliseconds within which a second tap belongs to the first

export class Control {
  #pointers = new Map<number, [number, number]>();
  #velocity: [number, number] = [0, 0];
  #moved = 0; // pixels since the pointer came down
  #last = 0;
  #glide = 0;
  #tap: { time: number; at: [number, number] } | null = null;
  #panel = 0;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #rest = 0;
  #choosing = 0;

  constructor(
    private readonly scene: Scene,
    private readonly gestures: Gestures,
  ) {
    const { canvas } = scene;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#lost(event));
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && !this.#pointers.size) this.gestures.pointed(null, false);
    });
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => {
      this.zoom(event.shiftKey ? 0.5 : 2, this.#at(event));
    });
  }

  /** Whether the camera has not come to rest. */
  get moving(): boolean {
    return this.#rest !== 0;
  }

  /** Ends what is running on. */
  stop(): void {
    cancelAnimationFrame(this.#glide);
    this.#glide = 0;
    this.#velocity = [0, 0];
  }

  /** Looks from elsewhere. */
  look(change: Partial<Camera>): void {
    this.#set({ ...this.scene.camera, ...change });
  }

  /** Turns by so many pixels of a panel. */
  turn(x: number, y: number): void {
    const { camera } = this.scene;
    const { width, height } = this.scene.panels[this.#panel] ?? this.scene.panels[0];
    const degrees = 180 / Math.PI / radius(camera, width, height);
    // Towards a pole the same way is more degrees of longitude, up to a point.
    const stretch = camera.projection === "globe" ? 1 / Math.max(0.3, Math.cos((camera.lat * Math.PI) / 180)) : 1;
    const slide = camera.projection === "mollweide" ? Math.PI / (2 * Math.SQRT2) : 1;
    this.#set({ ...camera, lon: camera.lon - x * degrees * stretch * slide, lat: camera.lat + y * degrees });
  }

  /** Comes closer, towards a point of the canvas or the middle. */
  zoom(factor: number, point?: [number, number]): void {
    const { scene } = this;
    const panel = point ? scene.panelAt(...point) : -1;
    const before = point && panel >= 0 ? scene.place(...point) : null;
    const { scale } = scene.camera;
    scene.camera = bounded({ ...scene.camera, scale: scale * factor });
    if (before && scene.camera.scale !== scale) {
      for (let i = 0; i < 4; i++) {
        const now = scene.place(...point!);
        if (!now) break;
        const { lon, lat } = scene.camera;
        scene.camera = bounded({
          ...scene.camera,
          lon: lon + wrapped(before.lon - now.lon),
          lat: lat + (before.lat - now.lat),
        });
      }
    }
    this.#set(scene.camera);
  }

  #set(camera: Camera): void {
    const { scene } = this;
    scene.camera = bounded(camera);
    scene.moving = true;
    scene.draw();
    this.gestures.moved(false);
    clearTimeout(this.#rest);
    this.#rest = window.setTimeout(() => {
      this.#rest = 0;
      this.gestures.moved(true);
    }, 250);
  }

  #at(event: MouseEvent): [number, number] {
    const box = this.scene.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.stop();
    const at = this.#at(event);
    this.scene.canvas.setPointerCapture(event.pointerId);
    this.scene.canvas.classList.add("held");
    this.#pointers.set(event.pointerId, at);
    this.#panel = Math.max(0, this.scene.panelAt(...at));
    this.#moved = this.#pointers.size > 1 ? Infinity : 0;
    this.#last = event.timeStamp;
  }

  #move(event: PointerEvent): void {
    const at = this.#at(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") this.gestures.pointed(at, false);
      return;
    }
    const [x, y] = [at[0] - before[0], at[1] - before[1]];
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    this.#pointers.set(event.pointerId, at);
    this.#moved += Math.hypot(x, y);
    if (others.length) {
      const other = others[0];
      const distance = (p: [number, number]) => Math.max(10, Math.hypot(p[0] - other[0], p[1] - other[1]));
      this.turn(x / 2, y / 2);
      this.zoom(distance(at) / distance(before), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
      return;
    }
    if (this.#moved < 4) return;
    this.turn(x, y);
    const passed = Math.max(1, event.timeStamp - this.#last);
    this.#last = event.timeStamp;
    const mix = Math.min(1, passed / 40);
    this.#velocity = [x, y].map((d, i) => this.#velocity[i] * (1 - mix) + (d / passed) * mix) as [number, number];
    if (event.pointerType === "mouse") this.gestures.pointed(at, false);
  }

  #up(event: PointerEvent): void {
    if (!this.#pointers.has(event.pointerId)) return;
    const at = this.#at(event);
    this.#lost(event);
    if (this.#pointers.size) return;
    if (this.#moved < 4) {
      this.gestures.pointed(at, event.pointerType !== "mouse");
      // Fingers have no dblclick where the page may not zoom.
      const twice = this.#tap && event.timeStamp - this.#tap.time < TWICE && Math.hypot(at[0] - this.#tap.at[0], at[1] - this.#tap.at[1]) < 30;
      if (event.pointerType !== "mouse" && twice) this.zoom(2, at);
      this.#tap = twice ? null : { time: event.timeStamp, at };
      clearTimeout(this.#choosing);
      if (!twice) this.#choosing = window.setTimeout(() => this.gestures.chosen(at), TWICE);
    } else if (event.timeStamp - this.#last < 60 && !this.#calm.matches && this.#moved < Infinity) {
      this.#run();
    }
  }

  #lost(event: PointerEvent): void {
    this.#pointers.delete(event.pointerId);
    if (!this.#pointers.size) this.scene.canvas.classList.remove("held");
  }

  #run(): void {
    let before = performance.now();
    const step = (now: number) => {
      const passed = Math.min(64, Math.max(0, now - before));
      before = now;
      const [x, y] = this.#velocity;
      this.turn(x * passed, y * passed);
      const slower = Math.exp(-FRICTION * passed);
      this.#velocity = [x * slower, y * slower];
      this.#glide = Math.hypot(...this.#velocity) > REST ? requestAnimationFrame(step) : 0;
    };
    this.#glide = requestAnimationFrame(step);
  }

  #wheel(event: WheelEvent): void {
    event.preventDefault();
    this.stop();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : event.deltaMode === WheelEvent.DOM_DELTA_PAGE ? 400 : 1;
    const way = Math.max(-300, Math.min(300, event.deltaY * lines));
    this.zoom(Math.exp(-way * (event.ctrlKey ? 0.01 : 0.0018)), this.#at(event));
  }
}
