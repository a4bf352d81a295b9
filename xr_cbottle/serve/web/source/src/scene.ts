// The picture: one or more panels side by side on one canvas, each a field on the globe with its lines on top.
// Every pixel looks up the cell that it lies in, so cells are seen as they are. Without WebGL this throws.

import coast from "coast";
import * as THREE from "three";
import { type Limits, table } from "./colours";
import { cellsAt } from "./healpix";
import { coastLines, graticule } from "./lines";
import { type Camera, codeOf, frame, offset, project, radius, unproject } from "./projections";
import { Sentence } from "./requests";
import type { FineField } from "./tiles";
import { FIELD_FRAGMENT, FIELD_VERTEX, LINE_FRAGMENT, LINE_VERTEX } from "./shaders";

export interface Layer {
  values: Float32Array;
  zoom: number;
  colours: string;
  /** In the unit of the values. */
  limits: Limits;
  log: boolean;
  fine: FineField | null;
  contours: THREE.InstancedBufferGeometry | null;
}

/** A panel's place on the canvas in CSS pixels, from its top left. */
export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

const MISSING = 3e38; // NaN does not survive every driver
const FINE_FROM = 420; // pixels of the globe's radius from which the fine coast is worth it

interface Panel {
  scene: THREE.Scene;
  field: THREE.ShaderMaterial;
  lines: { mesh: THREE.Mesh; material: THREE.ShaderMaterial }[];
  values: THREE.DataTexture | null;
  tiles: { values: THREE.DataTexture; slots: THREE.DataTexture } | null;
  layer: Layer | null;
}

export class Scene {
  camera: Camera = { projection: "globe", lon: 0, lat: 0, scale: 1 };
  panels: Rectangle[] = [];
  /** A cell to be outlined. */
  marked: { cell: number; zoom: number } | null = null;
  /** Called after each picture. */
  onDraw: () => void = () => undefined;
  coast = true;
  grid = false;
  /** The picture is moving: one sample a pixel will do until it rests. */
  moving = false;
  /** There is no graphics card: pictures are dear. */
  readonly soft: boolean;

  #renderer: THREE.WebGLRenderer;
  #eye = new THREE.Camera();
  #quad = new THREE.PlaneGeometry(2, 2);
  #coarse = coastLines(coast.coarse);
  #fine: THREE.InstancedBufferGeometry | null = null;
  #graticule = graticule(30);
  #shown: Panel[] = [];
  #tables = new Map<string, THREE.DataTexture>();
  #missing = new THREE.Color();
  #asked = 0;
  #settling = 0;

  constructor(readonly canvas: HTMLCanvasElement) {
    try {
      // three logs what it throws: here it is told in a sentence.
      const context = canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true });
      if (!context) throw new Error("no context");
      this.#renderer = new THREE.WebGLRenderer({ canvas, context });
    } catch (error) {
      throw new Sentence("This browser has no WebGL 2, which the globe needs. The list below works without it.", {
        cause: error,
      });
    }
    const gl = this.#renderer.getContext() as WebGL2RenderingContext;
    const names = gl.getExtension("WEBGL_debug_renderer_info");
    const card = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    this.soft = /swiftshader|llvmpipe|softpipe|software|basic render/i.test(card);
    this.#renderer.autoClear = false;
    this.#renderer.setClearColor(0x000000, 0);
    canvas.addEventListener("webglcontextrestored", () => this.draw());
  }

  /** What the panels show, from left to right; null for nothing yet. */
  show(layers: (Layer | null)[]): void {
    while (this.#shown.length < layers.length) this.#shown.push(this.#panel());
    layers.forEach((layer, i) => {
      const panel = this.#shown[i];
      if (layer?.values !== panel.layer?.values) {
        panel.values?.dispose();
        panel.values = layer && this.#texture(layer.values);
      }
      if (layer?.fine !== panel.layer?.fine) {
        panel.tiles?.values.dispose();
        panel.tiles?.slots.dispose();
        panel.tiles = layer?.fine?.tiles.size ? this.#tiles(layer.fine) : null;
      }
      if (layer?.contours !== panel.layer?.contours) panel.layer?.contours?.dispose(); // of the card's copy
      panel.layer = layer;
    });
    this.draw();
  }

  /** Colour of missing values. */
  set missing(colour: string) {
    this.#missing.setStyle(colour, THREE.LinearSRGBColorSpace); // as it is: nothing is converted here
    this.draw();
  }

  /** Draws before the next frame of the screen. */
  draw(): void {
    this.#asked ||= requestAnimationFrame(() => {
      this.#asked = 0;
      this.drawNow();
    });
  }

  drawNow(samples?: number, onlyField = false): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    const size = this.#renderer.getSize(new THREE.Vector2());
    if (this.#renderer.getPixelRatio() !== ratio) this.#renderer.setPixelRatio(ratio);
    if (size.x !== width || size.y !== height) this.#renderer.setSize(width, height, false);
    this.#renderer.setScissorTest(false);
    this.#renderer.clear();
    this.#renderer.setScissorTest(true);
    this.panels.forEach((place, i) => {
      const panel = this.#shown[i];
      if (!panel) return;
      this.#prepare(panel, place, ratio, samples ?? (this.moving ? 1 : ratio < 1.5 && !this.soft ? 3 : 2), onlyField);
      const bottom = height - place.top - place.height;
      this.#renderer.setViewport(place.left, bottom, place.width, place.height);
      this.#renderer.setScissor(place.left, bottom, place.width, place.height);
      this.#renderer.render(panel.scene, this.#eye);
    });
    this.onDraw();
    if (this.moving) {
      clearTimeout(this.#settling);
      this.#settling = window.setTimeout(() => {
        this.moving = false;
        this.draw();
      }, 180);
    }
  }

  /** [lon, lat, red, green, blue] of pixels of a panel's field, without lines, at points of the canvas; null outside. */
  pixels(panel: number, points: ([number, number] | null)[]): (number[] | null)[] {
    const marked = this.marked;
    this.marked = null;
    this.drawNow(1, true);
    this.marked = marked;
    const gl = this.#renderer.getContext() as WebGL2RenderingContext;
    const { width, height } = this.canvas;
    const read = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, read);
    this.draw();
    const ratio = width / this.canvas.clientWidth;
    return points.map((point) => {
      if (!point) return null;
      const [x, y] = point.map((p) => Math.floor(p * ratio));
      const at = 4 * ((height - 1 - y) * width + x);
      const middle = unproject(this.camera, ...this.plane(panel, (x + 0.5) / ratio, (y + 0.5) / ratio));
      return middle && read[at + 3] === 255 ? [...middle, ...read.subarray(at, at + 3)] : null;
    });
  }

  /** The panel at a point of the canvas in CSS pixels, and the place on its globe. */
  place(x: number, y: number): { panel: number; lon: number; lat: number } | null {
    const panel = this.panelAt(x, y);
    if (panel < 0) return null;
    const at = unproject(this.camera, ...this.plane(panel, x, y));
    return at && { panel, lon: at[0], lat: at[1] };
  }

  panelAt(x: number, y: number): number {
    return this.panels.findIndex(
      ({ left, top, width, height }) => x >= left && x < left + width && y >= top && y < top + height,
    );
  }

  /** The point of the plane at a point of the canvas. */
  plane(panel: number, x: number, y: number): [number, number] {
    const { left, top, width, height } = this.panels[panel];
    const r = radius(this.camera, width, height);
    return [(x - left - width / 2) / r, -(y - top - height / 2) / r];
  }

  /** The point of the canvas at which a place is seen; null if it is not. */
  screen(panel: number, lon: number, lat: number): [number, number] | null {
    const { left, top, width, height } = this.panels[panel];
    const point = project(this.camera, lon, lat);
    if (!point) return null;
    const r = radius(this.camera, width, height);
    const [x, y] = [point[0] * r + width / 2, height / 2 - point[1] * r];
    return x < 0 || y < 0 || x >= width || y >= height ? null : [left + x, top + y];
  }

  #prepare(panel: Panel, place: Rectangle, ratio: number, samples: number, onlyField: boolean): void {
    const { camera } = this;
    const r = radius(camera, place.width, place.height);
    const [east, north, up] = frame(camera);
    const shared = {
      uProjection: codeOf(camera.projection),
      uOffset: offset(camera),
      uPixel: 1 / (r * ratio),
    };
    const set = (material: THREE.ShaderMaterial, values: Record<string, unknown>) => {
      material.uniforms.uHalf.value.set(place.width / 2 / r, place.height / 2 / r);
      material.uniforms.uFrame.value.set(
        east[0], north[0], up[0],
        east[1], north[1], up[1],
        east[2], north[2], up[2],
      ); // prettier-ignore
      for (const [name, value] of Object.entries({ ...shared, ...values })) material.uniforms[name].value = value;
    };
    const { layer } = panel;
    set(panel.field, {
      uSamples: samples,
      uRim: !onlyField,
      uEmpty: !layer,
      uValues: panel.values,
      uColumns: panel.values?.image.width ?? 1,
      uZoom: layer?.zoom ?? 0,
      uTable: this.#table(layer?.colours ?? "viridis"),
      uMissing: this.#missing,
      uLog: layer?.log ?? false,
      uMarked: (layer && this.marked?.cell) ?? -1,
      uMarkedZoom: this.marked?.zoom ?? 0,
      uOutline: Math.max(0.9 / r, Math.min(1.6 / r, 0.13 / 2 ** (this.marked?.zoom ?? 0))),
      uTiled: panel.tiles !== null,
      uTiles: panel.tiles?.values ?? null,
      uSlots: panel.tiles?.slots ?? null,
      uTileColumns: panel.tiles?.values.image.width ?? 1,
      uSlotColumns: panel.tiles?.slots.image.width ?? 1,
      uFineZoom: layer?.fine?.zoom ?? 0,
      uTileBits: layer?.fine ? 2 * (layer.fine.zoom - layer.fine.tileZoom) : 0,
    });
    panel.field.uniforms.uLimits.value.set(...(layer?.limits ?? [0, 1]));
    const [halo, shore, grid, margin, contour] = panel.lines;
    const geometry = r > FINE_FROM ? (this.#fine ??= coastLines(coast.fine)) : this.#coarse;
    for (const [line, width] of [[halo, 2.6], [shore, 1.1], [grid, 0.8], [margin, 2.6], [contour, 1.2]] as const) {
      const isContour = line === margin || line === contour;
      line.mesh.visible = !onlyField && (line === grid ? this.grid : isContour ? !!layer?.contours : this.coast);
      if (isContour && layer?.contours) line.mesh.geometry = layer.contours;
      else if (line !== grid) line.mesh.geometry = geometry;
      set(line.material, { uWidth: width * ratio });
    }
  }

  #panel(): Panel {
    const scene = new THREE.Scene();
    const field = this.#material(FIELD_VERTEX, FIELD_FRAGMENT, {
      uSamples: 1, uRim: true, uValues: null, uTable: null, uColumns: 1, uZoom: 0, uLimits: new THREE.Vector2(0, 1),
      uMissing: this.#missing, uMarked: -1, uMarkedZoom: 0, uOutline: 0, uEmpty: true, uLog: false, uTiled: false,
      uTiles: null, uSlots: null, uTileColumns: 1, uSlotColumns: 1, uFineZoom: 0, uTileBits: 0,
    }); // prettier-ignore
    const add = (geometry: THREE.BufferGeometry, material: THREE.ShaderMaterial, order: number) => {
      const mesh = new THREE.Mesh(geometry, material);
      mesh.frustumCulled = false;
      mesh.renderOrder = order;
      scene.add(mesh);
      return mesh;
    };
    add(this.#quad, field, 0);
    const line = (geometry: THREE.BufferGeometry, colour: THREE.Vector4, order: number) => {
      const material = this.#material(LINE_VERTEX, LINE_FRAGMENT, { uWidth: 1, uColour: colour });
      return { mesh: add(geometry, material, order), material };
    };
    return {
      scene,
      field,
      lines: [
        line(this.#coarse, new THREE.Vector4(1, 1, 1, 0.5), 2), // seen on dark colours
        line(this.#coarse, new THREE.Vector4(0.08, 0.08, 0.1, 0.9), 3),
        line(this.#graticule, new THREE.Vector4(0.2, 0.2, 0.25, 0.4), 1),
        line(this.#coarse, new THREE.Vector4(1, 1, 1, 0.55), 4),
        line(this.#coarse, new THREE.Vector4(0.36, 0.05, 0.4, 0.95), 5),
      ],
      values: null,
      tiles: null,
      layer: null,
    };
  }

  #material(vertexShader: string, fragmentShader: string, own: Record<string, unknown>): THREE.ShaderMaterial {
    const uniforms = { uHalf: new THREE.Vector2(), uFrame: new THREE.Matrix3(), uOffset: 0, uPixel: 0, uProjection: 0 };
    return new THREE.RawShaderMaterial({
      glslVersion: THREE.GLSL3,
      vertexShader,
      fragmentShader,
      uniforms: Object.fromEntries(Object.entries({ ...uniforms, ...own }).map(([name, value]) => [name, { value }])),
      transparent: true,
      premultipliedAlpha: true,
      depthTest: false,
      depthWrite: false,
      side: THREE.DoubleSide,
    });
  }

  #table(colours: string): THREE.DataTexture {
    let texture = this.#tables.get(colours);
    if (!texture) {
      texture = new THREE.DataTexture(table(colours), 256, 1, THREE.RGBAFormat);
      texture.needsUpdate = true;
      this.#tables.set(colours, texture);
    }
    return texture;
  }

  /** Values as they came, nested order, in rows as long as the card takes. */
  #texture(values: Float32Array): THREE.DataTexture {
    const most = this.#renderer.capabilities.maxTextureSize;
    let columns = Math.min(values.length, most);
    while (values.length % columns) columns--;
    if (values.length / columns > most) {
      throw new Sentence(`This graphics card cannot hold ${values.length} cells: choose a lower zoom.`);
    }
    const texture = new THREE.DataTexture(
      values.map((value) => (Number.isNaN(value) ? MISSING : value)),
      columns,
      values.length / columns,
      THREE.RedFormat,
      THREE.FloatType,
    );
    texture.needsUpdate = true;
    return texture;
  }

  /** Tiles one after the other, and for every tile of the globe its place among them. */
  #tiles({ zoom, tileZoom, tiles }: FineField): { values: THREE.DataTexture; slots: THREE.DataTexture } {
    const cells = 4 ** (zoom - tileZoom);
    const values = new Float32Array(cells * tiles.size);
    const slots = new Float32Array(cellsAt(tileZoom)).fill(-1);
    [...tiles].forEach(([tile, part], slot) => {
      values.set(part, slot * cells);
      slots[tile] = slot;
    });
    return { values: this.#texture(values), slots: this.#texture(slots) };
  }
}
