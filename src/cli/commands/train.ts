/** `train`: pictures in, weights out. */
import { backendByName } from "../../backend/select.ts";
import { InputError } from "../../errors.ts";
import type { Progress } from "../../training/loop.ts";
import {
  parseRecipe,
  parseRecipeValue,
  type Recipe,
  recipeFields,
  recipeKeys,
} from "../../training/recipe.ts";
import { readRun, train } from "../../training/train.ts";
import type { Command } from "../command.ts";
import { downloadOptions } from "../downloads.ts";
import type { Io } from "../io.ts";
import { duration } from "../progress.ts";
import { parseWhole } from "../values.ts";

type Flags = Record<string, string | undefined> & { backend: string; out: string };

const flagOf = (key: string) => key.replaceAll("_", "-");
const propertyOf = (key: string) => key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

export function define(command: Command, io: () => Io): void {
  command
    .option("--recipe <file>", "a JSON file with any of the keys below, in snake_case")
    .option("--out <folder>", "where the run lies", "run")
    .option("--resume <folder>", "go on with the run in a folder")
    .option("--init <weights>", "fine-tune weights: a built-in name, a folder or an address")
    .option("--backend <name>", "native, wasm, webgpu", "native")
    .option("--threads <n>", "CPU threads (default: every core)")
    .option("--print-recipe", "print the whole recipe and do nothing");
  for (const key of recipeKeys) {
    const { value, help } = recipeFields[key];
    const shown = value === undefined ? "" : ` (default ${JSON.stringify(value)})`;
    command.option(`--${flagOf(key)} <value>`, `${help}${shown}`);
  }
  command.addHelpText(
    "after",
    `
Examples:
  train --data pictures/ --out run
  train --data pictures/ --size 64 --block-out-channels 64,128,128,256 --attention false,false,true,true
  train --resume run
  train --init run/weights --data more/ --lr 1e-4 --out tuned
The weights are in OUT/weights: sample --weights run/weights`,
  ).action((flags: Flags) => run(flags, io()));
}

async function run(flags: Flags, io: Io): Promise<void> {
  const resume = flags.resume !== undefined;
  const { recipe, init } = resume ? await resumed(flags) : await fresh(flags);
  if (flags.printRecipe) return io.out(JSON.stringify(recipe, null, 2));
  const folder = (flags.resume ?? flags.out).replace(/(?<=.)\/+$/, "");
  const backend = await backendByName(flags.backend);
  const threads = flags.threads === undefined
    ? undefined
    : parseWhole("--threads", flags.threads, 1, 1024);

  const say = (notice: string) => {
    if (!io.quiet) io.err(notice);
  };
  const result = await train({
    recipe,
    folder,
    init,
    resume,
    backend,
    session: { threads, spin: false },
    signal: io.signal,
    onNotice: say,
    onProgress: progressOn(io, say),
    onDownload: downloadOptions(io).onProgress,
  });
  io.status("");
  say(`${folder}: update ${result.step}, state SHA-256 ${result.hash}`);
  if (!result.finished) {
    io.err(`There is a checkpoint. Go on with: train --resume ${folder}`);
    throw io.signal.reason;
  }
  say(`Sample with: sample --weights ${result.weights}`);
  io.out(result.weights!);
}

/** How often progress is a line of its own, for logs. */
const LINE_SECONDS = 30;

function progressOn(io: Io, say: (line: string) => void): (progress: Progress) => void {
  let last = performance.now();
  return ({ step, steps, loss, msPerStep, secondsLeft }) => {
    const line = `${step}/${steps}  loss ${loss.toFixed(4)}  ${msPerStep.toFixed(0)} ms a step  ${
      duration(secondsLeft)
    } left`;
    io.status(line);
    if (performance.now() - last < LINE_SECONDS * 1000) return;
    last = performance.now();
    say(line);
  };
}

/** Flags that also are recipe keys. */
function overrides(flags: Flags): Partial<Recipe> {
  return Object.fromEntries(
    recipeKeys.flatMap((key) => {
      const typed = flags[propertyOf(key)];
      return typed === undefined ? [] : [[key, parseRecipeValue(key, typed)]];
    }),
  );
}

/** A new run: the recipe file, if any, with the flags over it. A run's own file also names its start. */
async function fresh(flags: Flags): Promise<{ recipe: Recipe; init?: string }> {
  if (flags.recipe === undefined) {
    return { recipe: parseRecipe(overrides(flags)), init: flags.init };
  }
  const text = await Deno.readTextFile(flags.recipe).catch((error) => {
    throw new InputError(`--recipe ${flags.recipe}: cannot be read (${error.message})`);
  });
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`--recipe ${flags.recipe}: expected JSON (${(error as Error).message})`);
  }
  const { init, ...recipe } = json;
  return {
    recipe: parseRecipe(recipe, overrides(flags)),
    init: flags.init ?? (typeof init === "string" ? init : undefined),
  };
}

/** A run goes on by its own recipe; what changes the past may not be changed. */
async function resumed(flags: Flags) {
  const { recipe, init } = await readRun(flags.resume!);
  const given = overrides(flags);
  const free: readonly string[] = [
    "data",
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
