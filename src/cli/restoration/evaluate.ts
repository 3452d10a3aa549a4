/** `eval --restore`: how well weights restore, on pictures they have not seen. */
import { restorers } from "../../../schedulers/restoration/mod.ts";
import type { Backend, SessionOptions } from "../../backends/backend.ts";
import { FieldError } from "../../errors.ts";
import { Classifier } from "../../evaluation/classifier.ts";
import { classifierFor } from "../../evaluation/classifier_cache.ts";
import {
  type Baseline,
  type RestorationScore,
  type RestorerChoice,
  scoreBaseline,
  scoreRestoration,
} from "../../evaluation/restoration.ts";
import { restorationTasks } from "../../evaluation/restoration_tasks.ts";
import type { Model } from "../../model/model.ts";
import { optionsFromText } from "../../recipe/options.ts";
import { prepare } from "../../sampling/sample.ts";
import type { DataSet, PictureSource } from "../../training/data/data_set.ts";
import type { Io } from "../io.ts";
import { partProgress } from "../progress.ts";
import { parsePairs, parseWhole } from "../values.ts";

export interface RestoreFlags {
  restore?: string;
  restoreTasks?: string;
  restoreSamplers: string;
  answers: string;
  labelled?: boolean;
}

/** The samplers that are compared when nobody names any. */
export const DEFAULT_RESTORERS =
  "ddrm:20,ddnm:20,ddnm:20:start=0.5:end=0.1,ddnm:100,ddnm:100:start=0.5:end=0.1,pigdm:20";

export interface RestorationReport {
  readonly weights: { readonly source: string; readonly hash: string };
  readonly backend: string;
  readonly baselines: readonly Baseline[];
  readonly scores: readonly RestorationScore[];
}

/** What the classifier runs on, and how many updates it takes; without a number, as many as it needs. */
export interface Engine {
  readonly backend: Backend;
  readonly session?: SessionOptions;
  readonly classifierSteps?: number;
}

/** Measures every sampler on every task that was asked for; tells all that is known after each. */
export async function evaluateRestoration(
  model: Model,
  flags: RestoreFlags,
  { train, heldOut }: { readonly train: PictureSource; readonly heldOut: DataSet },
  engine: Engine,
  io: Io,
  onReport: (soFar: RestorationReport) => void,
): Promise<void> {
  const pictures = parseWhole("--restore", flags.restore!, 1, heldOut.length);
  const answers = parseWhole("--answers", flags.answers, 1, 100);
  const choices = flags.restoreSamplers.split(",").map((text) => readChoice(text.trim(), model));
  const tasks = tasksOf(flags.restoreTasks, model);
  const progress = partProgress(io);
  await using classifier = train.labels && await openClassifier(train, engine, io);
  const options = { heldOut, pictures, classifier, answers, signal: io.signal };
  const baselines: Baseline[] = [];
  const scores: RestorationScore[] = [];
  const weights = { source: model.source, hash: model.hash };
  const report = { weights, backend: model.backend, baselines, scores };
  for (const task of tasks) {
    baselines.push(await scoreBaseline(model, task, options));
    for (const choice of choices) {
      if (choice.sampler === "repaint" && task.sigma_y > 0) continue;
      const part = `${task.name}: ${choice.sampler} ${choice.steps}`;
      const labelled = !!flags.labelled;
      const score = await scoreRestoration(model, task, choice, {
        ...options,
        labelled,
        onProgress: (done, total) => progress(part, done, total),
      });
      scores.push(score);
      onReport(report);
      io.status("");
      if (!io.quiet) io.err(`${part}: ${score.psnr.mean.toFixed(2)} dB`);
    }
  }
}

async function openClassifier(
  train: PictureSource,
  { backend, session, classifierSteps }: Engine,
  io: Io,
) {
  const progress = partProgress(io);
  const theta = await classifierFor(backend, train, {
    session,
    steps: classifierSteps,
    signal: io.signal,
    onProgress: (done, total) => progress("classifier", done, total),
  });
  return Classifier.open(backend, theta, train.shape, train.labelNames!.length, session);
}

/** "ddnm:100:start=0.5:eta=1". */
function readChoice(text: string, model: Model): RestorerChoice {
  const [sampler, steps, ...pairs] = text.split(":");
  if (!Object.hasOwn(restorers, sampler) || steps === undefined) {
    const names = Object.keys(restorers).join(", ");
    throw new FieldError("--restore-samplers", `NAME:STEPS[:OPTION=VALUE] of ${names}`, text);
  }
  const scheduler = restorers[sampler];
  const choice = {
    sampler,
    steps: parseWhole("--restore-samplers", steps, 1, 100_000),
    options: pairs.length === 0
      ? undefined
      : optionsFromText(scheduler, parsePairs("--restore-samplers", pairs)),
  };
  prepare(model, { ...choice, scheduler, guidance: 1 });
  return choice;
}

function tasksOf(text: string | undefined, { shape }: Model) {
  const all = restorationTasks(shape);
  if (text === undefined) return all;
  return text.split(";").map((name) => {
    const task = all.find((task) => task.name === name.trim());
    if (task) return task;
    const names = all.map((task) => `"${task.name}"`).join("; ");
    throw new FieldError("--restore-tasks", `some of ${names}`, name);
  });
}
