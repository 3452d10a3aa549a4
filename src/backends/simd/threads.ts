/**
 * Our own WebAssembly on every core: workers on one shared memory, so that the calling thread stays
 * free while a network runs.
 */
import { Worker } from "node:worker_threads";
import { type Team, teamOf, type Thread, type ThreadEvents } from "../../engine/team.ts";
import type { ThreadReply, ThreadRequest } from "../../engine/worker_body.ts";
import type { Backend, SessionOptions } from "../backend.ts";
import { openSimdSession } from "./session.ts";

export interface SimdOptions {
  /** The module the workers run; the default is `worker.ts` beside this file. */
  readonly workerUrl?: URL | string;
  /** Threads for sessions that do not say; the default is every core, up to 16. */
  readonly threads?: number;
}

export interface SimdBackend extends Backend {
  /**
   * Ends the workers. Runs that are under way reject; sessions stay usable, since their next run
   * starts new workers on the same memory.
   */
  terminate(): Promise<void>;
}

/** More threads than this do not help networks of this size. */
const MOST_THREADS = 16;
/** Intermediate results of a batch: what is not touched takes no memory. */
const ARENA_BYTES = 512 << 20;

/**
 * A Backend that computes in workers. Sessions with the same number of threads share them. `spin`
 * has no effect: waiting threads look for some microseconds and then sleep.
 */
export function simd(options: SimdOptions = {}): SimdBackend {
  const module = new URL(options.workerUrl ?? "./worker.ts", import.meta.url);
  const teams = new Map<number, Team>();
  const teamFor = ({ threads }: SessionOptions = {}): Team => {
    const wanted = threads ?? options.threads ?? navigator.hardwareConcurrency;
    const count = Math.max(1, Math.min(wanted, MOST_THREADS));
    if (!teams.has(count)) teams.set(count, teamOf(count, (events) => startWorker(module, events)));
    return teams.get(count)!;
  };
  return {
    name: "simd",
    createSession: (graph, weights, session) =>
      openSimdSession(graph, weights, teamFor(session), { arenaBytes: ARENA_BYTES }),
    prepare: (session) => teamFor(session).start(),
    release: () => teams.forEach((team) => team.release()),
    async terminate() {
      await Promise.all([...teams.values()].map((team) => team.terminate()));
    },
  };
}

/** Starts a thread; `module` is what it runs. */
export function startWorker(module: URL, events: ThreadEvents): Thread {
  // node's workers take no http: module, but a data: module that imports one. They are used for
  // unref(), which the web's Worker does not have.
  const start = `import ${JSON.stringify(module.href)};`;
  const worker = new Worker(
    new URL(`data:application/javascript,${encodeURIComponent(start)}`),
  );
  worker.unref();
  /** Requests made before the worker listened; undefined when it does. */
  let early: ThreadRequest[] | undefined = [];
  worker.on("message", (reply: ThreadReply) => {
    if (reply.kind !== "ready") return events.reply(reply);
    for (const request of early ?? []) worker.postMessage(request);
    early = undefined;
  });
  worker.on("error", (error: Error) => events.died(error.message));
  worker.on("exit", (code: number) => events.died(`it ended with code ${code}`));
  return {
    post: (request) => void (early ? early.push(request) : worker.postMessage(request)),
    hold: (held) => held ? worker.ref() : worker.unref(),
    terminate: async () => void await worker.terminate(),
  };
}
