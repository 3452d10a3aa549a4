/**
 * Our own WebAssembly in a Web Worker, for pages: the page stays free while a network runs. One thread,
 * so that no page has to be isolated for it. Touches neither Deno nor node.
 *
 * @example
 * ```ts ignore
 * // engine.js, bundled by itself
 * import { serveSimd } from "@denoise/denoise/inline";
 * serveSimd();
 * // the page
 * const model = await load(files, { backend: simdWorker({ worker: new URL("engine.js", location.href) }) });
 * ```
 */
import type { Graph } from "../../graph/mod.ts";
import type { Backend, GraphWeights, Session, Tensors } from "../backend.ts";
import { closedMessage } from "../feeds.ts";
import { RunQueue } from "../queue.ts";
import { simdInline, type SimdInlineOptions } from "./inline.ts";

/** What {@link simdWorker} takes. */
export interface SimdWorkerOptions extends Omit<SimdInlineOptions, "module"> {
  /** A module that calls {@link serveSimd}. */
  readonly worker: URL | string;
}

/** What a page asks of its worker; `session` is a number that the page gives. */
export type WorkerRequest =
  | {
    readonly kind: "create";
    readonly session: number;
    readonly graph: Graph;
    readonly weights?: GraphWeights;
    readonly options: SimdInlineOptions;
  }
  | { readonly kind: "run"; readonly session: number; readonly feeds: Tensors }
  | { readonly kind: "close"; readonly session: number };

/** An answer to the request of that number. */
export type WorkerReply =
  & { readonly to: number }
  & (
    | { readonly error: string }
    | { readonly created: { readonly inputNames: string[]; readonly outputNames: string[] } }
    | { readonly results: Tensors }
    | { readonly closed: true }
  );

/** The name of workers that are started here, by which a module may know that it runs in one. */
export const WORKER_NAME = "denoise simd";

type Answer<K extends string> = Extract<WorkerReply, Record<K, unknown>>;

/** One life of a worker. */
class Life {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve(reply: WorkerReply): void; reject(e: Error): void }
  >();
  #requests = 0;
  dead = false;

  constructor(module: URL | string) {
    this.#worker = new Worker(module, { type: "module", name: WORKER_NAME });
    this.#worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      const waiting = this.#waiting.get(data.to);
      this.#waiting.delete(data.to);
      if ("error" in data) waiting?.reject(new Error(data.error));
      else waiting?.resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.end(event.message || "it could not be started");
    };
  }

  ask(request: WorkerRequest): Promise<WorkerReply> {
    return new Promise((resolve, reject) => {
      const number = this.#requests++;
      this.#waiting.set(number, { resolve, reject });
      this.#worker.postMessage([number, request]);
    });
  }

  end(why: string): void {
    this.dead = true;
    this.#worker.terminate();
    const error = () =>
      new Error(`the worker died (${why}); this run is lost, the next one starts a new worker`);
    for (const { reject } of this.#waiting.values()) reject(error());
    this.#waiting.clear();
  }
}

/** A Backend in a Web Worker of its own; in the calling thread where there are no workers. */
export function simdWorker({ worker, ...options }: SimdWorkerOptions): Backend {
  if (typeof Worker === "undefined") return simdInline(options);
  let life: Life | undefined;
  let sessions = 0;
  let open = 0;
  const alive = () => life && !life.dead ? life : life = new Life(worker);
  return {
    name: "simd",
    async createSession(graph, weights) {
      const session = sessions++;
      let home = alive();
      const create = (): WorkerRequest => ({ kind: "create", session, graph, weights, options });
      open++;
      const leave = () => {
        if (--open === 0) life?.end("nothing used it");
      };
      try {
        const { created } = await home.ask(create()) as Answer<"created">;
        return new WorkerSession(
          created.inputNames,
          created.outputNames,
          async (request) => {
            // Another worker has taken the place of one that died: it knows nothing of this session.
            if (home.dead) {
              home = alive();
              await home.ask(create());
            }
            return await home.ask(request);
          },
          session,
          leave,
        );
      } catch (error) {
        leave();
        throw error;
      }
    },
  };
}

class WorkerSession implements Session {
  /** On this side, so that closing reaches what waits before the worker begins it. */
  readonly #queue = new RunQueue();
  #closing: Promise<void> | undefined;

  constructor(
    readonly inputNames: readonly string[],
    readonly outputNames: readonly string[],
    readonly ask: (request: WorkerRequest) => Promise<WorkerReply>,
    readonly session: number,
    readonly leave: () => void,
  ) {}

  run(feeds: Tensors): Promise<Tensors> {
    const { session } = this;
    return this.#queue.add(async () => {
      const { results } = await this.ask({ kind: "run", session, feeds }) as Answer<"results">;
      return results;
    });
  }

  close(): Promise<void> {
    const { session } = this;
    const end = () => this.ask({ kind: "close", session }).then(() => {}, () => {});
    return this.#closing ??= this.#queue.close(closedMessage("simd")).then(end).then(this.leave);
  }
}
