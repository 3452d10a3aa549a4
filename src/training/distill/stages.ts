/** Plans the stages of a distillation: guidance first, half the steps each time, then maybe tuning. */
import { checkGuided, type Guided } from "../../diffusion/guided.ts";
import { InputError } from "../../errors.ts";
import type { WeightsFolder } from "../../weights/read/folder.ts";
import { type DistillRecipe, tunedFrom } from "./recipe.ts";

/** One run of the several that make up a distillation. */
export interface Stage {
  /** Its folder's name. */
  readonly name: string;
  /** The student's steps; undefined where it learns every time. */
  readonly steps?: number;
  /** Network evaluations a picture, as it is sampled. */
  readonly evaluations: number;
  readonly updates: number;
  readonly lr: number;
  /** Its own, so that no two stages see the same noise. */
  readonly seed: number;
  /**
   * The steps of the student that it begins as and learns from, by consistency; left out, it is the
   * stage before.
   */
  readonly tunes?: number;
}

/** What a distillation will do to these weights. */
export interface DistillPlan {
  readonly guidance: number;
  /** When it is guided; left out, at every time. */
  readonly guided?: Guided;
  readonly stages: readonly Stage[];
}

/**
 * The stages a recipe asks for. A teacher that already predicts v without guidance has nothing to fold
 * in and is halved at once.
 * @throws InputError where the teacher cannot be learned from in this way
 */
export function planStages(recipe: DistillRecipe, teacher: WeightsFolder): DistillPlan {
  const { card, scheduler, where } = teacher;
  const { num_train_timesteps: T, prediction_type } = scheduler;
  const { students, student_updates, student_lr, guide_updates, guide_lr, seed } = recipe;
  const { tune_updates } = recipe;
  const guidance = recipe.guidance ??
    (card.distilled ? 1 : card.recommended?.guidance ?? 1);
  if (guidance !== 1) checkGuidance(guidance, teacher);
  const guided = guidance === 1 ? undefined : recipe.guided ?? card.recommended?.guided;
  if (guided !== undefined) checkGuided(guided, T);
  const uneven = students.find((steps) => T % steps !== 0);
  if (uneven !== undefined) {
    throw new InputError(
      `recipe: students: ${uneven} steps do not divide the ${T} timesteps of ${where} evenly`,
    );
  }
  const { steps: known } = card.distilled ?? {};
  if (known !== undefined && known % 2 !== 0) {
    throw new InputError(
      `${where}: expected a teacher of an even number of steps, found weights that draw in ${known}; name their teacher, ${
        card.distilled!.teacher
      }, or another`,
    );
  }
  if (known !== undefined && known !== 2 * students[0]) {
    throw new InputError(
      `${where}: these weights draw in ${known} steps, and can teach a student of ${
        known / 2
      }; found students ${students.join()}`,
    );
  }
  const learns = guide_updates > 0 && (guidance !== 1 || prediction_type !== "v_prediction");
  const first: Stage[] = !learns ? [] : [{
    name: "guided",
    evaluations: 2 * students[0],
    updates: guide_updates,
    lr: guide_lr,
    seed,
  }];
  const halvings = students.map((steps, i) => ({
    name: `steps-${steps}`,
    steps,
    evaluations: steps,
    updates: student_updates[i],
    lr: student_lr,
    seed: (seed + 1 + i) % 2 ** 32,
  }));
  const tuned: Stage[] = tune_updates === 0 ? [] : [{
    name: "tuned",
    steps: 1,
    evaluations: 1,
    updates: tune_updates,
    lr: student_lr,
    seed: (seed + 1 + students.length) % 2 ** 32,
    tunes: tunedFrom(recipe),
  }];
  return { guidance, guided, stages: [...first, ...halvings, ...tuned] };
}

function checkGuidance(guidance: number, { card, network, where }: WeightsFolder): void {
  if (card.distilled) {
    throw new InputError(
      `${where}: guidance ${guidance}: these weights have guidance ${card.distilled.guidance} folded in already; leave it out`,
    );
  }
  if (network.classes === null || card.null_label === undefined) {
    throw new InputError(
      `${where}: guidance ${guidance}: these weights ${
        network.classes === null ? "know no classes" : 'do not say which class means "none"'
      }; --guidance 1 learns them as they are`,
    );
  }
}
