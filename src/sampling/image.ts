/** One image's reverse process, from its seed to its pixels. */
import {
  ancestral,
  createGenerator,
  type Frame,
  type Generator,
  type Run,
  type RunInputs,
} from "../diffusion/mod.ts";
import type { Denoiser } from "./denoiser.ts";
import { slerp } from "./interpolate.ts";
import type { Plan } from "./plan.ts";

export interface ImageJob {
  readonly seed: number;
  /** Another seed, and its share of the noise. */
  readonly mix?: { readonly seed?: number; readonly share: number };
  readonly plan: Plan;
  /** Where to start instead of at the seed's first draw: x_T, [C, H, W] flattened. */
  readonly x_T?: Float32Array;
  /** What the plug-in is given beside noise, by name. */
  readonly inputs?: RunInputs;
}

/** Where an image gets its noise: of two seeds every draw is on the arc between the two's. */
export function noiseOf({ seed, mix }: Pick<ImageJob, "seed" | "mix">): Pick<Generator, "randn"> {
  const own = createGenerator(seed);
  if (mix?.seed === undefined) return own;
  const other = createGenerator(mix.seed);
  return { randn: (n) => slerp(own.randn(n), other.randn(n), mix.share) };
}

/** Samples one image: yields a frame a step, returns the final x. */
export async function* sampleImage(
  denoiser: Denoiser,
  { plan, x_T, inputs = {}, ...whose }: ImageJob,
): AsyncGenerator<Frame, Float32Array> {
  const { size, guided, denoise, vjp } = denoiser;
  const generator = noiseOf(whose);
  const first = generator.randn(size);
  const run: Run = {
    x: x_T?.slice() ?? first,
    timesteps: plan.timesteps,
    schedule: plan.schedule,
    config: plan.config,
    options: plan.options,
    guided,
    clip: plan.clip,
    noise: () => generator.randn(size),
    inputs,
    denoise,
    vjp,
  };
  return yield* (plan.scheduler.sampler ?? ancestral)(run);
}
