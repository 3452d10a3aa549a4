// Numbers that kernels multiply by, read from memory: V8 builds a vector constant anew wherever it is
// used, in four instructions, inside loops too; a load is one.

/** In the kernels' own words, behind those of `sync.ts`. */
const TABLE: usize = 512;

export const ONE: usize = TABLE;
export const HALF: usize = TABLE + 4;
export const TWO: usize = TABLE + 8;
/** √½, √2, √½³, √2³ and 5/2, of Winograd's transforms. */
export const A: usize = TABLE + 12;
export const B: usize = TABLE + 16;
export const A3: usize = TABLE + 20;
export const B3: usize = TABLE + 24;
export const K: usize = TABLE + 28;
/** Of eˣ: its range, log₂e, 1.5·2²³, ln 2 in two parts, and a polynomial. */
export const LOWEST: usize = TABLE + 32;
export const HIGHEST: usize = TABLE + 36;
export const LOG2E: usize = TABLE + 40;
export const WHOLE: usize = TABLE + 44;
export const LN2_HIGH: usize = TABLE + 48;
export const LN2_LOW: usize = TABLE + 52;
export const P0: usize = TABLE + 56;
export const P1: usize = TABLE + 60;
export const P2: usize = TABLE + 64;
export const P3: usize = TABLE + 68;
export const P4: usize = TABLE + 72;
export const P5: usize = TABLE + 76;

/** In float64: ½, 2, √½, √2, −2/3 and 1/6, of the transform of weights; 2¹¹² in float32. */
export const D_HALF: usize = TABLE + 88;
export const D_TWO: usize = TABLE + 96;
export const D_A: usize = TABLE + 104;
export const D_B: usize = TABLE + 112;
export const D_M23: usize = TABLE + 120;
export const D_16: usize = TABLE + 128;
export const TO_112: usize = TABLE + 136;

// @ts-ignore: decorator
@inline
export function constant(at: usize): v128 {
  return v128.load32_splat(at);
}

/** Every thread writes them before it works, all the same. */
export function writeConstants(): void {
  store<f32>(ONE, 1);
  store<f32>(HALF, 0.5);
  store<f32>(TWO, 2);
  store<f32>(A, 0.70710678118654752);
  store<f32>(B, 1.4142135623730951);
  store<f32>(A3, 0.35355339059327376);
  store<f32>(B3, 2.8284271247461903);
  store<f32>(K, 2.5);
  store<f32>(LOWEST, -87.3);
  store<f32>(HIGHEST, 88.7228);
  store<f32>(LOG2E, 1.44269504088896341);
  store<f32>(WHOLE, 12582912);
  store<f32>(LN2_HIGH, 0.693359375);
  store<f32>(LN2_LOW, -2.12194440e-4);
  store<f32>(P0, 1.9875691500e-4);
  store<f32>(P1, 1.3981999507e-3);
  store<f32>(P2, 8.3334519073e-3);
  store<f32>(P3, 4.1665795894e-2);
  store<f32>(P4, 1.6666665459e-1);
  store<f32>(P5, 5.0000001201e-1);
  store<f64>(D_HALF, 0.5);
  store<f64>(D_TWO, 2);
  store<f64>(D_A, 0.70710678118654752);
  store<f64>(D_B, 1.4142135623730951);
  store<f64>(D_M23, -2.0 / 3.0);
  store<f64>(D_16, 1.0 / 6.0);
  store<u32>(TO_112, 0x77800000);
}
