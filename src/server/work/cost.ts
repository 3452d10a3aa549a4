/** What a picture costs, before it is made. */
import { etag } from "../../recipe/etag.ts";
import { Batcher } from "../../sampling/batcher.ts";
import { sampleImage } from "../../sampling/image.ts";
import { type Plan, planRun } from "../../sampling/plan.ts";
import { refusal } from "../problem.ts";
import type { Catalog, ServedRecipe } from "./recipe.ts";

/** A picture that can be made: its recipe, the ETag that names it, the run that makes it, its cost. */
export interface Order {
  readonly recipe: ServedRecipe;
  readonly etag: string;
  readonly plan: Plan;
  /** Network evaluations of the image; its enlarged pixels count as such, too. */
  readonly cost: number;
}

/** Enlarged pixels whose encoding takes a machine as long as an evaluation. */
export const PIXELS_PER_EVALUATION = 65_536;

/** Runs that are remembered. */
const MAX_KNOWN = 1000;

interface Run {
  readonly plan: Plan;
  readonly calls: number;
}

/** Plans runs and counts their calls, each once. */
export class Orders {
  readonly #runs = new Map<string, Run>();

  constructor(readonly catalog: Catalog) {}

  /**
   * @param previews pictures of its size that are shown before the image is done
   * @throws Problem 422 where the sampler cannot run so
   */
  async of(recipe: ServedRecipe, previews = 0): Promise<Order> {
    const { plan, calls } = await this.#run(recipe);
    const [, height, width] = this.catalog.models.get(recipe.source)!.shape;
    const pixels = (1 + previews) * height * width * (recipe.scale ?? 1) ** 2;
    const cost = Math.max(1, calls) + Math.floor(pixels / PIXELS_PER_EVALUATION);
    return { recipe, etag: etag(recipe), plan, cost };
  }

  /** The same run for another seed. */
  again(order: Order, recipe: ServedRecipe): Order {
    return { ...order, recipe, etag: etag(recipe) };
  }

  /** Runs are the same whatever the seed, the class, the strength of guidance and the size. */
  async #run(recipe: ServedRecipe): Promise<Run> {
    const { source, scheduler, schedule, steps, options } = recipe;
    const guided = recipe.guidance !== 1;
    const key = JSON.stringify([source, scheduler, schedule, steps, options, guided]);
    const known = this.#runs.get(key);
    if (known) return known;
    try {
      const plan = this.#plan(recipe);
      const run = { plan, calls: await this.#count(plan, guided) };
      this.#runs.set(key, run);
      const [oldest] = this.#runs.keys();
      if (this.#runs.size > MAX_KNOWN) this.#runs.delete(oldest);
      return run;
    } catch (error) {
      // Here the sampler has seen nothing but what the client chose.
      throw refusal(error);
    }
  }

  #plan({ source, scheduler, schedule, steps, options }: ServedRecipe): Plan {
    const { models, schedulers } = this.catalog;
    const config = models.get(source)!.scheduler;
    return planRun(config, { scheduler: schedulers[scheduler], schedule, steps, options });
  }

  /** Runs the sampler on a single pixel; what costs more than a request may is not counted further. */
  async #count(plan: Plan, guided: boolean): Promise<number> {
    const { maxCost } = this.catalog.limits;
    let calls = 0;
    const network = {
      shape: [1, 1, 1] as const,
      outChannels: 1,
      scheduler: plan.config,
      labels: ["any"],
      nullLabel: 1,
      predict: (x: Float32Array) => (calls += x.length, Promise.resolve(x)),
    };
    const job = { seed: 0, plan, label: 0, guidance: guided ? 2 : 1 };
    const frames = sampleImage(new Batcher(network), job);
    while (calls <= maxCost && !(await frames.next()).done);
    await frames.return(new Float32Array());
    return calls;
  }
}
