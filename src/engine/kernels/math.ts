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
