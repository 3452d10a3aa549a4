// Kernels of 3×3 convolutions, transformed: U = G g Gᵀ, eight output channels at a time, in float64.
import * as k from "./constants";

/** G of three numbers: its i-th of m + 2 results. */
// @ts-ignore: decorator
@inline
function g(m: i32, i: i32, x0: v128, x1: v128, x2: v128): v128 {
  if (i == 0) return x0;
  if (i == m + 1) return x2;
  if (m == 2) {
    const even = f64x2.add(x0, x2);
    const sum = i == 1 ? f64x2.add(even, x1) : f64x2.sub(even, x1);
    return f64x2.mul(v128.load64_splat(k.D_HALF), sum);
  }
  const near = i <= 2;
  const weight = v128.load64_splat(near ? k.D_HALF : k.D_TWO);
  const even = f64x2.add(x0, f64x2.mul(weight, x2));
  const odd = f64x2.mul(v128.load64_splat(near ? k.D_A : k.D_B), x1);
  const sum = i & 1 ? f64x2.add(even, odd) : f64x2.sub(even, odd);
  return f64x2.mul(v128.load64_splat(near ? k.D_M23 : k.D_16), sum);
}

// @ts-ignore: decorator
@inline
function tap(from: usize, index: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(from + (index << 5)));
}

/** taps [9][8] → eight numbers at each of the (m+2)² places, which are `step` bytes apart. */
export function transformKernels(m: i32, taps: usize, to: usize, step: usize): void {
  const size = m + 2;
  for (let lanes: usize = 0; lanes < 32; lanes += 8) {
    const from = taps + lanes;
    for (let a = 0; a < size; a++) {
      const t0 = g(m, a, tap(from, 0), tap(from, 3), tap(from, 6));
      const t1 = g(m, a, tap(from, 1), tap(from, 4), tap(from, 7));
      const t2 = g(m, a, tap(from, 2), tap(from, 5), tap(from, 8));
      let p = to + <usize> (a * size) * step + lanes;
      for (let b = 0; b < size; b++) {
        v128.store64_lane(p, f32x4.demote_f64x2_zero(g(m, b, t0, t1, t2)), 0);
        p += step;
      }
    }
  }
}

/** Eight 16-bit floats at an address as two times four float32, at another. */
// @ts-ignore: decorator
@inline
function widen(from: usize, to: usize): void {
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
        transformKernels(m, taps, to + c, step);
        kernels += 144;
      } else {
        transformKernels(m, kernels, to + c, step);
        kernels += 288;
      }
    }
    to += panelBytes;
  }
}
