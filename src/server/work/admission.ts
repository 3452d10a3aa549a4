/** Admission control: total admitted cost ≤ maxQueue, running images ≤ maxRunning, first in first out. */
import { Problem } from "../problem.ts";

export interface AdmissionLimits {
  /** Cost admitted and unfinished; one evaluation of one image costs 1. */
  readonly maxQueue: number;
  /** Images that may be between their first and last step. */
  readonly maxRunning: number;
}

/** A place in the queue. `release` gives it back and may be called more than once. */
export interface Place {
  /** Waits for a running slot, first come first served. Rejects with the signal's reason. */
  acquire(signal: AbortSignal): Promise<void>;
  release(): void;
}

interface Waiter {
  start(): void;
}

export class Admission {
  #cost = 0;
  #places = 0;
  #running = 0;
  #closed = false;
  #idle: (() => void)[] = [];
  readonly #queue = new Set<Waiter>();

  /** @param costPerSecond how fast work is being done, for Retry-After */
  constructor(readonly limits: AdmissionLimits, readonly costPerSecond: () => number) {}

  /** Cost admitted and unfinished. */
  get cost(): number {
    return this.#cost;
  }
  /** Images between their first and last step. */
  get running(): number {
    return this.#running;
  }
  /** Images admitted that have not started. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** @throws Problem 503 with Retry-After where the queue has no room for `cost` more */
  check(cost: number): void {
    if (this.#closed) {
      throw new Problem(503, "draining", "this server is shutting down; ask again", {
        retryAfter: 5,
      });
    }
    const over = this.#cost + cost - this.limits.maxQueue;
    if (over > 0) {
      throw new Problem(
        503,
        "overloaded",
        `the queue holds ${this.#cost} of ${this.limits.maxQueue} evaluations; ${cost} more do ` +
          "not fit",
        { retryAfter: over / Math.max(1, this.costPerSecond()) },
      );
    }
  }

  /** Takes a place, as {@link check} allows. */
  enter(cost: number): Place {
    this.check(cost);
    this.#cost += cost;
    this.#places++;
    let running = false;
    let released = false;
    return {
      acquire: async (signal) => {
        await this.#acquire(signal);
        running = true;
      },
      release: () => {
        if (released) return;
        released = true;
        this.#cost -= cost;
        this.#places--;
        if (running) this.#free();
        if (this.#places === 0) this.#idle.splice(0).forEach((resolve) => resolve());
      },
    };
  }

  #acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#running < this.limits.maxRunning) {
      this.#running++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const gone = () => {
        this.#queue.delete(waiter);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        start: () => {
          this.#queue.delete(waiter);
          signal.removeEventListener("abort", gone);
          this.#running++;
          resolve();
        },
      };
      this.#queue.add(waiter);
      signal.addEventListener("abort", gone, { once: true });
    });
  }

  #free(): void {
    this.#running--;
    const [next] = this.#queue;
    next?.start();
  }

  /** Nobody enters any more. */
  close(): void {
    this.#closed = true;
  }

  /** Resolves when every place has been released. */
  idle(): Promise<void> {
    if (this.#places === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}
