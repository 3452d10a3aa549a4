/** The main thread's side of a worker: requests out, replies in, and what to do when it dies. */
import { Worker } from "node:worker_threads";
import {
  buffersOf,
  type Created,
  packCopies,
  type Reply,
  type Request,
  unpack,
} from "./worker_protocol.ts";
import type { SessionOptions, Tensors } from "../backend.ts";

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
    if (this.#pending.size > 0) this.#worker.unref();
    this.#pending.clear();
    this.#early = undefined;
  }

  #deathOf(why: string): Error {
    return new Error(
      `${this.name}: the worker died (${why}); this run is lost, the next one starts a new worker`,
    );
  }
}
