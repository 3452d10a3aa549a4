/** Gathers many images' calls of the network into few evaluations. */
import { allFinite } from "../diffusion/mod.ts";
import { InputError } from "../errors.ts";
import type { Network } from "../model/network.ts";

/** What one evaluation did, for metrics. */
export interface Evaluation {
  /** Calls it answered. */
  readonly batch: number;
  /** Wall-clock time of the network. */
  readonly milliseconds: number;
  /** Calls that were waiting when it ended. */
  readonly pending: number;
  /** Whether the engine threw. */
  readonly failed: boolean;
}

/** How a {@link Batcher} gathers. */
export interface BatcherOptions {
  /** The most calls in one evaluation; default 16. */
  readonly maxBatch?: number;
  /** Told of every evaluation after it. */
  readonly onEvaluation?: (evaluation: Evaluation) => void;
}

/** One image's question to the network. */
export interface Call {
  /** x_t, [C, H, W] flattened. Not changed, and not read after the answer. */
  readonly x: Float32Array;
  /** The model's timestep, possibly fractional. */
  readonly t: number;
  /** The class; given exactly when the network has labels. */
  readonly label?: number;
  /** [outChannels, H, W]: asks for (∂output/∂x)ᵀ u, [C, H, W], in place of the output. */
  readonly u?: Float32Array;
  /** Gives the call up at once: it is taken out, or once its evaluation runs, its answer is dropped. */
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly call: Call;
  readonly resolve: (output: Float32Array) => void;
  readonly reject: (reason: unknown) => void;
  readonly forget: () => void;
}

/** The default of `maxBatch`: beyond it a CPU gains little and newcomers wait longer. */
export const DEFAULT_MAX_BATCH = 16;

/**
 * Answers calls from any number of samplers, each at its own timestep. A batch is closed after the
 * microtask queue has drained: when every sampler that was answered has asked again or finished. A call
 * that comes while the network is busy joins the next evaluation. Evaluations never overlap, and one
 * that fails fails only the calls in it.
 */
export class Batcher {
  readonly #waiting: Waiting[] = [];
  readonly #onEvaluation?: BatcherOptions["onEvaluation"];
  /** The most calls in one evaluation. */
  readonly maxBatch: number;
  #running: Promise<void> | undefined;

  /**
   * Gathers the calls of `network`.
   * @throws InputError for a `maxBatch` below 1
   */
  constructor(
    /** The network that is asked. */
    readonly network: Network,
    options: BatcherOptions = {},
  ) {
    const { maxBatch = DEFAULT_MAX_BATCH, onEvaluation } = options;
    if (!Number.isInteger(maxBatch) || maxBatch < 1) {
      throw new InputError(`maxBatch: expected a whole number from 1, found ${maxBatch}`);
    }
    this.maxBatch = maxBatch;
    this.#onEvaluation = onEvaluation;
  }

  /** Calls that wait for an evaluation. */
  get pending(): number {
    return this.#waiting.length;
  }

  /** Resolves when no call waits and no evaluation is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /**
   * The network's output for one image: [outChannels, H, W] flattened. Rejects with the signal's
   * reason, or with what the network threw.
   */
  evaluate(call: Call): Promise<Float32Array> {
    const { signal } = call;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { shape: [C, H, W], outChannels } = this.network;
    for (
      const [name, vector, channels] of [["x_t", call.x, C], ["u", call.u, outChannels]] as const
    ) {
      if (vector === undefined || vector.length === channels * H * W) continue;
      const expected = `${channels * H * W} numbers ([${channels},${H},${W}])`;
      return Promise.reject(
        new InputError(`${name}: expected ${expected}, found ${vector.length}`),
      );
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal!.reason);
      };
      const forget = () => signal?.removeEventListener("abort", onAbort);
      const waiting: Waiting = { call, resolve, reject, forget };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiting);
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        await nextTask();
        const batch = this.#next();
        if (batch.length === 0) return;
        await this.#evaluate(batch);
      }
    } finally {
      this.#running = undefined;
    }
  }

  /** The calls of the next evaluation, which are all for the output or all for gradients. */
  #next(): Waiting[] {
    const kind = ({ call }: Waiting) => call.u === undefined;
    const batch = this.#waiting.filter((waiting) => kind(waiting) === kind(this.#waiting[0]))
      .slice(0, this.maxBatch);
    for (const waiting of batch) this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    return batch;
  }

  async #evaluate(batch: readonly Waiting[]): Promise<void> {
    const start = performance.now();
    let failed = false;
    try {
      const output = await this.#predict(batch.map(({ call }) => call));
      const size = output.length / batch.length;
      batch.forEach(({ call, resolve, reject }, i) => {
        const answer = output.subarray(i * size, (i + 1) * size);
        if (allFinite(answer)) resolve(answer);
        else reject(notFinite(call));
      });
    } catch (error) {
      failed = true;
      for (const { reject } of batch) reject(error);
    }
    for (const { forget } of batch) forget();
    this.#report({
      batch: batch.length,
      milliseconds: performance.now() - start,
      pending: this.pending,
      failed,
    });
  }

  /** What the listener throws is its own: the calls that wait are answered all the same. */
  #report(evaluation: Evaluation): void {
    try {
      this.#onEvaluation?.(evaluation);
    } catch (error) {
      console.error("onEvaluation threw:", error);
    }
  }

  async #predict(calls: readonly Call[]): Promise<Float32Array> {
    const { network } = this;
    const { shape: [C, H, W], outChannels } = network;
    const x = joined(calls.map(({ x }) => x));
    const t = Float32Array.from(calls, ({ t }) => t);
    const labels = network.labels && Int32Array.from(calls, ({ label }) => label ?? -1);
    const asksGradient = calls[0].u !== undefined;
    const output = asksGradient
      ? await network.vjp!(x, t, joined(calls.map(({ u }) => u!)), labels)
      : await network.predict(x, t, labels);
    const expected = calls.length * (asksGradient ? C : outChannels) * H * W;
    if (output.length !== expected) {
      throw new Error(`network: expected an output of ${expected} numbers, found ${output.length}`);
    }
    return output;
  }
}

function notFinite({ x, t }: Call): InputError {
  const given = allFinite(x)
    ? "its numbers overflow, which float32 weights of a diverged training do"
    : "x_t was not finite before, which is the sampler's or the starting point's doing";
  return new InputError(
    `the network's output at t = ${t} is not finite (NaN or infinite): ${given}`,
  );
}

/** Vectors of one length, one after the other. */
function joined(vectors: readonly Float32Array[]): Float32Array {
  const [{ length }] = vectors;
  const all = new Float32Array(vectors.length * length);
  vectors.forEach((vector, i) => all.set(vector, i * length));
  return all;
}

/**
 * Resolves when every microtask has run. `setImmediate` is the cheapest task where there is one
 * (4 µs in Deno; timers take a millisecond or two). A message is the browser's: in Deno it will not
 * do, since the first npm package that asks for node's worker_threads replaces MessageChannel by
 * one that delivers between microtasks. A port left open would keep the process alive.
 */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
