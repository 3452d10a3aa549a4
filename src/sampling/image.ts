/** One image's reverse process, from its seed to its pixels. */
import {
  ancestral,
  createGenerator,
  denoisedFrom,
  type Frame,
  type Run,
  type RunInputs,
} from "../diffusion/mod.ts";
import type { Batcher } from "./batcher.ts";
import { checkConditioning, type Conditioning } from "../recipe/conditioning.ts";
import { asker } from "./guidance.ts";
import type { Plan } from "./plan.ts";

export interface ImageJob extends Conditioning {
  readonly seed: number;
  readonly plan: Plan;
  /** Where to start instead of at the seed's first draw: x_T, [C, H, W] flattened. */
  readonly x_T?: Float32Array;
  /** What the plug-in is given beside noise, by name. */
  readonly inputs?: RunInputs;
}

/**
 * Samples one image through the batcher: yields a frame a step, returns the final x. Aborting takes
 * the image out before its next step.
 */
export async function* sampleImage(
  batcher: Batcher,
  job: ImageJob,
  signal?: AbortSignal,
): AsyncGenerator<Frame, Float32Array> {
  const { plan, seed } = job;
  checkConditioning(batcher.network, job);
  const ask = asker(batcher, job, signal);
  const size = batcher.network.shape.reduce((a, b) => a * b);
  const generator = createGenerator(seed);
  const first = generator.randn(size);

  const run: Run = {
    x: job.x_T?.slice() ?? first,
    timesteps: plan.timesteps,
    schedule: plan.schedule,
    config: plan.config,
    options: plan.options,
    guided: job.guidance !== 1,
    clip: plan.clip,
    noise: () => generator.randn(size),
    inputs: job.inputs ?? {},
    async denoise(x_t, t, alpha_bar) {
      signal?.throwIfAborted();
      const output = await ask(x_t, plan.modelTime(t, alpha_bar));
      const { prediction_type } = plan.config;
      return denoisedFrom(prediction_type, output, x_t, alpha_bar ?? plan.schedule.alpha_bar(t));
    },
  };
  return yield* (plan.scheduler.sampler ?? ancestral)(run);
}
