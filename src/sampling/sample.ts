/** Many seeds at once: the generator of frames that everything else is made from. */
import { requireSeed, type Scheduler } from "../diffusion/mod.ts";
import { InputError } from "../errors.ts";
import { Batcher, type BatcherOptions } from "./batcher.ts";
import { Channel } from "./channel.ts";
import { checkTaughtTimesteps } from "./distilled.ts";
import { checkConditioning, type Conditioning, defaultLabel } from "./guidance.ts";
import { denoiserOf } from "./denoiser.ts";
import { type ImageJob, sampleImage } from "./image.ts";
import type { Network } from "../model/network.ts";
import { type PlanRequest, planRun } from "./plan.ts";

/** Everything one call of {@link sample} is made from. */
export interface SampleRequest extends Omit<PlanRequest, "scheduler" | "steps">, BatcherOptions {
  /** One image each, 0 … 2³² − 1. */
  readonly seeds: Iterable<number>;
  /** The sampler. */
  readonly scheduler: Scheduler;
  /** Network evaluations an image. */
  readonly steps: number;
  /** A class for each seed, in the seeds' order, or one for all; default seed mod classes. */
  readonly labels?: number | readonly number[];
  /** Guidance scale; default what the weights recommend, else 1 (off). */
  readonly guidance?: number;
  /** The class that means "none", where the weights do not say. */
  readonly nullLabel?: number;
  /** Starting points in place of the seeds' own, in the seeds' order. */
  readonly x_T?: readonly Float32Array[];
  /** Stops all images before their next step. */
  readonly signal?: AbortSignal;
}

/** A moment of one image's reverse process. */
export interface SampleFrame {
  /** Whose picture this is. */
  readonly seed: number;
  /** The image's place among the seeds. */
  readonly index: number;
  /** Its class, where the network knows any. */
  readonly label?: number;
  /** 1 … steps. */
  readonly step: number;
  /** How many steps the whole run has. */
  readonly steps: number;
  /** The timestep whose noise was just taken out. */
  readonly t: number;
  /** x after the step, [C, H, W] in −1 … 1 once it is done. */
  readonly x: Float32Array;
  /** The estimate of the finished picture at this step. */
  readonly x_0: Float32Array;
  /** Whether x is the finished picture; true once for each seed. */
  readonly done: boolean;
}

/**
 * Samples every seed, as many at a time as fill a batch. A seed's pictures do not depend on which
 * others run beside it. Stopping early, or aborting, takes all images out before their next step.
 * @throws InputError before any work when something that was asked for cannot be.
 */
export async function* sample(
  network: Network,
  options: SampleRequest,
): AsyncGenerator<SampleFrame, void> {
  const { signal } = options;
  signal?.throwIfAborted();
  const stop = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const batcher = new Batcher(network, options);
  const jobs = imageJobs(network, options).values();
  const callsEach = (options.guidance ?? network.recommended?.guidance ?? 1) === 1 ? 1 : 2;
  const lanes = Math.max(1, Math.floor(batcher.maxBatch / callsEach));
  const channel = new Channel<SampleFrame>(2 * lanes);

  const lane = async () => {
    for (const job of jobs) {
      for await (const frame of imageFrames(batcher, job, stopped)) {
        if (!await channel.push(frame)) return;
      }
    }
  };
  const fail = (reason: unknown) => {
    channel.end({ reason });
    stop.abort(reason);
  };
  const all = Promise.all(Array.from({ length: lanes }, () => lane().catch(fail)))
    .then(() => channel.end());
  try {
    yield* channel;
  } finally {
    // The evaluation under way cannot be stopped; afterwards the network may be closed.
    stop.abort(new DOMException("sampling was stopped", "AbortError"));
    await all;
    await batcher.idle();
  }
}

/** One image of a request. */
interface LabelledJob extends ImageJob, Conditioning {
  /** Its place among the seeds. */
  readonly index: number;
}

/** A job a seed, everything checked. */
function imageJobs(network: Network, options: SampleRequest): LabelledJob[] {
  const { guidance = network.recommended?.guidance ?? 1, nullLabel, labels, x_T } = options;
  const plan = planRun(network.scheduler, options);
  checkTaughtTimesteps(network, plan);
  const seeds = [...options.seeds];
  for (const [name, list] of Object.entries({ labels, x_T })) {
    if (typeof list === "object" && list.length !== seeds.length) {
      throw new InputError(
        `${name}: expected one for each of ${seeds.length} seeds, found ${list.length}`,
      );
    }
  }
  return seeds.map((seed, index) => {
    requireSeed(seed);
    const given = typeof labels === "object" ? labels[index] : labels;
    const label = given ?? defaultLabel(network, seed);
    checkConditioning(network, { label, guidance, nullLabel });
    return { seed, index, plan, label, guidance, nullLabel, x_T: x_T?.[index] };
  });
}

async function* imageFrames(
  batcher: Batcher,
  job: LabelledJob,
  signal: AbortSignal,
): AsyncGenerator<SampleFrame, void> {
  const { seed, index, label, plan } = job;
  const steps = plan.timesteps.length;
  const frames = sampleImage(denoiserOf(batcher, plan, job, signal), job);
  try {
    for (let step = 1; step <= steps; step++) {
      const frame = await frames.next();
      if (frame.done) throw new InputError(frameCountMessage(job, steps, step - 1));
      const { t, x, x_0 } = frame.value;
      const common = { seed, index, label, step, steps, t, x_0 };
      if (step < steps) {
        yield { ...common, x, done: false };
        continue;
      }
      const result = await frames.next();
      if (!result.done) throw new InputError(frameCountMessage(job, steps, step + 1));
      yield { ...common, x: result.value, done: true };
    }
  } finally {
    await frames.return(undefined as never);
  }
}

function frameCountMessage({ plan }: ImageJob, expected: number, found: number): string {
  return `scheduler "${plan.scheduler.name}": expected a frame for each of ${expected} timesteps, found ${
    found > expected ? "more" : found
  }`;
}
