/** `noise`: the forward process of a picture, x_0 to x_T. */
import {
  betasByName,
  createGenerator,
  makeSchedule,
  type Schedule,
  SCHEDULE_NAMES,
} from "../../diffusion/mod.ts";
import { encodeApng } from "../../image/apng.ts";
import { encodeGif } from "../../image/gif.ts";
import { grid } from "../../image/grid.ts";
import { fromPixels, type Pixels, toPixels, withChannels } from "../../image/pixels.ts";
import { encodePng } from "../../image/png.ts";
import { decodePicture } from "../../image/read.ts";
import { enlarge, resizeCrop } from "../../image/resize.ts";
import type { Command } from "../command.ts";
import { curvesSvg } from "../curves.ts";
import { closedForm, stepByStep, timestepsToShow } from "../forward.ts";
import { readInput } from "../input.ts";
import type { Io } from "../io.ts";
import { openTarget, type TargetKind, writeWhole } from "../output.ts";
import { parseWhole } from "../values.ts";

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

/** Small pictures are enlarged until they are this high. */
const MIN_HEIGHT = 64;
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
    .option("--size <pixels>", "the picture's height (default: as it is, at most 256)")
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
    .action((image: string, flags: Flags) => {
      const scratch = command.getOptionValueSource("out") === "default";
      return run(image, { ...flags, force: flags.force || scratch }, io());
    });
}

async function run(path: string, flags: Flags, io: Io): Promise<void> {
  const longest = flags.stepByStep ? LONGEST_WALK : LONGEST_CHAIN;
  const T = parseWhole("--steps", flags.steps, 2, longest);
  const seed = parseWhole("--seed", flags.seed, 0, 2 ** 32 - 1);
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
  const rows: Pixels[][] = [];
  if (target.kind !== "svg") {
    const timesteps = timestepsToShow(T, frames);
    for (const [name, schedule] of schedules) {
      const states = (flags.stepByStep ? stepByStep : closedForm)(
        fromPixels(picture),
        schedule,
        timesteps,
        createGenerator(seed),
      );
      rows.push(
        await drawn(states, picture, io, (done) => io.status(`${name}: ${done} of ${frames}`)),
      );
      io.status("");
    }
  }
  const bytes = encode(target.kind, rows, schedules);
  if (target.kind === "stdout") return io.writeBytes(bytes);
  await writeWhole(target.path, bytes);
  if (io.quiet) return;
  const what = rows.length === 0 ? "curves" : `${frames} of ${T} steps, seed ${seed}`;
  io.err(`${target.path}: ${[...schedules.keys()].join(", ")}, ${what}`);
}

function encode(
  kind: TargetKind,
  rows: readonly (readonly Pixels[])[],
  schedules: ReadonlyMap<string, Schedule>,
): Uint8Array {
  if (kind === "svg") return new TextEncoder().encode(curvesSvg(schedules));
  const look = { gap: 2, background: 255 };
  if (kind !== "gif" && kind !== "apng") {
    return encodePng(grid(rows.flat(), { columns: rows[0].length, ...look }));
  }
  const moments = rows[0].map((_, i) => grid(rows.map((row) => row[i]), look));
  const delay = moments.map((_, i) => i === 0 || i === moments.length - 1 ? 1000 : 80);
  return kind === "gif" ? encodeGif(moments, { delay }) : encodeApng(moments, { delay });
}

async function readPicture(path: string, size: string | undefined): Promise<Pixels> {
  const decoded = decodePicture(await readInput("image", path), path);
  const picture = withChannels(decoded, decoded.channels <= 2 ? 1 : 3);
  const height = size === undefined
    ? Math.min(256, picture.height)
    : parseWhole("--size", size, 1, 4096);
  const width = Math.max(1, Math.round(picture.width * height / picture.height));
  return resizeCrop(picture, width, height);
}

/** States of the process as pictures; the event loop, and Ctrl-C with it, has its turn between them. */
async function drawn(
  states: Iterable<Float32Array>,
  { channels, height, width }: Pixels,
  io: Io,
  onDrawn: (done: number) => void,
): Promise<Pixels[]> {
  const factor = Math.ceil(MIN_HEIGHT / height);
  const pictures: Pixels[] = [];
  for (const x of states) {
    pictures.push(enlarge(toPixels(x, [channels, height, width]), factor));
    onDrawn(pictures.length);
    await new Promise((resolve) => setTimeout(resolve));
    io.signal.throwIfAborted();
  }
  return pictures;
}
