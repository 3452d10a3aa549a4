/** Makes pictures: the queue, one run for requests of the same picture, and what is remembered. */
import { denoiserOf } from "../../sampling/denoiser.ts";
import { sampleImage } from "../../sampling/image.ts";
import { Admission } from "./admission.ts";
import { PictureCache } from "./cache.ts";
import { Costs, planOf } from "./cost.ts";
import type { Engine } from "./engine.ts";
import { type Job, waitFor } from "./job.ts";
import type { Metrics } from "../http/metrics.ts";
import { encodePicture } from "./picture.ts";
import { Problem } from "../http/problem.ts";
import type { Catalog, Recipe } from "./recipe.ts";

/** Told what work will cost before it starts; refuses by throwing. */
export type Charge = (cost: number) => void;

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

export class Studio {
  readonly admission: Admission;
  readonly cache: PictureCache;
  readonly costs: Costs;
  readonly #jobs = new Map<string, Job<Png>>();
  readonly #controllers = new Set<AbortController>();

  constructor(
    readonly catalog: Catalog,
    readonly engines: ReadonlyMap<string, Engine>,
    readonly metrics: Metrics,
  ) {
    const { limits } = catalog;
    this.cache = new PictureCache(limits.cacheBytes);
    this.costs = new Costs(catalog);
    this.admission = new Admission(
      limits,
      () => Math.max(...[...engines.values()].map((engine) => engine.perSecond)),
    );
  }

  /**
   * Starts every order or none. Pictures remembered or in the making cost nothing.
   * @param charge told what the rest will cost
   * @throws Problem 503 where the queue has no room for all
   */
  async pictures(
    orders: readonly Order[],
    signal: AbortSignal,
    charge: Charge,
  ): Promise<Promise<Png>[]> {
    const costs = new Map<string, number>();
    for (const { etag, recipe } of orders) costs.set(etag, await this.costs.of(recipe));
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

  #start(order: Order, cost: number): Job<Png> {
    const controller = new AbortController();
    const job: Job<Png> = {
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

  #forget(etag: string, job: Job<Png>): void {
    if (this.#jobs.get(etag) === job) this.#jobs.delete(etag);
  }

  /**
   * The reverse process of every order or of none, step by step; each returns its PNG. They take their
   * places in the queue at once, and give them back when they are done or the controller aborts.
   * @param charge told what they will cost
   * @throws Problem 503 where the queue has no room for all
   */
  async steps(
    orders: readonly Order[],
    controller: AbortController,
    charge: Charge,
  ): Promise<AsyncGenerator<Step, Png>[]> {
    const costs = await Promise.all(orders.map(({ recipe }) => this.costs.of(recipe)));
    const cost = costs.reduce((a, b) => a + b);
    this.admission.check(cost);
    charge(cost);
    return orders.map((order, i) => this.#follow(order, costs[i], controller));
  }

  #follow(order: Order, cost: number, controller: AbortController): AsyncGenerator<Step, Png> {
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
      const plan = planOf(this.catalog, recipe);
      const { shape } = engine.model;
      const frames = sampleImage(
        denoiserOf(engine.batcher, plan, { label, guidance }, signal),
        { seed, plan },
      );
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
