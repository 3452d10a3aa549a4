/** Samples judged by a classifier that learned from real pictures. */
import type { Backend, SessionOptions } from "../backends/backend.ts";
import { sha256Hex } from "../files/hash.ts";
import type { Model } from "../model/model.ts";
import { prepare } from "../sampling/sample.ts";
import { agreement, Classifier } from "./classifier.ts";
import { classifierFor } from "./classifier_cache.ts";
import { frechetDistance } from "./frechet.ts";
import { wilsonInterval } from "./interval.ts";
import { askedLabels } from "./asked_labels.ts";
import { kernelDistanceTo } from "./kernel_distance.ts";
import { meanPsnr, type PixelScores, pixelScores } from "./pixel_scores.ts";
import { type SamplerChoice, sampleSet } from "./samples.ts";
import type { DataSet } from "../training/data/data_set.ts";

/** Pairs of pictures are compared: their number grows with the square of this. */
const MOST_PAIRED = 4000;

/** Which samples are judged, by what. */
export interface ScoreOptions {
  /** What the classifier learns from. */
  readonly train: DataSet;
  /** What everything is measured on. */
  readonly heldOut: DataSet;
  readonly backend: Backend;
  readonly session?: SessionOptions;
  /** Samples for each of `samplers`; 0 leaves them out, as data without classes does. */
  readonly samples: number;
  readonly samplers: readonly SamplerChoice[];
  /** What the weights were distilled from: measured first, on the same seeds. */
  readonly teacher?: Model;
  /** Updates of the classifier, where it is not known yet. */
  readonly classifierSteps?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (part: string, done: number, total: number) => void;
}

export interface SampleScore extends Required<Omit<SamplerChoice, "options">> {
  /** The scheduler options that were set. */
  readonly options?: SamplerChoice["options"];
  /** Whose samples: the weights' own, or their teacher's. */
  readonly of: "weights" | "teacher";
  /** Seeds 0 … samples−1, the labels in turn. */
  readonly samples: number;
  /** The share that the classifier reads as the label they were made for. */
  readonly readAsLabel?: number;
  /** The 95 % confidence interval of that share. */
  readonly readAsLabel95?: readonly [number, number];
  /** Fréchet distance of classifier features to the held-out pictures. */
  readonly frechet: number;
  /** Kernel distance of the same, which few samples do not bias. */
  readonly kernel: number;
  readonly pixels: PixelScores;
  /** Of a student: the mean PSNR to its teacher's pictures of the same seeds, in dB. */
  readonly psnrToTeacher?: number;
}

export interface ClassifierFacts {
  /** The share of held-out pictures that it reads as their label. */
  readonly heldOutAccuracy: number;
  /** Pictures that it learned from. */
  readonly trainedOn: number;
  /** Of its parameters: figures of the same classifier can be compared. */
  readonly sha256: string;
}

/** What judging samples adds to an evaluation, as it becomes known. */
export interface SampleScores {
  readonly classifier: ClassifierFacts;
  /** Fréchet distance between two halves of the held-out pictures: what chance alone gives. */
  readonly frechetOfRealHalves: number;
  readonly kernelOfRealHalves: number;
  /** What the held-out pictures' own pixels say. */
  readonly realPixels: PixelScores;
  readonly samples: readonly SampleScore[];
}

/** Judges one set of samples after another; each time gives all that is known. */
export async function* scoreSamples(
  model: Model,
  options: ScoreOptions,
): AsyncGenerator<SampleScores> {
  const { train, heldOut, backend, session, samples: count, signal } = options;
  const { onProgress = () => {} } = options;
  const classes = train.labelNames!.length;
  const theta = await classifierFor(backend, train, {
    session,
    steps: options.classifierSteps,
    signal,
    onProgress: (done, total) => onProgress("classifier", done, total),
  });
  await using classifier = await Classifier.open(backend, theta, train.shape, classes, session);
  const real = await classifier.read(heldOut);
  const half = (odd: number) => real.features.filter((_, i) => i % 2 === odd);
  const facts = {
    classifier: {
      heldOutAccuracy: agreement(real.labels, heldOut.labels!),
      trainedOn: train.length,
      sha256: await sha256Hex(new Uint8Array(theta.slice().buffer)),
    },
    frechetOfRealHalves: frechetDistance(half(0), half(1)),
    kernelOfRealHalves: kernelDistanceTo(half(0).slice(0, MOST_PAIRED))(
      half(1).slice(0, MOST_PAIRED),
    ),
    realPixels: pixelScores(heldOut),
  };
  const distanceToReal = kernelDistanceTo(real.features.slice(0, MOST_PAIRED));

  const scores: SampleScore[] = [];
  yield { ...facts, samples: scores };
  let teachers: DataSet | undefined;
  for (const { of, network, choice } of contenders(model, options)) {
    const { guidance } = choice;
    const { scheduler, steps } = prepare(network, { ...choice, guidance: undefined }).method;
    const whose = of === "teacher" ? "the teacher's " : "";
    const part = `${whose}samples of ${scheduler} ${steps}, guidance ${guidance}`;
    const set = await sampleSet(network, {
      ...choice,
      count,
      labels: askedLabels(network.labels, train.labelNames!),
      signal,
      onProgress: (done, total) => onProgress(part, done, total),
    });
    if (of === "teacher") teachers = set;
    const read = await classifier.read(set);
    const share = set.labels && agreement(read.labels, set.labels);
    scores.push({
      of,
      guidance,
      scheduler,
      steps,
      options: choice.options,
      samples: count,
      readAsLabel: share,
      readAsLabel95: share === undefined ? undefined : wilsonInterval(share, count),
      frechet: frechetDistance(read.features, real.features),
      kernel: distanceToReal(read.features),
      pixels: pixelScores(set),
      psnrToTeacher: of === "weights" && teachers ? meanPsnr(set, teachers) : undefined,
    });
    yield { ...facts, samples: [...scores] };
  }
}

interface Contender {
  readonly of: SampleScore["of"];
  readonly network: Model;
  readonly choice: SamplerChoice;
}

/** The teacher as it recommends itself, where there is one, then the weights in every way asked for. */
function contenders(model: Model, { teacher, samplers }: ScoreOptions): Contender[] {
  const guidance = teacher?.recommended?.guidance ?? 1;
  const first: Contender[] = teacher
    ? [{ of: "teacher", network: teacher, choice: { guidance } }]
    : [];
  return [
    ...first,
    ...samplers.map((choice) => ({ of: "weights", network: model, choice }) as const),
  ];
}
