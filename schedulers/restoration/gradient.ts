/** Gradients through the network's estimate of the picture. */
import { combine, type Run } from "../../src/diffusion/mod.ts";
import { InputError } from "../../src/errors.ts";

/** (∂x̂_0/∂x_t)ᵀ u of a run's network. */
export type EstimateVjp = (x_t: Float32Array, t: number, u: Float32Array) => Promise<Float32Array>;

/**
 * x̂_0 = (x_t − √(1−ᾱ) ε̂)/√ᾱ, so that (∂x̂_0/∂x_t)ᵀ u = (u − √(1−ᾱ) (∂ε̂/∂x_t)ᵀ u)/√ᾱ.
 * @throws InputError where the engine gives no gradients
 */
export function estimateVjp(run: Run, sampler: string): EstimateVjp {
  const { vjp, schedule } = run;
  if (!vjp) {
    throw new InputError(
      `scheduler "${sampler}": needs gradients of the network, which this engine does not give; ddrm and ddnm need none`,
    );
  }
  return async (x_t, t, u) => {
    const alpha_bar = schedule.alpha_bar(t);
    const signal = Math.sqrt(alpha_bar);
    return combine([1 / signal, u], [-Math.sqrt(1 - alpha_bar) / signal, await vjp(x_t, t, u)]);
  };
}
