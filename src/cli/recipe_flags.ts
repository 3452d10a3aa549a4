/** The recipe of a training run from flags, a recipe file, and the run that is gone on with. */
import { InputError } from "../errors.ts";
import {
  parseRecipe,
  parseRecipeValue,
  type Recipe,
  recipeFields,
  recipeKeys,
} from "../training/recipe.ts";
import { readRun } from "../training/run/train.ts";
import type { Command } from "./command.ts";
import { readInput } from "./input.ts";

/** What a printed recipe says where no data was named. */
const DATA_TO_FILL_IN = "path/to/pictures";

/** The flags of `train`; one without a value is `true`. */
export type TrainFlags =
  & Record<string, string | true | undefined>
  & Record<"backend" | "out", string>
  & Partial<Record<"recipe" | "resume" | "init" | "threads", string>>;

const flagOf = (key: string) => key.replaceAll("_", "-");
const propertyOf = (key: string) => key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

/** A flag for every key of a recipe. */
export function defineRecipeOptions(command: Command): void {
  for (const key of recipeKeys) {
    const { value, help } = recipeFields[key];
    const shown = value === undefined ? "" : ` (default ${JSON.stringify(value)})`;
    const argument = typeof value === "boolean" ? "[true|false]" : "<value>";
    command.option(`--${flagOf(key)} ${argument}`, `${help}${shown}`);
  }
}

export interface RunRecipe {
  readonly recipe: Recipe;
  /** The weights that the run began with. */
  readonly init?: string;
}

/** @throws InputError for keys, values and files that cannot be used, naming the flag */
export function recipeOfRun(flags: TrainFlags): Promise<RunRecipe> {
  return flags.resume === undefined ? fresh(flags) : resumed(flags, flags.resume);
}

/** Flags that also are recipe keys. */
function overrides(flags: TrainFlags): Partial<Recipe> {
  return Object.fromEntries(
    recipeKeys.flatMap((key) => {
      const typed = flags[propertyOf(key)];
      if (typed === undefined) return [];
      return [[key, typed === true ? true : parseRecipeValue(key, typed)]];
    }),
  );
}

/** A new run: the recipe file, if any, with the flags over it. A run's own file also names its start. */
async function fresh(flags: TrainFlags): Promise<RunRecipe> {
  const blank = flags.printRecipe ? { data: DATA_TO_FILL_IN } : {};
  if (flags.recipe === undefined) {
    return { recipe: parseRecipe(blank, overrides(flags)), init: flags.init };
  }
  const text = new TextDecoder().decode(await readInput("--recipe", flags.recipe));
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`--recipe ${flags.recipe}: expected JSON (${(error as Error).message})`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InputError(`--recipe ${flags.recipe}: expected a JSON object, found ${text.trim()}`);
  }
  const { init, ...recipe } = json;
  return {
    recipe: parseRecipe(blank, recipe, overrides(flags)),
    init: flags.init ?? (typeof init === "string" ? init : undefined),
  };
}

/** A run goes on by its own recipe; what changes the past may not be changed. */
async function resumed(flags: TrainFlags, folder: string): Promise<RunRecipe> {
  const { recipe, init } = await readRun(folder);
  const given = overrides(flags);
  const free: readonly string[] = [
    "data",
    "data_license",
    "steps",
    "fp16",
    "checkpoint_every",
    "keep_checkpoints",
    "sample_every",
    "sample_steps",
  ];
  const fixed = Object.keys(given).find((key) => !free.includes(key));
  if (fixed || flags.recipe || flags.init) {
    throw new InputError(
      `--resume: the run keeps its recipe, --${
        flagOf(fixed ?? (flags.recipe ? "recipe" : "init"))
      } cannot be changed; ${free.map((key) => `--${flagOf(key)}`).join(", ")} can`,
    );
  }
  return { recipe: parseRecipe(recipe, given), init };
}
