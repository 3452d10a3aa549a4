/** Jobs one after another: engines are not re-entrant (overlapping runs hang onnxruntime's WebGPU). */

interface Waiting {
  start(): Promise<void>;
  reject(reason: Error): void;
}

/** Starts each job when the one before it has ended, however it ended. */
export class RunQueue {
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed: string | undefined;

  /** Resolves or rejects as `job` does. Rejects without starting it once the queue is closed. */
  add<T>(job: () => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new Error(this.#closed));
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ start: () => job().then(resolve, reject), reject });
      this.#next();
    });
  }

  /**
   * Rejects the jobs that wait and those still to come with `reason`, and resolves when the running
   * job has ended.
   */
  async close(reason: string): Promise<void> {
    this.#closed ??= reason;
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(this.#closed));
    await this.#running;
  }

  #next(): void {
    if (this.#running) return;
    const job = this.#waiting.shift();
    if (!job) return;
    this.#running = job.start().finally(() => {
      this.#running = undefined;
      this.#next();
    });
  }
}
