/** A distillation as one JSON object. */
import { type Guided, guidedType } from "../../diffusion/guided.ts";
import { FieldError } from "../../errors.ts";
import type { TrainingField } from "../../networks/architecture.ts";
import { parseFields, trainingFields, type TrainingRecipe } from "../recipe.ts";
import { list, nullable, number, text, whole } from "../../schema.ts";

/** What the students depend on, besides the teacher's weights and the pictures. */
export interface DistillRecipe extends
  Pick<
    TrainingRecipe,
    | "data"
    | "data_license"
    | "flip"
    | "label_parts"
    | "holdout"
    | "batch"
    | "accumulate"
    | "warmup"
    | "max_grad_norm"
    | "ema_half_life"
    | "seed"
    | "fp16"
    | "checkpoint_every"
    | "keep_checkpoints"
    | "sample_every"
  > {
  /** The teacher: a built-in name, a folder or an address. */
  readonly distill: string;
  readonly guidance: number | null;
  readonly guided: Guided | null;
  readonly guide_updates: number;
  readonly guide_lr: number;
  readonly students: readonly number[];
  readonly student_updates: readonly number[];
  readonly student_lr: number;
  readonly tune_updates: number;
  readonly tune_from: number | null;
}

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
  ema_half_life,
  seed,
  fp16,
  checkpoint_every,
  keep_checkpoints,
  sample_every,
} = trainingFields;

/** Every key with its default, the values it takes, and what it does. */
export const distillFields: {
  readonly [K in keyof DistillRecipe]: TrainingField<DistillRecipe[K]>;
} = {
  distill: {
    type: text(1),
    help: "teach students of few steps: the teacher's weights, a built-in name, folder or address",
  },
  data,
  data_license,
  flip,
  label_parts,
  holdout,
  guidance: {
    missing: null,
    type: nullable(number(-100, 100)),
    help: "with --distill: the guidance to fold in; null is what the teacher recommends",
  },
  guided: {
    missing: null,
    type: nullable(guidedType),
    help:
      "with --distill: the timesteps at which the teacher is guided; null is what it recommends",
  },
  guide_updates: {
    missing: 1200,
    type: whole(0, 1e9),
    help: "with --distill: updates in which the guidance is learned",
  },
  guide_lr: { missing: 5e-4, type: number(0, 1), help: "with --distill: their learning rate" },
  students: {
    missing: [8, 4, 2, 1],
    type: list(whole(1, 1000)),
    help: "with --distill: the students' steps, each half of those before",
  },
  student_updates: {
    missing: [300, 400, 800, 1200],
    type: list(whole(1, 1e9)),
    help: "with --distill: updates for each student",
  },
  student_lr: { missing: 4e-4, type: number(0, 1), help: "with --distill: their learning rate" },
  tune_updates: {
    missing: 0,
    type: whole(0, 1e9),
    help: "with --distill: updates of consistency tuning, after the students, to one step",
  },
  tune_from: {
    missing: null,
    type: nullable(whole(2, 1000)),
    help:
      "with --distill: the student that is tuned, by its steps; null is 4, or the last that takes more than one",
  },
  batch,
  accumulate,
  warmup: { ...warmup, missing: 20 },
  max_grad_norm,
  ema_half_life: { ...ema_half_life, missing: 2000 },
  seed,
  fp16,
  checkpoint_every: { ...checkpoint_every, missing: 100 },
  keep_checkpoints,
  sample_every,
};

/** The keys that only a distillation has. */
export const distillKeys = (Object.keys(distillFields) as (keyof DistillRecipe)[])
  .filter((key) => !Object.hasOwn(trainingFields, key));

/**
 * A whole recipe out of some keys, the others at their defaults; later objects override earlier ones.
 * @throws InputError naming the key, its value, and what was expected
 */
export function parseDistillRecipe(...parts: readonly unknown[]): DistillRecipe {
  const recipe = parseFields<DistillRecipe>(distillFields, parts);
  const { students, student_updates, tune_updates, tune_from } = recipe;
  if (students.some((steps, i) => i > 0 && steps * 2 !== students[i - 1])) {
    const expected = "each to take half the steps of the one before, as 8,4,2,1";
    throw new FieldError("students", expected, students, "recipe");
  }
  if (student_updates.length !== students.length) {
    const expected = `${students.length} values, one for each of students`;
    throw new FieldError("student_updates", expected, student_updates, "recipe");
  }
  if (tune_from !== null && !students.includes(tune_from)) {
    throw new FieldError("tune_from", `one of students ${students.join()}`, tune_from, "recipe");
  }
  if (tune_updates > 0 && tunedFrom(recipe) === undefined) {
    const expected = "0, as no student takes more than one step, to be tuned to one";
    throw new FieldError("tune_updates", expected, tune_updates, "recipe");
  }
  return recipe;
}

/** The steps of the student that is tuned; undefined where there is none. */
export function tunedFrom(
  { students, tune_from }: Pick<DistillRecipe, "students" | "tune_from">,
): number | undefined {
  if (tune_from !== null) return tune_from;
  return students.includes(4) ? 4 : students.findLast((steps) => steps > 1);
}
