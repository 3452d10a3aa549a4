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
import {
  buffersOf,
  type Created,
  packCopies,
  type Reply,
  type Request,
  unpack,
} from "./worker_protocol.ts";
import { Worker } from "node:worker_threads";

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

type Answer = Exclude<Reply, { kind: "ready" }>;
type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

interface Pending {
  resolve(answer: Answer): void;
  reject(reason: Error): void;
}

/**
 * One worker, from its start to its death. It keeps the process alive only while a request is being
 * answered, so that a program which forgets to close its sessions still ends.
 */
export class WorkerEngine {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  /** Requests made before the worker listened; undefined when it does. */
  #early: [Request, ArrayBuffer[]][] | undefined = [];
  #nextId = 0;
  /** Why the worker ended, once it has. */
  #death: string | undefined;

  constructor(readonly name: string, module: URL) {
    // node's workers take no http: module, but a data: module that imports one. They are used for
    // unref(), which the web's Worker does not have.
    const start = `import ${JSON.stringify(module.href)};`;
    this.#worker = new Worker(
      new URL(`data:application/javascript,${encodeURIComponent(start)}`),
    );
    this.#worker.unref();
    this.#worker.on("message", (reply: Reply) => this.#receive(reply));
    this.#worker.on("error", (error: Error) => this.#die(error.message));
    this.#worker.on("exit", (code: number) => this.#die(`it ended with code ${code}`));
  }

  get dead(): boolean {
    return this.#death !== undefined;
  }

  /** `model` is copied. */
  async create(session: number, model: Uint8Array, options: SessionOptions): Promise<Created> {
    const copy = model.slice().buffer;
    const answer = await this.#ask({ kind: "create", session, model: copy, options }, [copy]);
    return (answer as Extract<Answer, { kind: "created" }>).created;
  }

  /** The feeds are copied. */
  async run(session: number, tensors: Tensors): Promise<Tensors> {
    const feeds = packCopies(tensors);
    const answer = await this.#ask({ kind: "run", session, feeds }, buffersOf(feeds));
    return unpack((answer as Extract<Answer, { kind: "ran" }>).results);
  }

  async close(session: number): Promise<void> {
    await this.#ask({ kind: "close", session }, []);
  }

  /** Ends the worker; what is pending is rejected with `why`. */
  async terminate(why: string): Promise<void> {
    this.#die(why);
    await this.#worker.terminate();
  }

  #ask(request: WithoutId<Request>, transfer: ArrayBuffer[]): Promise<Answer> {
    if (this.#death !== undefined) return Promise.reject(this.#deathOf(this.#death));
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, { resolve, reject });
      const message = { ...request, id } as Request;
      if (this.#early) this.#early.push([message, transfer]);
      else this.#worker.postMessage(message, transfer);
    });
  }

  #receive(reply: Reply): void {
    if (reply.kind === "ready") {
      for (const [message, transfer] of this.#early ?? []) {
        this.#worker.postMessage(message, transfer);
      }
      this.#early = undefined;
      return;
    }
    const pending = this.#pending.get(reply.id);
    if (!pending) return;
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (reply.kind !== "failed") return pending.resolve(reply);
    pending.reject(new Error(reply.message));
    if (reply.fatal) this.terminate(reply.message);
  }

  #die(why: string): void {
    if (this.#death !== undefined) return;
    this.#death = why;
    for (const { reject } of this.#pending.values()) reject(this.#deathOf(why));
    this.#pending.clear();
    this.#early = undefined;
  }

  #deathOf(why: string): Error {
    return new Error(
      `${this.name}: the worker died (${why}); this run is lost, the next one starts a new worker`,
    );
  }
}
