/** The forward process' posterior q(x_{t−1} | x_t, x_0), and the reverse process' variances. */
import { combine } from "./combine.ts";
import { InputError } from "../errors.ts";
import type { VarianceType } from "./scheduler.ts";

/** q(x_s | x_t, x_0) = N(coef_x_0·x_0 + coef_x_t·x_t, beta_tilde·I) for a step from t to s < t. */
export interface Posterior {
  /** The weight of x_0 in the mean. */
  coef_x_0: number;
  /** The weight of x_t in the mean. */
  coef_x_t: number;
  /** β of the step, 1 − ᾱ_t/ᾱ_s. */
  beta: number;
  /** β̃ = (1−ᾱ_s)/(1−ᾱ_t)·β. */
  beta_tilde: number;
}

/**
 * The posterior of a step between two noise levels (Ho et al. 2020, eq. 7, with ᾱ_t/ᾱ_s for α_t so
 * that steps may be skipped). β has torch's float32 rounding, so that a thousand steps end where
 * diffusers' do.
 * @param alpha_bar ᾱ_t, where the step starts
 * @param alpha_bar_prev ᾱ_s, where it ends; 1 for the last step
 */
export function q_posterior(alpha_bar: number, alpha_bar_prev: number): Posterior {
  const alpha = Math.fround(alpha_bar / alpha_bar_prev);
  const beta = Math.fround(1 - alpha);
  return {
    coef_x_0: Math.sqrt(alpha_bar_prev) * beta / (1 - alpha_bar),
    coef_x_t: Math.sqrt(alpha) * (1 - alpha_bar_prev) / (1 - alpha_bar),
    beta,
    beta_tilde: (1 - alpha_bar_prev) / (1 - alpha_bar) * beta,
  };
}

/** The mean of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 7). */
export function q_posterior_mean(
  { coef_x_0, coef_x_t }: Posterior,
  x_0: Float32Array,
  x_t: Float32Array,
): Float32Array {
  return combine([coef_x_0, x_0], [coef_x_t, x_t]);
}

/**
 * log σ² of a reverse step. fixed_small is β̃ and fixed_large β (Ho et al. 2020, §3.2): one number.
 * learned_range lies between the two, log σ² = f·log β + (1−f)·log β̃ with f = (v+1)/2 for the
 * network's output v (Nichol & Dhariwal 2021, eq. 15): a number per element of v. Both are kept
 * above 1e-20, as the last β̃ is 0.
 *
 * Throws `InputError` if the network gave no v.
 */
export function logVariance(
  type: VarianceType,
  { beta, beta_tilde }: Posterior,
  v?: Float32Array,
): number | Float64Array {
  const small = Math.log(Math.max(beta_tilde, 1e-20)), large = Math.log(Math.max(beta, 1e-20));
  if (type === "fixed_small") return small;
  if (type === "fixed_large") return large;
  if (v === undefined) {
    throw new InputError(
      "variance_type: learned_range needs a network with twice as many output as input channels; " +
        "this one has no variance half. Set fixed_small or fixed_large.",
    );
  }
  return Float64Array.from(v, (v) => (v + 1) / 2 * large + (1 - v) / 2 * small);
}

/** σ·noise for the log σ² that `logVariance` gives, one number or one per element. */
export function scaleNoise(log_variance: number | Float64Array, noise: Float32Array): Float32Array {
  return typeof log_variance === "number"
    ? combine([Math.exp(0.5 * log_variance), noise])
    : noise.map((z, i) => Math.exp(0.5 * log_variance[i]) * z);
}
