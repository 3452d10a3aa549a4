/** `noise`: the forward process of a picture, x_0 to x_T. */
import { betasByName, createGenerator, makeSchedule, SCHEDULE_NAMES } from "../../diffusion/mod.ts";
import { encodeApng } from "../../image/apng.ts";
import { encodeGif } from "../../image/gif.ts";
import { fromPixels, type Pixels, toPixels, withChannels } from "../../image/pixels.ts";
import { CAPTIONED_WIDTH, captionScale, labelledGrid } from "../../image/labelled_grid.ts";
import { encodePng } from "../../image/png.ts";
import { decodePicture } from "../../image/read.ts";
import { enlarge, resizeCrop } from "../../image/resize.ts";
import type { Command } from "../command.ts";
import { curvesSvg } from "../drawing/curves.ts";
import { closedForm, stepByStep, timestepsToShow } from "../drawing/forward.ts";
import { isScratch, openTarget, readInput, type TargetKind, writeOutput } from "../files.ts";
import type { Io } from "../io.ts";
import { parseSeed, parseWhole } from "../values.ts";

interface Flags {
  schedule: string;
  frames?: string;
  steps: string;
  size?: string;
  seed: string;
  stepByStep?: boolean;
  out: string;
  force?: boolean;
}

/** The most pixels a side that are kept of a picture unless --size is given. */
const MAX_SIDE = 256;
/** The largest side that may be asked for. */
const MAX_SIZE = 4096;
const STRIP_FRAMES = 9;
/** A walk draws noise at every one of its steps. */
const LONGEST_WALK = 10_000;
const LONGEST_CHAIN = 1_000_000;
const ANIMATION_FRAMES = 48;

export function define(command: Command, io: () => Io): void {
  command
    .argument("<image>", "a PNG or JPEG")
    .option("--schedule <names>", `side by side: ${SCHEDULE_NAMES.join(", ")}`, "linear")
    .option("--frames <n>", "how many x_t, x_0 and x_T included (default: 9; animations 48)")
    .option("--steps <n>", "T, the length of the chain", "1000")
    .option("--step-by-step", "walk along the chain; else each x_t is drawn from x_0")
    .option("--size <pixels>", "the picture's height (default: as it is, at most 256 a side)")
    .option("--seed <n>", "which noise", "0")
    .option("--out <file>", "a strip .png, a .gif or .apng, a .svg of ᾱ and SNR, or -", "noise.png")
    .option("--force", "overwrite a file that is there")
    .addHelpText(
      "after",
      `
Examples:
  noise photo.jpg                            the strip x_0 … x_T in noise.png
  noise photo.jpg --schedule linear,cosine --out noise.gif
  noise photo.jpg --schedule linear,cosine --out curves.svg`,
    )
    .action(async (image: string, flags: Flags) => {
      const isDefault = command.getOptionValueSource("out") === "default";
      const scratch = isDefault && await isScratch(flags.out, [image]);
      return run(image, { ...flags, force: flags.force || scratch }, io());
    });
}

async function run(path: string, flags: Flags, io: Io): Promise<void> {
  const longest = flags.stepByStep ? LONGEST_WALK : LONGEST_CHAIN;
  const T = parseWhole("--steps", flags.steps, 2, longest);
  const seed = parseSeed("--seed", flags.seed);
  const schedules = new Map(
    flags.schedule.split(",").map((part) => {
      const name = part.trim();
      return [name, makeSchedule(betasByName(name, T, 1e-4, 0.02))];
    }),
  );
  const target = await openTarget(flags.out, !!flags.force, ["png", "gif", "apng", "svg"]);
  const animated = target.kind === "gif" || target.kind === "apng";
  const frames = flags.frames === undefined
    ? Math.min(T + 1, animated ? ANIMATION_FRAMES : STRIP_FRAMES)
    : parseWhole("--frames", flags.frames, 2, Math.min(T + 1, 1000));
  const picture = await readPicture(path, flags.size);
  const timesteps = timestepsToShow(T, frames);
  const rows: Pixels[][] = [];
  for (const [name, schedule] of target.kind === "svg" ? [] : schedules) {
    const noise = createGenerator(seed);
    const way = flags.stepByStep ? stepByStep : closedForm;
    const states = way(fromPixels(picture), schedule, timesteps, noise);
    const onDrawn = (done: number) => io.status(`${name}: ${done} of ${frames}`);
    rows.push(await drawn(states, picture, io, onDrawn));
    io.status("");
  }
  const names = [...schedules.keys()];
  const bytes = target.kind === "svg"
    ? new TextEncoder().encode(curvesSvg(schedules))
    : encode(target.kind, rows, names, timesteps);
  if (target.kind === "stdout") return io.writeBytes(bytes);
  await writeOutput(target.path, bytes);
  if (io.quiet) return;
  const what = rows.length === 0 ? "curves" : `${frames} of ${T} steps, seed ${seed}`;
  io.err(`${target.path}: ${names.join(", ")}, ${what}`);
}

/** A strip, or one moment after another: a row a schedule, with the names at the edges. */
function encode(
  kind: TargetKind,
  rows: readonly (readonly Pixels[])[],
  names: readonly string[],
  timesteps: readonly number[],
): Uint8Array {
  // As in the paper x_0 is the picture itself; the tables here begin at x_1.
  const words = timesteps.map((t) => `x_${t + 1}`);
  const scale = captionScale(rows[0][0].width);
  if (kind !== "gif" && kind !== "apng") {
    return encodePng(labelledGrid(rows, { rows: names, columns: words, scale }));
  }
  const longest = words[words.length - 1].length;
  const moments = words.map((word, i) =>
    // Words of one length, so that all moments are of one size.
    labelledGrid(rows.map((row) => [row[i]]), {
      rows: names,
      columns: [word.padEnd(longest)],
      scale,
    })
  );
  const delay = moments.map((_, i) => i === 0 || i === moments.length - 1 ? 1000 : 80);
  return kind === "gif" ? encodeGif(moments, { delay }) : encodeApng(moments, { delay });
}

async function readPicture(path: string, size: string | undefined): Promise<Pixels> {
  const decoded = decodePicture(await readInput("image", path), path);
  const picture = withChannels(decoded, decoded.channels <= 2 ? 1 : 3);
  const longest = Math.max(picture.height, picture.width);
  const [height, most] = size === undefined
    ? [Math.max(1, Math.floor(picture.height * Math.min(1, MAX_SIDE / longest))), MAX_SIDE]
    : [parseWhole("--size", size, 1, MAX_SIZE), MAX_SIZE];
  // A picture that is all width is cut: its sides are bounded, whatever their proportions.
  const width = Math.min(most, Math.max(1, Math.round(picture.width * height / picture.height)));
  return resizeCrop(picture, width, height);
}

/** States of the process as pictures; the event loop, and Ctrl-C with it, has its turn between them. */
async function drawn(
  states: Iterable<Float32Array>,
  { channels, height, width }: Pixels,
  io: Io,
  onDrawn: (done: number) => void,
): Promise<Pixels[]> {
  const factor = Math.ceil(CAPTIONED_WIDTH / Math.max(width, height));
  const pictures: Pixels[] = [];
  for (const x of states) {
    pictures.push(enlarge(toPixels(x, [channels, height, width]), factor));
    onDrawn(pictures.length);
    await new Promise((resolve) => setTimeout(resolve));
    io.signal.throwIfAborted();
  }
  return pictures;
}
