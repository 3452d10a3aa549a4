/** From pictures to measurements: what was given, or what is made of a good picture to try things on. */
import { createGenerator, type LinearOperator, type Measurement } from "../diffusion/mod.ts";
import type { Mask } from "./degradation.ts";
import { estimateNoise } from "./noise_level.ts";

/** The noise that 8-bit rounding leaves, and a little more: σ_y where nobody said and s is small. */
const ROUNDING_NOISE = 0.003;

/**
 * σ_y where none is named: 0 where all that is seen is seen equally well, so that known pixels stay as
 * they are; else the noise of 8-bit levels, which small singular values would make large.
 */
export function defaultNoise({ s }: LinearOperator): number {
  const seen = s.filter((value) => value > 0);
  const [least, most] = seen.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, 0]);
  return least > 0.999 * most ? 0 : ROUNDING_NOISE;
}

/**
 * What was measured.
 * @param noise σ_y, or "auto": told from y itself
 * @param mask which pixels of y were kept: whatever stands at the others was not measured, and is 0 as in H x
 */
export function given(
  operator: LinearOperator,
  y: Float32Array,
  noise: number | "auto" = defaultNoise(operator),
  mask?: Pick<Mask, "kept">,
): Measurement {
  const kept = mask?.kept;
  const sigma_y = noise === "auto" ? estimateNoise(y, operator.measured, kept) : noise;
  return { operator, y: kept ? y.map((v, i) => kept[i % kept.length] ? v : 0) : y, sigma_y };
}

/** y = H x + z for a picture x that is known. @param seed of z */
export function simulated(
  operator: LinearOperator,
  x: Float32Array,
  seed: number,
  noise: number = defaultNoise(operator),
): Measurement {
  const clean = operator.apply(x);
  const z = createGenerator(seed).randn(clean.length);
  return { operator, y: Float32Array.from(clean, (v, i) => v + noise * z[i]), sigma_y: noise };
}
