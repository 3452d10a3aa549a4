/** Samples judged by a classifier that learned from real pictures. */
import type { Backend, SessionOptions } from "../backends/backend.ts";
import type { Model } from "../model/model.ts";
import { prepare } from "../sampling/sample.ts";
import { agreement, agreementByClass } from "./classifier.ts";
import { frechetDistance } from "./frechet.ts";
import { wilsonInterval } from "./interval.ts";
import { askedTogether } from "./asked_labels.ts";
import { biasedKernelDistance, kernelDistanceTo } from "./kernel_distance.ts";
import { spread } from "./predict.ts";
import { meanPsnr, type PixelScores, pixelScores } from "./pixel_scores.ts";
import { type ClassifierFacts, type Readable, Reader } from "./reader.ts";
import { type SamplerChoice, sampleSet } from "./samples.ts";
import type { DataSet } from "../training/data/data_set.ts";

/** Pairs of pictures are compared: their number grows with the square of this. */
const MOST_PAIRED = 4000;

/** Weights that others were distilled from. */
export interface Teacher {
  /** As the user calls them. */
  readonly name: string;
  readonly network: Model;
}

/** Other classes that the same samples are read by. */
export interface AlsoRead extends Readable {
  /** As the user calls the data. */
  readonly name: string;
}

/** Which samples are judged, by what: the classifier learns from `train`, all is measured on `heldOut`. */
export interface ScoreOptions extends Readable {
  /** Only labels that name a class of each of these too are then asked for. */
  readonly also?: readonly AlsoRead[];
  readonly backend: Backend;
  readonly session?: SessionOptions;
  /** Samples for each of `samplers`; 0 leaves them out, as data without classes does. */
  readonly samples: number;
  readonly samplers: readonly SamplerChoice[];
  /** What the weights were distilled from: measured first, on the same seeds. */
  readonly teachers?: readonly Teacher[];
  /** Updates of the classifier, where it is not known yet. */
  readonly classifierSteps?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (part: string, done: number, total: number) => void;
}

export interface SampleScore extends Required<Omit<SamplerChoice, "options" | "guided">> {
  /** When they are guided: as asked, or else as the weights recommend; undefined is at every time. */
  readonly guided?: SamplerChoice["guided"];
  /** The scheduler options that were set. */
  readonly options?: SamplerChoice["options"];
  /** Whose samples: the weights' own, or a teacher's. */
  readonly of: "weights" | "teacher";
  /** Which teacher's. */
  readonly teacher?: string;
  /** Seeds 0 … samples−1, the labels in turn. */
  readonly samples: number;
  /** The share that the classifier reads as the label they were made for. */
  readonly readAsLabel?: number;
  /** The 95 % confidence interval of that share. */
  readonly readAsLabel95?: readonly [number, number];
  /** That share of each class. */
  readonly readAsLabelByClass?: Readonly<Record<string, number>>;
  /** How the other classifiers read the same samples. */
  readonly also?: readonly AlsoScore[];
  /** Fréchet distance of classifier features to the held-out pictures. */
  readonly frechet: number;
  /** Kernel distance of the same, which few samples do not bias. */
  readonly kernel: number;
  /** The kernel distance over that of two sets of real pictures, both biased and of equal numbers. */
  readonly kernelToReal: number;
  readonly pixels: PixelScores;
  /** Of a student: the mean PSNR to its first teacher's pictures of the same seeds, in dB. */
  readonly psnrToTeacher?: number;
}

/** How samples are read by other classes. */
export interface AlsoScore {
  readonly data: string;
  readonly readAsLabel: number;
  readonly readAsLabel95: readonly [number, number];
  readonly readAsLabelByClass: Readonly<Record<string, number>>;
}

/** What judging samples adds to an evaluation, as it becomes known. */
export interface SampleScores {
  readonly classifier: ClassifierFacts;
  readonly also?: readonly (ClassifierFacts & { readonly data: string })[];
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
  const { heldOut, also = [], samples: count, signal } = options;
  const { onProgress = () => {} } = options;
  await using readers = new AsyncDisposableStack();
  const open = async (data: Readable, part: string) =>
    readers.use(
      await Reader.open(options.backend, data, {
        ...options,
        onProgress: (done, total) => onProgress(part, done, total),
      }),
    );
  const reader = await open(options, "classifier");
  const others: Reader[] = [];
  for (const data of also) others.push(await open(data, `classifier of ${data.name}`));
  const names = [reader, ...others].map(({ names }) => names);
  const { classifier, heldOut: real } = reader;
  const half = (odd: number) => real.features.filter((_, i) => i % 2 === odd);
  const facts = {
    classifier: reader.facts,
    also: also.length === 0
      ? undefined
      : also.map(({ name }, i) => ({ data: name, ...others[i].facts })),
    frechetOfRealHalves: frechetDistance(half(0), half(1)),
    kernelOfRealHalves: kernelDistanceTo(half(0).slice(0, MOST_PAIRED))(
      half(1).slice(0, MOST_PAIRED),
    ),
    realPixels: pixelScores(heldOut),
  };
  const distanceToReal = kernelDistanceTo(real.features.slice(0, MOST_PAIRED));

  const pairs = Math.min(count, Math.floor(heldOut.length / 2), MOST_PAIRED);
  const some = (rows: readonly Float32Array[]) => spread(rows.length, pairs).map((i) => rows[i]);
  const reference = some(half(0));
  const ofReal = biasedKernelDistance(some(half(1)), reference);

  const scores: SampleScore[] = [];
  yield { ...facts, samples: [] };
  let firstTeachers: DataSet | undefined;
  for (const { teacher, network, choice } of contenders(model, options)) {
    const { guidance } = choice;
    const guided = guidance === 1 ? undefined : choice.guided ?? network.recommended?.guided;
    const { scheduler, steps } = prepare(network, { ...choice, guidance: undefined }).method;
    const part = `${
      teacher === undefined ? "" : `${teacher}: `
    }samples of ${scheduler} ${steps}, guidance ${guidance}`;
    const asked = askedTogether(network.labels, names);
    const set = await sampleSet(network, {
      ...choice,
      count,
      labels: asked[0],
      signal,
      onProgress: (done, total) => onProgress(part, done, total),
    });
    if (teacher !== undefined) firstTeachers ??= set;
    const read = await classifier.read(set);
    const share = set.labels && agreement(read.labels, set.labels);
    scores.push({
      of: teacher === undefined ? "weights" : "teacher",
      teacher,
      guidance,
      guided,
      scheduler,
      steps,
      options: choice.options,
      samples: count,
      readAsLabel: share,
      readAsLabel95: share === undefined ? undefined : wilsonInterval(share, count),
      readAsLabelByClass: set.labels && agreementByClass(read.labels, set.labels, names[0]),
      also: set.labels && also.length > 0
        ? await Promise.all(also.map(async ({ name }, i): Promise<AlsoScore> => {
          const { labels } = await others[i].classifier.read(set);
          const expected = labels.map((_, k) => asked[i + 1][k % asked[i + 1].length].expect);
          const readAsLabel = agreement(labels, expected);
          return {
            data: name,
            readAsLabel,
            readAsLabel95: wilsonInterval(readAsLabel, count),
            readAsLabelByClass: agreementByClass(labels, expected, names[i + 1]),
          };
        }))
        : undefined,
      frechet: frechetDistance(read.features, real.features),
      kernel: distanceToReal(read.features),
      kernelToReal: biasedKernelDistance(some(read.features), reference) / ofReal,
      pixels: pixelScores(set),
      psnrToTeacher: firstTeachers && firstTeachers !== set
        ? meanPsnr(set, firstTeachers)
        : undefined,
    });
    yield { ...facts, samples: [...scores] };
  }
}

interface Contender {
  /** The teacher's name; undefined for the weights themselves. */
  readonly teacher?: string;
  readonly network: Model;
  readonly choice: SamplerChoice;
}

/** Each teacher as it recommends itself, then the weights in every way asked for. */
function contenders(model: Model, { teachers = [], samplers }: ScoreOptions): Contender[] {
  return [
    ...teachers.map(({ name, network }) => ({
      teacher: name,
      network,
      choice: { guidance: network.recommended?.guidance ?? 1 },
    })),
    ...samplers.map((choice) => ({ network: model, choice })),
  ];
}
