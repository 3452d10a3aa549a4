/** DDIM steps and the one-step target of progressive distillation. */

/** A noise level as √ᾱ and √(1−ᾱ), α_t and σ_t in the papers on distillation. */
export interface Level {
  readonly alpha: number;
  readonly sigma: number;
}

/** α and σ where ᾱ is `alpha_bar`; at ᾱ = 1 there is no noise. */
export function levelOf(alpha_bar: number): Level {
  return { alpha: Math.sqrt(alpha_bar), sigma: Math.sqrt(1 - alpha_bar) };
}

/** z_t = α_t·x + σ_t·ε. */
export function noise(x: Float32Array, eps: Float32Array, { alpha, sigma }: Level): Float32Array {
  return x.map((x, p) => alpha * x + sigma * eps[p]);
}

/**
 * DDIM's step from level t to s without fresh noise, z_s = α_s·x̂ + (σ_s/σ_t)·(z_t − α_t·x̂)
 * (Salimans & Ho 2022, eq. 3).
 */
export function ddimStep(z_t: Float32Array, x_hat: Float32Array, t: Level, s: Level): Float32Array {
  const shrink = s.sigma / t.sigma;
  return z_t.map((z, p) => s.alpha * x_hat[p] + shrink * (z - t.alpha * x_hat[p]));
}

/**
 * The estimate that takes DDIM from z_t to z_s in one step, x̃ = (z_s − (σ_s/σ_t)·z_t)/(α_s −
 * (σ_s/σ_t)·α_t) (Salimans & Ho 2022, algorithm 2). At s without noise it is z_s.
 */
export function oneStepTarget(
  z_t: Float32Array,
  z_s: Float32Array,
  t: Level,
  s: Level,
): Float32Array {
  const shrink = s.sigma / t.sigma;
  const scale = 1 / (s.alpha - shrink * t.alpha);
  return z_t.map((z, p) => scale * (z_s[p] - shrink * z));
}

/** The noise that makes z_t of a picture: ε̃ = (z_t − α_t·x̃)/σ_t. */
export function noiseOf(z_t: Float32Array, x: Float32Array, { alpha, sigma }: Level): Float32Array {
  return z_t.map((z, p) => (z - alpha * x[p]) / sigma);
}
