/** What a recipe costs, before it is made: how often one image of it asks the network. */
import { countEvaluations } from "../../sampling/evaluations.ts";
import { type Plan, planRun } from "../../sampling/plan.ts";
import type { Catalog, Recipe } from "./recipe.ts";

/** The run that a recipe stands for. */
export function planOf({ models, schedulers }: Catalog, recipe: Recipe): Plan {
  const { weights, scheduler, schedule, steps, options } = recipe;
  const config = models.get(weights)!.scheduler;
  return planRun(config, { scheduler: schedulers[scheduler], schedule, steps, options });
}

/** Counts the calls of each scheduler once. */
export class Costs {
  readonly #calls = new Map<string, Promise<readonly [number, number]>>();

  constructor(readonly catalog: Catalog) {}

  /** How often one image of this recipe asks the network. */
  async of(recipe: Recipe): Promise<number> {
    const { scheduler, steps, guidance } = recipe;
    const counts = this.#calls.get(scheduler) ?? this.#count(recipe);
    this.#calls.set(scheduler, counts);
    const [perStep, constant] = await counts;
    return Math.max(1, perStep * steps + constant) * (guidance === 1 ? 1 : 2);
  }

  /** Calls are linear in the steps: a plug-in is run for 3 and for 4 steps. */
  async #count(recipe: Recipe): Promise<readonly [number, number]> {
    const count = (steps: number) =>
      countEvaluations(planOf(this.catalog, { ...recipe, steps }), 1);
    const three = await count(3);
    const perStep = await count(4) - three;
    return [perStep, three - 3 * perStep];
  }
}
