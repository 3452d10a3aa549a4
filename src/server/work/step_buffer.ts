/** Steps between a run and a reader that may be slower: the run never waits. */

export class StepBuffer<Step, Result> {
  readonly #steps: { step: Step; bytes: number }[] = [];
  #bytes = 0;
  #ended?: { result: Result } | { error: unknown };
  #wake?: () => void;

  /** @param maxBytes of steps that are kept for the reader, beside the newest */
  constructor(readonly maxBytes: number) {}

  /** Adds a step; where there is no room the oldest that was not read is left out. */
  push(step: Step, bytes: number): void {
    if (this.#ended) return;
    this.#steps.push({ step, bytes });
    this.#bytes += bytes;
    while (this.#bytes > this.maxBytes && this.#steps.length > 1) {
      this.#bytes -= this.#steps.shift()!.bytes;
    }
    this.#wake?.();
  }

  /** The reader gets what is left, then the result. */
  end(result: Result): void {
    this.#ended ??= { result };
    this.#wake?.();
  }

  /** The reader gets the error next. */
  fail(error: unknown): void {
    this.#ended = { error };
    this.#steps.length = this.#bytes = 0;
    this.#wake?.();
  }

  /** The steps as they come; returns the result. For one reader. */
  async *read(): AsyncGenerator<Step, Result> {
    for (;;) {
      const next = this.#steps.shift();
      if (next) {
        this.#bytes -= next.bytes;
        yield next.step;
      } else if (this.#ended) {
        if ("error" in this.#ended) throw this.#ended.error;
        return this.#ended.result;
      } else {
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    }
  }
}
