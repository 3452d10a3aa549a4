/** A training run as one JSON object: every choice is in it, with its value. */
import { MAX_SEED } from "../diffusion/random.ts";
import { InputError } from "../errors.ts";
import { type Check, checks } from "./recipe_checks.ts";

/** What a run depends on, besides the pictures themselves. */
export interface Recipe {
  /** A folder, a file, npm:NAME@VERSION/FOLDER, or a data plug-in. */
  readonly data: string;
  readonly size: number | readonly [number, number];
  readonly channels: 1 | 3;
  readonly flip: boolean;
  readonly labels: boolean;
  readonly label_dropout: number;
  readonly holdout: number;
  readonly data_license: string | null;
  readonly block_out_channels: readonly number[];
  readonly attention: readonly boolean[];
  readonly layers_per_block: number;
  readonly norm_num_groups: number;
  readonly attention_head_dim: number | null;
  readonly dropout: number;
  readonly num_train_timesteps: number;
  readonly beta_schedule: string;
  readonly prediction_type: "epsilon" | "sample" | "v_prediction";
  readonly min_snr_gamma: number | null;
  readonly steps: number;
  readonly batch: number;
  readonly accumulate: number;
  readonly lr: number;
  readonly warmup: number;
  readonly horizon: number | null;
  readonly weight_decay: number;
  readonly max_grad_norm: number | null;
  readonly ema_half_life: number;
  readonly seed: number;
  readonly fp16: boolean;
  readonly checkpoint_every: number;
  readonly keep_checkpoints: number;
  readonly sample_every: number;
  readonly sample_steps: number;
}

/** A key's default (none: it has to be given), the values it takes, and what it does. */
export interface Field<T> {
  readonly value: T | undefined;
  readonly check: Check;
  readonly help: string;
}

const { text, whole, number, flag, choice, list, nullable, size } = checks;

/** Every key with its default, the values it takes, and what it does. */
export const recipeFields: { readonly [K in keyof Recipe]: Field<Recipe[K]> } = {
  data: {
    value: undefined,
    check: text,
    help:
      "a folder of PNG or JPEG (subfolders are classes), an .npz, IDX files, npm:NAME@VERSION/FOLDER, or a plug-in that draws pictures (./mine.ts)",
  },
  size: { value: 32, check: size, help: "pixels a side, or height,width" },
  channels: { value: 3, check: choice(1, 3), help: "1 is grey, 3 is RGB" },
  flip: { value: false, check: flag, help: "mirror half of the pictures" },
  labels: { value: true, check: flag, help: "learn the classes, where the data has any" },
  label_dropout: {
    value: 0.1,
    check: number(0, 0.99),
    help: "share of labels left out, for guidance",
  },
  holdout: { value: 0, check: number(0, 0.5), help: "share of pictures kept out, for eval" },
  data_license: { value: null, check: nullable(text), help: "for the model card" },
  block_out_channels: {
    value: [32, 64, 64],
    check: list(whole(1, 4096)),
    help: "channels of each level; each halves the picture",
  },
  attention: {
    value: [false, false, true],
    check: list(flag),
    help: "which levels have self-attention",
  },
  layers_per_block: { value: 1, check: whole(1, 16), help: "residual blocks a level" },
  norm_num_groups: { value: 8, check: whole(1, 4096), help: "groups of the group norms" },
  attention_head_dim: {
    value: null,
    check: nullable(whole(1, 4096)),
    help: "channels of an attention head; null is one head",
  },
  dropout: { value: 0, check: number(0, 0.9), help: "in the residual blocks" },
  num_train_timesteps: { value: 1000, check: whole(2, 100_000), help: "T" },
  beta_schedule: {
    value: "linear",
    check: choice("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"),
    help: "the noise schedule, by diffusers' names",
  },
  prediction_type: {
    value: "epsilon",
    check: choice("epsilon", "sample", "v_prediction"),
    help: "what the network is asked for",
  },
  min_snr_gamma: {
    value: null,
    check: nullable(number(0.01, 1000)),
    help: "γ of min-SNR weighting; null is L_simple",
  },
  steps: { value: 10_000, check: whole(1, 1e9), help: "updates" },
  batch: { value: 32, check: whole(1, 65_536), help: "pictures in one evaluation" },
  accumulate: { value: 1, check: whole(1, 65_536), help: "evaluations for one update" },
  lr: { value: 6e-4, check: number(0, 1), help: "the highest learning rate" },
  warmup: { value: 200, check: whole(0, 1e9), help: "updates until the learning rate is reached" },
  horizon: {
    value: null,
    check: nullable(whole(1, 1e9)),
    help: "the update at which the learning rate's cosine ends; null is the last one",
  },
  weight_decay: { value: 0, check: number(0, 10), help: "AdamW's; norms and biases are spared" },
  max_grad_norm: {
    value: 1,
    check: nullable(number(1e-6, 1e6)),
    help: "longer gradients are cut to this length; null cuts none",
  },
  ema_half_life: {
    value: 20_000,
    check: number(0, 1e12),
    help: "of the weights' running mean, in pictures",
  },
  seed: { value: 0, check: whole(0, MAX_SEED), help: "all randomness follows from it" },
  fp16: { value: false, check: flag, help: "export in half precision" },
  checkpoint_every: { value: 500, check: whole(1, 1e9), help: "updates between checkpoints" },
  keep_checkpoints: { value: 2, check: whole(1, 1000), help: "how many of the last ones stay" },
  sample_every: { value: 1000, check: whole(0, 1e9), help: "updates between grids; 0 is none" },
  sample_steps: { value: 25, check: whole(1, 1000), help: "sampling steps of those grids" },
};

export const recipeKeys = Object.keys(recipeFields) as (keyof Recipe)[];

/**
 * A whole recipe out of some keys, the others at their defaults; later objects override earlier ones.
 * @throws InputError naming the key, its value, and what was expected
 */
export function parseRecipe(...parts: readonly unknown[]): Recipe {
  return checkTogether(parseFields<Recipe>(recipeFields, parts));
}

/** As {@link parseRecipe}, for the keys of any kind of run. */
export function parseFields<R>(
  fields: { readonly [K in keyof R]: Field<R[K]> },
  parts: readonly unknown[],
): R {
  const known = Object.keys(fields) as (keyof R & string)[];
  const given: Record<string, unknown> = {};
  for (const part of parts) {
    if (typeof part !== "object" || part === null || Array.isArray(part)) {
      throw new InputError(`recipe: expected a JSON object, found ${JSON.stringify(part)}`);
    }
    Object.assign(given, part);
  }
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(fields, key)) {
      throw new InputError(
        `recipe: unknown key ${key} with value ${JSON.stringify(value)}; known are ${
          known.join(", ")
        }`,
      );
    }
  }
  return Object.fromEntries(known.map((key) => {
    const { value: missing, check, help } = fields[key];
    const value = given[key] === undefined ? missing : given[key];
    if (check.accepts(value)) return [key, value];
    throw new InputError(
      value === undefined
        ? `recipe: ${key} is missing; expected ${help}`
        : `recipe: ${key} is ${JSON.stringify(value)}; expected ${check.expected}`,
    );
  })) as R;
}

function checkTogether(recipe: Recipe): Recipe {
  const { attention, block_out_channels } = recipe;
  if (attention.length !== block_out_channels.length) {
    throw new InputError(
      `recipe: attention is ${
        JSON.stringify(attention)
      }; expected ${block_out_channels.length} values, one for each of block_out_channels`,
    );
  }
  return recipe;
}

/** As {@link parseFieldValue}, of a recipe's key. */
export function parseRecipeValue(key: keyof Recipe, typed: string): unknown {
  return parseFieldValue(key, recipeFields[key], typed);
}

/** A value as it is typed after a flag: JSON, or a list with commas, or plain text. */
export function parseFieldValue(key: string, { check }: Field<unknown>, typed: string): unknown {
  if (check === text || check.accepts(typed)) return typed;
  for (const json of [typed, `[${typed}]`]) {
    try {
      const value = JSON.parse(json);
      if (check.accepts(value)) return value;
    } catch {
      continue;
    }
  }
  throw new InputError(
    `--${key.replaceAll("_", "-")}: expected ${check.expected}, found "${typed}"`,
  );
}

/** [height, width] of the pictures. */
export function sizeOf({ size }: Pick<Recipe, "size">): readonly [number, number] {
  return typeof size === "number" ? [size, size] : size;
}
