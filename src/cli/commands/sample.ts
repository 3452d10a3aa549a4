/** `sample`: pictures from noise. */
import { sample } from "../../sampling/sample.ts";
import { type Picture, pictureOfFrame } from "../../sampling/pictures.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { openTarget, writePictures } from "../output.ts";
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
}

/** How many pictures when nothing is said: a grid of four by four. */
const DEFAULT_COUNT = 16;

export function define(command: Command, io: () => Io): void {
  defineSamplingOptions(command)
    .option("--out <file>", ".png (a grid for several), .npz, .zip, a folder/, or -", "sample.png")
    .option("--force", "overwrite files that are there", false)
    .addHelpText(
      "after",
      `
Examples:
  sample                                     16 pictures in sample.png
  sample --label 7 --n 4 --guidance 2
  sample --scheduler dpmpp --steps 12 --out pictures/
  sample --scheduler ./mine.ts --option strength=2`,
    )
    .action((flags: Flags) => run(flags, io()));
}

async function run(flags: Flags, io: Io): Promise<void> {
  const start = performance.now();
  // The default name is a scratch file of this command's own.
  const force = flags.force || flags.out === "sample.png";
  const seeds = seedsOf(flags, DEFAULT_COUNT);
  const target = await openTarget(flags.out, force);
  await using model = await loadModel(flags, io);
  const options = await samplingOptions(flags, model, seeds, io);

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
  const many = `${seeds.length} ${seeds.length === 1 ? "picture" : "pictures"}`;
  io.err(
    `${where}: ${many}, ${seedText(seeds)}, ${name} ${steps / seeds.length} steps, ${
      duration(seconds)
    } on ${model.backend}`,
  );
}

function seedText(seeds: readonly number[]): string {
  if (seeds.length === 1) return `seed ${seeds[0]}`;
  const [first] = seeds;
  const last = seeds[seeds.length - 1];
  const inOrder = seeds.every((seed, i) => seed === first + i);
  return inOrder ? `seeds ${first}-${last}` : `${seeds.length} seeds`;
}
