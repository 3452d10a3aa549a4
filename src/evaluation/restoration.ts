/** Restoration measured on held-out pictures: a table of operators, samplers and evaluations. */
import { restorers } from "../../schedulers/restoration/mod.ts";
import { type Measurement, pseudoInverse, residualRms } from "../diffusion/mod.ts";
import type { Model } from "../model/model.ts";
import { MEASUREMENT, measurementInput } from "../restoration/input.ts";
import { simulated } from "../restoration/measure.ts";
import { psnr, ssim } from "../restoration/similarity.ts";
import { countEvaluations } from "../sampling/evaluations.ts";
import { prepare, sample } from "../sampling/sample.ts";
import type { DataSet } from "../training/data/data_set.ts";
import { InputError } from "../errors.ts";
import { labelMeaning } from "./asked_labels.ts";
import type { Classifier } from "./classifier.ts";
import { wilsonInterval } from "./interval.ts";
import { pictureOf, spread } from "./predict.ts";
import type { RestorationTask } from "./restoration_tasks.ts";

/** A sampler of `restorers` and how it is run. */
export interface RestorerChoice {
  readonly sampler: string;
  readonly steps: number;
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface RestorationScore extends RestorerChoice {
  readonly task: string;
  /** Evaluations of the network for an answer; a gradient counts as two. */
  readonly cost: number;
  readonly pictures: number;
  /** The mean over pictures, in dB, with the half width of its 95 % interval. */
  readonly psnr: Mean;
  readonly ssim: Mean;
  /** The mean of the rms of y − H x; over σ_y where there is noise. */
  readonly residual: number;
  /** The share that the classifier reads as the truth's label, with its 95 % interval. */
  readonly read?: Share;
  /** The same for what most of several answers are read as. */
  readonly majority?: Share & { readonly answers: number };
  /** Whether the sampler was told the label. */
  readonly labelled: boolean;
}

export interface Mean {
  readonly mean: number;
  readonly within: number;
}

export interface Share {
  readonly share: number;
  readonly interval: readonly [number, number];
}

/** What no sampler at all gives: H⁺y laid over black. */
export interface Baseline {
  readonly task: string;
  readonly psnr: Mean;
  readonly ssim: Mean;
  readonly read?: Share;
}

export interface RestorationOptions {
  readonly heldOut: DataSet;
  /** How many of the held-out pictures. */
  readonly pictures: number;
  /** Answers a picture; more than one also give a majority. */
  readonly answers?: number;
  /** Tell the sampler the label, where the network knows classes. */
  readonly labelled?: boolean;
  readonly classifier?: Classifier;
  readonly batch?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

interface Case {
  readonly truth: Float32Array;
  readonly label?: number;
  readonly measurement: Measurement;
}

/** Held-out pictures, evenly out of the set, as they are measured. */
function casesOf(model: Model, task: RestorationTask, options: RestorationOptions): Case[] {
  return spread(options.heldOut.length, options.pictures).map((index, i) => {
    const { x_0: truth } = pictureOf(options.heldOut, model, index);
    const measurement = simulated(task.operator(i), truth, 1_000_000 + i, task.sigma_y);
    return { truth, label: options.heldOut.labels?.[index], measurement };
  });
}

/** How near one sampler's answers to one task come to the truth. */
export async function scoreRestoration(
  model: Model,
  task: RestorationTask,
  choice: RestorerChoice,
  options: RestorationOptions,
): Promise<RestorationScore> {
  const { answers = 1, labelled = false, classifier, signal, batch = 32, onProgress } = options;
  const cases = casesOf(model, task, options);
  const inputs = await Promise.all(
    cases.map(async ({ measurement }) => ({ [MEASUREMENT]: await measurementInput(measurement) })),
  );
  const names = options.heldOut.labelNames;
  if (labelled && !names) throw new InputError("--labelled: these pictures have no classes");
  const asked = labelled
    ? (label: number) => labelMeaning(model.labels!, names!, label)
    : (label?: number) => model.nullLabel ?? label!;
  const repeat = <T>(values: readonly T[]): T[] =>
    Array.from({ length: answers }, () => values).flat();
  const request = {
    seeds: Array.from({ length: answers * cases.length }, (_, i) => i),
    scheduler: restorers[choice.sampler],
    steps: choice.steps,
    options: choice.options,
    labels: model.labels && repeat(cases.map(({ label }) => asked(label!))),
    guidance: 1,
    inputs: repeat(inputs),
    maxBatch: batch,
    signal,
  };
  const { plan } = prepare(model, request);
  const made: Float32Array[] = [];
  let done = 0;
  for await (const frame of sample(model, request)) {
    if (!frame.done) continue;
    made[frame.index] = frame.x;
    onProgress?.(++done, request.seeds.length);
  }
  const first = made.slice(0, cases.length);
  const residuals = first.map((x, i) => residualRms(cases[i].measurement, x));
  const read = await readAs(classifier, made, model);
  const labels = cases.map(({ label }) => label);
  return {
    ...choice,
    task: task.name,
    cost: await countEvaluations(plan),
    pictures: cases.length,
    psnr: meanOf(first.map((x, i) => psnr(x, cases[i].truth))),
    ssim: meanOf(first.map((x, i) => ssim(x, cases[i].truth, model.shape))),
    residual: meanOf(residuals).mean / (task.sigma_y || 1),
    read: read && shareOf(read.slice(0, cases.length), labels),
    majority: read && answers > 1
      ? { answers, ...shareOf(labels.map((_, i) => mostOf(read, i, cases.length)), labels) }
      : undefined,
    labelled,
  };
}

/** What H⁺y alone gives, black where nothing is known: b + H⁺(y − H b) for a black picture b. */
export async function scoreBaseline(
  model: Model,
  task: RestorationTask,
  options: RestorationOptions,
): Promise<Baseline> {
  const cases = casesOf(model, task, options);
  const guesses = cases.map(({ measurement }) => {
    const black = new Float32Array(measurement.operator.s.length).fill(-1);
    const ofBlack = measurement.operator.apply(black);
    const y = measurement.y.map((v, i) => v - ofBlack[i]);
    return pseudoInverse({ ...measurement, y }).map((v) => v - 1);
  });
  const read = await readAs(options.classifier, guesses, model);
  return {
    task: task.name,
    psnr: meanOf(guesses.map((x, i) => psnr(x, cases[i].truth))),
    ssim: meanOf(guesses.map((x, i) => ssim(x, cases[i].truth, model.shape))),
    read: read && shareOf(read, cases.map(({ label }) => label)),
  };
}

async function readAs(
  classifier: Classifier | undefined,
  pictures: readonly Float32Array[],
  { shape }: Model,
): Promise<number[] | undefined> {
  if (!classifier) return undefined;
  const set = {
    length: pictures.length,
    shape,
    picture: (i: number, out: Float32Array) =>
      out.set(pictures[i].map((v) => Math.min(1, Math.max(-1, v)))),
  };
  return [...(await classifier.read(set)).labels];
}

/** What most answers to case i are read as; of equals the one that came first. */
function mostOf(read: readonly number[], i: number, cases: number): number {
  const votes = new Map<number, number>();
  for (let at = i; at < read.length; at += cases) {
    votes.set(read[at], (votes.get(read[at]) ?? 0) + 1);
  }
  return [...votes].reduce((best, vote) => vote[1] > best[1] ? vote : best)[0];
}

function shareOf(read: readonly number[], labels: readonly (number | undefined)[]): Share {
  const share = read.filter((label, i) => label === labels[i]).length / read.length;
  return { share, interval: wilsonInterval(share, read.length) };
}

function meanOf(values: readonly number[]): Mean {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, n - 1);
  return { mean, within: 1.96 * Math.sqrt(variance / n) };
}
