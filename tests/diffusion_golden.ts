/** Golden data made with PyTorch and diffusers, and a driver that runs real samplers over it. */
import {
  ancestral,
  configTimesteps,
  createGenerator,
  denoisedFrom,
  type Frame,
  makeClip,
  parseSchedulerConfig,
  type Run,
  scheduleFor,
  type Scheduler,
  type SchedulerConfig,
  type SchedulerOptions,
} from "../src/diffusion/mod.ts";

/** A golden JSON file, which Python wrote: it may contain -Infinity. */
export async function readGolden<T>(name: string): Promise<T> {
  const text = await Deno.readTextFile(new URL(`./golden/${name}.json`, import.meta.url));
  return JSON.parse(text.replaceAll("-Infinity", "-1e999"));
}

/** The config of a golden case, through the same parser as a model's file. */
export function goldenConfig(json: Record<string, unknown>): SchedulerConfig {
  return parseSchedulerConfig(json);
}

/** A run of a real sampler with `output` in place of the network. */
export function goldenRun(
  scheduler: Scheduler,
  config: SchedulerConfig,
  n: number,
  given: {
    x: Float32Array;
    options?: SchedulerOptions;
    output: (x_t: Float32Array, t: number) => Float32Array;
    noise: () => Float32Array;
  },
): Run {
  const schedule = scheduleFor(config);
  const options = given.options ?? {};
  return {
    x: given.x,
    timesteps: scheduler.timesteps?.(n, schedule, config, options) ??
      configTimesteps(n, schedule.T, config),
    schedule,
    config,
    options,
    guided: false,
    denoise: (x_t, t) =>
      Promise.resolve(
        denoisedFrom(config.prediction_type, given.output(x_t, t), x_t, schedule.alpha_bar(t)),
      ),
    clip: makeClip(config),
    inputs: {},
    noise: given.noise,
  };
}

/** The sampler of a plug-in, or the default one. */
export function samplerOf(scheduler: Scheduler): (run: Run) => AsyncGenerator<Frame, Float32Array> {
  return scheduler.sampler?.bind(scheduler) ?? ancestral;
}

/** Drains a sampler. */
export async function finish(
  frames: AsyncGenerator<Frame, Float32Array>,
): Promise<{ frames: Frame[]; x: Float32Array }> {
  const seen: Frame[] = [];
  for (;;) {
    const { done, value } = await frames.next();
    if (done) return { frames: seen, x: value };
    seen.push(value);
  }
}

/** torch.randn(n, generator=torch.Generator().manual_seed(seed)). */
export function randn(seed: number, n: number): Float32Array {
  return createGenerator(seed).randn(n);
}

/**
 * Throws unless `actual` is within `bound` of `expected` everywhere, or within a millionth
 * of it: unclipped x_0 runs into the hundreds, where float32 has no 1e-5. NaN never passes.
 */
export function assertNear(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  what: string,
) {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: expected ${expected.length} numbers, found ${actual.length}`);
  }
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= Math.max(bound, 1e-6 * Math.abs(expected[i])))) {
      throw new Error(`${what}: [${i}] is ${actual[i]}, expected ${expected[i]} ± ${bound}`);
    }
  }
}
