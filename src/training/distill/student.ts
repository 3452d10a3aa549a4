/** Initialises a student: the teacher's network with v-prediction. */
import { InputError } from "../../errors.ts";
import { paramShapes } from "../../graph/mod.ts";
import { type NetworkDefinition, networkGraph } from "../../networks/architecture.ts";
import type { Distilled } from "../../weights/read/card.ts";
import type { WeightsFolder } from "../../weights/read/folder.ts";
import type { PictureSource } from "../data/data_set.ts";
import type { LabelParts } from "../objective/label_parts.ts";
import { startFrom } from "../run/fine_tune.ts";
import { keysOf } from "../network.ts";
import { parseTrainingRecipe, type TrainingRecipe } from "../recipe.ts";
import type { Start } from "../run/start.ts";
import type { DistillRecipe } from "./recipe.ts";
import type { Stage } from "./stages.ts";

/**
 * The teacher's network as a student's. Its answer is v from now on: at the first of few steps ε says
 * next to nothing of the picture. Learned variances are left out; a few-step sampler has no use for
 * them.
 */
export function studentNetwork(teacher: WeightsFolder): WeightsFolder {
  const { network, scheduler, where } = teacher;
  const { shape: [channels], outChannels } = network;
  if (outChannels !== channels && outChannels !== 2 * channels) {
    throw new InputError(
      `${where}: expected as many output as input channels, or twice as many, found ${outChannels} and ${channels}`,
    );
  }
  const student = network.architecture.parse({ ...network.json(), out_channels: channels }, where);
  return {
    ...teacher,
    network: student,
    scheduler: {
      ...scheduler,
      prediction_type: "v_prediction",
      variance_type: "fixed_small",
      timestep_spacing: "trailing",
      steps_offset: 0,
      set_alpha_to_one: true,
    },
    tensors: withoutVariance(teacher, student),
  };
}

/** The teacher's tensors, of those with twice the student's rows (its last layer) the first half. */
function withoutVariance(
  { network, tensors }: WeightsFolder,
  student: NetworkDefinition,
): WeightsFolder["tensors"] {
  const wanted = paramShapes(networkGraph(student));
  const { currentName = (name) => name } = network.architecture;
  return new Map([...tensors].map(([name, tensor]) => {
    const rows = wanted.get(currentName(name) ?? "")?.[0];
    if (rows === undefined || tensor.shape[0] !== 2 * rows) return [name, tensor];
    const data = tensor.data.subarray(0, tensor.data.length / 2);
    return [name, { ...tensor, shape: [rows, ...tensor.shape.slice(1)], data }];
  }));
}

/** A stage's run as `train` knows it. */
export function stageRecipe(
  recipe: DistillRecipe,
  stage: Stage,
  { network, scheduler }: WeightsFolder,
): TrainingRecipe {
  const {
    data,
    data_license,
    flip,
    label_parts,
    holdout,
    batch,
    accumulate,
    warmup,
    max_grad_norm,
  } = recipe;
  const { ema_half_life, fp16, checkpoint_every, keep_checkpoints, sample_every } = recipe;
  const { updates: steps, lr, seed } = stage;
  const own = { data, data_license, flip, label_parts, holdout };
  const pace = { batch, accumulate, warmup, max_grad_norm };
  const kept = { ema_half_life, fp16, checkpoint_every, keep_checkpoints, sample_every };
  return {
    // No label is left out: what is learned is guided, and nothing is left to be guided by.
    ...parseTrainingRecipe(own, pace, kept, { steps, lr, seed, horizon: steps, label_dropout: 0 }),
    ...keysOf(network, scheduler),
    channels: channelsOf(network.shape[0]),
    dropout: 0,
    sample_steps: stage.evaluations,
  };
}

function channelsOf(channels: number): 1 | 3 {
  if (channels === 1 || channels === 3) return channels;
  throw new InputError(
    `expected a network of 1 channel (grey) or 3 (RGB), found ${channels}`,
  );
}

/** Whom a student learns from, and the guidance it is to have folded in. */
export type Taught = Pick<Distilled, "guidance" | "guided"> & { readonly distill: string };

/**
 * The state a stage begins with, and what is recorded with its weights.
 * @param parts the teacher's labels made of others: a student no longer says which class means none
 */
export function studentStart(
  network: WeightsFolder,
  recipe: TrainingRecipe,
  data: PictureSource,
  { distill, guidance, guided, evaluations, steps }: Stage & Taught,
  parts?: LabelParts,
): Start {
  const start = startFrom(network, recipe, data);
  const { labels } = network.card;
  return {
    ...start,
    parts,
    card: {
      ...(labels && { labels }),
      recommended: { scheduler: "ddim", steps: evaluations },
      distilled: {
        teacher: distill,
        guidance,
        ...(guided && { guided }),
        ...(steps && { steps }),
      },
    },
  };
}
