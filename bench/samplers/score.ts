/** Every sampler at every number of evaluations, scored by what a classifier makes of its pictures. */
import type { NamedNetwork } from "../../src/recipe/resolve.ts";
import { agreement, type Classifier } from "../../src/evaluation/classifier.ts";
import type { AskedLabel } from "../../src/evaluation/asked_labels.ts";
import { sampleSet } from "../../src/evaluation/samples.ts";
import { counted, stepsWithin } from "./evaluations.ts";

export interface Cell {
  /** The column: evaluations of one picture that were allowed. */
  readonly allowed: number;
  /** Evaluations of one picture that the network counted while the samples were made. */
  readonly evaluations: number;
  readonly steps: number;
  /** The share of samples that the classifier reads as the label they were made for. */
  readonly readAsLabel: number;
  /** Kernel distance of classifier features to the held-out pictures. */
  readonly distance: number;
}

export interface Row {
  readonly sampler: string;
  /** One for each column; undefined where the sampler cannot do with so few. */
  readonly cells: readonly (Cell | undefined)[];
}

export interface Scoring {
  readonly columns: readonly number[];
  readonly samples: number;
  readonly guidance: number;
  readonly classifier: Classifier;
  readonly labels: readonly AskedLabel[];
  /** The distance of features to those of the held-out pictures. */
  readonly distanceToReal: (features: readonly Float32Array[]) => number;
  readonly onProgress?: (what: string) => void;
}

/** One sampler's row. Seeds and labels are the same in every cell. */
export async function scoreSampler(
  model: NamedNetwork,
  sampler: string,
  scoring: Scoring,
): Promise<Row> {
  const { columns, samples, guidance, classifier, labels, distanceToReal, onProgress } = scoring;
  const cells: (Cell | undefined)[] = [];
  for (const allowed of columns) {
    const effort = await stepsWithin(model, sampler, guidance, allowed);
    if (!effort) {
      cells.push(undefined);
      continue;
    }
    const { steps } = effort;
    const { network, count } = counted(model);
    const set = await sampleSet(network, {
      count: samples,
      labels,
      guidance,
      scheduler: sampler,
      steps,
      onProgress: (done) => onProgress?.(`${sampler}, ${steps} steps: ${done} of ${samples}`),
    });
    const read = await classifier.read(set);
    cells.push({
      allowed,
      evaluations: count() / samples,
      steps,
      readAsLabel: agreement(read.labels, set.labels!),
      distance: distanceToReal(read.features),
    });
  }
  return { sampler, cells };
}
