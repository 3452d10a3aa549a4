/** Noises held-out pictures and denoises them in batches. */
import type { Denoised, Schedule } from "../diffusion/scheduler.ts";
import { q_sample } from "../diffusion/mod.ts";
import type { Network } from "../model/network.ts";
import { Batcher } from "../sampling/batcher.ts";
import { denoiserOf } from "../sampling/denoiser.ts";
import type { DataSet } from "../training/data/data_set.ts";

/** A picture of a set, at a timestep, under some noise. */
export interface Question {
  readonly x_0: Float32Array;
  readonly t: number;
  readonly noise: Float32Array;
  readonly label?: number;
}

export interface Answer extends Question {
  readonly x_t: Float32Array;
  readonly denoised: Denoised;
}

/** Noises every picture to its timestep and asks the network, all in one evaluation. */
export function askAbout(
  network: Network,
  schedule: Schedule,
  questions: readonly Question[],
): Promise<Answer[]> {
  const batcher = new Batcher(network, { maxBatch: questions.length });
  const levels = { schedule, config: network.scheduler, modelTime: (t: number) => t };
  return Promise.all(questions.map(async (question) => {
    const { x_0, t, noise, label } = question;
    const { denoise } = denoiserOf(batcher, levels, { label, guidance: 1 });
    const x_t = q_sample(x_0, t, schedule, noise);
    return { ...question, x_t, denoised: await denoise(x_t, t) };
  }));
}

/** Picture i of a set as the network's x_0, with the label it is to be asked under. */
export function pictureOf(
  data: DataSet,
  network: Network,
  i: number,
): { x_0: Float32Array; label?: number } {
  const x_0 = new Float32Array(network.shape.reduce((a, b) => a * b));
  data.picture(i, x_0);
  return { x_0, label: network.labels ? data.labels?.[i] ?? network.nullLabel : undefined };
}

/** `count` indices spread evenly over a set. */
export function spread(length: number, count: number): number[] {
  const n = Math.min(length, count);
  return Array.from({ length: n }, (_, i) => Math.floor(i * length / n));
}
