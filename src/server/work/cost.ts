/** What a picture costs, before it is made. */
import type { RunInputs } from "../../diffusion/mod.ts";
import { FieldError } from "../../errors.ts";
import { mostEvaluations } from "../../recipe/conditioning.ts";
import { etag } from "../../recipe/etag.ts";
import { sizeOfFile } from "../../recipe/size.ts";
import { checkTaughtTimesteps } from "../../sampling/distilled.ts";
import { countEvaluations } from "../../sampling/evaluations.ts";
import { MAX_FRAMES, stepsToShow } from "../../sampling/making.ts";
import { type Plan, planRun } from "../../sampling/plan.ts";
import { invalid, refusal } from "../problem.ts";
import type { Format } from "./picture.ts";
import type { Catalog, ServedRecipe } from "./recipe.ts";

/** A picture that can be made: its recipe, the ETag that names it, the run that makes it, its cost. */
export interface Order {
  readonly recipe: ServedRecipe;
  readonly etag: string;
  readonly plan: Plan;
  /** What its sampler is given beside noise; the recipe has its hash. */
  readonly inputs?: RunInputs;
  /** What file it becomes. */
  readonly format: Format;
  /** The steps before the last that an animation shows, numbered from 1. */
  readonly shown: ReadonlySet<number>;
  /** Enlarged pixels of the file, all frames of an animation. */
  readonly pixels: number;
  /** Network evaluations of the image; its enlarged pixels count as such, too. */
  readonly cost: number;
}

/** Enlarged pixels whose encoding takes a machine as long as an evaluation. */
export const PIXELS_PER_EVALUATION = 65_536;

/** Calls that are counted in the time of an evaluation: whoever asks for ever new options pays for it. */
const COUNTED_PER_EVALUATION = 64;

/** Told what work will cost before it starts; refuses by throwing. */
export type Charge = (cost: number) => void;

/** Runs that are remembered. */
const MAX_KNOWN = 1000;

interface Run {
  readonly plan: Plan;
  readonly calls: number;
}

/** What is asked of a file beside its picture's recipe. */
export interface FileRequest {
  readonly format?: Format;
  /** Pictures of its size that are shown before the image is done. */
  readonly previews?: number;
}

/** Plans runs and counts their calls, each once. */
export class Orders {
  readonly #runs = new Map<string, Run>();

  /** @param maxKnown runs that are remembered, the newest ones */
  constructor(readonly catalog: Catalog, readonly maxKnown = MAX_KNOWN) {}

  /**
   * @param charge told what counting costs, where this run was not counted yet
   * @throws Problem 422 where the sampler cannot run so
   */
  async of(
    recipe: ServedRecipe,
    charge: Charge,
    { format = "png", previews = 0 }: FileRequest = {},
  ): Promise<Order> {
    const { plan, calls } = await this.#run(recipe, charge);
    const [width, height] = sizeOfFile(this.catalog.models.get(recipe.source)!.shape, recipe);
    const steps = format === "png" ? [] : stepsToShow(plan, MAX_FRAMES - 1).slice(0, -1);
    // An animation begins with noise and ends with the picture; an APNG has that once more, as its still.
    const frames = { png: 1, gif: steps.length + 2, apng: steps.length + 3 }[format];
    const pixels = frames * width * height;
    const encoded = pixels + previews * width * height;
    const cost = Math.max(1, calls) + Math.floor(encoded / PIXELS_PER_EVALUATION);
    return { recipe, etag: tag(recipe, format), plan, format, shown: new Set(steps), pixels, cost };
  }

  /** The same run for another seed. */
  again(order: Order, recipe: ServedRecipe): Order {
    return { ...order, recipe, etag: tag(recipe, order.format) };
  }

  /** Runs are the same whatever the seed, the classes, the strength of guidance and the size. */
  async #run(recipe: ServedRecipe, charge: Charge): Promise<Run> {
    const { source, scheduler, schedule, steps, options, guided } = recipe;
    const each = mostEvaluations(recipe);
    const key = JSON.stringify([source, scheduler, schedule, steps, options, each, guided]);
    const known = this.#runs.get(key);
    if (known) return known;
    charge(Math.floor(steps * each / COUNTED_PER_EVALUATION));
    try {
      const plan = this.#plan(recipe);
      const { maxCost } = this.catalog.limits;
      const run = { plan, calls: await countEvaluations(plan, recipe, maxCost) };
      this.#runs.set(key, run);
      const [oldest] = this.#runs.keys();
      if (this.#runs.size > this.maxKnown) this.#runs.delete(oldest);
      return run;
    } catch (error) {
      // Here the sampler has seen nothing but what the client chose.
      throw refusal(error);
    }
  }

  #plan({ source, scheduler, schedule, steps, options }: ServedRecipe): Plan {
    const { models, schedulers } = this.catalog;
    const model = models.get(source)!;
    const request = { scheduler: schedulers[scheduler], schedule, steps, options };
    const plan = planRun(model.scheduler, request);
    try {
      checkTaughtTimesteps(model, plan);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      // Few-step weights answer at their own timesteps alone; who taught them is not told.
      if (error.field === "steps") {
        const own = model.distilled?.steps;
        throw invalid("steps", `${own}, the steps "${source}" was distilled to`, steps);
      }
      const field = schedule === undefined ? "scheduler" : "schedule";
      const expected = `none: "${source}" was distilled to timesteps of its own`;
      throw invalid(field, expected, schedule ?? scheduler);
    }
    return plan;
  }
}

/** The ETag of a recipe's file. */
function tag(recipe: ServedRecipe, format: Format): string {
  return etag(recipe, format === "png" ? {} : { format });
}
