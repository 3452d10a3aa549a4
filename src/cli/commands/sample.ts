/** `sample`: pictures from noise. */
import { InputError } from "../../errors.ts";
import { encodeApng } from "../../image/apng.ts";
import { encodeGif } from "../../image/gif.ts";
import { grid } from "../../image/grid.ts";
import { RECIPE_KEYWORD, toText } from "../../recipe/recipe.ts";
import { writeZip } from "../../files/zip.ts";
import type { Model } from "../../model/model.ts";
import { gridPng, type Picture, pictureOfFrame } from "../../sampling/pictures.ts";
import { prepare, sample, type SampleOptions } from "../../sampling/sample.ts";
import { refuseDuplicateSeeds } from "../bulk/folder_sink.ts";
import { bulkRequest, parseShard, type Shard } from "../bulk/request.ts";
import { type BulkTarget, runBulk } from "../bulk/run.ts";
import type { Command } from "../command.ts";
import { studySource } from "../../weights/find/sources.ts";
import { Film } from "../drawing/film.ts";
import { comparison, readRecipeFile, type RecipeFile, weightsOf } from "../from_picture.ts";
import type { Io } from "../io.ts";
import { isScratch, openTarget, type Target, writeOutput } from "../files.ts";
import { duration, Progress } from "../progress.ts";
import {
  defineSamplingOptions,
  loadModel,
  readSamplingFlags,
  type SamplingFlags,
  schedulersHelp,
  seedsOf,
} from "../sampling_options.ts";

interface Flags extends SamplingFlags {
  from?: string;
  out: string;
  force?: boolean;
  resume?: boolean;
  shard?: string;
}

/** How many pictures when nothing is said: a grid of four by four. */
const DEFAULT_COUNT = 16;
/** The most pictures that are put into one image. */
const MOST_TOGETHER: Partial<Record<Target["kind"], number>> = {
  png: 10_000,
  stdout: 10_000,
  gif: 256,
  apng: 256,
};

export function define(command: Command, io: () => Io): void {
  defineSamplingOptions(command)
    .option("--from <picture>", "make a PNG's pictures again; other flags change its recipe")
    .option(
      "--out <file>",
      ".png (a grid for several), .npz, .zip, .gif or .apng of the steps, a folder/, or -",
      "sample.png",
    )
    .option("--force", "overwrite files that are there")
    .option("--resume", "make only what is not there yet (folder/ or .npz)")
    .option("--shard <i/n>", "part i of n, from 0, of the seeds (folder/ or .npz)")
    .addHelpText("after", schedulersHelp)
    .addHelpText(
      "after",
      `
An .onnx file brings its schedule along if convert wrote it; else scheduler_config.json beside it is
taken, else diffusers' defaults.

Examples:
  sample                                     16 pictures in sample.png
  sample --label 7 --n 4 --guidance 2
  sample --scheduler dpmpp --steps 12 --out pictures/
  sample --scheduler ./mine.ts --option strength=2
  sample --n 4 --out denoising.gif
  sample --from sample.png --steps 200 --out better.png
  sample --seeds 0-49999 --shard 3/16 --out pictures/ --resume`,
    )
    .action((flags: Flags) => {
      const isDefault = (name: string) => command.getOptionValueSource(name) === "default";
      return run(flags, isDefault, io());
    });
}

/** What few-step weights decide themselves. */
const CHOICES = [
  "scheduler",
  "schedule",
  "steps",
  "timesteps",
  "guidance",
  "guided",
  "option",
] as const;

/** The picture's weights, or those that take every choice where one is made. */
export function defaultWeights(flags: Flags, from: RecipeFile | undefined): string {
  if (from) return weightsOf(from);
  return CHOICES.some((name) => flags[name] !== undefined) ? studySource() : flags.weights;
}

async function run(
  flags: Flags,
  isDefault: (name: string) => boolean,
  io: Io,
): Promise<void> {
  const start = performance.now();
  const from = flags.from === undefined ? undefined : await readRecipeFile(flags.from);
  const weights = isDefault("weights") ? defaultWeights(flags, from) : flags.weights;
  const seeds = seedsOf(flags, DEFAULT_COUNT, from);
  const shard = flags.shard === undefined ? undefined : parseShard(flags.shard);
  const requestFor = await readSamplingFlags(flags, seeds, io, from);
  // The default file is this command's own choice, and may be made again.
  const scratch = isDefault("out") && await isScratch(flags.out, [flags.from]);
  const target = await openTarget(flags.out, scratch || !!flags.force || !!flags.resume);
  const bulk = bulkTarget(target, flags);
  const most = MOST_TOGETHER[target.kind] ?? Infinity;
  if (seeds.length > most) {
    throw new InputError(
      `--out ${flags.out}: ${seeds.length} pictures, at most ${most} are put into one image; a folder/, .npz or .zip takes more`,
    );
  }
  if (target.kind === "zip") refuseDuplicateSeeds(seeds.map((seed) => ({ seed })));
  await using model = await loadModel({ ...flags, weights }, io);
  const request = requestFor(model);
  const madeWith = from?.recipes[0].weights;
  if (from && madeWith !== model.hash && !io.quiet) {
    io.err(
      `${from.path} was made with other weights (${madeWith!.slice(0, 12)}…, these are ${
        model.hash.slice(0, 12)
      }…)`,
    );
  }

  const made = bulk
    ? await makeBulk(model, request, bulk, shard, io)
    : await makeFile(model, request, seeds, target, io, from);
  if (io.quiet) return;
  const where = target.kind === "stdout" ? "standard output" : target.path;
  const seconds = (performance.now() - start) / 1000;
  io.err(`${where}: ${made}, ${duration(seconds)} on ${model.backend}`);
}

/** Pictures into one file. @returns what was made, in words */
async function makeFile(
  model: Model,
  request: SampleOptions,
  seeds: readonly number[],
  target: Target,
  io: Io,
  from?: RecipeFile,
): Promise<string> {
  const { method, plan } = prepare(model, request);
  const steps = plan.timesteps.length;
  const animated = target.kind === "gif" || target.kind === "apng";
  const film = animated ? new Film(plan, model.shape, seeds.length) : undefined;
  const progress = new Progress(io, seeds.length * steps, seeds.length, "images");
  const made: Picture[] = [];
  let done = 0;
  try {
    for await (const frame of sample(model, request)) {
      progress.update(++done);
      film?.add(frame);
      if (frame.done) made[frame.index] = pictureOfFrame(frame, model.shape);
    }
  } finally {
    progress.end();
  }
  const bytes = await encode(target.kind, made, film);
  await (target.kind === "stdout" ? io.writeBytes(bytes) : writeOutput(target.path, bytes));
  const what = `${countOf(made.length)}, ${seedText(seeds)}, ${method.scheduler} ${steps} ${
    steps === 1 ? "step" : "steps"
  }`;
  return from ? `${what}, ${comparison(from, grid(made))}` : what;
}

async function encode(
  kind: Target["kind"],
  made: readonly Picture[],
  film: Film | undefined,
): Promise<Uint8Array> {
  if (film) {
    const { frames, delay } = film.develop();
    const text = { [RECIPE_KEYWORD]: toText(made.map(({ recipe }) => recipe)) };
    const still = frames[frames.length - 1];
    return kind === "gif"
      ? encodeGif(frames, { delay })
      : encodeApng(frames, { delay, still }, text);
  }
  if (kind === "zip") {
    const files = made.map(async (p) => [`${p.seed}.png`, await p.png()] as const);
    return writeZip(new Map(await Promise.all(files)));
  }
  return made.length === 1 ? made[0].png() : gridPng(made);
}

/** Where pictures are written one at a time, as they are made. */
function bulkTarget({ path, kind }: Target, flags: Flags): BulkTarget | undefined {
  const { resume = false, force = false } = flags;
  if (kind === "folder" || kind === "npz") return { path, kind, resume, force };
  if (resume || flags.shard !== undefined) {
    const option = resume ? "--resume" : "--shard";
    throw new InputError(`${option}: expected --out folder/ or --out FILE.npz, found ${path}`);
  }
}

async function makeBulk(
  model: Model,
  request: SampleOptions,
  target: BulkTarget,
  shard: Shard = { index: 0, count: 1 },
  io: Io,
): Promise<string> {
  const bulk = await bulkRequest(model, request, shard);
  const { made, kept } = await runBulk(bulk, target, io);
  const there = kept > 0 ? `, ${kept} were there` : "";
  return `${countOf(made)}${there}, ${seedText(bulk.jobs.map((job) => job.seed))}`;
}

function countOf(pictures: number): string {
  return `${pictures} ${pictures === 1 ? "picture" : "pictures"}`;
}

function seedText(seeds: readonly number[]): string {
  if (seeds.length === 0) return "no seeds";
  if (seeds.length === 1) return `seed ${seeds[0]}`;
  const [first] = seeds;
  const last = seeds[seeds.length - 1];
  const inOrder = seeds.every((seed, i) => seed === first + i);
  return inOrder ? `seeds ${first}-${last}` : `${seeds.length} seeds`;
}
