// Vector arithmetic that the kernels share.
import * as c from "./constants";
import { constant } from "./constants";

/** a·b + c: fused where the build has relaxed SIMD and the processor can. */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD
    ? f32x4.relaxed_madd(a, b, c)
    : f32x4.add(f32x4.mul(a, b), c);
}

/** c − a·b, as `madd`. */
// @ts-ignore: decorator
@inline
export function nmadd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD
    ? f32x4.relaxed_nmadd(a, b, c)
    : f32x4.sub(c, f32x4.mul(a, b));
}

/**
 * eˣ to 1e-7 relative for x from −87.3 to 88.7, and of the nearer end beyond: x = n·ln 2 + r with
 * |r| ≤ ln 2 / 2, eʳ by Cephes' polynomial, times 2ⁿ. NaN stays.
 */
// @ts-ignore: decorator
@inline
export function expWithin4(x: v128): v128 {
  const clamped = f32x4.pmin(f32x4.pmax(x, constant(c.LOWEST)), constant(c.HIGHEST));
  // 1.5·2²³: behind it the sum has no bits left but those of the whole number n.
  const t = madd(clamped, constant(c.LOG2E), constant(c.WHOLE));
  const n = f32x4.sub(t, constant(c.WHOLE));
  // ln 2 in two parts, of which the first has few bits, so that n times it is exact.
  let r = nmadd(n, constant(c.LN2_HIGH), clamped);
  r = nmadd(n, constant(c.LN2_LOW), r);
  let p = constant(c.P0);
  p = madd(p, r, constant(c.P1));
  p = madd(p, r, constant(c.P2));
  p = madd(p, r, constant(c.P3));
  p = madd(p, r, constant(c.P4));
  p = madd(p, r, constant(c.P5));
  const y = f32x4.add(madd(f32x4.mul(r, r), p, r), constant(c.ONE));
  return i32x4.add(y, i32x4.shl(t, 23));
}

/** eˣ to 1e-7 relative: 0 below −87.3 and infinite above 88.7, where float32 ends; NaN stays. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const finite = v128.andnot(expWithin4(x), f32x4.lt(x, constant(c.LOWEST)));
  return v128.bitselect(f32x4.splat(<f32> Infinity), finite, f32x4.gt(x, constant(c.HIGHEST)));
}

/** 1 / (1 + e⁻ˣ). */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const one = constant(c.ONE);
  return f32x4.div(one, f32x4.add(one, expWithin4(f32x4.neg(x))));
}

/**
 * x·σ(x) of four vectors, stored `step` bytes apart. As `silu4`, one operation of all four after the
 * other: within a vector each waits for the one before.
 */
// @ts-ignore: decorator
@inline
export function storeSilu16(
  x0: v128,
  x1: v128,
  x2: v128,
  x3: v128,
  to: usize,
  step: usize,
): void {
  let k = constant(c.LOWEST);
  let r0 = f32x4.pmax(f32x4.neg(x0), k), r1 = f32x4.pmax(f32x4.neg(x1), k);
  let r2 = f32x4.pmax(f32x4.neg(x2), k), r3 = f32x4.pmax(f32x4.neg(x3), k);
  k = constant(c.HIGHEST);
  r0 = f32x4.pmin(r0, k), r1 = f32x4.pmin(r1, k), r2 = f32x4.pmin(r2, k), r3 = f32x4.pmin(r3, k);
  k = constant(c.LOG2E);
  let m = constant(c.WHOLE);
  let t0 = madd(r0, k, m), t1 = madd(r1, k, m), t2 = madd(r2, k, m), t3 = madd(r3, k, m);
  const n0 = f32x4.sub(t0, m), n1 = f32x4.sub(t1, m), n2 = f32x4.sub(t2, m), n3 = f32x4.sub(t3, m);
  k = constant(c.LN2_HIGH);
  r0 = nmadd(n0, k, r0), r1 = nmadd(n1, k, r1), r2 = nmadd(n2, k, r2), r3 = nmadd(n3, k, r3);
  k = constant(c.LN2_LOW);
  r0 = nmadd(n0, k, r0), r1 = nmadd(n1, k, r1), r2 = nmadd(n2, k, r2), r3 = nmadd(n3, k, r3);
  k = constant(c.P0), m = constant(c.P1);
  let p0 = madd(k, r0, m), p1 = madd(k, r1, m), p2 = madd(k, r2, m), p3 = madd(k, r3, m);
  k = constant(c.P2);
  p0 = madd(p0, r0, k), p1 = madd(p1, r1, k), p2 = madd(p2, r2, k), p3 = madd(p3, r3, k);
  k = constant(c.P3);
  p0 = madd(p0, r0, k), p1 = madd(p1, r1, k), p2 = madd(p2, r2, k), p3 = madd(p3, r3, k);
  k = constant(c.P4);
  p0 = madd(p0, r0, k), p1 = madd(p1, r1, k), p2 = madd(p2, r2, k), p3 = madd(p3, r3, k);
  k = constant(c.P5);
  p0 = madd(p0, r0, k), p1 = madd(p1, r1, k), p2 = madd(p2, r2, k), p3 = madd(p3, r3, k);
  r0 = madd(f32x4.mul(r0, r0), p0, r0), r1 = madd(f32x4.mul(r1, r1), p1, r1);
  r2 = madd(f32x4.mul(r2, r2), p2, r2), r3 = madd(f32x4.mul(r3, r3), p3, r3);
  k = constant(c.ONE);
  t0 = i32x4.shl(t0, 23), t1 = i32x4.shl(t1, 23), t2 = i32x4.shl(t2, 23), t3 = i32x4.shl(t3, 23);
  r0 = i32x4.add(f32x4.add(r0, k), t0), r1 = i32x4.add(f32x4.add(r1, k), t1);
  r2 = i32x4.add(f32x4.add(r2, k), t2), r3 = i32x4.add(f32x4.add(r3, k), t3);
  v128.store(to, f32x4.div(x0, f32x4.add(k, r0)));
  to += step;
  v128.store(to, f32x4.div(x1, f32x4.add(k, r1)));
  to += step;
  v128.store(to, f32x4.div(x2, f32x4.add(k, r2)));
  to += step;
  v128.store(to, f32x4.div(x3, f32x4.add(k, r3)));
}

/** x·σ(x). */
// @ts-ignore: decorator
@inline
export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(constant(c.ONE), expWithin4(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline
export function roundUp(x: i32, to: i32): i32 {
  return (x + to - 1) / to * to;
}

// @ts-ignore: decorator
@inline
export function sum4(x: v128): f32 {
  return (f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1)) +
    (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

// @ts-ignore: decorator
@inline
export function max4(x: v128): f32 {
  return max<f32>(
    max<f32>(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max<f32>(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}
