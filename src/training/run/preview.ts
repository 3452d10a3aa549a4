/** A grid of samples from the weights as they are in the middle of a run. */
import type { Backend, SessionOptions } from "../../backends/backend.ts";
import type { WeightsFolder } from "../../weights/read/folder.ts";
import { openModel } from "../../model/model.ts";
import { generate, gridPng } from "../../sampling/pictures.ts";
import { unpackParams } from "../optimiser/layout.ts";
import { mostSteps, type Start } from "./start.ts";

/** A network in training as if it had been read from a folder. */
export function folderOf(
  { network, scheduler, card, layout }: Omit<Start, "state" | "data">,
  theta: Float32Array,
  where: string,
): WeightsFolder {
  const tensors = unpackParams(layout, theta);
  return { where, network, scheduler, card, tensors, hash: where, configs: new Map(), notices: [] };
}

const GRID = 16;

/** A PNG of samples of seeds 0 … 15, their classes in turn. */
export async function previewPng(
  start: Start,
  ema: Float32Array,
  { backend, session, steps, name }: {
    backend: Backend;
    session?: SessionOptions;
    steps: number;
    name: string;
  },
): Promise<Uint8Array> {
  await using model = await openModel(folderOf(start, ema, name), backend, session);
  const seeds = Array.from({ length: GRID }, (_, i) => i);
  const classes = start.card.labels?.length;
  const pictures = await generate(model, {
    seeds,
    steps: mostSteps(steps, start.scheduler.num_train_timesteps),
    labels: classes === undefined ? undefined : seeds.map((seed) => seed % classes),
  });
  return gridPng(pictures);
}
