/** `eval`: how good weights are, on pictures they have not seen. */
import type { Backend, SessionOptions } from "../../backends/backend.ts";
import { backendByName } from "../../backends/select.ts";
import { checkGuided, guidedType } from "../../diffusion/guided.ts";
import { grid } from "../../image/grid.ts";
import { encodePng } from "../../image/png.ts";
import type { Model } from "../../model/model.ts";
import { locate } from "../../weights/find/locate.ts";
import { openWeights, readWeights } from "../../model/open.ts";
import type { DataOptions, DataSet, PictureSource } from "../../training/data/data_set.ts";
import { hasTestSplit, openData, openSource } from "../../training/data/open.ts";
import { splitData } from "../../training/data/split.ts";
import { InputError } from "../../errors.ts";
import { atMost, evaluate, type Evaluation } from "../../evaluation/evaluate.ts";
import { nearestSheet } from "../../evaluation/nearest_sheet.ts";
import type { SamplerChoice } from "../../evaluation/samples.ts";
import type { AlsoRead, Teacher } from "../../evaluation/score.ts";
import { restorationTables } from "../../evaluation/restoration_table.ts";
import { evaluationTable } from "../../evaluation/table.ts";
import { writeDurably, writeTextDurably } from "../../files/atomic_write.ts";
import type { Command } from "../command.ts";
import { downloadOptions, partProgress } from "../progress.ts";
import {
  DEFAULT_RESTORERS,
  evaluateRestoration,
  type RestorationReport,
  type RestoreFlags,
} from "../restoration/evaluate.ts";
import type { Io } from "../io.ts";
import { checkFile } from "../files.ts";
import { schedulers as builtIn } from "../../../schedulers/mod.ts";
import { optionsFromText } from "../../recipe/options.ts";
import { chooseScheduler } from "../../recipe/resolve.ts";
import { parse } from "../../schema.ts";
import { generate } from "../../sampling/pictures.ts";
import { prepare } from "../../sampling/sample.ts";
import { collect, parseNumber, parsePairs, parseWhole } from "../values.ts";
import { type LoadFlags, loadFlags, readOptions, weightsArgument } from "../weights.ts";

/** More held-out pictures make the figures no surer: the number of samples limits them. */
const MOST_HELD_OUT = 10_000;

interface Flags extends RestoreFlags, LoadFlags {
  data: string;
  also: string[];
  holdout: string;
  lossPictures: string;
  bitsPictures: string;
  samples: string;
  classifierSteps?: string;
  guidance: string;
  guided?: string;
  steps?: string;
  scheduler?: string;
  backend: string;
  threads?: string;
  json?: string;
  teacher?: string | true;
  sideBySide?: string;
  nearest?: string;
  option: string[];
}

export function define(command: Command, io: () => Io): void {
  loadFlags(command.addArgument(weightsArgument()))
    .requiredOption("--data <source>", "pictures as for train")
    .option(
      "--also <data>",
      "read the same samples by these classes too; repeatable",
      collect,
      [],
    )
    .option(
      "--holdout <share>",
      "measure on this share of the pictures, which training kept out with the same flag (sets with a test part need none)",
      "0.1",
    )
    .option("--loss-pictures <n>", "pictures for each band of the ε-loss; 0 leaves it out", "256")
    .option(
      "--bits-pictures <n>",
      "pictures for bits/dim, T evaluations each; 0 leaves it out",
      "16",
    )
    .option("--samples <n>", "samples to classify and compare; 0 leaves them out", "1000")
    .option(
      "--classifier-steps <n>",
      "updates of the classifier that reads the samples (default: as many as it takes)",
    )
    .option("-g, --guidance <list>", "guidance scales of those samples", "1,2")
    .option(
      "--guided <list>",
      "the timesteps at which they are guided, as 170-880 (default: what the weights recommend, else all)",
    )
    .option("--steps <list>", "of those samples (default: what the weights recommend)")
    .option("-s, --scheduler <list>", "of those samples (default: what the weights recommend)")
    .option(
      "-o, --option <name=value>",
      "an option of those schedulers: clipped_eps=always",
      collect,
      [],
    )
    .option(
      "--teacher [list]",
      "measure these weights first, on the same seeds (default: what the card says they were distilled from)",
    )
    .option(
      "--side-by-side <file>",
      "a PNG of seeds 0-15: the teachers' pictures, and below them the weights' own",
    )
    .option(
      "--nearest <file>",
      "look for copies, and write a PNG: samples above the pictures of the data nearest to them",
    )
    .option("--restore <n>", "measure restoration on n held-out pictures, in place of all this")
    .option("--restore-samplers <list>", "NAME:STEPS[:OPTION=VALUE], …", DEFAULT_RESTORERS)
    .option("--restore-tasks <names>", "some of its tasks, between semicolons (default: all)")
    .option("--answers <n>", "answers a picture, whose majority is read too", "1")
    .option("--labelled", "tell the samplers that restore what the picture shows")
    .option("--backend <name>", "native, wasm, webgpu", "native")
    .option("--threads <n>", "CPU threads (default: every core)")
    .option("--json <file>", "write the figures as JSON too; - is standard output")
    .action((weights: string, flags: Flags) => run(weights, flags, io()));
}

async function run(weights: string, flags: Flags, io: Io): Promise<void> {
  const asked = readFlags(flags);
  if (flags.json !== undefined && flags.json !== "-") await checkFile(flags.json, "--json");
  const backend = await backendByName(flags.backend);
  const session = { threads: asked.threads };
  const { files, options } = await readOptions(weights, flags, io);
  const found = await readWeights(files, options);
  if ("notices" in found) found.notices.forEach((notice) => io.err(notice));
  await using model = await openWeights(found, backend, session);
  const samplers = samplersOf(flags, model);
  if (flags.sideBySide !== undefined) await checkFile(flags.sideBySide, "--side-by-side");
  if (flags.nearest !== undefined) await checkFile(flags.nearest, "--nearest");
  await using opened = new AsyncDisposableStack();
  const teachers: Teacher[] = [];
  for (const name of teacherNames(flags, model)) {
    const network = opened.use(await openTeacher(name, model, backend, session, io));
    teachers.push({ name, network });
  }
  const { train, heldOut } = await parts(flags.data, flags, model.shape);
  const also: AlsoRead[] = [];
  for (const name of flags.also) {
    const data = await parts(name, flags, model.shape);
    if (!data.train.labels) throw new InputError(`--also ${name}: expected data with classes`);
    also.push({ name, ...data, heldOut: atMost(data.heldOut, MOST_HELD_OUT) });
  }
  if (flags.restore !== undefined) {
    const engine = { backend, session, classifierSteps: asked.classifierSteps };
    let report: RestorationReport | undefined;
    try {
      await evaluateRestoration(
        ...[model, flags, { train, heldOut }, engine, io] as const,
        (soFar) => report = soFar,
      );
    } finally {
      if (report) await showReport(report, flags.json, io);
    }
    return;
  }

  if (flags.sideBySide !== undefined) {
    const rows = [...teachers.map(({ network }) => network), model];
    await writeSideBySide(flags.sideBySide, rows);
  }
  let soFar: Evaluation | undefined;
  try {
    soFar = await evaluate(model, {
      train,
      heldOut: atMost(heldOut, MOST_HELD_OUT),
      also,
      backend,
      session,
      ...asked,
      samplers,
      teachers,
      among: flags.nearest === undefined ? undefined : await finite(train, flags),
      onNearest: (pairs) => writeDurably(flags.nearest!, encodePng(nearestSheet(pairs))),
      signal: io.signal,
      onProgress: partProgress(io),
      onPart: (part) => soFar = part,
    });
  } finally {
    // What an interrupted evaluation has measured is worth its hours too.
    io.status("");
    if (soFar) await show(soFar, flags.json, io);
  }
}

/** @throws InputError where there is none to put beside, or the card names none */
function teacherNames({ teacher, sideBySide }: Flags, { distilled, source }: Model): string[] {
  if (teacher === true) {
    if (distilled) return [distilled.teacher];
    throw new InputError(`--teacher: expected their names, as ${source} was not distilled`);
  }
  if (teacher !== undefined) return teacher.split(",").map((name) => name.trim());
  if (sideBySide === undefined) return [];
  throw new InputError("--side-by-side: expected --teacher WEIGHTS with it");
}

/** @throws InputError for weights that are no teacher of these */
async function openTeacher(
  name: string,
  { shape, source }: Model,
  backend: Backend,
  session: SessionOptions,
  io: Io,
): Promise<Model> {
  const found = await readWeights(await locate(name, downloadOptions(io)));
  const model = await openWeights(found, backend, session);
  if (model.shape.join() === shape.join()) return model;
  await model.close();
  throw new InputError(
    `--teacher ${name}: makes pictures [${model.shape}], ${source} makes [${shape}]`,
  );
}

/** How many columns a comparison by eye has. */
const SIDE_BY_SIDE = 16;

/** The same seeds and classes of several networks, one above the other. */
async function writeSideBySide(file: string, networks: readonly Model[]): Promise<void> {
  const seeds = Array.from({ length: SIDE_BY_SIDE }, (_, i) => i);
  const made = [];
  for (const network of networks) made.push(...await generate(network, { seeds }));
  await writeDurably(file, encodePng(grid(made, { columns: SIDE_BY_SIDE })));
}

async function show(evaluation: Evaluation, file: string | undefined, io: Io): Promise<void> {
  const json = JSON.stringify(evaluation, null, 2);
  if (file === "-") return io.out(json);
  io.out(evaluationTable(evaluation));
  if (file !== undefined) await writeTextDurably(file, `${json}\n`);
}

async function showReport(
  report: RestorationReport,
  file: string | undefined,
  io: Io,
): Promise<void> {
  const json = JSON.stringify(report, null, 2);
  if (file === "-") return io.out(json);
  io.out(restorationTables(report.baselines, report.scores));
  if (file !== undefined) await writeTextDurably(file, `${json}\n`);
}

function readFlags(flags: Flags) {
  const count = (name: "lossPictures" | "bitsPictures" | "samples", option: string) =>
    parseWhole(option, flags[name], 0, 10_000_000);
  return {
    lossPictures: count("lossPictures", "--loss-pictures"),
    bitsPictures: count("bitsPictures", "--bits-pictures"),
    samples: count("samples", "--samples"),
    classifierSteps: flags.classifierSteps === undefined
      ? undefined
      : parseWhole("--classifier-steps", flags.classifierSteps, 1, 1e9),
    threads: flags.threads === undefined
      ? undefined
      : parseWhole("--threads", flags.threads, 1, 1024),
  };
}

/**
 * Every scheduler with every number of steps, every guidance scale and every time it is guided at that
 * was asked for.
 * @throws InputError for one that cannot be, before anything is measured
 */
function samplersOf(flags: Flags, model: Model): SamplerChoice[] {
  const listed = (text: string | undefined) => text?.split(",").map((item) => item.trim());
  const given = parsePairs("--option", flags.option);
  // Without a label for "no class" there is nothing to be guided away from.
  const guidances = (model.nullLabel === undefined ? ["1"] : listed(flags.guidance)!)
    .map((text) => parseNumber("--guidance", text));
  const intervals = listed(flags.guided)?.map((text) => parse(guidedType, text, "--guided"));
  intervals?.forEach((guided) => checkGuided(guided, model.scheduler.num_train_timesteps));
  const guidings = guidances.flatMap((guidance) =>
    guidance === 1 || intervals === undefined
      ? [{ guidance }]
      : intervals.map((guided) => ({ guidance, guided }))
  );
  const schedulers = (listed(flags.scheduler) ?? [undefined])
    .map((name) => chooseScheduler(model, builtIn, name));
  return schedulers.flatMap((scheduler) =>
    (listed(flags.steps) ?? [undefined]).flatMap((steps) => {
      const choice = {
        scheduler: scheduler.name,
        steps: steps === undefined ? undefined : parseWhole("--steps", steps, 1, 100_000),
        options: Object.keys(given).length === 0 ? undefined : optionsFromText(scheduler, given),
      };
      prepare(model, choice);
      return guidings.map((guiding) => ({ ...choice, ...guiding }));
    })
  );
}

/** The pictures to look for copies among: of those without end, as many as are drawn to measure on. */
async function finite(train: PictureSource, { data }: Flags): Promise<DataSet> {
  if (train.length < Infinity) return train as DataSet;
  const [channels, height, width] = train.shape;
  return await openData(data, { size: [height, width], channels: channels as 1 | 3 });
}

/** What the classifier learns from, and what is measured on. */
async function parts(
  data: string,
  { holdout }: Flags,
  shape: readonly [number, number, number],
) {
  const [channels, height, width] = shape;
  if (channels !== 1 && channels !== 3) {
    throw new InputError(`eval: pictures of ${channels} channels are not read; 1 and 3 are`);
  }
  const options: DataOptions = { size: [height, width], channels };
  if (await hasTestSplit(data)) {
    const heldOut = await openData(data, { ...options, split: "test" });
    return { train: await openSource(data, options), heldOut };
  }
  const share = parseNumber("--holdout", holdout);
  if (!(share > 0 && share <= 0.5)) {
    throw new InputError(`--holdout: expected a share above 0, up to 0.5, found ${holdout}`);
  }
  const { kept, heldOut } = splitData(await openData(data, options), share);
  return { train: kept, heldOut };
}
