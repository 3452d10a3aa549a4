/** Clips x_0 to the pixels' range, or thresholds it dynamically. */
import type { OptionSchema, Run, SchedulerConfig } from "./scheduler.ts";

/**
 * What `Run.clip` does for a model, on a copy: dynamic thresholding if its config asks for it
 * (Saharia et al. 2022, §2.3), else the clip range, else nothing.
 */
export function makeClip(config: SchedulerConfig): (x_0: Float32Array) => Float32Array {
  if (config.thresholding) return (x_0) => dynamicThreshold(x_0, config);
  if (config.clip_sample) return (x_0) => clamp(x_0, config.clip_sample_range);
  return (x_0) => x_0.slice();
}

/** x_0 kept within ±range, NaN staying NaN. */
function clamp(x_0: Float32Array, range: number): Float32Array {
  return x_0.map((x) => x > range ? range : x < -range ? -range : x);
}

/**
 * Clips at ±s and divides by s, where s is the given quantile of |x_0|, at least 1 and at most
 * `sample_max_value` (which wins where it is below 1, as in torch).
 */
function dynamicThreshold(
  x_0: Float32Array,
  config: Pick<SchedulerConfig, "dynamic_thresholding_ratio" | "sample_max_value">,
): Float32Array {
  const sorted = x_0.map(Math.abs).sort();
  const rank = config.dynamic_thresholding_ratio * (sorted.length - 1);
  const low = sorted[Math.floor(rank)], high = sorted[Math.ceil(rank)];
  const quantile = low + (rank - Math.floor(rank)) * (high - low);
  const s = Math.min(Math.max(quantile, 1), config.sample_max_value);
  return clamp(x_0, s).map((x) => x / s);
}

/**
 * The option `clip` of the ODE solvers. diffusers' ignore `clip_sample`, which leaves speckle in pixel
 * models; here they clip unless told not to.
 */
export const clipOption: OptionSchema = {
  type: "boolean",
  description: "keep each estimate in the pixels' range; false is diffusers' behaviour",
  default: true,
};

/**
 * What a solver with a `clip` option does with the network's x_0: `run.clip`, or nothing with
 * `clip: false` (dynamic thresholding stays on, as in diffusers).
 */
export function solverClip(run: Run): (x_0: Float32Array) => Float32Array {
  return run.options.clip || run.config.thresholding ? (x_0) => run.clip(x_0) : (x_0) => x_0;
}
