// What the graphics card runs for each pixel and each stretch of a line.

import { GLSL_CELL } from "./healpix";
import { GLSL_PROJECTIONS } from "./projections";

export const FIELD_VERTEX = /* glsl */ `
precision highp float;
in vec3 position;
out vec2 vPlace;
void main() {
  vPlace = position.xy;
  gl_Position = vec4(position.xy, 0.0, 1.0);
}`;

export const FIELD_FRAGMENT = /* glsl */ `
precision highp float;
precision highp int;
precision highp sampler2D;
in vec2 vPlace;
out vec4 colour;
uniform vec2 uHalf;      // half the panel, in units of the plane
uniform float uPixel;    // a pixel of the screen, likewise
uniform int uSamples;    // along each side of a pixel
uniform sampler2D uValues;
uniform sampler2D uTable;
uniform int uColumns;
uniform int uZoom;
uniform vec2 uLimits;
uniform bool uLog;
uniform vec3 uMissing;
uniform int uMarked;     // a cell to be outlined, or -1
uniform int uMarkedZoom; // its zoom
uniform bool uTiled;     // there are tiles of a finer zoom
uniform sampler2D uTiles;
uniform sampler2D uSlots; // of each tile, where it is among those; -1: it is not
uniform int uTileColumns;
uniform int uSlotColumns;
uniform int uFineZoom;
uniform int uTileBits;   // of the number of a cell in its tile
uniform float uOutline;  // its width, in units of the plane
uniform bool uEmpty;
uniform bool uRim;
${GLSL_PROJECTIONS}
${GLSL_CELL}

float valueAt(vec3 place) {
  if (uTiled) {
    int cell = cellAt(place, uFineZoom);
    int tile = cell >> uTileBits;
    int slot = int(texelFetch(uSlots, ivec2(tile % uSlotColumns, tile / uSlotColumns), 0).r);
    if (slot >= 0) {
      int at = (slot << uTileBits) + cell - (tile << uTileBits);
      return texelFetch(uTiles, ivec2(at % uTileColumns, at / uTileColumns), 0).r;
    }
  }
  int cell = cellAt(place, uZoom);
  return texelFetch(uValues, ivec2(cell % uColumns, cell / uColumns), 0).r;
}

vec3 colourAt(vec3 place) {
  float value = valueAt(place);
  if (uEmpty || value > 1e38) return uMissing;
  float t = (value - uLimits.x) / (uLimits.y - uLimits.x);
  if (uLog) t = value > 0.0 ? log(value / uLimits.x) / log(uLimits.y / uLimits.x) : 0.0;
  return texelFetch(uTable, ivec2(int(clamp(t * 256.0, 0.0, 255.0)), 0), 0).rgb;
}

void main() {
  vec2 p = vPlace * uHalf;
  float inside = clamp(0.5 - outline(p) / uPixel, 0.0, 1.0);
  if (inside <= 0.0) discard;
  vec3 rgb = vec3(0.0);
  int count = uSamples * uSamples;
  for (int i = 0; i < count; i++) {
    vec2 within = (vec2(i % uSamples, i / uSamples) + 0.5) / float(uSamples) - 0.5;
    rgb += colourAt(unproject(p + uPixel * within));
  }
  rgb /= float(count);
  if (uMarked >= 0) {
    // Inside the marked cell, how near is another one? First the place itself, then two rings around it.
    int ring = 0;
    for (int i = 0; i < 17; i++) {
      float reach = i == 0 ? 0.0 : i < 9 ? uOutline : 2.0 * uOutline;
      float angle = float(i - 1) * PI / 4.0;
      bool other = cellAt(unproject(p + reach * vec2(cos(angle), sin(angle))), uMarkedZoom) != uMarked;
      if (i == 0 && other) break;
      if (other) {
        ring = i < 9 ? 1 : 2;
        break;
      }
    }
    rgb = ring == 1 ? vec3(0.05) : ring == 2 ? vec3(1.0) : rgb;
  }
  if (uRim) rgb = mix(rgb, vec3(0.35), 0.7 * clamp(1.25 + outline(p) / uPixel, 0.0, 1.0));
  colour = vec4(rgb * inside, inside);
}`;

export const LINE_VERTEX = /* glsl */ `
precision highp float;
precision highp int;
in vec3 position;
in vec3 start;
in vec3 end;
uniform vec2 uHalf;
uniform float uPixel;
uniform float uWidth;
out vec2 vPoint;
out float vFront;
out float vAcross;
${GLSL_PROJECTIONS}
void main() {
  float east, other;
  vec3 a = project(start, -10.0, east);
  vec3 b = project(end, east, other);
  if (uProjection == 0 && a.z < 0.0 && b.z < 0.0) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    return;
  }
  float wide = (0.5 * uWidth + 1.0) * uPixel;
  vec2 along = b.xy - a.xy;
  float size = length(along);
  along = size > 0.0 ? along / size : vec2(1.0, 0.0);
  bool first = position.x < 0.5;
  vPoint = (first ? a.xy : b.xy) + position.y * wide * vec2(-along.y, along.x);
  vFront = first ? a.z : b.z;
  vAcross = position.y * wide / uPixel;
  gl_Position = vec4(vPoint / uHalf, 0.0, 1.0);
}`;

export const LINE_FRAGMENT = /* glsl */ `
precision highp float;
precision highp int;
in vec2 vPoint;
in float vFront;
in float vAcross;
out vec4 colour;
uniform float uPixel;
uniform float uWidth;
uniform vec4 uColour;
${GLSL_PROJECTIONS}
void main() {
  if (vFront < 0.0 || outline(vPoint) > 0.0) discard;
  float alpha = uColour.a * clamp(0.5 + 0.5 * uWidth - abs(vAcross), 0.0, 1.0);
  colour = vec4(uColour.rgb * alpha, alpha);
}`;
