/** Workers that carry out commands together, on memories that they share. */
import { HostControl } from "./control.ts";
import type { Crew, CrewMemory } from "./engine_session.ts";
import { kernelBytes } from "./kernels_module.ts";
import { ABORTED, PHASE, SYNC_WORDS } from "./layout.ts";
import type { ThreadReply, ThreadRequest } from "./worker_body.ts";

/** A worker of some kind, with `worker_body.ts` in it. */
export interface Thread {
  post(request: ThreadRequest): void;
  /** Whether the process may not end before this worker does. */
  hold(held: boolean): void;
  terminate(): Promise<void>;
}

export interface ThreadEvents {
  reply(reply: ThreadReply): void;
  /** It has ended, for this reason. */
  died(why: string): void;
}

interface Pending {
  readonly memory: WebAssembly.Memory;
  reject(error: Error): void;
}

/** One life of a team: from the start of its workers until one of them dies. */
class Lineup {
  readonly #threads: Thread[];
  readonly #control = new HostControl();
  readonly #pending = new Set<Pending>();
  readonly #opened = new WeakSet<WebAssembly.Memory>();
  #runs = 0;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();
  #death: string | undefined;

  constructor(count: number, start: (events: ThreadEvents) => Thread) {
    this.#threads = Array.from({ length: count }, () =>
      start({
        reply: (reply) => {
          if (reply.kind === "failed") this.die(reply.message);
        },
        died: (why) => this.die(why),
      }));
    const kernels = kernelBytes();
    const control = this.#control.buffer;
    this.#post((thread) => ({
      kind: "start",
      thread,
      threads: count,
      kernels: kernels.slice().buffer,
      control,
    }));
  }

  get dead(): boolean {
    return this.#death !== undefined;
  }

  run(id: number, memory: WebAssembly.Memory, at: number): Promise<void> {
    if (this.#death !== undefined) return Promise.reject(deathOf(this.#death));
    if (!this.#opened.has(memory)) {
      this.#opened.add(memory);
      this.#post(() => ({ kind: "open", id, memory }));
    }
    return new Promise((resolve, reject) => {
      const pending = { memory, reject };
      this.#pending.add(pending);
      this.#inTurn(async () => {
        const phase = Atomics.load(new Int32Array(memory.buffer), PHASE / 4);
        await this.#control.run({ run: ++this.#runs, memory: id, at, phase });
        if (this.#pending.delete(pending)) resolve();
      });
    });
  }

  /** Resolves when no thread reads commands any more. */
  settle(): Promise<void> {
    return this.#inTurn(() => this.#control.settle());
  }

  close(id: number): void {
    if (!this.dead) this.#post(() => ({ kind: "close", id }));
  }

  async terminate(why: string): Promise<void> {
    this.die(why);
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  die(why: string): void {
    if (this.#death !== undefined) return;
    this.#death = why;
    for (const { memory, reject } of this.#pending) {
      abort(memory);
      reject(deathOf(why));
    }
    this.#pending.clear();
    this.#control.end();
    // What is left of the team is no use without the one that died.
    for (const thread of this.#threads) thread.terminate();
  }

  /** Does something when all that was asked before is done; the process stays until then. */
  #inTurn(task: () => Promise<void>): Promise<void> {
    if (this.#waiting++ === 0) this.#hold(true);
    return this.#last = this.#last.then(() => this.dead ? undefined : task()).then(() => {
      if (--this.#waiting === 0) this.#hold(false);
    });
  }

  #post(request: (thread: number) => ThreadRequest): void {
    this.#threads.forEach((thread, i) => thread.post(request(i)));
    this.#control.letter();
  }

  #hold(held: boolean): void {
    for (const thread of this.#threads) thread.hold(held);
  }
}

/** Has threads that wait for a dead one give up. */
function abort(memory: WebAssembly.Memory): void {
  Atomics.store(new Int32Array(memory.buffer), ABORTED / 4, 1);
}

function deathOf(why: string): Error {
  return new Error(
    `the worker died (${why}); this run is lost, the next one starts a new worker`,
  );
}

export interface Team extends Crew {
  /** Starts the workers if there are none. */
  start(): void;
  /** Ends the workers where no memory is open; closing the last one does it, too. */
  release(): void;
  /** Ends the workers. Runs under way reject; the next one starts new workers. */
  terminate(): Promise<void>;
}

/** A team of `threads` workers, which are started when they are first needed, and after a death. */
export function teamOf(threads: number, start: (events: ThreadEvents) => Thread): Team {
  let lineup: Lineup | undefined;
  let memories = 0;
  let used = 0;
  const release = () => {
    if (used === 0) lineup?.terminate("nothing used it");
  };
  const current = () => {
    if (!lineup || lineup.dead) lineup = new Lineup(threads, start);
    return lineup;
  };
  return {
    threads,
    shared: true,
    start: () => void current(),
    open(memory): Promise<CrewMemory> {
      const id = memories++;
      let last: Lineup | undefined;
      let isOpen = true;
      used++;
      return Promise.resolve({
        run(at) {
          const now = current();
          // Threads that a dead one left behind may have stopped anywhere.
          if (last && last !== now) {
            new Int32Array(memory.buffer).fill(0, SYNC_WORDS.from / 4, SYNC_WORDS.to / 4);
          }
          last = now;
          return now.run(id, memory, at);
        },
        settle: () => last && !last.dead ? last.settle() : Promise.resolve(),
        close: () => {
          last?.close(id);
          if (isOpen) used--;
          isOpen = false;
          release();
        },
      });
    },
    release,
    async terminate() {
      await lineup?.terminate("it was ended");
    },
  };
}
