/** The variational bound in bits a dimension. */
import { createGenerator, logVariance, scheduleFor } from "../diffusion/mod.ts";
import type { Schedule } from "../diffusion/scheduler.ts";
import type { Network } from "../model/network.ts";
import type { DataSet } from "../training/data/data_set.ts";
import { yieldToEventLoop } from "../training/event_loop.ts";
import { askAbout, pictureOf, spread } from "./predict.ts";

export interface Bits {
  /** The bound: everything below added up. */
  readonly total: number;
  /** KL of q(x_T | x_0) from N(0, I). */
  readonly prior: number;
  /** The sum of the KL terms of t = 1 … T−1. */
  readonly kl: number;
  /** −log p(x_0 | x_1) of the pixels as bytes. */
  readonly decoder: number;
  readonly pictures: number;
}

export interface BitsOptions {
  readonly pictures: number;
  readonly seed?: number;
  /** Pictures in one evaluation. */
  readonly batch?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/**
 * An upper bound of the negative log-likelihood of byte pictures in bits a dimension, over every
 * timestep, with x̂_0 clipped to −1 … 1 (Ho et al. 2020, eq. 5; as improved-diffusion's
 * `calc_bpd_loop` computes it). A labelled network is asked under each picture's own label.
 */
export async function bitsPerDim(
  network: Network,
  data: DataSet,
  { pictures, seed = 0, batch = 32, signal, onProgress }: BitsOptions,
): Promise<Bits> {
  const schedule = scheduleFor(network.scheduler);
  const q = posteriors(schedule);
  const size = network.shape.reduce((a, b) => a * b);
  const chosen = spread(data.length, pictures).map((i) => pictureOf(data, network, i));
  const noises = chosen.map((_, i) => createGenerator((seed + i) >>> 0));

  let kl = 0, decoder = 0, prior = 0;
  for (const { x_0 } of chosen) prior += priorBits(x_0, schedule);
  for (let t = schedule.T - 1; t >= 0; t--) {
    for (let at = 0; at < chosen.length; at += batch) {
      const questions = chosen.slice(at, at + batch)
        .map((picture, i) => ({ ...picture, t, noise: noises[at + i].randn(size) }));
      for (const { x_0, x_t, denoised } of await askAbout(network, schedule, questions)) {
        const clipped = denoised.x_0.map((x) => Math.min(1, Math.max(-1, x)));
        const { variance_type } = network.scheduler;
        // As in improved-diffusion: fixed_large takes β̃_1 at t = 0, where β_1 is far too wide.
        const model = variance_type === "fixed_large" && t === 0
          ? q[0].logVariance
          : variance_type === "fixed_small"
          ? q[t].logVariance
          : logVariance(
            variance_type,
            { ...q[t], beta_tilde: Math.exp(q[t].logVariance) },
            denoised.variance,
          );
        if (t === 0) decoder += decoderBits(x_0, meanOf(q[t], clipped, x_t), model);
        else kl += klBits(q[t], x_0, clipped, model);
      }
    }
    onProgress?.(schedule.T - t, schedule.T);
    await yieldToEventLoop(signal);
  }
  const mean = (sum: number) => sum / chosen.length;
  return {
    total: mean(prior + kl + decoder),
    prior: mean(prior),
    kl: mean(kl),
    decoder: mean(decoder),
    pictures: chosen.length,
  };
}

interface ExactPosterior {
  readonly coef_x_0: number;
  readonly coef_x_t: number;
  readonly beta: number;
  readonly beta_tilde: number;
  /** log β̃_t, at t = 0 that of t = 1, since β̃_0 is 0. */
  readonly logVariance: number;
}

/** q(x_{t−1} | x_t, x_0) in float64 throughout: the terms are small differences of large numbers. */
function posteriors({ betas }: Schedule): ExactPosterior[] {
  let alpha_bar_prev = 1;
  const q = Array.from(betas, (beta) => {
    const alpha_bar = alpha_bar_prev * (1 - beta);
    const posterior = {
      coef_x_0: Math.sqrt(alpha_bar_prev) * beta / (1 - alpha_bar),
      coef_x_t: Math.sqrt(1 - beta) * (1 - alpha_bar_prev) / (1 - alpha_bar),
      beta,
      beta_tilde: beta * (1 - alpha_bar_prev) / (1 - alpha_bar),
    };
    alpha_bar_prev = alpha_bar;
    return posterior;
  });
  return q.map((posterior, t) => ({
    ...posterior,
    logVariance: Math.log(q[Math.max(t, Math.min(1, q.length - 1))].beta_tilde),
  }));
}

function meanOf(q: ExactPosterior, x_0: Float32Array, x_t: Float32Array): Float64Array {
  return Float64Array.from(x_0, (x, p) => q.coef_x_0 * x + q.coef_x_t * x_t[p]);
}

/** KL of two normal distributions in nats. */
export function normalKl(mean1: number, logVar1: number, mean2: number, logVar2: number): number {
  return 0.5 *
    (-1 + logVar2 - logVar1 + Math.exp(logVar1 - logVar2) +
      (mean1 - mean2) ** 2 * Math.exp(-logVar2));
}

/** Both means share coef_x_t·x_t, so that only the difference of the x_0s counts. */
function klBits(
  q: ExactPosterior,
  x_0: Float32Array,
  predicted: Float32Array,
  model: number | Float64Array,
): number {
  let sum = 0;
  for (let p = 0; p < x_0.length; p++) {
    const modelLogVariance = typeof model === "number" ? model : model[p];
    sum += normalKl(
      q.coef_x_0 * x_0[p],
      q.logVariance,
      q.coef_x_0 * predicted[p],
      modelLogVariance,
    );
  }
  return sum / x_0.length / Math.LN2;
}

function priorBits(x_0: Float32Array, { T, alpha_bar }: Schedule): number {
  const last = alpha_bar(T - 1);
  const sum = x_0.reduce((s, x) => s + normalKl(Math.sqrt(last) * x, Math.log(1 - last), 0, 0), 0);
  return sum / x_0.length / Math.LN2;
}

/**
 * −log₂ of a normal distribution's mass in each byte's bin, the outer bins open (Ho et al. 2020,
 * eq. 13), a pixel.
 */
export function decoderBits(
  x_0: Float32Array,
  mean: Float64Array,
  logVariance: number | Float64Array,
): number {
  let sum = 0;
  for (let p = 0; p < x_0.length; p++) {
    const inverse = Math.exp(
      -0.5 * (typeof logVariance === "number" ? logVariance : logVariance[p]),
    );
    const centred = x_0[p] - mean[p];
    const above = normalCdf(inverse * (centred + 1 / 255));
    const below = normalCdf(inverse * (centred - 1 / 255));
    const mass = x_0[p] < -0.999 ? above : x_0[p] > 0.999 ? 1 - below : above - below;
    sum -= Math.log2(Math.max(mass, 1e-12));
  }
  return sum / x_0.length;
}

/** Improved-diffusion's approximation of Φ, so that the figures are its own. */
function normalCdf(x: number): number {
  return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
