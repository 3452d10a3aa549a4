/**
 * onnxruntime-web's WebAssembly build on every core, in a worker, so that the calling thread stays
 * free while a network runs.
 */
import { wasm as wasmLowering, WASM_MAX_THREADS } from "../../onnx/mod.ts";
import { Graph, neg } from "../../graph/mod.ts";
import type { Session, SessionOptions, Tensors } from "../backend.ts";
import { type OrtBackend, ortBackend } from "./onnx.ts";
import { checkFeeds, closedMessage } from "../feeds.ts";
import { RunQueue } from "../queue.ts";
import { WorkerEngine } from "./worker_engine.ts";
import type { Created } from "./worker_protocol.ts";

export interface WasmOptions {
  /** The module the worker runs; the default is `wasm_worker.ts` beside this file. */
  readonly workerUrl?: URL | string;
  /** Threads for sessions that do not say; the default is every core, up to 16. */
  readonly threads?: number;
}

export interface WasmBackend extends OrtBackend {
  /**
   * Ends the workers. Runs that are under way reject; sessions stay usable, since their next run
   * starts a new worker and loads the model again.
   */
  terminate(): Promise<void>;
}

/**
 * A Backend that computes in a worker. Sessions with the same number of threads share one. When a
 * worker dies (out of memory, a trap, `terminate`) the runs it had are rejected, and the next run of
 * each session starts a new one. For that a session keeps the model's bytes: do not change them.
 * `spin` has no effect: onnxruntime's WebAssembly threads share one pool.
 */
export function wasm(options: WasmOptions = {}): WasmBackend {
  const module = new URL(options.workerUrl ?? "./wasm_worker.ts", import.meta.url);
  const engines = new Map<number, WorkerEngine>();

  const engineFor = (threads: number): WorkerEngine => {
    const existing = engines.get(threads);
    if (existing && !existing.dead) return existing;
    const engine = new WorkerEngine("wasm", module);
    engines.set(threads, engine);
    return engine;
  };

  const createOnnxSession = async (
    model: Uint8Array,
    { threads, ...session }: SessionOptions = {},
  ): Promise<Session> => {
    const wanted = threads ?? options.threads ?? navigator.hardwareConcurrency;
    const count = Math.min(wanted, WASM_MAX_THREADS);
    const opened = new WorkerSession(() => engineFor(count), model, { ...session, threads: count });
    await opened.open();
    return opened;
  };

  const backend: WasmBackend = ortBackend({
    name: "wasm",
    lowering: wasmLowering,
    createOnnxSession,
    prepare(session?: SessionOptions) {
      // Loading any model makes onnxruntime compile itself and start its threads.
      backend.createSession(smallestGraph(), undefined, session).then((opened) => opened.close())
        .catch(() => {
          // The first real session meets the same error and reports it.
        });
    },
    async terminate() {
      const ending = [...engines.values()].map((engine) => engine.terminate("it was ended"));
      engines.clear();
      await Promise.all(ending);
    },
  });
  return backend;
}

function smallestGraph(): Graph {
  const graph = new Graph();
  graph.output("y", neg(graph.input("x", [1])));
  return graph;
}

let sessions = 0;

/** A session that outlives the workers it runs in. */
class WorkerSession implements Session {
  readonly #id = sessions++;
  readonly #queue = new RunQueue();
  #engine: WorkerEngine | undefined;
  #created: Created = { inputNames: [], outputNames: [] };
  #closing: Promise<void> | undefined;

  constructor(
    readonly engine: () => WorkerEngine,
    readonly model: Uint8Array,
    readonly options: SessionOptions,
  ) {}

  get inputNames(): readonly string[] {
    return this.#created.inputNames;
  }

  get outputNames(): readonly string[] {
    return this.#created.outputNames;
  }

  /** The engine that holds this session: the one it was in, or a new one after that one's death. */
  async open(): Promise<WorkerEngine> {
    if (this.#engine && !this.#engine.dead) return this.#engine;
    const engine = this.engine();
    this.#created = await engine.create(this.#id, this.model, this.options);
    return this.#engine = engine;
  }

  run(feeds: Tensors): Promise<Tensors> {
    return this.#queue.add(async () => {
      checkFeeds("wasm", this.inputNames, feeds);
      const engine = await this.open();
      return engine.run(this.#id, feeds);
    });
  }

  close(): Promise<void> {
    return this.#closing ??= this.#queue.close(closedMessage("wasm")).then(async () => {
      if (this.#engine && !this.#engine.dead) await this.#engine.close(this.#id);
    });
  }
}
