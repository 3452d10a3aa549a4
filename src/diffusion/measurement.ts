/** What is known of a picture besides the prior: y = H x + z, z ~ N(0, σ_y² I) (Kawar et al. 2022, eq. 1). */

import { InputError } from "../errors.ts";
import type { Run } from "./scheduler.ts";

/** Vectors go in as either; what comes out of a change of basis is float64, as 1/s may be large. */
export type Vector = Float32Array | Float64Array;

/**
 * A linear operator H with its singular value decomposition H = U Σ Vᵀ. V is a full orthonormal basis
 * of pictures; component i of x̄ = Vᵀx is *observed* where s_i > 0 and *missing* where s_i = 0.
 */
export interface LinearOperator {
  /** What it does, in a few words: "mean of 4 × 4". */
  readonly name: string;
  /** [C, H, W] of x. */
  readonly shape: readonly [number, number, number];
  /** [C, H, W] of y where that is a picture, else [m, 1, 1]. */
  readonly measured: readonly [number, number, number];
  /** Singular values, one for each component of x̄, in the order of V's columns. */
  readonly s: Float64Array;
  /** H x, without the decomposition. */
  apply(x: Vector): Float64Array;
  /** x̄ = Vᵀ x. */
  Vt(x: Vector): Float64Array;
  /** x = V x̄. */
  V(x_bar: Vector): Float64Array;
  /** Uᵀ y, as long as s; 0 where s_i = 0. */
  Ut(y: Vector): Float64Array;
  /** U c for c as long as s; components with s_i = 0 do not count. */
  U(c: Vector): Float64Array;
}

/** What was measured, and how. */
export interface Measurement {
  /** How the picture was turned into y. */
  readonly operator: LinearOperator;
  /** What came out, pixels in −1 … 1. */
  readonly y: Float32Array;
  /** The noise' standard deviation in the units of y: pixels in −1 … 1. */
  readonly sigma_y: number;
}

/** Singular values below this share of the largest count as missing: y in float32 says nothing there. */
const LEAST_SHARE = 1e-4;

/** A measurement in the basis V, the paper's spectral space. */
export interface Observation {
  /** ȳ_i = (Uᵀy)_i/s_i, a noisy x̄_i; 0 where missing. */
  readonly y_bar: Float64Array;
  /** Its noise σ_y/s_i; Infinity where missing. */
  readonly noise: Float64Array;
}

/** What a measurement says of each component of x̄ (Kawar et al. 2022, §3). */
export function observe({ operator, y, sigma_y }: Measurement): Observation {
  const { s } = operator;
  const least = LEAST_SHARE * s.reduce((a, b) => Math.max(a, b), 0);
  const observed = (i: number) => s[i] > 0 && s[i] >= least;
  return {
    y_bar: operator.Ut(y).map((c, i) => observed(i) ? c / s[i] : 0),
    noise: s.map((s_i, i) => observed(i) ? sigma_y / s_i : Infinity),
  };
}

/** H⁺y = V Σ⁺ Uᵀ y, the smallest picture that explains y. */
export function pseudoInverse(measurement: Measurement): Float32Array {
  return Float32Array.from(measurement.operator.V(observe(measurement).y_bar));
}

/** H x by the decomposition, U Σ Vᵀ x. */
export function applyBySvd(operator: LinearOperator, x: Vector): Float64Array {
  return operator.U(operator.Vt(x).map((c, i) => c * operator.s[i]));
}

/** y − H x. */
export function residualOf({ operator, y }: Measurement, x: Vector): Float64Array {
  return operator.apply(x).map((h, i) => y[i] - h);
}

/** The root of the mean square of y − H x: near σ_y for an x that explains y, and no more than y. */
export function residualRms(measurement: Measurement, x: Vector): number {
  const residual = residualOf(measurement, x);
  return Math.sqrt(residual.reduce((sum, r) => sum + r * r, 0) / residual.length);
}

/** The share of components that a measurement says nothing of. */
export function missingShare(operator: LinearOperator): number {
  const least = LEAST_SHARE * operator.s.reduce((a, b) => Math.max(a, b), 0);
  return operator.s.filter((s) => s === 0 || s < least).length / operator.s.length;
}

/** A run's measurement. @throws InputError where there is none to restore. */
export function measurementOf({ inputs: { measurement } }: Run, sampler: string): Measurement {
  if (measurement) return measurement;
  throw new InputError(`scheduler "${sampler}": restores a measurement, and none was given`);
}

/** σ_t = √((1 − ᾱ)/ᾱ), the noise of x_t/√ᾱ: the scale of the papers on restoration. */
export function sigmaOf(alpha_bar: number): number {
  return Math.sqrt((1 - alpha_bar) / alpha_bar);
}

/** ᾱ at which σ_t = `sigma`. */
export function alphaBarOfSigma(sigma: number): number {
  return 1 / (1 + sigma ** 2);
}

/** x̄_t = Vᵀ x_t/√ᾱ. */
export function toSpectrum(operator: LinearOperator, x_t: Vector, alpha_bar: number): Float64Array {
  const scale = 1 / Math.sqrt(alpha_bar);
  return operator.Vt(x_t).map((c) => c * scale);
}

/** x_t = √ᾱ V x̄_t. */
export function fromSpectrum(
  operator: LinearOperator,
  x_bar: Float64Array,
  alpha_bar: number,
): Float32Array {
  const scale = Math.sqrt(alpha_bar);
  return Float32Array.from(operator.V(x_bar), (x) => x * scale);
}

/**
 * x with what was measured put into it, H⁺y + (I − H⁺H) x: the nearest picture that explains y, for
 * measurements without noise.
 */
export function project(measurement: Measurement, x: Vector): Float32Array {
  const { y_bar, noise } = observe(measurement);
  const { operator } = measurement;
  return Float32Array.from(
    operator.V(operator.Vt(x).map((c, i) => noise[i] === Infinity ? c : y_bar[i])),
  );
}
