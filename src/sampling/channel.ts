/** A queue between producers that run ahead and one consumer, with room for `capacity` items. */
export class Channel<T> {
  readonly #items: T[] = [];
  #wakeConsumer?: () => void;
  #waitingProducers: (() => void)[] = [];
  #ended = false;
  #error?: { reason: unknown };

  constructor(readonly capacity: number) {}

  /** Resolves when there is room for more; false once the channel is closed. */
  async push(item: T): Promise<boolean> {
    if (this.#ended) return false;
    this.#items.push(item);
    this.#wakeConsumer?.();
    while (this.#items.length > this.capacity && !this.#ended) {
      await new Promise<void>((resolve) => this.#waitingProducers.push(resolve));
    }
    return !this.#ended;
  }

  /** No more items will come; after an error the consumer gets what is there, then the error. */
  end(error?: { reason: unknown }): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wakeConsumer?.();
    this.#release();
  }

  #release(): void {
    for (const resume of this.#waitingProducers.splice(0)) resume();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    try {
      for (;;) {
        const item = this.#items.shift();
        if (item !== undefined) {
          if (this.#items.length <= this.capacity) this.#release();
          yield item;
        } else if (this.#ended) {
          if (this.#error) throw this.#error.reason;
          return;
        } else {
          await new Promise<void>((resolve) => this.#wakeConsumer = resolve);
        }
      }
    } finally {
      this.end();
    }
  }
}
