/** Samples many seeds at once and yields a frame for each step of each. */
import { schedulers } from "../../schedulers/mod.ts";
import type { Scheduler } from "../diffusion/mod.ts";
import { FieldError, InputError } from "../errors.ts";
import { type Conditioning, type Label, mostEvaluations } from "../recipe/conditioning.ts";
import { type Inputs, tensorInput, valuesOf } from "../recipe/inputs.ts";
import type { MixRequest } from "../recipe/mix.ts";
import type { Method, Recipe, Subject } from "../recipe/recipe.ts";
import {
  chooseScheduler,
  type MethodRequest,
  type NamedNetwork,
  resolveMethod,
  resolveSubject,
} from "../recipe/resolve.ts";
import { Batcher, type BatcherOptions } from "./batcher.ts";
import { Channel } from "./channel.ts";
import { checkTaughtTimesteps } from "./distilled.ts";
import { denoiserOf } from "./denoiser.ts";
import { type ImageJob, sampleImage } from "./image.ts";
import { type Plan, planRun } from "./plan.ts";

/** What {@link sample} and `generate` take; all but the seeds may be left out. */
export interface SampleOptions extends MethodRequest, BatcherOptions {
  /** One image each, 0 … 2³² − 1. */
  readonly seeds: Iterable<number>;
  /** A class for each seed, in the seeds' order, or one for all; default seed mod classes. */
  readonly labels?: Label | readonly Label[];
  /** Another picture and its share of each, in the seeds' order, or the same for all. */
  readonly mix?: MixRequest | readonly (MixRequest | undefined)[];
  /** Starting points in place of the seeds' own, in the seeds' order. */
  readonly x_T?: readonly Float32Array[];
  /** What the sampler is given beside noise: for each seed, or the same for all. */
  readonly inputs?: Inputs | readonly Inputs[];
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
  /** Everything that decides the finished picture. */
  readonly recipe: Recipe;
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

/** What all pictures of some options have in common, worked out and checked. */
export interface Prepared {
  readonly scheduler: Scheduler;
  readonly method: Method;
  readonly plan: Plan;
}

/** Works out how pictures are made. @throws InputError for what cannot be, before any work */
export function prepare(network: NamedNetwork, options: MethodRequest): Prepared {
  const scheduler = chooseScheduler(network, schedulers, options.scheduler);
  const method = resolveMethod(network, schedulers, options);
  const plan = planRun(network.scheduler, { ...method, scheduler });
  checkTaughtTimesteps(network, plan);
  return { scheduler, method, plan };
}

/**
 * Samples seeds and yields a frame for each step of each, as many seeds at a time as fill a batch. A
 * seed's picture does not depend on which others run beside it. Stopping early, or aborting, takes all
 * images out before their next step.
 * @param network a loaded model
 * @throws InputError before any work when something that was asked for cannot be
 *
 * @example
 * ```ts
 * import { load, sample } from "@denoise/denoise";
 * await using model = await load("digits", { backend: "wasm" });
 * for await (const { seed, step, steps, done } of sample(model, { seeds: [1, 2], steps: 4 })) {
 *   console.log(seed, step, steps, done);
 * }
 * ```
 */
export async function* sample(
  network: NamedNetwork,
  options: SampleOptions,
): AsyncGenerator<SampleFrame, void> {
  const { signal } = options;
  signal?.throwIfAborted();
  const stop = new AbortController();
  const stopped = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const batcher = new Batcher(network, options);
  const prepared = prepare(network, options);
  const all = subjectsOf(network, prepared.scheduler, options);
  const { guidance } = prepared.method;
  const callsEach = all.reduce(
    (most, { mix }) => Math.max(most, mostEvaluations({ guidance, mix })),
    1,
  );
  const subjects = all.entries();
  const lanes = Math.max(1, Math.floor(batcher.maxBatch / callsEach));
  const channel = new Channel<SampleFrame>(2 * lanes);

  const lane = async () => {
    for (const [index, subject] of subjects) {
      const image = await imageOf(network, prepared, options, index, subject);
      for await (const frame of imageFrames(batcher, image, stopped)) {
        if (!await channel.push(frame)) return;
      }
    }
  };
  const fail = (reason: unknown) => {
    channel.end({ reason });
    stop.abort(reason);
  };
  const finished = Promise.all(Array.from({ length: lanes }, () => lane().catch(fail)))
    .then(() => channel.end());
  try {
    yield* channel;
  } finally {
    // The evaluation under way cannot be stopped; afterwards the network may be closed.
    stop.abort(new DOMException("sampling was stopped", "AbortError"));
    await finished;
    await batcher.idle();
  }
}

/** Every seed's subject, all checked before any work. */
export function subjectsOf(
  network: NamedNetwork,
  scheduler: Scheduler,
  { seeds, labels, mix, x_T, inputs }: SampleOptions,
): Subject[] {
  const all = [...seeds];
  for (const [name, list] of Object.entries({ labels, mix, x_T, inputs })) {
    if (Array.isArray(list) && list.length !== all.length) {
      throw new FieldError(name, `one for each of ${all.length} seeds`, list.length);
    }
  }
  return all.map((seed, i) =>
    resolveSubject(network, scheduler, {
      seed,
      label: nth(labels, i),
      mix: nth(mix, i),
      inputs: nth(inputs, i),
    })
  );
}

/** What is given for each, or once for all. */
function nth<T>(values: T | readonly T[] | undefined, i: number): T | undefined {
  return Array.isArray(values) ? values[i] : values as T | undefined;
}

interface Image {
  readonly index: number;
  readonly recipe: Recipe;
  readonly job: ImageJob & Conditioning;
}

async function imageOf(
  { shape }: NamedNetwork,
  { method, plan }: Prepared,
  options: SampleOptions,
  index: number,
  subject: Subject,
): Promise<Image> {
  const x_T = options.x_T?.[index];
  const start = x_T && { x_T: (await tensorInput(x_T, shape)).sha256 };
  const recipe = {
    ...method,
    ...subject,
    ...(start && { inputs: { ...subject.inputs, ...start } }),
  };
  const inputs = valuesOf(nth(options.inputs, index));
  return { index, recipe, job: { ...recipe, plan, x_T, inputs } };
}

async function* imageFrames(
  batcher: Batcher,
  { index, recipe, job }: Image,
  signal: AbortSignal,
): AsyncGenerator<SampleFrame, void> {
  const { seed, label, plan } = job;
  const steps = plan.timesteps.length;
  const frames = sampleImage(denoiserOf(batcher, plan, job, signal), job);
  try {
    for (let step = 1; step <= steps; step++) {
      const frame = await frames.next();
      if (frame.done) throw new InputError(frameCountMessage(job, steps, step - 1));
      const { t, x, x_0 } = frame.value;
      const common = { seed, index, label, recipe, step, steps, t, x_0 };
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
