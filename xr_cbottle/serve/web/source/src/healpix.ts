// Which HEALPix cell a point lies in, nested order: once for the pointer, in double precision, and once for
// the pixels of the picture, in GLSL. Both follow Górski et al. (2005), as healpy does.

export type Vector = [number, number, number];

const DEGREE = Math.PI / 180;

/** Cells of the globe at a zoom. */
export function cellsAt(zoom: number): number {
  return 12 * 4 ** zoom;
}

/** The zoom that has so many cells; NaN if none has. */
export function zoomOf(cells: number): number {
  const zoom = Math.log2(cells / 12) / 2;
  return Number.isInteger(zoom) ? zoom : NaN;
}

/** About the edge of a cell in km. */
export function cellWidth(zoom: number): number {
  return 6371 * Math.sqrt(Math.PI / 3) / 2 ** zoom;
}

/** Point of the unit sphere. */
export function toVector(lon: number, lat: number): Vector {
  const ring = Math.cos(lat * DEGREE);
  return [ring * Math.cos(lon * DEGREE), ring * Math.sin(lon * DEGREE), Math.sin(lat * DEGREE)];
}

/** Longitude [-180, 180] and latitude in degrees. */
export function toLonLat([x, y, z]: Vector): [number, number] {
  return [Math.atan2(y, x) / DEGREE, Math.atan2(z, Math.hypot(x, y)) / DEGREE];
}

/** Cell that a point lies in, nested order. */
export function cellAt(lon: number, lat: number, zoom: number): number {
  const nside = 2 ** zoom;
  const last = nside - 1;
  const z = Math.sin(lat * DEGREE);
  const quarter = ((((lon / 90) % 4) + 4) % 4) % 4;
  let face: number, x: number, y: number;
  if (Math.abs(z) <= 2 / 3) {
    const along = nside * (0.5 + quarter);
    const across = nside * z * 0.75;
    const falling = Math.floor(along - across);
    const rising = Math.floor(along + across);
    const p = Math.floor(falling / nside);
    const m = Math.floor(rising / nside);
    face = p === m ? (p & 3) + 4 : p < m ? p & 3 : (m & 3) + 8;
    x = rising & last;
    y = nside - (falling & last) - 1;
  } else {
    const sector = Math.min(3, Math.floor(quarter));
    const within = quarter - sector;
    const ring = (nside * Math.cos(lat * DEGREE)) / Math.sqrt((1 + Math.abs(z)) / 3);
    const j = Math.min(last, Math.floor(within * ring));
    const k = Math.min(last, Math.floor((1 - within) * ring));
    face = z >= 0 ? sector : sector + 8;
    x = z >= 0 ? nside - k - 1 : j;
    y = z >= 0 ? nside - j - 1 : k;
  }
  let inFace = 0;
  for (let bit = 0, place = 1; bit < zoom; bit++, place *= 4) {
    inFace += ((x >> bit) & 1) * place + ((y >> bit) & 1) * 2 * place;
  }
  return face * nside * nside + inFace;
}

/** `int cellAt(vec3 v, int zoom)` for a point of the unit sphere. */
export const GLSL_CELL = /* glsl */ `
int spread(int v) {
  v = (v | (v << 8)) & 0x00FF00FF;
  v = (v | (v << 4)) & 0x0F0F0F0F;
  v = (v | (v << 2)) & 0x33333333;
  return (v | (v << 1)) & 0x55555555;
}

int cellAt(vec3 v, int zoom) {
  int nside = 1 << zoom;
  int last = nside - 1;
  float size = float(nside);
  float ring = length(v.xy);
  float quarter = ring > 0.0 ? atan(v.y, v.x) * 0.6366197723675814 : 0.0;
  if (quarter < 0.0) quarter += 4.0;
  if (quarter >= 4.0) quarter = 0.0;
  int face, x, y;
  if (abs(v.z) <= 0.6666666666666666) {
    float along = size * (0.5 + quarter);
    float across = size * v.z * 0.75;
    int falling = int(floor(along - across));
    int rising = int(floor(along + across));
    int p = falling >> zoom;
    int m = rising >> zoom;
    face = p == m ? (p & 3) + 4 : p < m ? (p & 3) : (m & 3) + 8;
    x = rising & last;
    y = nside - (falling & last) - 1;
  } else {
    int sector = min(3, int(quarter));
    float within = quarter - float(sector);
    float reach = size * ring / sqrt((1.0 + abs(v.z)) / 3.0);
    int j = min(last, int(within * reach));
    int k = min(last, int((1.0 - within) * reach));
    face = v.z >= 0.0 ? sector : sector + 8;
    x = v.z >= 0.0 ? nside - k - 1 : j;
    y = v.z >= 0.0 ? nside - j - 1 : k;
  }
  return (face << (2 * zoom)) + spread(x) + (spread(y) << 1);
}
`;
