/** Makes pictures: admission, one run for all requests of a picture, a cache of finished ones. */
import { denoiserOf } from "../../sampling/denoiser.ts";
import { type Pixels, toPixels } from "../../image/pixels.ts";
import { noiseOf, sampleImage } from "../../sampling/image.ts";
import type { Metrics } from "../metrics.ts";
import { Problem } from "../problem.ts";
import { Admission } from "./admission.ts";
import { PictureCache } from "./cache.ts";
import type { Charge, Order } from "./cost.ts";
import type { Engine } from "./engine.ts";
import type { Limits } from "./limits.ts";
import { encodeMaking, encodePicture } from "./picture.ts";
import { type SharedRun, waitFor } from "./shared_run.ts";
import { StepBuffer } from "./step_buffer.ts";

/** A reverse step as the event streams tell it. */
export interface Step {
  readonly shape: readonly [number, number, number];
  readonly x: Float32Array;
  readonly x_0: Float32Array;
  readonly step: number;
  readonly steps: number;
  readonly t: number;
}

/** A finished picture, or its making, as it is sent. */
type File = Uint8Array<ArrayBuffer>;

/** Bytes of steps kept for a reader that is slower than its run. */
const MAX_BUFFERED_BYTES = 2 ** 20;

export class PictureService {
  readonly admission: Admission;
  readonly cache: PictureCache;
  readonly #runs = new Map<string, SharedRun<File>>();
  /** An entry for each image that is being made; those of one request share a controller. */
  readonly #active = new Set<{ readonly controller: AbortController }>();

  constructor(
    readonly limits: Limits,
    readonly engines: ReadonlyMap<string, Engine>,
    readonly metrics: Metrics,
  ) {
    this.cache = new PictureCache(limits.cacheBytes);
    this.admission = new Admission(
      limits,
      () => Math.max(...[...engines.values()].map((engine) => engine.perSecond)),
    );
  }

  /**
   * Starts every order or none. Pictures in the cache or in the making cost nothing.
   * @param charge told what the rest will cost
   * @throws Problem 503 where the queue has no room for all
   */
  pictures(orders: readonly Order[], signal: AbortSignal, charge: Charge): Promise<File>[] {
    const known = ({ etag }: Order) => this.cache.get(etag) || this.#runs.has(etag);
    const fresh = new Map(
      orders.filter((order) => !known(order)).map(({ etag, cost }) => [etag, cost]),
    );
    this.#admit([...fresh.values()], charge);
    return orders.map((order) => this.#picture(order, signal));
  }

  #admit(costs: readonly number[], charge: Charge): void {
    const cost = costs.reduce((a, b) => a + b, 0);
    this.admission.check(cost);
    charge(cost);
  }

  #picture(order: Order, signal: AbortSignal): Promise<File> {
    const cached = this.cache.get(order.etag);
    if (cached) {
      this.metrics.hits.inc({ by: "cache" });
      return Promise.resolve(cached);
    }
    let run = this.#runs.get(order.etag);
    if (run) this.metrics.hits.inc({ by: "joined" });
    else run = this.#start(order);
    // Everybody who waits has a deadline of his own, whenever the run began.
    const deadline = new AbortController();
    const timer = this.#deadline(deadline);
    return waitFor(run, AbortSignal.any([signal, deadline.signal]))
      .finally(() => clearTimeout(timer));
  }

  #deadline(controller: AbortController): ReturnType<typeof setTimeout> {
    const { deadlineMs } = this.limits;
    return setTimeout(() => {
      const detail = `not finished within ${deadlineMs / 1000} s; ask again`;
      controller.abort(new Problem(503, "deadline", detail, { retryAfter: 5 }));
    }, deadlineMs);
  }

  #start(order: Order): SharedRun<File> {
    const controller = new AbortController();
    const run: SharedRun<File> = {
      picture: finish(this.#run(order, controller)),
      controller,
      waiters: 0,
    };
    // Every waiter may have left: a failure that nobody hears is not an unhandled one.
    run.picture.catch(() => {}).finally(() => this.#forget(order.etag, run));
    // Who asks again while the aborted run ends its step must not join it.
    controller.signal.addEventListener("abort", () => this.#forget(order.etag, run));
    this.#runs.set(order.etag, run);
    return run;
  }

  #forget(etag: string, run: SharedRun<File>): void {
    if (this.#runs.get(etag) === run) this.#runs.delete(etag);
  }

  /**
   * The reverse process of every order or of none, step by step; each returns its file. A run goes on
   * whether its steps are read or not, and holds its place no longer than a picture's does.
   * @param controller ends the work; aborted at the deadline
   * @param charge told what they will cost
   * @throws Problem 503 where the queue has no room for all
   */
  steps(
    orders: readonly Order[],
    controller: AbortController,
    charge: Charge,
  ): AsyncGenerator<Step, File>[] {
    this.#admit(orders.map(({ cost }) => cost), charge);
    const timer = this.#deadline(controller);
    controller.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    return orders.map((order) => this.#follow(order, controller));
  }

  #follow(order: Order, controller: AbortController): AsyncGenerator<Step, File> {
    const { signal } = controller;
    const buffer = new StepBuffer<Step, File>(MAX_BUFFERED_BYTES);
    signal.addEventListener("abort", () => buffer.fail(signal.reason), { once: true });
    fill(buffer, this.#run(order, controller));
    return buffer.read();
  }

  async *#run(order: Order, controller: AbortController): AsyncGenerator<Step, File> {
    const { recipe, etag, plan, format } = order;
    const place = this.admission.enter(order.cost);
    const active = { controller };
    this.#active.add(active);
    const { signal } = controller;
    try {
      await place.acquire(signal);
      const engine = this.engines.get(recipe.source)!;
      const { shape } = engine.model;
      const frames = sampleImage(denoiserOf(engine.batcher, plan, recipe, signal), {
        ...recipe,
        plan,
        inputs: order.inputs,
      });
      const shown: Pixels[] = [];
      if (format !== "png") {
        shown.push(toPixels(noiseOf(recipe).randn(shape.reduce((a, b) => a * b)), shape));
      }
      for (let step = 1;; step++) {
        const { done, value } = await frames.next();
        signal.throwIfAborted();
        if (!done) {
          if (order.shown.has(step)) shown.push(toPixels(value.x, shape));
          yield { step, steps: plan.timesteps.length, shape, ...value };
          continue;
        }
        const file = format === "png"
          ? encodePicture(value, shape, recipe)
          : await encodeMaking([...shown, toPixels(value, shape)], format, recipe);
        this.cache.set(etag, file);
        this.metrics.images.inc({ weights: recipe.source });
        return file;
      }
    } finally {
      this.#active.delete(active);
      place.release();
    }
  }

  /** Ends all work in progress. */
  abort(reason: unknown): void {
    for (const { controller } of [...this.#active]) controller.abort(reason);
  }
}

async function finish(run: AsyncGenerator<Step, File>): Promise<File> {
  for (;;) {
    const next = await run.next();
    if (next.done) return next.value;
  }
}

async function fill(
  buffer: StepBuffer<Step, File>,
  run: AsyncGenerator<Step, File>,
): Promise<void> {
  try {
    for (;;) {
      const { done, value } = await run.next();
      if (done) return buffer.end(value);
      buffer.push(value, value.x.byteLength + value.x_0.byteLength);
    }
  } catch (error) {
    buffer.fail(error);
  }
}
