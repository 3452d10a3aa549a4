/** The forward process q, which turns pictures into noise (Ho et al. 2020, §2). */
import { combine } from "./combine.ts";
import type { Schedule } from "./scheduler.ts";

/**
 * One step of the forward process: a draw from q(x_t | x_{t−1}) = N(√(1−β_t)·x_{t−1}, β_t·I)
 * (Ho et al. 2020, eq. 2).
 * @param x_prev x_{t−1}; for t = 0 the picture, pixels in −1 … 1
 * @param t a whole number from 0 to T − 1
 * @param noise a draw of N(0, I) of the same length
 */
export function q_step(
  x_prev: Float32Array,
  t: number,
  schedule: Schedule,
  noise: Float32Array,
): Float32Array {
  const beta = schedule.betas[t];
  if (beta === undefined) {
    throw new RangeError(`t: expected a whole number from 0 to ${schedule.T - 1}, found ${t}`);
  }
  return combine([Math.sqrt(1 - beta), x_prev], [Math.sqrt(beta), noise]);
}

/**
 * Any number of forward steps at once: a draw from q(x_t | x_0) = N(√ᾱ_t·x_0, (1−ᾱ_t)·I)
 * (Ho et al. 2020, eq. 4).
 * @param x_0 the picture, pixels in −1 … 1
 * @param t from 0 to T − 1, possibly fractional; t < 0 gives x_0 back
 * @param noise a draw of N(0, I) of the same length
 */
export function q_sample(
  x_0: Float32Array,
  t: number,
  schedule: Schedule,
  noise: Float32Array,
): Float32Array {
  const alpha_bar = schedule.alpha_bar(t);
  return combine([Math.sqrt(alpha_bar), x_0], [Math.sqrt(1 - alpha_bar), noise]);
}
