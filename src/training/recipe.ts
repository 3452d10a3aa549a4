/** A training run as one JSON object, `recipe.json`: every choice is in it, with its value. */
import { seedType } from "../diffusion/seed.ts";
import { FieldError, InputError, shown } from "../errors.ts";
import type { Architecture, NetworkKeys, TrainingField } from "../networks/architecture.ts";
import { architectures } from "../networks/registry.ts";
import {
  check,
  choice,
  type Fields,
  flag,
  list,
  nullable,
  number,
  parse,
  readFields,
  requireObject,
  text,
  type Type,
  whole,
} from "../schema.ts";

/** What a run depends on, besides the pictures themselves, and the keys of its architecture. */
export interface TrainingRecipe extends NetworkKeys {
  /** A folder, a file, npm:NAME@VERSION/FOLDER, or a data plug-in. */
  readonly data: string;
  /** Pixels a side, or [height, width]. */
  readonly size: number | readonly [number, number];
  /** 1 is grey, 3 is RGB. */
  readonly channels: 1 | 3;
  /** Whether half of the pictures are mirrored. */
  readonly flip: boolean;
  /** Whether the classes are learned, where the data has any. */
  readonly labels: boolean;
  /** Share of labels left out, for guidance. */
  readonly label_dropout: number;
  /** Whether labels whose parts are labels too, as orc-wizard, are what those learned. */
  readonly label_parts: boolean;
  /** Share of pictures kept out, for `eval`. */
  readonly holdout: number;
  /** For the model card. */
  readonly data_license: string | null;
  /** The name of a class of `networks/registry.ts`. */
  readonly architecture: string;
  /** In the network. */
  readonly dropout: number;
  /** T. */
  readonly num_train_timesteps: number;
  /** The noise schedule, by diffusers' names. */
  readonly beta_schedule: string;
  /** What the network is asked for. */
  readonly prediction_type: "epsilon" | "sample" | "v_prediction";
  /** γ of min-SNR weighting (Hang et al. 2023); null is L_simple. */
  readonly min_snr_gamma: number | null;
  /** Updates. */
  readonly steps: number;
  /** Pictures in one evaluation. */
  readonly batch: number;
  /** Evaluations for one update. */
  readonly accumulate: number;
  /** The highest learning rate. */
  readonly lr: number;
  /** Updates until the learning rate is reached. */
  readonly warmup: number;
  /** The update at which the learning rate's cosine ends; null is the last one. */
  readonly horizon: number | null;
  /** AdamW's; norms and biases are spared. */
  readonly weight_decay: number;
  /** Longer gradients are cut to this length; null cuts none. */
  readonly max_grad_norm: number | null;
  /** Of the weights' running mean, in pictures. */
  readonly ema_half_life: number;
  /** All randomness follows from it. */
  readonly seed: number;
  /** Whether the export is in half precision. */
  readonly fp16: boolean;
  /** Updates between checkpoints. */
  readonly checkpoint_every: number;
  /** How many of the last checkpoints stay. */
  readonly keep_checkpoints: number;
  /** Updates between grids of samples; 0 is none. */
  readonly sample_every: number;
  /** Sampling steps of those grids. */
  readonly sample_steps: number;
}

const side = whole(1, 4096);
const size: Type<number | readonly [number, number]> = {
  expected: "a whole number, or [height, width]",
  accepts: (value): value is number | readonly [number, number] =>
    side.accepts(value) ||
    (Array.isArray(value) && value.length === 2 && value.every((one) => side.accepts(one))),
  fromText: (text) => text.includes(",") ? list(side).fromText(text) : side.fromText(text),
};

const classNames = architectures.map(({ className }) => className);

/** The keys that say what is learned. */
const before = {
  data: {
    type: text(1),
    help:
      "a folder of PNG or JPEG (subfolders are classes), an .npz, IDX files, npm:NAME@VERSION/FOLDER, or a plug-in that draws pictures (./mine.ts)",
  },
  size: { missing: 32, type: size, help: "pixels a side, or height,width" },
  channels: { missing: 3, type: choice([1, 3]), help: "1 is grey, 3 is RGB" },
  flip: { missing: false, type: flag, help: "mirror half of the pictures" },
  labels: { missing: true, type: flag, help: "learn the classes, where the data has any" },
  label_dropout: {
    missing: 0.1,
    type: number(0, 0.99),
    help: "share of labels left out, for guidance",
  },
  label_parts: {
    missing: false,
    type: flag,
    help: "a label whose parts are labels too (orc-wizard) is the sum of what those learned",
  },
  holdout: { missing: 0, type: number(0, 0.5), help: "share of pictures kept out, for eval" },
  data_license: { missing: null, type: nullable(text(1)), help: "for the model card" },
  architecture: {
    missing: classNames[0],
    type: choice(classNames),
    help: "the network, by the name of diffusers' class",
  },
} satisfies Record<string, TrainingField>;

/** The keys that say how. */
const after = {
  dropout: { missing: 0, type: number(0, 0.9), help: "in the residual blocks" },
  num_train_timesteps: { missing: 1000, type: whole(2, 100_000), help: "T" },
  beta_schedule: {
    missing: "linear",
    type: choice(["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"]),
    help: "the noise schedule, by diffusers' names",
  },
  prediction_type: {
    missing: "epsilon",
    type: choice(["epsilon", "sample", "v_prediction"]),
    help: "what the network is asked for",
  },
  min_snr_gamma: {
    missing: null,
    type: nullable(number(0.01, 1000)),
    help: "γ of min-SNR weighting; null is L_simple",
  },
  steps: { missing: 10_000, type: whole(1, 1e9), help: "updates" },
  batch: { missing: 32, type: whole(1, 65_536), help: "pictures in one evaluation" },
  accumulate: { missing: 1, type: whole(1, 65_536), help: "evaluations for one update" },
  lr: { missing: 6e-4, type: number(0, 1), help: "the highest learning rate" },
  warmup: { missing: 200, type: whole(0, 1e9), help: "updates until the learning rate is reached" },
  horizon: {
    missing: null,
    type: nullable(whole(1, 1e9)),
    help: "the update at which the learning rate's cosine ends; null is the last one",
  },
  weight_decay: { missing: 0, type: number(0, 10), help: "AdamW's; norms and biases are spared" },
  max_grad_norm: {
    missing: 1,
    type: nullable(number(1e-6, 1e6)),
    help: "longer gradients are cut to this length; null cuts none",
  },
  ema_half_life: {
    missing: 20_000,
    type: number(0, 1e12),
    help: "of the weights' running mean, in pictures",
  },
  seed: { missing: 0, type: seedType, help: "all randomness follows from it" },
  fp16: { missing: false, type: flag, help: "export in half precision" },
  checkpoint_every: { missing: 500, type: whole(1, 1e9), help: "updates between checkpoints" },
  keep_checkpoints: { missing: 2, type: whole(1, 1000), help: "how many of the last ones stay" },
  sample_every: { missing: 1000, type: whole(0, 1e9), help: "updates between grids; 0 is none" },
  sample_steps: { missing: 25, type: whole(1, 1000), help: "sampling steps of those grids" },
} satisfies Record<string, TrainingField>;

/** Every key of a recipe for an architecture, with its type, its default and what it does. */
function fieldsFor({ training }: Architecture): Readonly<Record<string, TrainingField>> {
  return { ...before, ...training.fields, ...after };
}

/** Every key of any architecture. */
export const trainingFields:
  & typeof before
  & typeof after
  & Readonly<Record<string, TrainingField>> = Object.assign({}, ...architectures.map(fieldsFor));

/**
 * A whole recipe out of some keys, the others at their defaults; later objects override earlier ones.
 * @throws InputError naming the key, its value, and what was expected
 */
export function parseTrainingRecipe(...parts: readonly unknown[]): TrainingRecipe {
  const { architecture = classNames[0] } = joined(parts);
  check(choice(classNames), architecture, "architecture", "recipe");
  const chosen = architectures.find(({ className }) => className === architecture)!;
  const recipe = parseFields(fieldsFor(chosen), parts) as unknown as TrainingRecipe;
  chosen.training.check?.(recipe);
  return recipe;
}

/** As {@link parseTrainingRecipe}, for the keys of any kind of run. */
export function parseFields<R extends object>(
  fields: { readonly [K in keyof R]: TrainingField<R[K]> },
  parts: readonly unknown[],
): R {
  const given = joined(parts);
  for (const [key, value] of Object.entries(given)) {
    if (Object.hasOwn(fields, key)) continue;
    throw new InputError(
      `recipe: unknown key ${key} with value ${shown(value)}; known are ${
        Object.keys(fields).join(", ")
      }`,
    );
  }
  for (const [key, { missing, help }] of Object.entries<TrainingField>(fields)) {
    if (missing !== undefined || Object.hasOwn(given, key)) continue;
    throw new FieldError(key, help, undefined, "recipe");
  }
  return readFields<R>(given, fields as Fields<R>, "recipe");
}

/** Later objects override earlier ones; what is undefined is not there. */
function joined(parts: readonly unknown[]): Readonly<Record<string, unknown>> {
  const given = parts.flatMap((part) => Object.entries(requireObject(part, "recipe")));
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** A value as it is typed after a flag. @throws FieldError naming the flag */
export function parseTypedField(key: string, { type }: TrainingField, typed: string): unknown {
  return parse(type, typed, `--${key.replaceAll("_", "-")}`);
}

/** [height, width] of the pictures. */
export function sizeOf({ size }: Pick<TrainingRecipe, "size">): readonly [number, number] {
  return typeof size === "number" ? [size, size] : size;
}
