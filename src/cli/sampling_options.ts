/** The options of every command that samples, and what they ask for. */
import { backendNames } from "../backends/names.ts";
import { guidedType } from "../diffusion/guided.ts";
import { SCHEDULE_NAMES, type Scheduler } from "../diffusion/mod.ts";
import { FieldError, InputError } from "../errors.ts";
import { parse } from "../schema.ts";
import { type BackendName, load } from "../model/load.ts";
import type { Model } from "../model/model.ts";
import { schedulers } from "../../schedulers/mod.ts";
import { optionsFromText, resolveOptions } from "../recipe/options.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { sizeFromText } from "../recipe/size.ts";
import { chooseScheduler } from "../recipe/resolve.ts";
import type { SampleOptions } from "../sampling/sample.ts";
import { labelNamed } from "../recipe/conditioning.ts";
import type { Command } from "./command.ts";
import { downloadOptions } from "./progress.ts";
import { type RecipeFile, schedulerOf } from "./from_picture.ts";
import type { Io } from "./io.ts";
import {
  collect,
  parseNumber,
  parsePairs,
  parseSeed,
  parseSeeds,
  parseWhole,
  seedsFrom,
} from "./values.ts";
import { defaultSource, studySource } from "../weights/find/sources.ts";
import { mixtures, readMixFlags } from "./mixtures.ts";
import { type LoadFlags, loadFlags, weightsOption } from "./weights.ts";
import { importPlugin, isModuleSpec } from "../files/import_plugin.ts";
import { checkScheduler } from "../sampling/plugin.ts";

export interface ModelFlags extends LoadFlags {
  weights: string;
  backend: string;
  threads?: string;
}

export interface SamplingFlags extends ModelFlags {
  scheduler?: string;
  schedule?: string;
  steps?: string;
  timesteps?: string;
  seeds?: string;
  seed?: string;
  n?: string;
  label?: string;
  guidance?: string;
  guided?: string;
  nullLabel?: string;
  option?: string[];
  batch?: string;
  with?: string;
  mix?: string;
  scale?: string;
  size?: string;
}

/** @param source the weights where none are named: those that answer at every timestep */
export function defineModelOptions(command: Command, source = studySource()): Command {
  return loadFlags(command.addOption(weightsOption(source)))
    .option("--backend <name>", backendNames.join(", "), "auto")
    .option("--threads <n>", "CPU threads (default: every core)");
}

export function defineSamplingOptions(command: Command): Command {
  return defineModelOptions(command, defaultSource())
    .option("-s, --scheduler <name>", "see below; or a plug-in's path or address")
    .option("--schedule <name>", `another noise schedule under it: ${SCHEDULE_NAMES.join(", ")}`)
    .option("--steps <n>", "denoising steps (default: what the weights recommend)")
    .option("--timesteps <list>", "the timesteps themselves, descending: 999,500,0")
    .option("--seeds <list>", "one picture each: 0-15,20")
    .option("--seed <n>", "the first seed")
    .option("-n, --n <count>", "how many pictures")
    .option(
      "-l, --label <label>",
      "the class: a name or an index, two as wizard+orc, or one for each seed: 3,1,4",
    )
    .option("--with <seed>", "mix with another seed's picture, or with one for each")
    .option("--mix <share>", "how much of the second label or seed: 0 to 1, or one for each (0.5)")
    .option("-g, --guidance <scale>", "how much the class counts; 1 is off")
    .option(
      "--guided <from-to>",
      "the timesteps at which it does: 170-880 (default: the weights', else all)",
    )
    .option("--null-label <index>", 'the class that means "none", where the weights do not say')
    .option("-o, --option <name=value>", "an option of the scheduler: eta=0.5", collect)
    .option("--scale <n>", "enlarge every pixel to n × n")
    .option(
      "--size <n>",
      "width and height: 128, or 128x96; its ground around it",
    )
    .option("--batch <n>", "the most pictures in one evaluation");
}

/** The built-in schedulers and their options, as help text. */
export function schedulersHelp(): string {
  return optionsHelp("Schedulers", schedulers);
}

/** Plug-ins and their options, as help text. */
export function optionsHelp(title: string, plugins: Readonly<Record<string, Scheduler>>): string {
  const lines = Object.values(plugins).flatMap(({ name, description = "", options = {} }) => [
    `  ${name.padEnd(8)} ${description}`,
    ...Object.entries(options).map(([key, { description, default: value }]) =>
      `${" ".repeat(13)}--option ${key}=${value}: ${description}`
    ),
  ]);
  return ["", `${title}:`, ...lines].join("\n");
}

/** Loads the model that the flags name; rejects at once when the user stops it. */
export function loadModel(flags: ModelFlags, io: Io): Promise<Model> {
  if (!(backendNames as readonly string[]).includes(flags.backend)) {
    throw new InputError(
      `--backend: expected one of ${backendNames.join(", ")}, found "${flags.backend}"`,
    );
  }
  const model = load(flags.weights, {
    backend: flags.backend as BackendName,
    threads: flags.threads === undefined
      ? undefined
      : parseWhole("--threads", flags.threads, 1, 1024),
    onNotice: (notice) => io.err(notice),
    variant: flags.variant,
    configs: flags.configs,
    refresh: flags.refresh,
    ...downloadOptions(io),
  });
  return untilStopped(model, io.signal);
}

/** Waits for a model until the signal comes; one that comes later is closed. */
export async function untilStopped(model: Promise<Model>, signal: AbortSignal): Promise<Model> {
  const stopped = Promise.withResolvers<never>();
  const stop = () => {
    stopped.reject(signal.reason);
    model.then((late) => late.close(), () => {});
  };
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([model, stopped.promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** The seeds that the flags ask for; else those of a picture, else the first `count`. */
export function seedsOf(
  { seeds, seed, n, mix = "" }: SamplingFlags,
  count: number,
  from?: RecipeFile,
): readonly number[] {
  if (from && seeds === undefined && seed === undefined && n === undefined) {
    return from.recipes.map((recipe) => recipe.seed);
  }
  if (seeds !== undefined && (seed !== undefined || n !== undefined)) {
    throw new InputError("--seeds: give either --seeds, or --seed and --n");
  }
  if (seeds !== undefined) return parseSeeds(seeds);
  const many = n === undefined
    ? (seed === undefined ? count : 1)
    : parseWhole("--n", n, 1, 10_000_000);
  // One seed is mixed as often as there are shares.
  if (n === undefined && seed !== undefined && mix.includes(",")) {
    const one = parseSeed("--seed", seed);
    return mix.split(",").map(() => one);
  }
  return seedsFrom("--seed", seed ?? "0", many);
}

/**
 * What the flags ask for. Everything that can be refused without the model is refused here, before
 * anything is downloaded; the rest when the model is given.
 * @param from a picture whose recipe stands in for the flags that are not given
 * @returns the options for a model
 */
export async function readSamplingFlags(
  flags: SamplingFlags,
  seeds: readonly number[],
  io: Io,
  from?: RecipeFile,
): Promise<(model: Model) => SampleOptions> {
  const scheduler = flags.scheduler === undefined
    ? from && schedulers[schedulerOf(from)]
    : await loadScheduler(flags.scheduler);
  const given = parsePairs("--option", flags.option ?? []);
  if (scheduler) resolveOptions(scheduler, optionsFromText(scheduler, given));
  if (flags.steps !== undefined && flags.timesteps !== undefined) {
    throw new InputError("--timesteps: give either --timesteps or --steps");
  }
  const recipe = from?.recipes[0];
  const asked = {
    seeds,
    scheduler,
    schedule: flags.schedule ?? recipe?.schedule,
    steps: parsed(flags.steps, (text) => parseWhole("--steps", text, 1, 2 ** 31 - 1)) ??
      (flags.timesteps === undefined ? recipe?.steps : undefined),
    timesteps: flags.timesteps?.split(",").map((t) => parseNumber("--timesteps", t)) ??
      (flags.steps === undefined ? recipe?.timesteps : undefined),
    guidance: parsed(flags.guidance, (text) => parseNumber("--guidance", text)) ?? recipe?.guidance,
    guided: parsed(flags.guided, (text) => parse(guidedType, text, "--guided")) ?? recipe?.guided,
    nullLabel:
      parsed(flags.nullLabel, (text) => parseWhole("--null-label", text, 0, 2 ** 31 - 1)) ??
        recipe?.nullLabel,
    ...enlargementOf(flags, recipe),
    maxBatch: parsed(flags.batch, (text) => parseWhole("--batch", text, 1, 4096)),
    signal: io.signal,
  };
  const mixing = readMixFlags(flags);
  return (model) => {
    const chosen = chooseScheduler(model, schedulers, scheduler);
    const before = chosen.name === recipe?.scheduler ? recipe.options : {};
    const named = labelsOf(flags, seeds, model.labels, from);
    const { labels, mix } = mixtures(model, seeds, named, mixing, recipesOf(from, seeds));
    return { ...asked, labels, mix, options: { ...before, ...optionsFromText(chosen, given) } };
  };
}

/**
 * "3,wizard,4": names or indices in the seeds' order; one stands for all. A class whose own name has
 * commas or spaces around it goes before what they would mean.
 */
function labelsOf(
  { label }: SamplingFlags,
  seeds: readonly number[],
  names: readonly string[] = [],
  from?: RecipeFile,
) {
  if (label === undefined) {
    const labels = recipesOf(from, seeds).map((recipe) => recipe.label);
    return labels.length === 0 || labels.includes(undefined) ? undefined : labels as number[];
  }
  for (const whole of [label, label.trim()]) if (labelNamed(names, whole) >= 0) return whole;
  const labels = label.split(",").map((part) => labelNamed(names, part) >= 0 ? part : part.trim());
  if (labels.length === 1) return labels[0];
  if (labels.length === seeds.length) return labels;
  throw new InputError(`--label: ${labels.length} labels for ${seeds.length} seeds`);
}

/** A picture's recipes where they are of the same seeds. */
function recipesOf(from: RecipeFile | undefined, seeds: readonly number[]): readonly Recipe[] {
  const same = from?.recipes.length === seeds.length &&
    from.recipes.every(({ seed }, i) => seed === seeds[i]);
  return same ? from.recipes : [];
}

/** The enlargement that the flags ask for; else the picture's. */
function enlargementOf({ scale, size }: SamplingFlags, recipe?: Recipe) {
  if (scale === undefined && size === undefined) {
    // A canvas that is no multiple implies its scale.
    return { size: recipe?.size, scale: recipe?.size ? undefined : recipe?.scale };
  }
  return {
    scale: parsed(scale, (text) => parseWhole("--scale", text, 1, 256)),
    size: parsed(size, (text) => {
      const read = sizeFromText(text);
      if (!read) throw new FieldError("--size", "a width and height: 128, or 128x96", text);
      return read;
    }),
  };
}

function parsed<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined ? undefined : parse(text);
}

/**
 * A built-in scheduler by its name, or a plug-in by its path (`./mine.ts`, from the working folder)
 * or address (`https://…`).
 * @throws InputError where it cannot be loaded, or what it exports is no scheduler.
 */
export async function loadScheduler(spec: string): Promise<Scheduler> {
  if (Object.hasOwn(schedulers, spec)) return schedulers[spec];
  const where = `scheduler ${spec}`;
  if (!isModuleSpec(spec)) {
    throw new InputError(
      `${where}: expected one of ${
        Object.keys(schedulers).join(", ")
      }, or a plug-in's path (./mine.ts) or address`,
    );
  }
  return checkScheduler(await importPlugin(spec, where), where);
}
