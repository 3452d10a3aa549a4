/** `sample`: pictures from noise. */
import { sample } from "../../sampling/sample.ts";
import { type Picture, pictureOfFrame } from "../../sampling/pictures.ts";
import { InputError } from "../../errors.ts";
import { bulkRequest, parseShard } from "../bulk/request.ts";
import { type BulkTarget, runBulk } from "../bulk/run.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { openTarget, type Target, writePictures } from "../output.ts";
import { duration, Progress } from "../progress.ts";
import {
  defineSamplingOptions,
  loadModel,
  type SamplingFlags,
  samplingOptions,
  seedsOf,
} from "../sampling_options.ts";

interface Flags extends SamplingFlags {
  out: string;
  force: boolean;
  resume: boolean;
  shard?: string;
}

/** How many pictures when nothing is said: a grid of four by four. */
const DEFAULT_COUNT = 16;

export function define(command: Command, io: () => Io): void {
  defineSamplingOptions(command)
    .option("--out <file>", ".png (a grid for several), .npz, .zip, a folder/, or -", "sample.png")
    .option("--force", "overwrite files that are there", false)
    .option("--resume", "make only what is not there yet (folder/ or .npz)", false)
    .option("--shard <i/n>", "part i of n, from 0, of the seeds (folder/ or .npz)")
    .addHelpText(
      "after",
      `
Examples:
  sample                                     16 pictures in sample.png
  sample --label 7 --n 4 --guidance 2
  sample --scheduler dpmpp --steps 12 --out pictures/
  sample --scheduler ./mine.ts --option strength=2
  sample --seeds 0-49999 --shard 3/16 --out pictures/ --resume`,
    )
    .action((flags: Flags) => run(flags, io()));
}

async function run(flags: Flags, io: Io): Promise<void> {
  const start = performance.now();
  // The default name is a scratch file of this command's own.
  const force = flags.force || flags.out === "sample.png";
  const seeds = seedsOf(flags, DEFAULT_COUNT);
  const shard = flags.shard === undefined ? undefined : parseShard(flags.shard);
  const target = await openTarget(flags.out, force || flags.resume);
  const bulk = bulkTarget(target, flags);
  await using model = await loadModel(flags, io);
  const options = await samplingOptions(flags, model, seeds, io);
  if (bulk) {
    const request = await bulkRequest(model, options, shard ?? { index: 0, count: 1 });
    const { made, kept } = await runBulk(request, bulk, io);
    const seconds = (performance.now() - start) / 1000;
    const there = kept > 0 ? `, ${kept} were there` : "";
    if (!io.quiet) {
      io.err(
        `${target.path}: ${countOf(made)}${there}, ${seedText(request.jobs.map((j) => j.seed))}, ${
          duration(seconds)
        } on ${model.backend}`,
      );
    }
    return;
  }

  const made: Picture[] = [];
  let progress: Progress | undefined;
  let steps = 0;
  for await (const frame of sample(model, options)) {
    progress ??= new Progress(io, seeds.length * frame.steps, seeds.length, "images");
    progress.update(++steps);
    if (frame.done) made[frame.index] = pictureOfFrame(model, options, frame);
  }
  progress?.end();
  await writePictures(target, made, force, io);

  if (io.quiet) return;
  const seconds = (performance.now() - start) / 1000;
  const { scheduler: { name } } = options;
  const where = target.kind === "stdout" ? "standard output" : target.path;
  io.err(
    `${where}: ${countOf(seeds.length)}, ${seedText(seeds)}, ${name} ${
      steps / seeds.length
    } steps, ${duration(seconds)} on ${model.backend}`,
  );
}

/** Where pictures are written one at a time, as they are made. */
function bulkTarget({ path, kind }: Target, flags: Flags): BulkTarget | undefined {
  const { resume, force } = flags;
  if (kind === "folder" || kind === "npz") return { path, kind, resume, force };
  if (resume || flags.shard !== undefined) {
    const option = resume ? "--resume" : "--shard";
    throw new InputError(`${option}: expected --out folder/ or --out FILE.npz, found ${path}`);
  }
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
