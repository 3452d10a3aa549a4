/** What a student is before its first lesson: the teacher's network, asked for v. */
import { InputError } from "../../errors.ts";
import type { WeightsFolder } from "../../weights/read/folder.ts";
import type { PictureSource } from "../data/data_set.ts";
import { startFrom } from "../run/fine_tune.ts";
import { recipeOf } from "../network.ts";
import { parseRecipe, type Recipe } from "../recipe.ts";
import type { Start } from "../run/start.ts";
import type { DistillRecipe } from "./recipe.ts";
import type { Stage } from "./stages.ts";

/**
 * The teacher's network as a student's. Its answer is v from now on: at the first of few steps ε says
 * next to nothing of the picture. Learned variances are left out; a few-step sampler has no use for
 * them.
 */
export function studentNetwork(teacher: WeightsFolder): WeightsFolder {
  const { config, scheduler, tensors, where } = teacher;
  const { in_channels, out_channels } = config;
  if (out_channels !== in_channels && out_channels !== 2 * in_channels) {
    throw new InputError(
      `${where}: expected as many output as input channels, or twice as many, found ${out_channels} and ${in_channels}`,
    );
  }
  return {
    ...teacher,
    config: { ...config, out_channels: in_channels },
    scheduler: {
      ...scheduler,
      prediction_type: "v_prediction",
      variance_type: "fixed_small",
      timestep_spacing: "trailing",
      steps_offset: 0,
      set_alpha_to_one: true,
    },
    tensors: out_channels === in_channels ? tensors : withoutVariance(tensors, in_channels),
  };
}

/** The first `channels` rows of the last convolution. */
function withoutVariance(
  tensors: WeightsFolder["tensors"],
  channels: number,
): WeightsFolder["tensors"] {
  return new Map([...tensors].map(([name, tensor]) => {
    if (!/(^|\.)conv_out\.(weight|bias)$/.test(name)) return [name, tensor];
    const [rows, ...rest] = tensor.shape;
    const data = tensor.data.subarray(0, tensor.data.length / rows * channels);
    return [name, { ...tensor, shape: [channels, ...rest], data }];
  }));
}

/** A stage's run as `train` knows it. */
export function stageRecipe(
  recipe: DistillRecipe,
  stage: Stage,
  { config, scheduler }: WeightsFolder,
): Recipe {
  const { data, data_license, flip, holdout, batch, accumulate, warmup, max_grad_norm } = recipe;
  const { ema_half_life, fp16, checkpoint_every, keep_checkpoints, sample_every } = recipe;
  const { updates: steps, lr, seed } = stage;
  const own = { data, data_license, flip, holdout, batch, accumulate, warmup, max_grad_norm };
  const kept = { ema_half_life, fp16, checkpoint_every, keep_checkpoints, sample_every };
  return {
    // No label is left out: what is learned is guided, and nothing is left to be guided by.
    ...parseRecipe(own, kept, { steps, lr, seed, horizon: steps, label_dropout: 0 }),
    ...recipeOf(config, scheduler),
    channels: channelsOf(config.in_channels),
    dropout: 0,
    sample_steps: stage.evaluations,
  };
}

function channelsOf(channels: number): 1 | 3 {
  if (channels === 1 || channels === 3) return channels;
  throw new InputError(
    `the network takes pictures of ${channels} channels; 1 (grey) and 3 (RGB) can be trained`,
  );
}

/** The state a stage begins with, and what is recorded with its weights. */
export function studentStart(
  network: WeightsFolder,
  recipe: Recipe,
  data: PictureSource,
  { distill, guidance, evaluations, steps }: Stage & { distill: string; guidance: number },
): Start {
  const start = startFrom(network, recipe, data);
  const { labels } = network.card;
  return {
    ...start,
    card: {
      ...(labels && { labels }),
      recommended: { scheduler: "ddim", steps: evaluations },
      distilled: { teacher: distill, guidance, ...(steps && { steps }) },
    },
  };
}
