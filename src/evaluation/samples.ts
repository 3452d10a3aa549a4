/** Makes samples and gives them as a data set. */
import type { Guided } from "../diffusion/guided.ts";
import { fromPixels, type Pixels } from "../image/pixels.ts";
import type { NamedNetwork } from "../recipe/resolve.ts";
import { pictures } from "../sampling/pictures.ts";
import type { DataSet } from "../training/data/data_set.ts";
import type { AskedLabel } from "./asked_labels.ts";

/** How samples are made; what is left out is what the weights recommend. */
export interface SamplerChoice {
  readonly guidance: number;
  /** The timesteps at which they are guided, from … to. */
  readonly guided?: Guided;
  readonly steps?: number;
  readonly scheduler?: string;
  /** Of the scheduler, by name. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface SamplesRequest extends SamplerChoice {
  readonly count: number;
  /** The labels to ask for, in turn. */
  readonly labels: readonly AskedLabel[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Calls of the network in one evaluation; natively 16 to 64 take the same time a picture. */
const BATCH = 32;

/** Pictures of seeds 0 … count−1 as bytes, their classes in turn; `labels` is how they should read. */
export async function sampleSet(model: NamedNetwork, request: SamplesRequest): Promise<DataSet> {
  const { count, guidance, guided, steps, scheduler, signal } = request;
  const seeds = Array.from({ length: count }, (_, i) => i);
  const asked = seeds.map((i) => request.labels[i % request.labels.length]);
  const made: Pixels[] = [];
  let done = 0;
  const options = {
    seeds,
    labels: model.labels ? asked.map(({ ask }) => ask!) : undefined,
    guidance: model.labels ? guidance : undefined,
    guided: model.labels ? guided : undefined,
    steps,
    scheduler,
    options: request.options,
    maxBatch: BATCH,
    signal,
  };
  for await (const { index, ...picture } of pictures(model, options)) {
    made[index] = picture;
    request.onProgress?.(++done, count);
  }
  return {
    length: count,
    shape: model.shape,
    labels: model.labels && Int32Array.from(asked, ({ expect }) => expect),
    skipped: [],
    picture: (i, out) => out.set(fromPixels(made[i])),
  };
}
