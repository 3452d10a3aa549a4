/** `interpolate`: the way from one seed, or picture, to another. */
import { createGenerator } from "../../diffusion/mod.ts";
import { InputError } from "../../errors.ts";
import { encodeApng } from "../../image/apng.ts";
import { encodeGif } from "../../image/gif.ts";
import { grid } from "../../image/grid.ts";
import { fromPixels, type Pixels, toPixels, withChannels } from "../../image/pixels.ts";
import { encodePng } from "../../image/png.ts";
import { decodePicture } from "../../image/read.ts";
import { enlarge, resizeCrop } from "../../image/resize.ts";
import type { Model } from "../../model/model.ts";
import { MAX_SEED } from "../../recipe/recipe.ts";
import { labelIndex } from "../../recipe/conditioning.ts";
import { invert, slerp } from "../../sampling/interpolate.ts";
import { prepare, sample } from "../../sampling/sample.ts";
import type { Command } from "../command.ts";
import { isScratch, openTarget, readInput, writeOutput } from "../files.ts";
import type { Io } from "../io.ts";
import { Progress } from "../progress.ts";
import { defineModelOptions, loadModel, type ModelFlags } from "../sampling_options.ts";
import { parseNumber, parseSeed, parseWhole } from "../values.ts";

interface Flags extends ModelFlags {
  frames: string;
  steps?: string;
  label?: string;
  guidance?: string;
  out: string;
  force: boolean;
}

const FRAME_MS = 120;
/** Small pictures are enlarged to about this many pixels across. */
const MIN_WIDTH = 128;

export function define(command: Command, io: () => Io): void {
  defineModelOptions(command)
    .argument("<a>", "a seed, or a PNG or JPEG that is taken back to its noise first")
    .argument("<b>", "a seed or a picture")
    .option("--frames <n>", "pictures, both ends included", "16")
    .option("--steps <n>", "DDIM steps (default: what the weights recommend)")
    .option(
      "-l, --label <label>",
      "the class of all (default: none; 0 where the weights know no such)",
    )
    .option("-g, --guidance <scale>", "how much the class counts", "1")
    .option(
      "--out <file>",
      ".gif, .apng, or .png (side by side), or - for a .png on standard output",
      "interpolate.gif",
    )
    .option("--force", "overwrite a file that is there", false)
    .action(async (a: string, b: string, flags: Flags) => {
      const isDefault = command.getOptionValueSource("out") === "default";
      await run([a, b], flags, isDefault && await isScratch(flags.out, [a, b]), io());
    });
}

async function run(ends: string[], flags: Flags, scratch: boolean, io: Io): Promise<void> {
  const count = parseWhole("--frames", flags.frames, 2, 1000);
  const guidance = parseNumber("--guidance", flags.guidance ?? "1");
  const steps = flags.steps === undefined
    ? undefined
    : parseWhole("--steps", flags.steps, 1, 2 ** 31 - 1);
  const target = await openTarget(flags.out, scratch || flags.force, ["gif", "apng", "png"]);
  const read = await Promise.all(ends.map(readEnd));
  await using model = await loadModel(flags, io);
  const labels = flags.label === undefined
    // No class, so that the noise alone decides what is drawn on the way.
    ? model.labels && (model.nullLabel ?? 0)
    : labelIndex(model, flags.label);
  const options = { scheduler: "ddim", steps, guidance, labels, signal: io.signal };
  const { scheduler, method, plan } = prepare(model, options);

  const [a, b] = await Promise.all(
    read.map((end) =>
      startOf(end, model, io, { ...method, scheduler, label: labels, signal: io.signal })
    ),
  );
  const x_T = Array.from({ length: count }, (_, i) => slerp(a, b, i / (count - 1)));
  // DDIM draws no noise, so the seeds only number the frames.
  const request = { ...options, seeds: x_T.keys(), x_T };
  const progress = new Progress(io, count * plan.timesteps.length, count, "images");
  const made: Pixels[] = [];
  let done = 0;
  for await (const frame of sample(model, request)) {
    progress.update(++done);
    if (frame.done) made[frame.index] = toPixels(frame.x, model.shape);
  }
  progress.end();
  const frames = made.map((picture) => enlarge(picture, Math.ceil(MIN_WIDTH / picture.width)));
  const bytes = target.kind === "gif"
    ? encodeGif(frames, { delay: FRAME_MS })
    : target.kind === "apng"
    ? encodeApng(frames, { delay: FRAME_MS })
    : encodePng(grid(frames, { gap: 2, background: 255 }));
  if (target.kind === "stdout") return io.writeBytes(bytes);
  await writeOutput(target.path, bytes);
  if (!io.quiet) io.err(`${target.path}: ${count} pictures from ${ends[0]} to ${ends[1]}`);
}

interface PictureFile {
  readonly path: string;
  readonly picture: Pixels;
}

/** A seed, or a picture where there is a file of that name. */
async function readEnd(text: string): Promise<number | PictureFile> {
  if (/^\d+$/.test(text)) return parseSeed("seed", text);
  if (/^[-+]?[\d.]+$/.test(text)) {
    throw new InputError(`${text}: expected a seed from 0 to ${MAX_SEED}, or a picture's path`);
  }
  const bytes = await readInput("seed or picture", text);
  return { path: text, picture: decodePicture(bytes, text) };
}

/** x_T of a seed, or of a picture by DDIM inversion. */
async function startOf(
  end: number | PictureFile,
  model: Model,
  io: Io,
  request: Parameters<typeof invert>[2],
): Promise<Float32Array> {
  const [channels, height, width] = model.shape;
  if (typeof end === "number") return createGenerator(end).randn(channels * height * width);
  const { path, picture } = end;
  if (channels !== 1 && channels !== 3) {
    throw new InputError(`${path}: these weights draw ${channels} channels, pictures have 1 or 3`);
  }
  if ((picture.width !== width || picture.height !== height) && !io.quiet) {
    const [from, to] = [`${picture.width}×${picture.height}`, `${width}×${height}`];
    io.err(`${path}: cropped and resized from ${from} to ${to}, the size these weights draw`);
  }
  const fitted = resizeCrop(withChannels(picture, channels), width, height);
  return await invert(model, fromPixels(fitted), request);
}
