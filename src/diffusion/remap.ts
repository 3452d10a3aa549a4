/** Runs a sampler's schedule on a model that was trained under another, matched by log-SNR. */
import { logSnr, scheduleOf } from "./schedule.ts";
import type { Schedule } from "./scheduler.ts";

/** A sampler's schedule made to fit a model trained under another. */
export interface Remap {
  /** What the sampler runs under: its own schedule, ᾱ kept inside what the model has seen. */
  readonly schedule: Schedule;
  /** The same timesteps without those that the clamp made equal in ᾱ to a neighbour. */
  timesteps(timesteps: readonly number[]): number[];
  /**
   * The model's timestep, possibly fractional, with the noise of the sampler's t.
   * @param alpha_bar x_t's ᾱ where it is not `schedule.alpha_bar(t)`
   */
  modelTime(t: number, alpha_bar?: number): number;
}

/**
 * Matches noise levels through log-SNR: the model is asked at the time whose λ equals the sampler's
 * (Kingma et al. 2021, §3: a schedule is only a path through λ). With equal tables t passes through
 * untouched. Convert the model's output with the sampler's ᾱ.
 * @param sampler the schedule the sampler wants
 * @param model the schedule the model was trained under
 */
export function remap(sampler: Schedule, model: Schedule): Remap {
  if (sameTable(sampler, model)) {
    return {
      schedule: model,
      timesteps: (timesteps) => [...timesteps],
      modelTime: (t, alpha_bar) => alpha_bar === undefined ? t : model.t_of(logSnr(alpha_bar)),
    };
  }
  const schedule = clampedTo(model, sampler);
  return {
    schedule,
    timesteps: (timesteps) => withoutEqual(timesteps, schedule),
    modelTime: (t, alpha_bar) =>
      model.t_of(alpha_bar === undefined ? schedule.lambda(t) : logSnr(alpha_bar)),
  };
}

function sameTable(a: Schedule, b: Schedule): boolean {
  return a.T === b.T && a.alphas_cumprod.every((alpha_bar, t) => alpha_bar === b.alphas_cumprod[t]);
}

function clampedTo(model: Schedule, { alphas_cumprod }: Schedule): Schedule {
  const most = model.alphas_cumprod[0], least = model.alphas_cumprod[model.T - 1];
  const clamped = alphas_cumprod.map((a) => Math.max(least, Math.min(most, a)));
  const betas = clamped.map((a, t) => 1 - a / (t === 0 ? 1 : clamped[t - 1]));
  return scheduleOf(betas, clamped);
}

/**
 * Drops timesteps clamped to the same ᾱ: keeps the first of a run, except at the clean end, where it
 * keeps the last so that sampling still ends at t = 0.
 */
function withoutEqual(timesteps: readonly number[], schedule: Schedule): number[] {
  const alpha_bars = timesteps.map((t) => schedule.alpha_bar(t));
  return timesteps.filter((_, i) =>
    alpha_bars[i] === schedule.alphas_cumprod[0]
      ? alpha_bars[i + 1] !== alpha_bars[i]
      : i === 0 || alpha_bars[i - 1] !== alpha_bars[i]
  );
}
