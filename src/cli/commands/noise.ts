/** `noise`: the forward process of a picture, x_0 to x_T. */
import { betasByName, createGenerator, makeSchedule, q_sample } from "../../diffusion/mod.ts";
import { encodePng } from "../../image/png.ts";
import { grid } from "../../image/grid.ts";
import { fromPixels, type Pixels, toPixels, withChannels } from "../../image/pixels.ts";
import { decodePicture } from "../../image/read.ts";
import { enlarge, resizeCrop } from "../../image/resize.ts";
import { InputError } from "../../errors.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { openTarget, writeWhole } from "../output.ts";
import { parseWhole } from "../values.ts";

interface Flags {
  schedule: string;
  frames: string;
  steps: string;
  size?: string;
  seed: string;
  out: string;
  force: boolean;
}

export function define(command: Command, io: () => Io): void {
  command
    .argument("<image>", "a PNG or JPEG")
    .option("--schedule <names>", "noise schedules, a row each: linear,cosine", "linear")
    .option("--frames <n>", "pictures in the strip, x_0 and x_T included", "9")
    .option("--steps <n>", "T, the length of the chain", "1000")
    .option("--size <pixels>", "the pictures' height (default: as it is, at most 256)")
    .option("--seed <n>", "which noise", "0")
    .option("--out <file>", "a .png, or -", "noise.png")
    .option("--force", "overwrite a file that is there", false)
    .action((image: string, flags: Flags) => {
      const scratch = command.getOptionValueSource("out") === "default";
      return run(image, { ...flags, force: flags.force || scratch }, io());
    });
}

async function run(path: string, flags: Flags, io: Io): Promise<void> {
  const T = parseWhole("--steps", flags.steps, 2, 1_000_000);
  const frames = parseWhole("--frames", flags.frames, 2, 100);
  const seed = parseWhole("--seed", flags.seed, 0, 2 ** 32 - 1);
  const target = await openTarget(flags.out, flags.force);
  if (target.kind !== "png" && target.kind !== "stdout") {
    throw new InputError(`--out ${flags.out}: a strip is a .png`);
  }
  const picture = await readPicture(path, flags.size);
  const rows = flags.schedule.split(",").map((name) =>
    strip(picture, name.trim(), T, frames, seed)
  );
  const png = encodePng(grid(rows.flat(), { columns: frames, gap: 2, background: 255 }));
  if (target.kind === "stdout") return io.writeBytes(png);
  await writeWhole(target.path, png);
  if (!io.quiet) io.err(`${target.path}: ${flags.schedule}, ${frames} of ${T} steps, seed ${seed}`);
}

async function readPicture(path: string, size: string | undefined): Promise<Pixels> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${(error as Error).message})`);
  }
  const decoded = decodePicture(bytes, path);
  const picture = withChannels(decoded, decoded.channels <= 2 ? 1 : 3);
  const height = size === undefined
    ? Math.min(256, picture.height)
    : parseWhole("--size", size, 1, 4096);
  const width = Math.max(1, Math.round(picture.width * height / picture.height));
  return resizeCrop(picture, width, height);
}

/** x_0, then x_t at evenly spaced t up to x_{T−1}, all with the same ε, so that only t changes. */
function strip(picture: Pixels, name: string, T: number, frames: number, seed: number): Pixels[] {
  const schedule = makeSchedule(betasByName(name, T, 1e-4, 0.02));
  const x_0 = fromPixels(picture);
  const eps = createGenerator(seed).randn(x_0.length);
  const shape = [picture.channels, picture.height, picture.width];
  const factor = Math.ceil(64 / picture.height);
  return Array.from({ length: frames }, (_, i) => {
    const t = i === 0 ? -1 : Math.round(i / (frames - 1) * (T - 1));
    return enlarge(toPixels(q_sample(x_0, t, schedule, eps), shape), factor);
  });
}
