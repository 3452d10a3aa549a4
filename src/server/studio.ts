/** Makes pictures: the queue, one run for requests of the same picture, and what is remembered. */
import { Batcher } from "../sampling/batcher.ts";
import { sampleImage } from "../sampling/image.ts";
import { type Plan, planRun } from "../sampling/plan.ts";
import { Admission } from "./admission.ts";
import { PictureCache } from "./cache.ts";
import type { Engine } from "./engine.ts";
import type { Metrics } from "./metrics.ts";
import { encodePicture } from "./picture.ts";
import { Problem } from "./problem.ts";
import type { Catalog, Recipe } from "./recipe.ts";

/** A recipe and the ETag that names its picture. */
export interface Order {
  readonly recipe: Recipe;
  readonly etag: string;
}

/** A reverse step as the event streams tell it. */
export interface Step {
  readonly shape: readonly [number, number, number];
  readonly x: Float32Array;
  readonly x_0: Float32Array;
  readonly step: number;
  readonly steps: number;
  readonly t: number;
}

type Png = Uint8Array<ArrayBuffer>;

interface Job {
  readonly picture: Promise<Png>;
  readonly controller: AbortController;
  waiters: number;
}

export class Studio {
  readonly admission: Admission;
  readonly cache: PictureCache;
  readonly #jobs = new Map<string, Job>();
  readonly #controllers = new Set<AbortController>();
  readonly #callCounts = new Map<string, Promise<readonly [number, number]>>();

  constructor(
    readonly catalog: Catalog,
    readonly engines: ReadonlyMap<string, Engine>,
    readonly metrics: Metrics,
  ) {
    const { limits } = catalog;
    this.cache = new PictureCache(limits.cacheBytes);
    this.admission = new Admission(
      limits,
      () => Math.max(...[...engines.values()].map((engine) => engine.perSecond)),
    );
  }

  /** How often one image of this recipe asks the network. */
  async evaluations(recipe: Recipe): Promise<number> {
    const { scheduler, steps, guidance } = recipe;
    const counts = this.#callCounts.get(scheduler) ?? this.#countCalls(recipe);
    this.#callCounts.set(scheduler, counts);
    const [perStep, constant] = await counts;
    return Math.max(1, perStep * steps + constant) * (guidance === 1 ? 1 : 2);
  }

  /** Calls are linear in the steps: a plug-in is run for 3 and for 4 steps on a single pixel. */
  async #countCalls(recipe: Recipe): Promise<readonly [number, number]> {
    const { scheduler: config } = this.catalog.models.get(recipe.weights)!;
    const count = async (steps: number) => {
      let calls = 0;
      const network = {
        shape: [1, 1, 1] as const,
        outChannels: 1,
        scheduler: config,
        predict: (x: Float32Array) => (calls++, Promise.resolve(x)),
      };
      const plan = this.#plan({ ...recipe, steps });
      const frames = sampleImage(new Batcher(network), { seed: 0, plan, guidance: 1 });
      while (!(await frames.next()).done);
      return calls;
    };
    const three = await count(3);
    const perStep = await count(4) - three;
    return [perStep, three - 3 * perStep];
  }

  #plan({ weights, scheduler, schedule, steps, options }: Recipe): Plan {
    const { models, schedulers } = this.catalog;
    const config = models.get(weights)!.scheduler;
    return planRun(config, { scheduler: schedulers[scheduler], schedule, steps, options });
  }

  /**
   * Starts every order or none. Pictures remembered or in the making cost nothing.
   * @param charge told what the rest will cost, before any work starts; may refuse by throwing
   * @throws Problem 503 where the queue has no room for all
   */
  async pictures(
    orders: readonly Order[],
    signal: AbortSignal,
    charge: (cost: number) => void,
  ): Promise<Promise<Png>[]> {
    const costs = new Map<string, number>();
    for (const { etag, recipe } of orders) costs.set(etag, await this.evaluations(recipe));
    const known = ({ etag }: Order) => this.cache.get(etag) || this.#jobs.has(etag);
    const fresh = new Set(orders.filter((order) => !known(order)).map(({ etag }) => etag));
    const cost = [...fresh].reduce((sum, etag) => sum + costs.get(etag)!, 0);
    this.admission.check(cost);
    charge(cost);
    return orders.map((order) => this.#picture(order, costs.get(order.etag)!, signal));
  }

  #picture(order: Order, cost: number, signal: AbortSignal): Promise<Png> {
    const remembered = this.cache.get(order.etag);
    if (remembered) {
      this.metrics.hits.inc({ by: "cache" });
      return Promise.resolve(remembered);
    }
    let job = this.#jobs.get(order.etag);
    if (job) this.metrics.hits.inc({ by: "joined" });
    else job = this.#start(order, cost);
    return waitFor(job, signal);
  }

  #start(order: Order, cost: number): Job {
    const controller = new AbortController();
    const job: Job = {
      picture: finish(this.#run(order, cost, controller)),
      controller,
      waiters: 0,
    };
    // Every waiter may have left: a failure that nobody hears is not an unhandled one.
    job.picture.catch(() => {}).finally(() => this.#forget(order.etag, job));
    controller.signal.addEventListener("abort", () => this.#forget(order.etag, job));
    this.#jobs.set(order.etag, job);
    return job;
  }

  #forget(etag: string, job: Job): void {
    if (this.#jobs.get(etag) === job) this.#jobs.delete(etag);
  }

  /**
   * The reverse process of one order, step by step; returns its PNG. It takes its place in the queue
   * at once, and gives it back when it is done or the controller aborts.
   * @throws Problem 503 where the queue is full
   */
  async steps(
    order: Order,
    controller: AbortController,
    charge: (cost: number) => void,
  ): Promise<AsyncGenerator<Step, Png>> {
    const cost = await this.evaluations(order.recipe);
    this.admission.check(cost);
    charge(cost);
    const run = this.#run(order, cost, controller);
    const first = run.next();
    first.catch(() => {});
    controller.signal.addEventListener("abort", () => {
      run.return(undefined as never).catch(() => {});
    }, { once: true });
    return resume(first, run, controller.signal);
  }

  async *#run(
    { recipe, etag }: Order,
    cost: number,
    controller: AbortController,
  ): AsyncGenerator<Step, Png> {
    const place = this.admission.enter(cost);
    this.#controllers.add(controller);
    const { limits } = this.catalog;
    const deadline = setTimeout(() => controller.abort(deadlinePassed(limits)), limits.deadlineMs);
    const { signal } = controller;
    try {
      await place.turn(signal);
      const engine = this.engines.get(recipe.weights)!;
      const { seed, label, guidance } = recipe;
      const plan = this.#plan(recipe);
      const { shape } = engine.model;
      const frames = sampleImage(engine.batcher, { seed, plan, label, guidance }, signal);
      for (let step = 1;; step++) {
        const { done, value } = await frames.next();
        signal.throwIfAborted();
        if (!done) {
          yield { step, steps: plan.timesteps.length, shape, ...value };
          continue;
        }
        const png = encodePicture(value, shape, recipe);
        this.cache.set(etag, png);
        this.metrics.images.inc({ weights: recipe.weights });
        return png;
      }
    } finally {
      clearTimeout(deadline);
      this.#controllers.delete(controller);
      place.leave();
    }
  }

  /** Ends all work in progress. */
  abort(reason: unknown): void {
    for (const controller of [...this.#controllers]) controller.abort(reason);
  }
}

function deadlinePassed({ deadlineMs }: Catalog["limits"]): Problem {
  return new Problem(503, "deadline", `not finished within ${deadlineMs / 1000} s; ask again`, {
    retryAfter: 5,
  });
}

async function finish(run: AsyncGenerator<Step, Png>): Promise<Png> {
  for (;;) {
    const next = await run.next();
    if (next.done) return next.value;
  }
}

/** Goes on with a generator whose first `next` has been called. */
async function* resume(
  first: Promise<IteratorResult<Step, Png>>,
  run: AsyncGenerator<Step, Png>,
  signal: AbortSignal,
): AsyncGenerator<Step, Png> {
  for (let next = await first;; next = await run.next()) {
    signal.throwIfAborted();
    if (next.done) return next.value;
    yield next.value;
  }
}

/** Waits with others for one picture; the last to leave ends the work. */
function waitFor(job: Job, signal: AbortSignal): Promise<Png> {
  job.waiters++;
  return new Promise((resolve, reject) => {
    const leave = () => {
      signal.removeEventListener("abort", gone);
      job.waiters--;
    };
    const gone = () => {
      leave();
      if (job.waiters === 0) job.controller.abort(signal.reason);
      reject(signal.reason);
    };
    if (signal.aborted) return gone();
    signal.addEventListener("abort", gone, { once: true });
    job.picture.then((png) => (leave(), resolve(png)), (error) => (leave(), reject(error)));
  });
}
