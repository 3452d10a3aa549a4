/** Samples as a data set, so that they are read as real pictures are. */
import { fromPixels, type Pixels } from "../../image/pixels.ts";
import { completeOptions } from "../../sample.ts";
import { type NamedNetwork, pictures } from "../../sampling/pictures.ts";
import type { DataSet } from "../data/data_set.ts";

export interface SamplesRequest {
  readonly count: number;
  readonly classes: number;
  readonly guidance: number;
  readonly steps?: number;
  readonly scheduler?: string;
  /** Of the scheduler, by name. */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly maxBatch?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Pictures of seeds 0 … count−1 as bytes, their classes in turn; `labels` is what was asked for. */
export async function sampleSet(model: NamedNetwork, request: SamplesRequest): Promise<DataSet> {
  const { count, classes, guidance, steps, scheduler, maxBatch = 32, signal } = request;
  const seeds = Array.from({ length: count }, (_, i) => i);
  const labels = seeds.map((i) => i % classes);
  const made: Pixels[] = [];
  let done = 0;
  const options = completeOptions(model, {
    seeds,
    labels: model.labels ? labels : undefined,
    guidance: model.labels ? guidance : undefined,
    steps,
    scheduler,
    options: request.options,
    maxBatch,
    signal,
  });
  for await (const { index, ...picture } of pictures(model, options)) {
    made[index] = picture;
    request.onProgress?.(++done, count);
  }
  return {
    length: count,
    shape: model.shape,
    labels: model.labels && Int32Array.from(labels),
    skipped: [],
    picture: (i, out) => out.set(fromPixels(made[i])),
  };
}
