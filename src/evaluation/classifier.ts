/** A small convolutional network that tells classes apart, trained on the data's own labels. */
import type { Backend, Session, SessionOptions, Tensors } from "../backends/backend.ts";
import { createGenerator, seedFromName } from "../diffusion/mod.ts";
import { Graph, logSoftmax, mul, neg, reduceMean, reduceSum, type Value } from "../graph/mod.ts";
import type { DataSet, PictureSource } from "../training/data/data_set.ts";
import { emaDecay, learningRate } from "../training/optimiser/update_rule.ts";
import { initialTheta } from "../training/optimiser/init.ts";
import { initialState, type ParamLayout, unpackParams } from "../training/optimiser/layout.ts";
import { objectiveLayout, Trainer } from "../training/optimiser/trainer.ts";
import { yieldToEventLoop } from "../training/event_loop.ts";
import { classifierNetwork, FEATURES, isResidual } from "./classifier_network.ts";

export interface Reading {
  /** The likeliest class of each picture. */
  readonly labels: Int32Array;
  /** [FEATURES] of each picture. */
  readonly features: readonly Float32Array[];
}

/** The mean cross-entropy of one-hot `wanted` [N, classes] under the softmax of the logits. */
function crossEntropy(logits: Value, wanted: Value): Value {
  return neg(reduceMean(reduceSum(mul(logSoftmax(logits), wanted), [1]), [0]));
}

export interface ClassifierOptions {
  readonly steps?: number;
  readonly batch?: number;
  readonly seed?: number;
  readonly session?: SessionOptions;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

const LR = 2e-3;

/** Every setting that the parameters of a classifier of pictures [C, H, W] depend on. */
export function withDefaults<T extends ClassifierOptions>(shape: readonly number[], options: T) {
  const defaults = isResidual(shape) ? { steps: 1600, batch: 32 } : { steps: 2000, batch: 64 };
  const { steps = defaults.steps, batch = defaults.batch, seed = 0 } = options;
  return { ...options, steps, batch, seed };
}

/** Trains a classifier; gives the running mean of its parameters. */
export async function trainClassifier(
  backend: Backend,
  data: PictureSource,
  options: ClassifierOptions = {},
): Promise<Float32Array> {
  const { steps, batch, seed, session, signal, onProgress } = withDefaults(data.shape, options);
  const classes = data.labelNames!.length;
  const objective = (graph: Graph) => {
    const { logits } = classifierNetwork(
      graph,
      graph.input("pictures", [batch, ...data.shape]),
      classes,
    );
    return { loss: crossEntropy(logits, graph.input("wanted", [batch, classes])) };
  };
  const state = initialState(initialTheta(objectiveLayout(objective), seed));
  await using trainer = await Trainer.create(
    backend,
    { objective, maxGradNorm: 1, adam: { weightDecay: 0.01 }, session },
    state,
  );
  for (let k = 1; k <= steps; k++) {
    await trainer.run([labelledBatch(data, k, batch, seed)], {
      step: k,
      lr: learningRate(k, { lr: LR, warmup: 50, horizon: steps }),
      emaDecay: emaDecay(batch, (k - 1) * batch, 5000),
    });
    onProgress?.(k, steps);
    await yieldToEventLoop(signal);
  }
  return trainer.state.ema;
}

/**
 * Step k's pictures and their classes. What comes again comes moved by at most two pixels; of pictures
 * without end none does.
 */
function labelledBatch(data: PictureSource, k: number, batch: number, seed: number): Tensors {
  const generator = createGenerator(seedFromName(`classifier ${seed} ${k}`));
  const [channels, height, width] = data.shape;
  const size = channels * height * width;
  const classes = data.labelNames!.length;
  const pictures = new Float32Array(batch * size);
  const wanted = new Float32Array(batch * classes);
  const picture = new Float32Array(size);
  for (let i = 0; i < batch; i++) {
    if (data.length === Infinity) {
      const index = (k - 1) * batch + i;
      data.picture(index, pictures.subarray(i * size, (i + 1) * size));
      wanted[i * classes + data.labels!.at(index)!] = 1;
      continue;
    }
    const index = Math.floor(generator.uint32() / 2 ** 32 * data.length);
    data.picture(index, picture);
    const [dy, dx] = [generator.uint32() % 5 - 2, generator.uint32() % 5 - 2];
    for (let row = 0; row < channels * height; row++) {
      const y = Math.min(height - 1, Math.max(0, row % height + dy));
      const from = (row - row % height + y) * width;
      for (let x = 0; x < width; x++) {
        const near = Math.min(width - 1, Math.max(0, x + dx));
        pictures[i * size + row * width + x] = picture[from + near];
      }
    }
    wanted[i * classes + data.labels!.at(index)!] = 1;
  }
  return {
    pictures: { data: pictures, dims: [batch, ...data.shape] },
    wanted: { data: wanted, dims: [batch, classes] },
  };
}

/** The layout of a classifier's parameters. */
export function classifierLayout(shape: readonly number[], classes: number): ParamLayout {
  return objectiveLayout((graph) => ({
    loss: classifierNetwork(graph, graph.input("pictures", [1, ...shape]), classes).logits,
  }));
}

/** Reads pictures. */
export class Classifier implements AsyncDisposable {
  private constructor(readonly session: Session, readonly shape: readonly number[]) {}

  static async open(
    backend: Backend,
    theta: Float32Array,
    shape: readonly number[],
    classes: number,
    options?: SessionOptions,
  ): Promise<Classifier> {
    const graph = new Graph();
    const input = graph.input("pictures", ["N", ...shape]);
    const { logits, features } = classifierNetwork(graph, input, classes);
    graph.output("logits", logits);
    graph.output("features", features);
    const layout = classifierLayout(shape, classes);
    const weights = new Map(
      [...unpackParams(layout, theta)].map(([name, { data }]) => [name, data]),
    );
    return new Classifier(await backend.createSession(graph, weights, options), shape);
  }

  async read(data: Pick<DataSet, "length" | "picture">, batch = 100): Promise<Reading> {
    const size = this.shape.reduce((a, b) => a * b);
    const labels = new Int32Array(data.length);
    const features: Float32Array[] = [];
    for (let at = 0; at < data.length; at += batch) {
      const n = Math.min(batch, data.length - at);
      const pictures = new Float32Array(n * size);
      for (let i = 0; i < n; i++) {
        data.picture(at + i, pictures.subarray(i * size, (i + 1) * size));
      }
      const out = await this.session.run({
        pictures: { data: pictures, dims: [n, ...this.shape] },
      });
      const logits = out.logits.data as Float32Array;
      const classes = logits.length / n;
      for (let i = 0; i < n; i++) {
        const row = logits.subarray(i * classes, (i + 1) * classes);
        labels[at + i] = row.indexOf(Math.max(...row));
        const values = out.features.data as Float32Array;
        features.push(values.slice(i * FEATURES, (i + 1) * FEATURES));
      }
    }
    return { labels, features };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.session.close();
  }
}

/** The share of equal labels. */
export function agreement(read: Int32Array, expected: ArrayLike<number>): number {
  return read.reduce((n, label, i) => n + (label === expected[i] ? 1 : 0), 0) / read.length;
}

/** The same of each class by itself, by name; classes that nothing is expected of are left out. */
export function agreementByClass(
  read: Int32Array,
  expected: ArrayLike<number>,
  names: readonly string[],
): Readonly<Record<string, number>> {
  const places = Map.groupBy(read.keys(), (i) => expected[i]);
  return Object.fromEntries(
    names.flatMap((name, label) => {
      const of = places.get(label) ?? [];
      const right = of.filter((i) => read[i] === label).length;
      return of.length === 0 ? [] : [[name, right / of.length]];
    }),
  );
}
