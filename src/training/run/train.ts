/** A whole run in a folder: from a recipe to exported weights, or on from where it stopped. */
import type { Backend, SessionOptions } from "../../backends/backend.ts";
import { InputError } from "../../errors.ts";
import type { DownloadOptions } from "../../weights/find/download.ts";
import { sha256Hex } from "../../files/hash.ts";
import { locate } from "../../weights/find/locate.ts";
import { readFolder } from "../../weights/read/folder.ts";
import { writeDurably, writeTextDurably } from "../../files/atomic_write.ts";
import { Checkpoints, encodeCheckpoint } from "./checkpoint.ts";
import type { DataOptions, PictureSource } from "../data/data_set.ts";
import { fingerprintOf } from "../data/fingerprint.ts";
import { openData } from "../data/open.ts";
import { generatedPictures, isDataPlugin, loadDataPlugin } from "../data/plugin.ts";
import { splitData } from "../data/split.ts";
import { countOf, describeRun, describeSkipped } from "./describe.ts";
import { exportFolder } from "./export.ts";
import { adoptNetwork, startFrom } from "./fine_tune.ts";
import { Log, readText, thinLog } from "./log.ts";
import { type Lesson, type Progress, trainLoop } from "./loop.ts";
import { modelCard } from "./model_card.ts";
import { networkFor } from "../network.ts";
import { lossPlot } from "./plot.ts";
import { previewPng } from "./preview.ts";
import { parseTrainingRecipe, sizeOf, type TrainingRecipe } from "../recipe.ts";
import { partsOf, type Start, startFresh, wholeTheta } from "./start.ts";

/** What {@link train} is given. */
export interface RunOptions {
  /** Every choice; see `parseTrainingRecipe`. */
  readonly recipe: TrainingRecipe;
  /** recipe.json, data.sha256, log.jsonl, loss.svg, checkpoints/, samples/ and weights/ lie here. */
  readonly folder: string;
  /** The engine. */
  readonly backend: Backend;
  /** How its session is made. */
  readonly session?: SessionOptions;
  /** Weights to go on from: a built-in name, a folder or an address. */
  readonly init?: string;
  /** Goes on after the newest checkpoint in the folder. */
  readonly resume?: boolean;
  /** Stops after the update under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Told of every update. */
  readonly onProgress?: (progress: Progress) => void;
  /** Told what is worth a line of the log. */
  readonly onNotice?: (notice: string) => void;
  /** Told how far the reading of a folder of pictures is. */
  readonly onRead?: DataOptions["onProgress"];
  /** Told how far the download of `init` is. */
  readonly onDownload?: DownloadOptions["onProgress"];
}

/** What {@link train} leaves. */
export interface RunResult {
  /** Updates done. */
  readonly step: number;
  /** Whether all of them are. */
  readonly finished: boolean;
  /** SHA-256 of the parameters, their running mean and the optimiser's state. */
  readonly hash: string;
  /** The exported diffusers folder; undefined where the run was stopped before its end. */
  readonly weights?: string;
}

/**
 * Trains by the recipe. At the end, or when the signal comes, there is a checkpoint; at the end there
 * also is a diffusers folder.
 * @throws InputError for a recipe, data or folder that cannot be used, before any training
 */
export async function train(options: RunOptions): Promise<RunResult> {
  const { folder, signal, onDownload, onNotice = () => {} } = options;
  const { steps, horizon, keep_checkpoints } = options.recipe;
  // Before the pictures are read, which may take minutes.
  await checkFolder(
    folder,
    new Checkpoints(`${folder}/checkpoints`, keep_checkpoints),
    options.resume ?? false,
  );
  const init = options.init === undefined
    ? undefined
    : await readFolder(await locate(options.init, { signal, onProgress: onDownload }));
  for (const notice of init?.notices ?? []) onNotice(notice);
  const recipe = {
    ...(init ? adoptNetwork(options.recipe, init) : options.recipe),
    // From here on the learning rate no longer depends on `steps`, which a resumed run may change.
    horizon: horizon ?? steps,
  };
  // Reading the pictures may take minutes: what the recipe alone can tell comes before.
  if (!init) networkFor(recipe, undefined);

  const data = await readPictures(recipe, options);
  for (const notice of describeSkipped(data)) onNotice(notice);
  const plain = init ? startFrom(init, recipe, data) : startFresh(recipe, data);
  const start = { ...plain, parts: partsOf(plain, recipe) };
  for (const notice of describeRun(recipe, data, start)) onNotice(notice);
  return await carryOut(start, { ...options, recipe });
}

export interface CarryOutOptions extends Omit<RunOptions, "onRead" | "onDownload"> {
  /** What the network learns from a batch of pictures; left out, the pictures. */
  readonly lesson?: Lesson;
  /** What is written as recipe.json, where `recipe` is only a part of it. */
  readonly recipeText?: string;
}

/** Trains from a start, or on from the newest checkpoint in the folder, and exports. */
export async function carryOut(start: Start, options: CarryOutOptions): Promise<RunResult> {
  const { folder, backend, session, recipe, onNotice = () => {} } = options;
  const recipeText = options.recipeText ?? runJson(recipe, options.init);
  const checkpoints = new Checkpoints(`${folder}/checkpoints`, recipe.keep_checkpoints);
  await checkFolder(folder, checkpoints, options.resume ?? false);
  const from = options.resume ? await checkpoints.newest(start.layout.size) : undefined;
  const done = from?.step ?? 0;
  // Everything is read before anything is written: a run that cannot go on is left as it is.
  const fingerprint = await checkData(folder, start.data, done);
  const log = await Log.open(`${folder}/log.jsonl`, done);
  await Deno.mkdir(folder, { recursive: true });
  await writeTextDurably(`${folder}/data.sha256`, `${fingerprint}\n`);
  await writeTextDurably(`${folder}/recipe.json`, recipeText);
  await log.trim();
  const plot = () => writeTextDurably(`${folder}/loss.svg`, lossPlot(log.lines));
  if (done > 0) onNotice(`going on after update ${done}`);

  const result = await trainLoop({
    ...options,
    recipe,
    start,
    done,
    state: from?.state ?? start.state,
    checkpoints,
    log,
    onSample: async (ema, step) => {
      const preview = { backend, session, steps: recipe.sample_steps, name: `update ${step}` };
      await Deno.mkdir(`${folder}/samples`, { recursive: true });
      const path = `${folder}/samples/step-${String(step).padStart(8, "0")}.png`;
      await writeDurably(path, await previewPng(start, wholeTheta(start, ema), preview));
      await plot();
      onNotice(`${path}: samples after ${step} updates`);
    },
  });
  await plot();
  const hash = await sha256Hex(encodeCheckpoint(result));
  if (!result.finished) return { ...result, hash };
  const weights = `${folder}/weights`;
  await exportRun(weights, {
    ...options,
    recipeText,
    start,
    theta: wholeTheta(start, result.state.ema),
    step: result.step,
    log,
  });
  return { ...result, hash, weights };
}

/** The data a recipe trains on. */
export async function readPictures(
  recipe: TrainingRecipe,
  { signal, onRead }: Pick<RunOptions, "signal" | "onRead">,
): Promise<PictureSource> {
  const { data, channels, holdout } = recipe;
  if (isDataPlugin(data)) {
    if (holdout > 0) {
      throw new InputError(
        `recipe: holdout: expected 0 with a data plug-in, whose pictures have no end, found ${holdout}; eval draws others by another seed`,
      );
    }
    const plugin = await loadDataPlugin(data);
    return generatedPictures(plugin, recipe.seed, { size: sizeOf(recipe), channels });
  }
  const all = await openData(data, { size: sizeOf(recipe), channels, signal, onProgress: onRead });
  return splitData(all, holdout).kept;
}

/** The recipe of a run in a folder, and what it was started from. */
export async function readRun(folder: string): Promise<{ recipe: TrainingRecipe; init?: string }> {
  const { init, ...recipe } = await readRecipeFile(folder);
  return { recipe: parseTrainingRecipe(recipe), init: init as string | undefined };
}

/** A run's recipe.json as it stands, unchecked. */
export async function readRecipeFile(folder: string): Promise<Record<string, unknown>> {
  const path = `${folder}/recipe.json`;
  const text = await readText(path);
  if (text === "") {
    throw new InputError(`${path}: expected the recipe of a run to go on with, found none`);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${path}: expected a recipe as JSON, found something else`);
  }
}

function runJson(recipe: TrainingRecipe, init: string | undefined): string {
  return `${JSON.stringify(init === undefined ? recipe : { ...recipe, init }, null, 2)}\n`;
}

/** A run that goes on with other pictures would not be the run it began as. */
async function checkData(folder: string, data: PictureSource, done: number): Promise<string> {
  const path = `${folder}/data.sha256`;
  const now = fingerprintOf(data);
  const then = (await readText(path)).trim() || now;
  if (done > 0 && then !== now) {
    throw new InputError(
      `${path}: the run began with other pictures than the data has now (${
        countOf(data)
      }); --init begins a new run from trained weights`,
    );
  }
  return now;
}

async function checkFolder(folder: string, checkpoints: Checkpoints, resume: boolean) {
  const steps = await checkpoints.steps();
  if (!resume && steps.length > 0) {
    throw new InputError(
      `${folder}: a run of ${
        steps.at(-1)
      } updates lies here; go on with --resume ${folder}, or choose another --out`,
    );
  }
  if (resume && !await Deno.stat(folder).catch(() => undefined)) {
    throw new InputError(`--resume ${folder}: there is no such folder`);
  }
}

interface ExportOptions extends Pick<RunOptions, "recipe" | "init" | "onNotice"> {
  readonly recipeText: string;
  readonly start: Start;
  readonly theta: Float32Array;
  readonly step: number;
  readonly log: Log;
}

/** Writes the diffusers folder with its model card, recipe, log and plot. */
async function exportRun(
  folder: string,
  { recipe, recipeText, init, start, theta, step, log: { lines } }: ExportOptions,
): Promise<void> {
  const { layout, card, data, network: { architecture } } = start;
  const facts = { recipe, architecture, card, data, parameters: layout.size, step, lines, init };
  await exportFolder(folder, {
    ...start,
    theta,
    fp16: recipe.fp16,
    beside: {
      "README.md": modelCard(facts),
      "recipe.json": recipeText,
      "log.jsonl": thinLog(lines),
      "loss.svg": lossPlot(lines),
    },
  });
}
