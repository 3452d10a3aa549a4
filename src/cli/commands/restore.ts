/** `restore`: gives a picture back what it lost. */
import { join } from "node:path";
import { restorers } from "../../../schedulers/restoration/mod.ts";
import { type Measurement, residualRms } from "../../diffusion/mod.ts";
import { FieldError, InputError } from "../../errors.ts";
import { fromPixels, type Pixels, toPixels } from "../../image/pixels.ts";
import { encodePng } from "../../image/png.ts";
import { decodePicture } from "../../image/read.ts";
import type { Model } from "../../model/model.ts";
import { optionsFromText } from "../../recipe/options.ts";
import { type Recipe, RECIPE_KEYWORD, toText } from "../../recipe/recipe.ts";
import { type Mask, operatorOf } from "../../restoration/degradation.ts";
import { fit, givenShape, hasTransparency, measured, readMask } from "../../restoration/fit.ts";
import { MEASUREMENT, measurementInput } from "../../restoration/input.ts";
import { defaultNoise, given, simulated } from "../../restoration/measure.ts";
import { recommendedRestorer } from "../../restoration/recommended.ts";
import { psnr, ssim } from "../../restoration/similarity.ts";
import { prepare, sample, type SampleOptions } from "../../sampling/sample.ts";
import type { Command } from "../command.ts";
import { checkFree, isScratch, openTarget, readInput, type Target, writeOutput } from "../files.ts";
import type { Io } from "../io.ts";
import {
  defineModelOptions,
  loadModel,
  loadScheduler,
  type ModelFlags,
  optionsHelp,
} from "../sampling_options.ts";
import { duration, Progress } from "../progress.ts";
import {
  defineDegradationOptions,
  type DegradationFlags,
  readDegradation,
  readNoiseFlag,
} from "../restoration/flags.ts";
import { pictureOfMeasurement, strip } from "../restoration/strip.ts";
import { collect, parseNumber, parsePairs, parseWhole, seedsFrom } from "../values.ts";

interface Flags extends ModelFlags, DegradationFlags {
  simulate?: boolean;
  sampler?: string;
  steps?: string;
  option?: string[];
  n: string;
  seed: string;
  label?: string;
  guidance?: string;
  single?: boolean;
  out: string;
  force?: boolean;
}

const MOST_ANSWERS = 100;

export function define(command: Command, io: () => Io): void {
  defineDegradationOptions(defineModelOptions(command))
    .argument("<picture>", "a PNG or JPEG that has lost something; transparent pixels are a hole")
    .option(
      "--simulate",
      "the picture is good: degrade it first, and say how near the answers come",
    )
    .option("-n, --n <count>", "how many answers", "1")
    .option("--seed <n>", "of the first answer", "0")
    .option("-s, --sampler <name>", "see below; or a plug-in's path (default: by what is missing)")
    .option("--steps <n>", "its steps (default: by what is missing)")
    .option("-o, --option <name=value>", "an option of the sampler: eta=0.5", collect)
    .option("-l, --label <label>", "what the picture shows (default: no class)")
    .option("-g, --guidance <scale>", "how much the class counts", "1")
    .option(
      "--out <file>",
      "a strip .png of what was given, the answers and the truth; a folder/ of single pictures; or -",
      "restore.png",
    )
    .option("--single", "a .png of the one answer alone")
    .option("--force", "overwrite files that are there")
    .addHelpText("after", optionsHelp("Samplers", restorers))
    .addHelpText(
      "after",
      `
Examples:
  restore seven.png --mask hole.png --n 4
  restore small.png --scale 4 --out large.png --single
  restore seven.png --simulate --blur gaussian:2 --noise 0.05
  restore grey.png --colour --weights heroes
  restore seven.png --simulate --operator sensing --operator-option share=0.3`,
    )
    .action(async (path: string, flags: Flags) => {
      const isDefault = command.getOptionValueSource("out") === "default";
      const scratch = isDefault && await isScratch(flags.out, [path, flags.mask]);
      return run(path, { ...flags, force: flags.force || scratch }, io());
    });
}

async function run(path: string, flags: Flags, io: Io): Promise<void> {
  const start = performance.now();
  const count = parseWhole("--n", flags.n, 1, MOST_ANSWERS);
  const seeds = seedsFrom("--seed", flags.seed, count);
  const guidance = parseNumber("--guidance", flags.guidance ?? "1");
  const askedSteps = flags.steps === undefined
    ? undefined
    : parseWhole("--steps", flags.steps, 1, 2 ** 31 - 1);
  const sampler = flags.sampler === undefined ? undefined : await loadRestorer(flags.sampler);
  if (flags.single && count !== 1) {
    throw new InputError("--single: is the one answer; with --n take --out folder/");
  }
  const read = await readPictures(path, flags);
  const target = await openTarget(flags.out, !!flags.force, ["png", "folder"]);
  if (target.kind === "folder" && !flags.force) {
    for (const name of namesOf(count, !!flags.simulate)) await checkFree(join(target.path, name));
  }
  await using model = await loadModel(flags, io);
  const task = measureTask(path, read, flags, model, seeds[0], io);

  const recommended = recommendedRestorer(task.measurement);
  const scheduler = sampler ?? restorers[recommended.sampler];
  const input = { [MEASUREMENT]: await measurementInput(task.measurement) };
  const options: SampleOptions = {
    seeds,
    scheduler,
    steps: askedSteps ?? recommended.steps,
    options: {
      ...(sampler ? {} : recommended.options),
      ...optionsFromText(scheduler, parsePairs("--option", flags.option ?? [])),
    },
    labels: labelOf(flags.label, model),
    guidance,
    inputs: input,
    signal: io.signal,
  };
  const { answers, recipes } = await answer(model, options, io);
  const { measurement, truth, mask } = task;
  const shown = answers.map((x) => toPixels(x, model.shape));
  const pictures = {
    given: pictureOfMeasurement(measurement, mask),
    answers: shown,
    truth: truth && toPixels(truth, model.shape),
  };
  await write(target, pictures, recipes, !!flags.single, io);
  if (truth) { for (const line of scores(answers, truth, measurement, model)) io.out(line); }
  if (io.quiet) return;
  const { method, plan } = prepare(model, options);
  const steps = plan.timesteps.length;
  const where = target.kind === "stdout" ? "standard output" : target.path;
  io.err(
    `${where}: ${measurement.operator.name}${
      measurement.sigma_y > 0 ? `, noise ${shortened(measurement.sigma_y)}` : ""
    }; ${count} ${count === 1 ? "answer" : "answers"} by ${method.scheduler} in ${steps} ${
      steps === 1 ? "step" : "steps"
    }, ${duration((performance.now() - start) / 1000)} on ${model.backend}`,
  );
}

async function loadRestorer(spec: string) {
  if (Object.hasOwn(restorers, spec)) return restorers[spec];
  if (/^[a-z0-9_+-]+$/.test(spec)) {
    const names = Object.keys(restorers).join(", ");
    throw new FieldError("--sampler", `one of ${names}, or a plug-in's path (./mine.ts)`, spec);
  }
  const plugin = await loadScheduler(spec);
  if (plugin.needs?.includes(MEASUREMENT)) return plugin;
  throw new InputError(
    `--sampler ${spec}: expected a sampler with needs: ["${MEASUREMENT}"], which this one has not`,
  );
}

interface Read {
  readonly picture: Pixels;
  /** The mask file, or the picture where its own transparency is the mask. */
  readonly mask?: { readonly path: string; readonly pixels: Pixels };
  readonly degradation: Awaited<ReturnType<typeof readDegradation>>;
  readonly noise: number | "auto" | undefined;
  readonly grow: number;
}

/** Everything that can be refused without the model is refused here. */
async function readPictures(path: string, flags: Flags): Promise<Read> {
  const degradation = await readDegradation(flags);
  const noise = readNoiseFlag(flags);
  const grow = parseWhole("--grow", flags.grow ?? "0", 0, 100);
  const picture = decodePicture(await readInput("picture", path), path);
  const own = flags.mask === undefined && hasTransparency(picture);
  const mask = flags.mask !== undefined
    ? {
      path: flags.mask,
      pixels: decodePicture(await readInput("--mask", flags.mask), `--mask ${flags.mask}`),
    }
    : own
    ? { path, pixels: picture }
    : undefined;
  const { colour, blur, scale, operator } = degradation;
  if (!mask && !colour && !blur && !scale && !operator && noise === undefined) {
    throw new InputError(
      "say what the picture has lost: --mask, --scale, --blur, --colour, --noise, --operator or --matrix",
    );
  }
  if (flags.simulate && noise === "auto") {
    throw new InputError(
      "--noise auto: is told from a noisy picture; with --simulate give a number",
    );
  }
  return { picture, mask, degradation, noise, grow };
}

interface Task {
  readonly measurement: Measurement;
  readonly mask?: Mask;
  readonly truth?: Float32Array;
}

function measureTask(
  path: string,
  { picture, mask: file, degradation, noise, grow }: Read,
  flags: Flags,
  model: Model,
  seed: number,
  io: Io,
): Task {
  const shape = givenShape(degradation, model.shape);
  const fitTo = flags.simulate ? model.shape : shape;
  const fitted = fit(path, picture, fitTo);
  if (fitted.notice && !io.quiet) io.err(fitted.notice);
  const mask = file && readMask(`--mask ${file.path}`, file.pixels, picture, shape, grow);
  const operator = operatorOf({ ...degradation, mask }, model.shape);
  if (flags.simulate) {
    const truth = fromPixels(fitted.picture);
    const sigma_y = noise === undefined || noise === "auto" ? defaultNoise(operator) : noise;
    return { measurement: simulated(operator, truth, seed, sigma_y), mask, truth };
  }
  return { measurement: given(operator, measured(fitted.picture, operator), noise, mask), mask };
}

/** A class by name or index; without one the class that means none, as the picture decides what it is. */
function labelOf(label: string | undefined, model: Model): string | number | undefined {
  if (label !== undefined || !model.labels) return label;
  if (model.nullLabel !== undefined) return model.nullLabel;
  throw new InputError('--label: say what the picture shows; these weights know no "no class"');
}

async function answer(model: Model, options: SampleOptions, io: Io) {
  const { plan } = prepare(model, options);
  const count = [...options.seeds].length;
  const progress = new Progress(io, count * plan.timesteps.length, count, "answers");
  const answers: Float32Array[] = [];
  const recipes: Recipe[] = [];
  let done = 0;
  try {
    for await (const frame of sample(model, options)) {
      progress.update(++done);
      if (!frame.done) continue;
      answers[frame.index] = frame.x;
      recipes[frame.index] = frame.recipe;
    }
  } finally {
    progress.end();
  }
  return { answers, recipes };
}

interface Pictures {
  readonly given: Pixels;
  readonly answers: readonly Pixels[];
  readonly truth?: Pixels;
}

/** What a folder's files are called. */
function namesOf(answers: number, hasTruth: boolean): string[] {
  const numbered = Array.from({ length: answers }, (_, i) => `answer-${i + 1}.png`);
  return ["given.png", ...numbered, ...(hasTruth ? ["truth.png"] : [])];
}

async function write(
  target: Target,
  { given, answers, truth }: Pictures,
  recipes: readonly Recipe[],
  single: boolean,
  io: Io,
): Promise<void> {
  if (target.kind === "folder") {
    const files: [Pixels, Recipe[]][] = [
      [given, []],
      ...answers.map((answer, i): [Pixels, Recipe[]] => [answer, [recipes[i]]]),
    ];
    if (truth) files.push([truth, []]);
    for (const [i, name] of namesOf(answers.length, truth !== undefined).entries()) {
      await writeOutput(join(target.path, name), png(...files[i]));
    }
    return;
  }
  const bytes = png(single ? answers[0] : strip(given, answers, truth), recipes);
  await (target.kind === "stdout" ? io.writeBytes(bytes) : writeOutput(target.path, bytes));
}

function png(picture: Pixels, recipes: readonly Recipe[]): Uint8Array {
  return encodePng(picture, recipes.length > 0 ? { [RECIPE_KEYWORD]: toText(recipes) } : {});
}

/** PSNR and SSIM of each answer, and of the mean of several. */
function scores(
  answers: readonly Float32Array[],
  truth: Float32Array,
  measurement: Measurement,
  { shape }: Model,
): string[] {
  const line = (name: string, x: Float32Array) =>
    `${name}  PSNR ${psnr(x, truth).toFixed(2)} dB  SSIM ${
      ssim(x, truth, shape).toFixed(3)
    }  rms of y - H x ${shortened(residualRms(measurement, x))}`;
  const lines = answers.map((x, i) => line(`answer ${i + 1}`, x));
  if (answers.length < 2) return lines;
  const mean = truth.map((_, p) => answers.reduce((sum, x) => sum + x[p], 0) / answers.length);
  return [...lines, line("their mean", mean)];
}

function shortened(value: number): string {
  return value < 1e-6 ? "0" : String(Number(value.toPrecision(3)));
}
