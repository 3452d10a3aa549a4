/** One set of weights at work: its network, watched and replaced when it breaks, and its batcher. */
import { Batcher } from "../../sampling/batcher.ts";
import type { Network } from "../../model/network.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { Problem } from "../problem.ts";
import type { ServedModel } from "./served_model.ts";

export interface EngineOptions {
  readonly maxBatch: number;
  /** Milliseconds after which an evaluation is taken for hung. */
  readonly hangMs: number;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Opens the same weights again after their engine broke. */
  readonly reopen?: () => Promise<ServedModel>;
}

export class Engine {
  readonly batcher: Batcher;
  #model: ServedModel;
  #warm?: Promise<void>;
  #broken = false;
  #perSecond = 0;

  constructor(readonly name: string, model: ServedModel, readonly options: EngineOptions) {
    this.#model = model;
    const { metrics, maxBatch } = options;
    const labels = { weights: name };
    for (
      const counter of [metrics.images, metrics.evaluations, metrics.retried, metrics.reopened]
    ) {
      counter.inc(labels, 0);
    }
    this.batcher = new Batcher(this.#network(), {
      maxBatch,
      onEvaluation: ({ batch, milliseconds, failed }) => {
        metrics.evaluations.inc(labels);
        metrics.batch.observe(labels, batch);
        metrics.stepSeconds.observe(labels, milliseconds / 1000);
        if (failed) return;
        this.ready = true;
        const rate = batch / Math.max(milliseconds, 0.01) * 1000;
        this.#perSecond = this.#perSecond ? 0.9 * this.#perSecond + 0.1 * rate : rate;
      },
    });
  }

  get model(): ServedModel {
    return this.#model;
  }

  /** Images × evaluations a second, by the last evaluations; 0 before the first. */
  get perSecond(): number {
    return this.#perSecond;
  }

  /** Whether it has made its first evaluation and its last one did not break it. */
  ready = false;

  /** The first evaluation, which compiles and allocates, before a visitor waits for it. */
  warmUp(): Promise<void> {
    return this.#warm ??= this.#evaluateOnce().catch((error) => {
      this.#warm = undefined;
      throw error;
    });
  }

  async #evaluateOnce(): Promise<void> {
    const { shape: [C, H, W] } = this.#model;
    const label = this.#model.labels ? 0 : undefined;
    await this.batcher.evaluate({ x: new Float32Array(C * H * W), t: 0, label });
  }

  #network(): Network {
    const { shape, outChannels, scheduler, labels, nullLabel, recommended } = this.#model;
    const predict: Network["predict"] = (...of) => this.#ask((model) => model.predict(...of));
    const vjp: Network["vjp"] = (...of) => this.#ask((model) => model.vjp!(...of));
    return {
      shape,
      outChannels,
      scheduler,
      labels,
      nullLabel,
      recommended,
      predict,
      ...(this.#model.vjp && { vjp }),
    };
  }

  /**
   * An evaluation that fails is asked once more, since an engine in a worker starts a new one by
   * itself; then once more on weights opened again, as is one that hangs. Only if that fails do its
   * images fail. Whatever is thrown here is the server's failure, for its log alone: the message of
   * weights that cannot be opened names where they lie.
   */
  async #ask(evaluate: (model: Network) => Promise<Float32Array>): Promise<Float32Array> {
    const { log, metrics, reopen } = this.options;
    const ask = () => within(this.options.hangMs, evaluate(this.#model));
    try {
      if (this.#broken) await this.#reopen();
      return await ask().catch((error) => {
        if (error instanceof HungEngine) throw error;
        const { name: weights } = this;
        log({ level: "error", message: "an evaluation failed", weights, error: String(error) });
        metrics.retried.inc({ weights });
        return ask();
      });
    } catch (error) {
      if (error instanceof HungEngine) this.ready = false;
      if (!reopen || this.#broken) throw this.#failure(error);
      try {
        await this.#reopen();
        return await ask();
      } catch (again) {
        throw this.#failure(again);
      }
    }
  }

  async #reopen(): Promise<void> {
    this.#broken = true;
    this.ready = false;
    this.#model.close?.().catch(() => {});
    const model = await this.options.reopen!();
    if (model.hash !== this.#model.hash) {
      model.close?.().catch(() => {});
      throw new Error(`reopened "${this.name}" as ${model.hash}; it was ${this.#model.hash}`);
    }
    this.#model = model;
    this.options.metrics.reopened.inc({ weights: this.name });
    this.#broken = false;
  }

  #failure(cause: unknown): Problem {
    return new Problem(
      500,
      "network",
      "the network failed while it denoised; the same request may be sent again",
      { cause },
    );
  }
}

/** An engine that does not answer is not asked again. */
class HungEngine extends Error {}

/** @throws HungEngine where nothing came of `work` in time */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new HungEngine(`no answer from the engine within ${milliseconds / 1000} s`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
