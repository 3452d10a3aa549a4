/** A classifier of some data, ready to read samples. */
import type { Backend, SessionOptions } from "../backends/backend.ts";
import { sha256Hex } from "../files/hash.ts";
import type { DataSet, PictureSource } from "../training/data/data_set.ts";
import { agreement, Classifier, type Reading, withDefaults } from "./classifier.ts";
import { classifierFor } from "./classifier_cache.ts";

/** What a classifier learns from, and what it is measured on. */
export interface Readable {
  readonly train: PictureSource;
  readonly heldOut: DataSet;
}

export interface ClassifierFacts {
  /** The share of held-out pictures that it reads as their label. */
  readonly heldOutAccuracy: number;
  /** Pictures that it learned from. */
  readonly trainedOn: number;
  /** Of its parameters: figures of the same classifier can be compared. */
  readonly sha256: string;
}

export interface ReaderOptions {
  readonly session?: SessionOptions;
  /** Updates of the classifier, where it is not known yet. */
  readonly classifierSteps?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A classifier, and what it makes of the pictures that it has not seen. */
export class Reader implements AsyncDisposable {
  private constructor(
    readonly classifier: Classifier,
    readonly facts: ClassifierFacts,
    readonly heldOut: Reading,
    /** The classes' names. */
    readonly names: readonly string[],
  ) {}

  /** From the cache, or trained now. The data has labels. */
  static async open(
    backend: Backend,
    { train, heldOut }: Readable,
    { session, classifierSteps, signal, onProgress }: ReaderOptions,
  ): Promise<Reader> {
    const learning = withDefaults(train.shape, { steps: classifierSteps });
    const theta = await classifierFor(backend, train, { ...learning, session, signal, onProgress });
    const names = train.labelNames!;
    const classifier = await Classifier.open(backend, theta, train.shape, names.length, session);
    const read = await classifier.read(heldOut);
    const facts = {
      heldOutAccuracy: agreement(read.labels, heldOut.labels!),
      trainedOn: Math.min(train.length, learning.steps * learning.batch),
      sha256: await sha256Hex(new Uint8Array(theta.slice().buffer)),
    };
    return new Reader(classifier, facts, read, names);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.classifier[Symbol.asyncDispose]();
  }
}
