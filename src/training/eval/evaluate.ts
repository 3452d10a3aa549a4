/** Everything `eval` measures, as one JSON object. */
import type { Backend, SessionOptions } from "../../backend/backend.ts";
import { InputError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { DataSet } from "../data/data_set.ts";
import { subset } from "../data/split.ts";
import { type Bits, bitsPerDim } from "./bits.ts";
import { agreement, Classifier } from "./classifier.ts";
import { classifierFor } from "./classifier_cache.ts";
import { type BandLoss, epsLossByBand } from "./eps_loss.ts";
import { frechetDistance } from "./frechet.ts";
import { sampleSet } from "./samples.ts";

export interface EvalOptions {
  /** What the classifier learns from. */
  readonly train: DataSet;
  /** What everything is measured on. */
  readonly heldOut: DataSet;
  readonly backend: Backend;
  readonly session?: SessionOptions;
  /** Held-out pictures for each loss band; 0 leaves the loss out. */
  readonly lossPictures: number;
  /** Held-out pictures for the bound, each of which takes T evaluations; 0 leaves it out. */
  readonly bitsPictures: number;
  /** Samples a guidance scale; 0 leaves them out. */
  readonly samples: number;
  readonly guidances: readonly number[];
  /** Updates of the classifier, where it is not known yet. */
  readonly classifierSteps?: number;
  readonly steps?: number;
  readonly scheduler?: string;
  /** Of the scheduler, by name. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface SampleScore {
  readonly guidance: number;
  readonly scheduler: string;
  readonly steps: number;
  /** The scheduler options that were set. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly samples: number;
  /** The share that the classifier reads as the label they were made for. */
  readonly readAsLabel?: number;
  /** Fréchet distance of classifier features to the held-out pictures. */
  readonly frechet: number;
}

export interface Evaluation {
  readonly weights: { readonly source: string; readonly hash: string };
  readonly heldOutPictures: number;
  /** The pixel region that everything is measured over. */
  readonly region: string;
  readonly epsLoss?: { readonly mean: number; readonly bands: readonly BandLoss[] };
  readonly bits?: Bits;
  readonly classifier?: { readonly heldOutAccuracy: number };
  readonly samples: readonly SampleScore[];
  /** Fréchet distance between two halves of the held-out pictures: what sampling noise alone gives. */
  readonly frechetOfRealHalves?: number;
}

/** Measures a model on held-out pictures. */
export async function evaluate(model: Model, options: EvalOptions): Promise<Evaluation> {
  const { heldOut, train, onProgress = () => {} } = options;
  checkFit(model, heldOut);
  const [channels, height, width] = model.shape;
  const bands = options.lossPictures > 0
    ? await epsLossByBand(model, heldOut, { pictures: options.lossPictures })
    : undefined;
  const bits = options.bitsPictures > 0
    ? await bitsPerDim(model, heldOut, {
      pictures: options.bitsPictures,
      onProgress: (done, total) => onProgress("bits/dim", done, total),
    })
    : undefined;
  const common = {
    weights: { source: model.source, hash: model.hash },
    heldOutPictures: heldOut.length,
    region: `the whole picture, ${width}×${height}×${channels}`,
    epsLoss: bands &&
      { mean: bands.reduce((sum, { loss }) => sum + loss, 0) / bands.length, bands },
    bits,
  };
  if (!train.labels || !heldOut.labels || options.samples === 0) return { ...common, samples: [] };
  return { ...common, ...await scoreSamples(model, options) };
}

async function scoreSamples(model: Model, options: EvalOptions) {
  const { train, heldOut, backend, session, samples: count, onProgress = () => {} } = options;
  const classes = train.labelNames!.length;
  const theta = await classifierFor(backend, train, {
    session,
    steps: options.classifierSteps,
    onProgress: (done, total) => onProgress("classifier", done, total),
  });
  await using classifier = await Classifier.open(backend, theta, train.shape, classes, session);
  const real = await classifier.read(heldOut);
  const half = (odd: number) => real.features.filter((_, i) => i % 2 === odd);

  const samples: SampleScore[] = [];
  // Without a label for "no class" there is nothing to be guided away from.
  for (const guidance of model.nullLabel === undefined ? [1] : options.guidances) {
    const set = await sampleSet(model, {
      ...options,
      count,
      classes,
      guidance,
      onProgress: (done, total) => onProgress(`samples at guidance ${guidance}`, done, total),
    });
    const read = await classifier.read(set);
    samples.push({
      guidance,
      scheduler: options.scheduler ?? model.recommended?.scheduler ?? "ddim",
      steps: options.steps ?? model.recommended?.steps ?? 50,
      options: options.options,
      samples: count,
      readAsLabel: set.labels && agreement(read.labels, set.labels),
      frechet: frechetDistance(read.features, real.features),
    });
  }
  return {
    classifier: { heldOutAccuracy: agreement(real.labels, heldOut.labels!) },
    samples,
    frechetOfRealHalves: frechetDistance(half(0), half(1)),
  };
}

function checkFit(model: Model, data: DataSet): void {
  if (model.shape.join() !== data.shape.join()) {
    throw new InputError(
      `${model.source}: the network makes pictures [${model.shape}], the data has [${data.shape}]`,
    );
  }
  if (model.labels && !data.labels && model.nullLabel === undefined) {
    throw new InputError(
      `${model.source}: the network needs labels, and the data has none (subfolders are classes)`,
    );
  }
  const largest = data.labels?.reduce((a, b) => Math.max(a, b), 0) ?? 0;
  if (model.labels && largest >= model.labels.length) {
    throw new InputError(
      `${model.source}: the network knows ${model.labels.length} classes, the data has label ${largest}`,
    );
  }
}

/** The same pictures, fewer of them, evenly out of the whole set. */
export function atMost(data: DataSet, count: number): DataSet {
  if (data.length <= count) return data;
  const indices = Array.from({ length: count }, (_, i) => Math.floor(i * data.length / count));
  return subset(data, indices);
}
