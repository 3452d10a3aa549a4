/** Everything `eval` measures, as one JSON object. */
import { InputError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import type { DataSet } from "../training/data/data_set.ts";
import { fingerprintOf } from "../training/data/fingerprint.ts";
import { subset } from "../training/data/split.ts";
import { askedLabels } from "./asked_labels.ts";
import { type Bits, bitsPerDim } from "./bits.ts";
import { type BandLoss, epsLossByBand } from "./eps_loss.ts";
import { nearestPictures, type NearestScores, type Pair } from "./nearest.ts";
import { type SampleScores, type ScoreOptions, scoreSamples } from "./score.ts";

/** What is measured, on what. */
export interface EvalOptions extends ScoreOptions {
  /** Held-out pictures for each loss band; 0 leaves the loss out. */
  readonly lossPictures: number;
  /** Held-out pictures for the bound, each of which takes T evaluations; 0 leaves it out. */
  readonly bitsPictures: number;
  /** Looks for copies among these pictures, there to learn from; left out, it does not. */
  readonly among?: DataSet;
  /** Given the samples that were looked at, and the picture nearest to each. */
  readonly onNearest?: (pairs: readonly Pair[]) => Promise<void>;
  /** Told of everything measured so far, after each part. */
  readonly onPart?: (soFar: Evaluation) => void;
}

export interface Evaluation extends Partial<Omit<SampleScores, "samples">> {
  readonly weights: { readonly source: string; readonly hash: string };
  readonly backend: string;
  readonly heldOutPictures: number;
  /** Of the held-out pictures and labels, at the network's size. */
  readonly heldOutSha256: string;
  /** The pixel region that everything is measured over. */
  readonly region: string;
  readonly epsLoss?: { readonly mean: number; readonly bands: readonly BandLoss[] };
  readonly bits?: Bits;
  readonly nearest?: NearestScores;
  readonly samples: SampleScores["samples"];
}

/**
 * Measures a model on held-out pictures. All randomness follows from fixed seeds.
 * @throws InputError where the data does not fit the network; the signal's reason
 */
export async function evaluate(model: Model, options: EvalOptions): Promise<Evaluation> {
  const { heldOut, train, lossPictures, bitsPictures, signal, onProgress = () => {} } = options;
  checkFit(model, heldOut);
  const [channels, height, width] = model.shape;
  let found: Evaluation = {
    weights: { source: model.source, hash: model.hash },
    backend: model.backend,
    heldOutPictures: heldOut.length,
    heldOutSha256: fingerprintOf(heldOut),
    region: `the whole picture, ${width}×${height}×${channels}`,
    samples: [],
  };
  const add = (part: Partial<Evaluation>) => {
    found = { ...found, ...part };
    options.onPart?.(found);
  };
  const tell = (part: string) => (done: number, total: number) => onProgress(part, done, total);
  // Few-step weights know few times: their error at others says nothing of what they draw.
  const everyTime = model.distilled?.steps === undefined;
  if (lossPictures > 0 && everyTime) {
    const bands = await epsLossByBand(model, heldOut, {
      pictures: lossPictures,
      signal,
      onProgress: tell("ε-loss"),
    });
    const mean = bands.reduce((sum, { loss }) => sum + loss, 0) / bands.length;
    add({ epsLoss: { mean, bands } });
  }
  if (bitsPictures > 0 && everyTime) {
    const pictures = bitsPictures;
    const onProgress = tell("bits/dim");
    add({ bits: await bitsPerDim(model, heldOut, { pictures, signal, onProgress }) });
  }
  if (options.among) {
    const [choice] = options.samplers;
    const onProgress = tell("samples to look for copies among");
    const { among } = options;
    const found = await nearestPictures(model, { among, heldOut, choice, signal, onProgress });
    add({ nearest: found.scores });
    await options.onNearest?.(found.pairs);
  }
  if (train.labels && heldOut.labels && options.samples > 0) {
    for await (const scores of scoreSamples(model, options)) add(scores);
  }
  return found;
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
  const classes = data.labelNames?.length ?? 0;
  const most = askedLabels(model.labels, data.labelNames ?? [])
    .reduce((a, { ask = 0 }) => Math.max(a, ask), 0);
  if (model.labels && most >= model.labels.length) {
    throw new InputError(
      `${model.source}: the network knows ${model.labels.length} classes, the data has ${classes}`,
    );
  }
}

/** The same pictures, fewer of them, evenly out of the whole set. */
export function atMost(data: DataSet, count: number): DataSet {
  if (data.length <= count) return data;
  const indices = Array.from({ length: count }, (_, i) => Math.floor(i * data.length / count));
  return subset(data, indices);
}
