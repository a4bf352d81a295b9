// From the sphere to the plane and back. The plane's unit is the radius of the globe, its origin the middle of
// the picture; `at` is the place that is shown there. Maps turn with the longitude and slide with the latitude.

import { toLonLat, toVector } from "./healpix";

export const PROJECTIONS = ["globe", "mollweide", "equirectangular"] as const;
export type Projection = (typeof PROJECTIONS)[number];

export interface Camera {
  projection: Projection;
  /** Place in the middle, degrees. */
  lon: number;
  lat: number;
  /** 1: the whole globe fits. */
  scale: number;
}

const DEGREE = Math.PI / 180;
const ROOT2 = Math.SQRT2;

export const MAX_SCALE = 60;

/** -180 <= lon < 180. */
export function wrapped(lon: number): number {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}

/** Half width and half height of what a projection fills of the plane. */
export function extent(projection: Projection): [number, number] {
  if (projection === "globe") return [1, 1];
  return projection === "mollweide" ? [2 * ROOT2, ROOT2] : [Math.PI, Math.PI / 2];
}

/** Pixels to the unit of the plane. */
export function radius(camera: Camera, width: number, height: number): number {
  const [halfWidth, halfHeight] = extent(camera.projection);
  return 0.96 * camera.scale * Math.min(width / 2 / halfWidth, height / 2 / halfHeight);
}

/** How far north of the equator the middle of the picture is, in the plane. */
export function offset({ projection, lat }: Camera): number {
  if (projection === "globe") return 0;
  return projection === "mollweide" ? ROOT2 * Math.sin(parametric(lat * DEGREE)) : lat * DEGREE;
}

/** East, north and up at the middle of the picture; for a map, at that longitude of the equator. */
export function frame({ projection, lon, lat }: Camera): number[][] {
  const tilt = projection === "globe" ? lat : 0;
  return [toVector(lon + 90, 0), toVector(lon, tilt + 90), toVector(lon, tilt)];
}

/** The place at a point of the plane; null outside the globe. */
export function unproject(camera: Camera, x: number, y: number): [number, number] | null {
  if (camera.projection === "globe") {
    const square = x * x + y * y;
    if (square > 1) return null;
    const [east, north, up] = frame(camera);
    const towards = Math.sqrt(1 - square);
    return toLonLat([0, 1, 2].map((i) => x * east[i] + y * north[i] + towards * up[i]) as [number, number, number]);
  }
  y += offset(camera);
  if (camera.projection === "equirectangular") {
    if (Math.abs(x) > Math.PI || Math.abs(y) > Math.PI / 2) return null;
    return [wrapped(camera.lon + x / DEGREE), y / DEGREE];
  }
  if ((x / 2) ** 2 + y * y > 2) return null;
  const angle = Math.asin(Math.max(-1, Math.min(1, y / ROOT2)));
  const lat = Math.asin(Math.max(-1, Math.min(1, (2 * angle + Math.sin(2 * angle)) / Math.PI)));
  return [wrapped(camera.lon + (Math.PI * x) / (2 * ROOT2 * Math.max(1e-9, Math.cos(angle))) / DEGREE), lat / DEGREE];
}

/** The point of the plane of a place; null on the far side of the globe. */
export function project(camera: Camera, lon: number, lat: number): [number, number] | null {
  if (camera.projection === "globe") {
    const v = toVector(lon, lat);
    const [x, y, z] = frame(camera).map((axis) => axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2]);
    return z < 0 ? null : [x, y];
  }
  const east = wrapped(lon - camera.lon) * DEGREE;
  if (camera.projection === "equirectangular") return [east, lat * DEGREE - offset(camera)];
  const angle = parametric(lat * DEGREE);
  return [((2 * ROOT2) / Math.PI) * east * Math.cos(angle), ROOT2 * Math.sin(angle) - offset(camera)];
}

/** Mollweide's angle: 2a + sin 2a = pi sin(lat), by Newton's method. */
function parametric(lat: number): number {
  if (Math.abs(lat) > Math.PI / 2 - 1e-9) return Math.sign(lat) * (Math.PI / 2);
  const target = Math.PI * Math.sin(lat);
  let angle = lat;
  for (let i = 0; i < 60; i++) {
    const step = (2 * angle + Math.sin(2 * angle) - target) / (2 + 2 * Math.cos(2 * angle));
    angle = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, angle - step));
    if (Math.abs(step) < 1e-13) break;
  }
  return angle;
}

/** Keeps a camera within what can be shown: a map that fits stays in the middle. */
export function bounded(camera: Camera): Camera {
  const clamp = (low: number, value: number, high: number) => Math.min(high, Math.max(low, value));
  const scale = clamp(1, camera.scale, MAX_SCALE);
  const reach = 1 - 1 / scale;
  const angle = Math.asin(reach);
  const most = {
    globe: 90,
    mollweide: Math.asin((2 * angle + Math.sin(2 * angle)) / Math.PI) / DEGREE,
    equirectangular: 90 * reach,
  }[camera.projection];
  return { projection: camera.projection, lon: wrapped(camera.lon), lat: clamp(-most, camera.lat, most), scale };
}

/** The number by which shaders know a projection. */
export function codeOf(projection: Projection): number {
  return PROJECTIONS.indexOf(projection);
}

/** `bool unproject(vec2 p, out vec3 v)` and `vec3 project(vec3 v, float near)`; `near` is a longitude to stay close to. */
export const GLSL_PROJECTIONS = /* glsl */ `
uniform int uProjection;
uniform mat3 uFrame;  // columns: east, north, up
uniform float uOffset;

const float PI = 3.141592653589793;
const float ROOT2 = 1.4142135623730951;

// Negative inside the globe's outline, in units of the plane, about.
float outline(vec2 p) {
  if (uProjection == 0) return length(p) - 1.0;
  p.y += uOffset;
  if (uProjection == 2) return max(abs(p.x) - PI, abs(p.y) - PI / 2.0);
  vec2 q = vec2(p.x / 2.0, p.y);
  return (dot(q, q) - 2.0) / max(0.5, length(vec2(q.x, 2.0 * q.y)));
}

vec3 unproject(vec2 p) {
  if (uProjection == 0) return normalize(uFrame * vec3(p, sqrt(max(0.0, 1.0 - dot(p, p)))));
  p.y += uOffset;
  float east = p.x;
  float z, ring;
  if (uProjection == 2) {
    z = sin(p.y);
    ring = cos(p.y);
  } else {
    float s = clamp(p.y / ROOT2, -1.0, 1.0);
    float c = sqrt(1.0 - s * s);
    z = clamp((2.0 * asin(s) + 2.0 * s * c) / PI, -1.0, 1.0);
    ring = sqrt(1.0 - z * z);
    east = PI * p.x / (2.0 * ROOT2 * max(c, 1e-6));
  }
  return uFrame * vec3(ring * sin(east), z, ring * cos(east));
}

// Point of the plane, and how far in front of it a point of the globe is.
vec3 project(vec3 v, float near, out float east) {
  vec3 local = v * uFrame;
  east = 0.0;
  if (uProjection == 0) return local;
  east = atan(local.x, local.z);
  if (near > -9.0) east -= 2.0 * PI * round((east - near) / (2.0 * PI));
  float lat = atan(local.y, length(local.xz));
  if (uProjection == 2) return vec3(east, lat - uOffset, 1.0);
  float angle = lat;
  float target = PI * local.y;
  for (int i = 0; i < 8; i++) {
    angle -= (2.0 * angle + sin(2.0 * angle) - target) / max(2.0 + 2.0 * cos(2.0 * angle), 1e-4);
    angle = clamp(angle, -PI / 2.0, PI / 2.0);
  }
  return vec3(2.0 * ROOT2 / PI * east * cos(angle), ROOT2 * sin(angle) - uOffset, 1.0);
}
`;
