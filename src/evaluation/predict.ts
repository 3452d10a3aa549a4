/** Asking a network about noised pictures, many at a time. */
import type { Denoised, Schedule } from "../diffusion/types.ts";
import { denoisedFrom, q_sample } from "../diffusion/mod.ts";
import type { Network } from "../model/network.ts";
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
export async function askAbout(
  network: Network,
  schedule: Schedule,
  questions: readonly Question[],
): Promise<Answer[]> {
  const size = network.shape.reduce((a, b) => a * b);
  const outSize = size / network.shape[0] * network.outChannels;
  const x = new Float32Array(questions.length * size);
  questions.forEach(({ x_0, t, noise }, i) => x.set(q_sample(x_0, t, schedule, noise), i * size));
  const t = Float32Array.from(questions, ({ t }) => t);
  const labels = network.labels && Int32Array.from(questions, ({ label }) => label!);
  const output = await network.predict(x, t, labels);
  return questions.map((question, i) => {
    const x_t = x.subarray(i * size, (i + 1) * size);
    const denoised = denoisedFrom(
      network.scheduler.prediction_type,
      output.subarray(i * outSize, (i + 1) * outSize),
      x_t,
      schedule.alpha_bar(question.t),
    );
    return { ...question, x_t, denoised };
  });
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
