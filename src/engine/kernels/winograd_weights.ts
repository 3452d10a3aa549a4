// Kernels of 3×3 convolutions, transformed: U = G g Gᵀ, eight output channels at a time, in float64.
import * as k from "./constants";

/** All m + 2 results of G for three numbers, `step` bytes apart at `to`. */
// @ts-ignore: decorator
@inline
function g(m: i32, x0: v128, x1: v128, x2: v128, to: usize, step: usize, narrow: bool): void {
  put(x0, to, narrow);
  if (m == 2) {
    const half = v128.load64_splat(k.D_HALF), even = f64x2.add(x0, x2);
    put(f64x2.mul(half, f64x2.add(even, x1)), to + step, narrow);
    put(f64x2.mul(half, f64x2.sub(even, x1)), to + step * 2, narrow);
    put(x2, to + step * 3, narrow);
    return;
  }
  const near = v128.load64_splat(k.D_M23), far = v128.load64_splat(k.D_16);
  let even = f64x2.add(x0, f64x2.mul(v128.load64_splat(k.D_HALF), x2));
  let odd = f64x2.mul(v128.load64_splat(k.D_A), x1);
  put(f64x2.mul(near, f64x2.add(even, odd)), to + step, narrow);
  put(f64x2.mul(near, f64x2.sub(even, odd)), to + step * 2, narrow);
  even = f64x2.add(x0, f64x2.mul(v128.load64_splat(k.D_TWO), x2));
  odd = f64x2.mul(v128.load64_splat(k.D_B), x1);
  put(f64x2.mul(far, f64x2.add(even, odd)), to + step * 3, narrow);
  put(f64x2.mul(far, f64x2.sub(even, odd)), to + step * 4, narrow);
  put(x2, to + step * 5, narrow);
}

/** Two float64, or as two float32. */
// @ts-ignore: decorator
@inline
function put(v: v128, to: usize, narrow: bool): void {
  if (narrow) v128.store64_lane(to, f32x4.demote_f64x2_zero(v), 0);
  else v128.store(to, v);
}

// @ts-ignore: decorator
@inline
function tap(from: usize, index: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(from + (index << 5)));
}

// @ts-ignore: decorator
@inline
function transform(m: i32, taps: usize, between: usize, to: usize, step: usize): void {
  const size = <usize> m + 2;
  for (let lanes: usize = 0; lanes < 32; lanes += 8) {
    const from = taps + lanes;
    // Three columns of the half-transformed kernel lie 16 bytes apart, its rows 48.
    for (let column: usize = 0; column < 3; column++) {
      const x0 = tap(from, column), x1 = tap(from, column + 3), x2 = tap(from, column + 6);
      g(m, x0, x1, x2, between + (column << 4), 48, false);
    }
    for (let row: usize = 0; row < size; row++) {
      const t = between + row * 48;
      const p = to + row * size * step + lanes;
      g(m, v128.load(t), v128.load(t, 16), v128.load(t, 32), p, step, true);
    }
  }
}

/**
 * taps [9][8] → eight numbers at each of the (m+2)² places, which are `step` bytes apart. `between` has
 * room for 18·2 float64.
 */
export function transformKernels(
  m: i32,
  taps: usize,
  between: usize,
  to: usize,
  step: usize,
): void {
  if (m == 4) transform(4, taps, between, to, step);
  else transform(2, taps, between, to, step);
}

/** Eight 16-bit floats at an address as two times four float32, at another. */
// @ts-ignore: decorator
@inline
export function widen(from: usize, to: usize): void {
  const bits = v128.load(from);
  store4(i32x4.extend_low_i16x8_u(bits), to);
  store4(i32x4.extend_high_i16x8_u(bits), to + 16);
}

// @ts-ignore: decorator
@inline
function store4(half: v128, to: usize): void {
  // The exponent's bias is 15 in one and 127 in the other; the product is exact.
  const magnitude = i32x4.shl(i32x4.shr_u(i32x4.shl(half, 17), 17), 13);
  const sign = i32x4.shl(i32x4.shr_u(half, 15), 31);
  v128.store(to, v128.or(f32x4.mul(magnitude, k.constant(k.TO_112)), sign));
}

/** U of `panels` panels from kernels [C][9][8] each, in 16 bits or 32: [(m+2)²][panels][C][8]. */
export function transformRange(
  m: i32,
  kernels: usize,
  half: bool,
  panels: i32,
  channels: i32,
  taps: usize,
  to: usize,
): void {
  const panelBytes = <usize> channels << 5;
  const step = <usize> panels * panelBytes;
  for (let panel = 0; panel < panels; panel++) {
    for (let c: usize = 0; c < panelBytes; c += 32) {
      if (half) {
        for (let i: usize = 0; i < 9; i++) widen(kernels + (i << 4), taps + (i << 5));
        transformKernels(m, taps, taps + 288, to + c, step);
        kernels += 144;
      } else {
        transformKernels(m, kernels, taps + 288, to + c, step);
        kernels += 288;
      }
    }
    to += panelBytes;
  }
}
