/** The recipe of a training run from flags, a recipe file, and the run that is gone on with. */
import { InputError } from "../errors.ts";
import {
  distillFields,
  distillKeys,
  type DistillRecipe,
  parseDistillRecipe,
} from "../training/distill/recipe.ts";
import type { TrainingField } from "../networks/architecture.ts";
import {
  parseTrainingRecipe,
  parseTypedField,
  trainingFields,
  type TrainingRecipe,
} from "../training/recipe.ts";
import { readRecipeFile } from "../training/run/train.ts";
import type { Command } from "./command.ts";
import { readInput } from "./files.ts";

/** What a printed recipe says where no data was named. */
const DATA_TO_FILL_IN = "path/to/pictures";

/** The flags of `train`; one without a value is `true`. */
export type TrainFlags =
  & Record<string, string | true | undefined>
  & Record<"backend" | "out", string>
  & Partial<Record<"recipe" | "resume" | "init" | "distill" | "threads", string>>;

const flagOf = (key: string) => key.replaceAll("_", "-");
const propertyOf = (key: string) => key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** A flag for every key of a recipe, that of a distillation included. */
export function defineRecipeOptions(command: Command): void {
  const own = distillKeys.map((key): [string, TrainingField] => [key, distillFields[key]]);
  for (
    const [key, { missing: value, help }] of [
      ...Object.entries<TrainingField>(trainingFields),
      ...own,
    ]
  ) {
    const shown = value === undefined ? "" : ` (default ${JSON.stringify(value)})`;
    const argument = typeof value === "boolean" ? "[true|false]" : "<value>";
    command.option(`--${flagOf(key)} ${argument}`, `${help}${shown}`);
  }
}

/** What a run is to do: train a network, or distil one. */
export type RunRecipe =
  | {
    readonly kind: "train";
    readonly recipe: TrainingRecipe;
    /** The weights that the run began with. */
    readonly init?: string;
  }
  | { readonly kind: "distill"; readonly recipe: DistillRecipe };

/** @throws InputError for keys, values and files that cannot be used, naming the flag */
export function recipeOfRun(flags: TrainFlags): Promise<RunRecipe> {
  return flags.resume === undefined ? fresh(flags) : resumed(flags, flags.resume);
}

type Fields = Readonly<Record<string, TrainingField>>;
type Kind = RunRecipe["kind"];

const fieldsOf: Readonly<Record<Kind, Fields>> = { train: trainingFields, distill: distillFields };

/** The keys that were given as flags. @throws InputError for those of the other kind of run */
function overrides(flags: TrainFlags, kind: Kind): Record<string, unknown> {
  const fields = fieldsOf[kind];
  const given: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(trainingFields), ...distillKeys])) {
    const typed = flags[propertyOf(key)];
    if (typed === undefined) continue;
    if (!Object.hasOwn(fields, key)) {
      throw new InputError(
        kind === "distill"
          ? `--${
            flagOf(key)
          }: not with --distill, whose students keep their teacher's network and schedule`
          : `--${flagOf(key)}: expected --distill WEIGHTS with it`,
      );
    }
    given[key] = typed === true ? true : parseTypedField(key, fields[key], typed);
  }
  return given;
}

/** A new run: the recipe file, if any, with the flags over it. A run's own file also names its start. */
async function fresh(flags: TrainFlags): Promise<RunRecipe> {
  const blank = flags.printRecipe ? { data: DATA_TO_FILL_IN } : {};
  const { init, ...file } = flags.recipe === undefined ? {} : await recipeFile(flags.recipe);
  const isDistillation = flags.distill !== undefined || Object.hasOwn(file, "distill");
  if (isDistillation) {
    if (flags.init !== undefined) {
      throw new InputError("--init: not with --distill, whose students begin as their teacher");
    }
    const recipe = parseDistillRecipe(blank, file, overrides(flags, "distill"));
    return { kind: "distill", recipe };
  }
  return {
    kind: "train",
    recipe: parseTrainingRecipe(blank, file, overrides(flags, "train")),
    init: flags.init ?? (typeof init === "string" ? init : undefined),
  };
}

async function recipeFile(path: string): Promise<Record<string, unknown>> {
  const text = new TextDecoder().decode(await readInput("--recipe", path));
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`--recipe ${path}: expected JSON (${(error as Error).message})`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`--recipe ${path}: expected a JSON object, found ${text.trim()}`);
  }
  return json;
}

/** What a run that goes on may do otherwise: nothing that changes the past. */
const FREE: readonly string[] = [
  "data",
  "data_license",
  "steps",
  "fp16",
  "checkpoint_every",
  "keep_checkpoints",
  "sample_every",
  "sample_steps",
];

/** A run goes on by its own recipe. */
async function resumed(flags: TrainFlags, folder: string): Promise<RunRecipe> {
  const { init, ...file } = await readRecipeFile(folder);
  const kind = Object.hasOwn(file, "distill") ? "distill" : "train";
  const given = overrides(flags, kind);
  const free = FREE.filter((key) => Object.hasOwn(fieldsOf[kind], key));
  const fixed = Object.keys(given).find((key) => !free.includes(key));
  if (fixed || flags.recipe || flags.init) {
    throw new InputError(
      `--resume: the run keeps its recipe, --${
        flagOf(fixed ?? (flags.recipe ? "recipe" : "init"))
      } cannot be changed; ${free.map((key) => `--${flagOf(key)}`).join(", ")} can`,
    );
  }
  if (kind === "distill") return { kind, recipe: parseDistillRecipe(file, given) };
  return { kind, recipe: parseTrainingRecipe(file, given), init: init as string | undefined };
}
