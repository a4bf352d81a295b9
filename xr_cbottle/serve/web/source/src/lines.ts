// Coasts and graticule as stretches between points of the unit sphere.

import * as THREE from "three";
import { toVector, type Vector } from "./healpix";

/** Pairs of points, as an instanced strip of four corners. */
export function lines(segments: Vector[][]): THREE.InstancedBufferGeometry {
  const count = segments.reduce((n, points) => n + points.length - 1, 0);
  const [starts, ends] = [new Float32Array(3 * count), new Float32Array(3 * count)];
  let i = 0;
  for (const points of segments) {
    for (let k = 1; k < points.length; k++, i += 3) {
      starts.set(points[k - 1], i);
      ends.set(points[k], i);
    }
  }
  const geometry = new THREE.InstancedBufferGeometry();
  geometry.setAttribute(
    "position",
    new THREE.BufferAttribute(new Float32Array([0, -1, 0, 1, -1, 0, 0, 1, 0, 1, 1, 0]), 3),
  );
  geometry.setIndex([0, 1, 2, 2, 1, 3]);
  geometry.setAttribute("start", new THREE.InstancedBufferAttribute(starts, 3));
  geometry.setAttribute("end", new THREE.InstancedBufferAttribute(ends, 3));
  geometry.instanceCount = count;
  return geometry;
}

export function coastLines(rings: number[][]): THREE.InstancedBufferGeometry {
  return lines(
    rings.map((steps) => {
      const points: Vector[] = [];
      let [east, north] = [0, 0];
      for (let i = 0; i < steps.length; i += 2) {
        [east, north] = [east + steps[i], north + steps[i + 1]];
        points.push(toVector(east / 100, north / 100));
      }
      return points;
    }),
  );
}

export function graticule(every: number): THREE.InstancedBufferGeometry {
  const segments: Vector[][] = [];
  for (let lon = -180; lon < 180; lon += every) {
    const reach = lon % 90 === 0 ? 90 : 90 - every / 2;
    segments.push(range(-reach, reach, 2.5).map((lat) => toVector(lon, lat)));
  }
  for (let lat = every - 90; lat < 90; lat += every) {
    segments.push(range(-180, 180, 2.5).map((lon) => toVector(lon, lat)));
  }
  return lines(segments);
}

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.round((to - from) / step) + 1 }, (_, i) => from + i * step);
}
