/** A whole distillation in a folder: a run for each stage, each learning from the one before. */
import type { Guided } from "../../diffusion/guided.ts";
import { openModel } from "../../model/model.ts";
import { readFolder, type WeightsFolder } from "../../weights/read/folder.ts";
import { locate } from "../../weights/find/locate.ts";
import { writeTextDurably } from "../../files/atomic_write.ts";
import { Checkpoints } from "../run/checkpoint.ts";
import type { PictureSource } from "../data/data_set.ts";
import { describeSkipped } from "../run/describe.ts";
import type { Lesson, Progress } from "../run/loop.ts";
import { folderOf } from "../run/preview.ts";
import { carryOut, readPictures, type RunOptions, type RunResult } from "../run/train.ts";
import { consistencyLesson, guidanceLesson, halvingLesson } from "./lessons.ts";
import { partsOf, wholeTheta } from "../run/start.ts";
import type { LabelParts } from "../objective/label_parts.ts";
import type { DistillRecipe } from "./recipe.ts";
import { planStages, type Stage } from "./stages.ts";
import { stageRecipe, studentNetwork, studentStart, type Taught } from "./student.ts";
import { type Teacher, teacherOf } from "./teacher.ts";

export interface DistillOptions extends Omit<RunOptions, "recipe" | "init" | "onProgress"> {
  /** recipe.json and a run for each stage, `guided`, `steps-8` …, lie in `folder`. */
  readonly recipe: DistillRecipe;
  readonly onProgress?: (progress: Progress & { readonly stage: string }) => void;
}

export interface DistillResult extends RunResult {
  /** The stage that was last at work. */
  readonly stage: string;
  /** Each finished student's exported folder. */
  readonly students: readonly string[];
}

/** Who teaches a stage, and how it is asked. */
interface Teaching {
  readonly folder: WeightsFolder;
  readonly guidance: number;
  readonly guided?: Guided;
}

/**
 * Distils the recipe's teacher. At the end, or when the signal comes, there is a checkpoint; each stage
 * that is done has left a diffusers folder.
 * @throws InputError for weights, data or a folder that cannot be used, before any training
 */
export async function distill(options: DistillOptions): Promise<DistillResult> {
  const { folder, recipe, signal, onDownload, onNotice = () => {} } = options;
  const teacher = await readFolder(
    await locate(recipe.distill, { signal, onProgress: onDownload }),
  );
  const { guidance, guided, stages } = planStages(recipe, teacher);
  const parts = partsOf(teacher, recipe);
  let student = studentNetwork(teacher);
  const data = await readPictures(stageRecipe(recipe, stages[0], student), options);
  for (const notice of describeSkipped(data)) onNotice(notice);
  onNotice(
    `${recipe.distill}, guidance ${guidance}: ${
      stages.map(({ name, updates }) => `${name} (${updates} updates)`).join(", then ")
    }`,
  );
  await Deno.mkdir(folder, { recursive: true });
  // What the weights recommend is written down: they may recommend something else another day.
  const recipeText = `${
    JSON.stringify({ ...recipe, guidance, guided: guided ?? null }, null, 2)
  }\n`;
  await writeTextDurably(`${folder}/recipe.json`, recipeText);

  let teaching: Teaching = { folder: teacher, guidance, guided };
  const students: string[] = [];
  const { tunes } = stages.at(-1)!;
  let toTune = student;
  let result: RunResult | undefined;
  for (const stage of stages) {
    if (stage.tunes !== undefined) {
      student = toTune;
      teaching = { folder: toTune, guidance: 1 };
    }
    const ended = await runStage(stage, {
      options,
      recipeText,
      taught: { distill: recipe.distill, guidance, guided },
      data,
      parts,
      student,
      teaching,
    });
    result = ended.result;
    if (!result.finished) return { ...result, stage: stage.name, students };
    students.push(result.weights!);
    student = ended.student;
    if (stage.steps === tunes) toTune = student;
    teaching = { folder: student, guidance: 1 };
  }
  return { ...result!, stage: stages.at(-1)!.name, students };
}

interface StageContext {
  readonly options: DistillOptions;
  readonly recipeText: string;
  readonly taught: Taught;
  readonly data: PictureSource;
  readonly parts?: LabelParts;
  /** What the stage's student is before it. */
  readonly student: WeightsFolder;
  readonly teaching: Teaching;
}

function lessonOf({ steps, tunes }: Stage, teacher: Teacher, T: number): Lesson {
  if (tunes !== undefined) return consistencyLesson(teacher, tunes, T);
  return steps === undefined ? guidanceLesson(teacher) : halvingLesson(teacher, steps, T);
}

/** Runs a stage, or what is left of it, and gives its student as it is after it. */
async function runStage(
  stage: Stage,
  { options, recipeText, taught, data, parts, student, teaching }: StageContext,
): Promise<{ result: RunResult; student: WeightsFolder }> {
  const { backend, session, recipe: { keep_checkpoints } } = options;
  const recipe = stageRecipe(options.recipe, stage, student);
  const start = studentStart(student, recipe, data, { ...stage, ...taught }, parts);
  const folder = `${options.folder}/${stage.name}`;
  const checkpoints = new Checkpoints(`${folder}/checkpoints`, keep_checkpoints);
  const resume = (await checkpoints.steps()).length > 0;

  await using model = await openModel(teaching.folder, backend, session);
  const teacher = teacherOf(model, teaching.guidance, teaching.guided);
  const result = await carryOut(start, {
    ...options,
    recipe,
    folder,
    recipeText,
    resume,
    lesson: lessonOf(stage, teacher, recipe.num_train_timesteps),
    onProgress: (progress) => options.onProgress?.({ ...progress, stage: stage.name }),
  });
  // The running mean teaches, and is where the next student begins.
  const last = await checkpoints.newest(start.layout.size);
  return { result, student: folderOf(start, wholeTheta(start, last!.state.ema), `${folder}/`) };
}
