/** The learning rate over a run. */

/** A warm-up and a decay. */
export interface LearningRateOptions {
  /** The highest rate. */
  readonly lr: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** The step at which a half cosine after the warm-up reaches `final`; null keeps `lr`. */
  readonly horizon: number | null;
  /** What the cosine ends at, as a share of `lr`; default 0. */
  readonly final?: number;
}

/**
 * The learning rate of step k (1 for the first): k/warmup of `lr`, then half a cosine down
 * (Loshchilov & Hutter 2017, eq. 5, without restarts). It depends on nothing but k.
 */
export function learningRate(
  k: number,
  { lr, warmup, horizon, final = 0 }: LearningRateOptions,
): number {
  if (k < warmup) return lr * k / warmup;
  if (horizon === null) return lr;
  const progress = Math.min(1, (k - warmup) / Math.max(1, horizon - warmup));
  return lr * (final + (1 - final) * (1 + Math.cos(Math.PI * progress)) / 2);
}
