// Packages that come without types; each is used in one module.

declare module "three" {
  export const BufferAttribute: any;
  export type BufferAttribute = any;
  export const BufferGeometry: any;
  export type BufferGeometry = any;
  export const Camera: any;
  export type Camera = any;
  export const Color: any;
  export type Color = any;
  export const DataTexture: any;
  export type DataTexture = any;
  export const InstancedBufferAttribute: any;
  export type InstancedBufferAttribute = any;
  export const InstancedBufferGeometry: any;
  export type InstancedBufferGeometry = any;
  export const Matrix3: any;
  export type Matrix3 = any;
  export const Mesh: any;
  export type Mesh = any;
  export const PlaneGeometry: any;
  export type PlaneGeometry = any;
  export const RawShaderMaterial: any;
  export type RawShaderMaterial = any;
  export const Scene: any;
  export type Scene = any;
  export const ShaderMaterial: any;
  export type ShaderMaterial = any;
  export const Vector2: any;
  export type Vector2 = any;
  export const Vector4: any;
  export type Vector4 = any;
  export const WebGLRenderer: any;
  export type WebGLRenderer = any;
  export const DoubleSide: any;
  export const FloatType: any;
  export const GLSL3: any;
  export const LinearSRGBColorSpace: any;
  export const RGBAFormat: any;
  export const RedFormat: any;
}

declare module "d3-scale-chromatic";

declare module "gifenc" {
  export function GIFEncoder(): {
    writeFrame(index: Uint8Array, width: number, height: number, options: { palette: number[][]; delay: number }): void;
    finish(): void;
    bytes(): Uint8Array<ArrayBuffer>;
  };
  export function quantize(rgba: Uint8ClampedArray, colours: number): number[][];
  export function applyPalette(rgba: Uint8ClampedArray, palette: number[][]): Uint8Array;
}

declare module "places" {
  export const places: [string, number, number][];
  export const countries: [string, number, number, number][];
}

declare module "coast" {
  const lines: { coarse: number[][]; fine: number[][] };
  export default lines;
}
