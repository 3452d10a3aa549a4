/** ᾱ and log-SNR as functions of (possibly fractional) time, from a table of βs. */
import { InputError } from "../errors.ts";
import { betasByName, cumulativeAlphas, rescaleZeroTerminalSnr } from "./betas.ts";
import type { Schedule, SchedulerConfig } from "./scheduler.ts";

/** λ = ½·ln(ᾱ/(1−ᾱ)), half the log signal-to-noise ratio (Kingma et al. 2021, §3). */
export function logSnr(alpha_bar: number): number {
  return 0.5 * Math.log(alpha_bar / (1 - alpha_bar));
}

/** ᾱ = 1/(1 + e^−2λ), the inverse of `logSnr`. */
export function alphaBarOf(lambda: number): number {
  return 1 / (1 + Math.exp(-2 * lambda));
}

/**
 * The schedule of β_1 … β_T; index t of the tables is the paper's t + 1.
 *
 * Throws `InputError` if there is no β, or one lies outside (0, 1). β_T = 1 alone is allowed: that is
 * a zero-terminal-SNR schedule.
 *
 * @example
 * ```ts
 * import { linearBetas, makeSchedule } from "@denoise/denoise/diffusion";
 * const schedule = makeSchedule(linearBetas(1000));
 * console.log(schedule.alpha_bar(-1), schedule.alpha_bar(999)); // 1 and nearly 0
 * ```
 */
export function makeSchedule(betas: ArrayLike<number>): Schedule {
  const T = betas.length;
  if (T < 1) throw new InputError("betas: expected at least one β, found none");
  for (let t = 0; t < T; t++) {
    const alpha = Math.fround(1 - Math.fround(betas[t]));
    const mayEndAtZero = t === T - 1 && T > 1;
    if (!(alpha < 1 && (alpha > 0 || alpha === 0 && mayEndAtZero))) {
      throw new InputError(
        `betas[${t}]: expected a number between 0 and 1 (exclusive), found ${betas[t]}`,
      );
    }
  }
  return scheduleOf(Float64Array.from(betas, Math.fround), cumulativeAlphas(betas));
}

/** A schedule from both of its tables; ᾱ must not increase. Use `makeSchedule` to have them checked. */
export function scheduleOf(betas: Float64Array, alphas_cumprod: Float64Array): Schedule {
  const T = alphas_cumprod.length;
  const lambdas = alphas_cumprod.map(logSnr);

  function lambda(t: number): number {
    if (t < 0) return Infinity;
    if (!(t <= T - 1)) {
      throw new InputError(`t: expected a timestep from 0 to ${T - 1}, found ${t}`);
    }
    const low = Math.floor(t), part = t - low;
    if (part === 0) return lambdas[low];
    // A zero-terminal-SNR table ends at λ = −∞, where a straight line in √ᾱ stands in.
    if (lambdas[low + 1] === -Infinity) return logSnr(alphas_cumprod[low] * (1 - part) ** 2);
    return lambdas[low] + part * (lambdas[low + 1] - lambdas[low]);
  }

  function alpha_bar(t: number): number {
    if (t < 0) return 1;
    return Number.isInteger(t) && t < T ? alphas_cumprod[t] : alphaBarOf(lambda(t));
  }

  function t_of(value: number): number {
    if (Number.isNaN(value)) throw new InputError("lambda: expected a number, found NaN");
    if (value >= lambdas[0]) return 0;
    if (value <= lambdas[T - 1]) return T - 1;
    let low = 0, high = T - 1; // lambdas[low] > value >= lambdas[high]
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (lambdas[middle] > value) low = middle;
      else high = middle;
    }
    if (lambdas[high] === -Infinity) {
      return low + 1 - Math.sqrt(alphaBarOf(value) / alphas_cumprod[low]);
    }
    return low + (lambdas[low] - value) / (lambdas[low] - lambdas[high]);
  }

  return { T, betas, alphas_cumprod, alpha_bar, lambda, t_of };
}

/**
 * A model's own schedule (its trained_betas, or its beta_schedule, rescaled to zero terminal SNR if it
 * says so), or, given a `name`, that schedule with the model's T, beta_start and beta_end.
 *
 * Throws `InputError` for an unknown name or βs outside (0, 1).
 */
export function scheduleFor(config: SchedulerConfig, name?: string): Schedule {
  const { num_train_timesteps: T, beta_start, beta_end } = config;
  if (name !== undefined) return makeSchedule(betasByName(name, T, beta_start, beta_end));
  const betas = config.trained_betas ?? betasByName(config.beta_schedule, T, beta_start, beta_end);
  return makeSchedule(config.rescale_betas_zero_snr ? rescaleZeroTerminalSnr(betas) : betas);
}
