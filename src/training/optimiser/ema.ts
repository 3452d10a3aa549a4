/** The running mean's decay. */
import { add, mul, sub, type Value } from "../../graph/mod.ts";

/**
 * The share of the old mean kept by a step of `images` images: ½^(images/h) with the half-life
 * h = min(halfLife, 0.05·imagesSeen), so that a young run's mean forgets its first steps.
 * Source: Karras et al. 2022, app. F.6 (edm's training loop).
 * @param imagesSeen before this step; at 0 the mean is the parameters themselves
 */
export function emaDecay(images: number, imagesSeen: number, halfLife: number): number {
  const h = Math.min(halfLife, 0.05 * imagesSeen);
  return h === 0 ? 0 : 0.5 ** (images / h);
}

/** The running mean after a step: decay·ema + (1 − decay)·θ. */
export function emaUpdate(ema: Value, theta: Value, decay: Value): Value {
  return add(theta, mul(sub(ema, theta), decay));
}
