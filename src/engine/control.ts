/** What a team's host tells its threads in memory that they share, since messages take a millisecond. */

/** The words of the shared memory, by their index; each that somebody waits for has a cache line. */
const words = {
  calls: 0,
  finished: 16,
  active: 32,
  letters: 48,
  run: 64,
  memory: 65,
  at: 66,
  phase: 67,
};
const WORDS = 80;

/** Looks at the calls before going to sleep, some 30 µs: the next evaluation often follows at once. */
const LOOKS = 20_000;

/** One run of commands. */
export interface Run {
  /** Which run of the team this is, from 1. */
  readonly run: number;
  /** The number of the memory that it is in. */
  readonly memory: number;
  /** Where its commands begin. */
  readonly at: number;
  /** The phase that the memory is in before it; see `kernels/sync.ts`. */
  readonly phase: number;
}

/** The host's end. */
export class HostControl {
  readonly buffer = new SharedArrayBuffer(4 * WORDS);
  readonly #words = new Int32Array(this.buffer);

  /** Has threads look at what there is to do. */
  #call(): void {
    Atomics.add(this.#words, words.calls, 1);
    Atomics.notify(this.#words, words.calls);
  }

  /** Says that every thread has been sent one more message. */
  letter(): void {
    Atomics.add(this.#words, words.letters, 1);
    this.#call();
  }

  /** Starts a run; resolves when it is over. No other may be under way. */
  async run({ run, memory, at, phase }: Run): Promise<void> {
    // Nobody may read half of one run and half of another.
    Atomics.store(this.#words, words.run, 0);
    Atomics.store(this.#words, words.memory, memory);
    Atomics.store(this.#words, words.at, at);
    Atomics.store(this.#words, words.phase, phase);
    Atomics.store(this.#words, words.run, run);
    this.#call();
    await this.#until(words.finished, (finished) => finished >= run);
  }

  /** Resolves when no thread is in a run, so that commands may be written over. None may be under way. */
  async settle(): Promise<void> {
    Atomics.store(this.#words, words.run, 0);
    await this.#until(words.active, (active) => active === 0);
  }

  /** Lets go of whoever waits here. */
  end(): void {
    Atomics.store(this.#words, words.finished, 0x7fffffff);
    Atomics.notify(this.#words, words.finished);
    Atomics.store(this.#words, words.active, 0);
    Atomics.notify(this.#words, words.active);
  }

  async #until(word: number, is: (value: number) => boolean): Promise<void> {
    for (;;) {
      const value = Atomics.load(this.#words, word);
      if (is(value)) return;
      const waiting = Atomics.waitAsync(this.#words, word, value);
      if (waiting.async) await waiting.value;
    }
  }
}

/** A thread's end. */
export class ThreadControl {
  readonly #words: Int32Array;
  /** The last run that this thread has looked into. */
  #last = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer);
  }

  /**
   * Takes part in runs until there are more letters than these; the thread does nothing else meanwhile.
   * A thread that comes late to a run finds it over, or joins it: others do not wait for it.
   * @param perform false where it cannot, because it does not know the memory yet
   */
  serve(letters: number, perform: (run: Run) => boolean): void {
    for (;;) {
      const calls = Atomics.load(this.#words, words.calls);
      const run = this.#read();
      if (run && run.run !== this.#last) this.#takePart(run, perform);
      if (Atomics.load(this.#words, words.letters) !== letters) return;
      for (let i = 0; i < LOOKS && Atomics.load(this.#words, words.calls) === calls; i++);
      Atomics.wait(this.#words, words.calls, calls);
    }
  }

  #read(): Run | undefined {
    const run = Atomics.load(this.#words, words.run);
    const memory = Atomics.load(this.#words, words.memory);
    const at = Atomics.load(this.#words, words.at);
    const phase = Atomics.load(this.#words, words.phase);
    return run === 0 ? undefined : { run, memory, at, phase };
  }

  #takePart(run: Run, perform: (run: Run) => boolean): void {
    Atomics.add(this.#words, words.active, 1);
    try {
      // The host may have given up the run's commands: then it does not wait for this thread. Or another run
      // is being written, of which this may be half: a call will follow.
      if (Atomics.load(this.#words, words.run) !== run.run) return;
      if (!perform(run)) return;
      this.#last = run.run;
      if (Atomics.compareExchange(this.#words, words.finished, run.run - 1, run.run) < run.run) {
        Atomics.notify(this.#words, words.finished);
      }
    } finally {
      if (Atomics.sub(this.#words, words.active, 1) === 1) {
        Atomics.notify(this.#words, words.active);
      }
    }
  }
}
