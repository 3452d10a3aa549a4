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
import { readInput } from "../input.ts";
import type { Io } from "../io.ts";
import { checkFolder } from "../output.ts";
import { partProgress, progressLines } from "../long_job.ts";
import { duration } from "../progress.ts";
import { parseWhole } from "../values.ts";

/** What a printed recipe says where no data was named. */
const DATA_TO_FILL_IN = "path/to/pictures";

/** A flag without a value is `true`. */
type Flags =
  & Record<string, string | true | undefined>
  & Record<"backend" | "out", string>
  & Partial<Record<"recipe" | "resume" | "init" | "threads", string>>;

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
    .option("--print-recipe", "print the whole recipe, for a file to begin with, and do nothing");
  for (const key of recipeKeys) {
    const { value, help } = recipeFields[key];
    const shown = value === undefined ? "" : ` (default ${JSON.stringify(value)})`;
    const argument = typeof value === "boolean" ? "[true|false]" : "<value>";
    command.option(`--${flagOf(key)} ${argument}`, `${help}${shown}`);
  }
  command.addHelpText(
    "after",
    `
Examples:
  train --data pictures/ --out run
  train --data pictures/ --size 64 --block-out-channels 64,128,128,256 --attention false,false,true,true
  train --print-recipe > my.json               every key with its default; then --recipe my.json
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
  await checkFolder(folder);
  const backend = await backendByName(flags.backend);
  const threads = flags.threads === undefined
    ? undefined
    : parseWhole("--threads", flags.threads, 1, 1024);

  const say = (notice: string) => {
    if (!io.quiet) io.err(notice);
  };
  const reading = partProgress(io);
  using termination = onTermination();
  const result = await train({
    recipe,
    folder,
    init,
    resume,
    backend,
    session: { threads, spin: false },
    signal: AbortSignal.any([io.signal, termination.signal]),
    onNotice: say,
    onRead: (done, total) => reading("reading pictures", done, total),
    onProgress: progressOn(io),
    onDownload: downloadOptions(io).onProgress,
  });
  io.status("");
  say(`${folder}: update ${result.step}, state SHA-256 ${result.hash}`);
  if (!result.finished) {
    io.err(`Stopped after ${result.step} of ${recipe.steps} updates, with a checkpoint.`);
    io.err(`Go on with: train --resume ${folder}`);
    io.err(`To have the weights as they are: train --resume ${folder} --steps ${result.step}`);
    io.signal.throwIfAborted();
    Deno.exit(TERMINATED);
  }
  say(`Sample with: sample --weights ${result.weights}`);
  io.out(result.weights!);
}

/** The exit code of a process that SIGTERM ended. */
const TERMINATED = 143;

/** SIGTERM, by which schedulers and `docker stop` ask a run to end, as a signal like Ctrl-C's. */
function onTermination(): { signal: AbortSignal } & Disposable {
  const stop = new AbortController();
  if (Deno.build.os === "windows") return { signal: stop.signal, [Symbol.dispose]: () => {} };
  const listener = () => stop.abort(new DOMException("stopped by SIGTERM", "AbortError"));
  Deno.addSignalListener("SIGTERM", listener);
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => Deno.removeSignalListener("SIGTERM", listener),
  };
}

function progressOn(io: Io): (progress: Progress) => void {
  const show = progressLines(io);
  return ({ step, steps, loss, msPerStep, secondsLeft }) =>
    show(
      `${step}/${steps}  loss ${loss.toFixed(4)}  ${msPerStep.toFixed(0)} ms a step  ${
        duration(secondsLeft)
      } left`,
    );
}

/** Flags that also are recipe keys. */
function overrides(flags: Flags): Partial<Recipe> {
  return Object.fromEntries(
    recipeKeys.flatMap((key) => {
      const typed = flags[propertyOf(key)];
      if (typed === undefined) return [];
      return [[key, typed === true ? true : parseRecipeValue(key, typed)]];
    }),
  );
}

/** A new run: the recipe file, if any, with the flags over it. A run's own file also names its start. */
async function fresh(flags: Flags): Promise<{ recipe: Recipe; init?: string }> {
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
async function resumed(flags: Flags) {
  const { recipe, init } = await readRun(flags.resume!);
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
