/** The options of every command that samples, and what they ask for. */
import { InputError } from "../errors.ts";
import { type BackendName, load } from "../model/load.ts";
import type { Model } from "../model/model.ts";
import { loadScheduler } from "../plugin.ts";
import { completeOptions } from "../sample.ts";
import { parseOption } from "../sampling/options.ts";
import type { SampleRequest } from "../sampling/sample.ts";
import type { Command } from "./command.ts";
import type { Io } from "./io.ts";
import { parseLabels, parseNumber, parsePairs, parseSeeds, parseWhole } from "./values.ts";

export interface ModelFlags {
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
  nullLabel?: string;
  option: string[];
  batch?: string;
}

const backends = ["auto", "wasm", "webgpu", "native"];

export function defineModelOptions(command: Command): Command {
  return command
    .option(
      "-w, --weights <weights>",
      "a built-in name, a diffusers folder or an address",
      "digits",
    )
    .option("--backend <name>", backends.join(", "), "auto")
    .option("--threads <n>", "CPU threads (default: every core)");
}

export function defineSamplingOptions(command: Command): Command {
  return defineModelOptions(command)
    .option("-s, --scheduler <name>", "linear, cosine, ddpm, ddim, dpmpp …, a path or an address")
    .option("--schedule <name>", "another noise schedule under the sampler: linear, cosine …")
    .option("--steps <n>", "network evaluations (default: what the weights recommend)")
    .option("--timesteps <list>", "the timesteps themselves, descending: 999,500,0")
    .option("--seeds <list>", "one picture each: 0-15,20")
    .option("--seed <n>", "the first seed")
    .option("-n, --n <count>", "how many pictures")
    .option("-l, --label <label>", "the class: a name or an index, or one for each seed: 3,1,4")
    .option("-g, --guidance <scale>", "how much the class counts; 1 is off")
    .option("--null-label <index>", 'the class that means "none", where the weights do not say')
    .option("-o, --option <name=value>", "an option of the scheduler: eta=0.5", collect, [])
    .option("--batch <n>", "the most pictures in one evaluation");
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

/** Loads the model that the flags name. */
export function loadModel(flags: ModelFlags, io: Io): Promise<Model> {
  if (!backends.includes(flags.backend)) {
    throw new InputError(
      `--backend: expected one of ${backends.join(", ")}, found "${flags.backend}"`,
    );
  }
  return load(flags.weights, {
    backend: flags.backend as BackendName,
    threads: flags.threads === undefined
      ? undefined
      : parseWhole("--threads", flags.threads, 1, 1024),
    onNotice: (notice) => io.err(notice),
  });
}

/** The seeds that the flags ask for; `count` where they do not say how many. */
export function seedsOf({ seeds, seed, n }: SamplingFlags, count: number): number[] {
  if (seeds !== undefined && (seed !== undefined || n !== undefined)) {
    throw new InputError("--seeds: give either --seeds, or --seed and --n");
  }
  if (seeds !== undefined) return parseSeeds(seeds);
  const first = seed === undefined ? 0 : parseWhole("--seed", seed, 0, 2 ** 32 - 1);
  const many = n === undefined
    ? (seed === undefined ? count : 1)
    : parseWhole("--n", n, 1, 10_000_000);
  if (first + many - 1 > 2 ** 32 - 1) throw new InputError("--seed: seeds end at 4294967295");
  return Array.from({ length: many }, (_, i) => first + i);
}

/** What the flags ask of a model, with the weights' defaults filled in. */
export async function samplingOptions(
  flags: SamplingFlags,
  model: Model,
  seeds: readonly number[],
  io: Io,
): Promise<SampleRequest> {
  const scheduler = flags.scheduler === undefined
    ? undefined
    : await loadScheduler(flags.scheduler);
  const labels = flags.label === undefined ? undefined : parseLabels(flags.label, model.labels);
  if (Array.isArray(labels) && labels.length !== seeds.length) {
    throw new InputError(`--label: ${labels.length} labels for ${seeds.length} seeds`);
  }
  const T = model.scheduler.num_train_timesteps;
  const complete = completeOptions(model, {
    seeds,
    scheduler,
    schedule: flags.schedule,
    steps: flags.steps === undefined ? undefined : parseWhole("--steps", flags.steps, 1, T),
    timesteps: flags.timesteps?.split(",").map((t) => parseNumber("--timesteps", t)),
    labels,
    guidance: flags.guidance === undefined ? undefined : parseNumber("--guidance", flags.guidance),
    nullLabel: flags.nullLabel === undefined
      ? undefined
      : parseWhole("--null-label", flags.nullLabel, 0, 2 ** 31 - 1),
    maxBatch: flags.batch === undefined ? undefined : parseWhole("--batch", flags.batch, 1, 4096),
    signal: io.signal,
  });
  const given = parsePairs("--option", flags.option);
  const options = Object.fromEntries(
    Object.entries(given).map(([key, text]) => [
      key,
      parseOption(complete.scheduler.options?.[key], text),
    ]),
  );
  return { ...complete, options };
}
