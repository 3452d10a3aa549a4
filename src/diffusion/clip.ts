/** Keeping the estimate of the picture inside the pixels' range. */
import type { SchedulerConfig } from "./types.ts";

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
  return x_0.map((x) => Math.max(-range, Math.min(range, x)));
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
