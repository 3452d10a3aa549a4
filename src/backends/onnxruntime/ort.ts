/** What all builds of onnxruntime share: conversion of tensors, options and errors. */
import type * as Ort from "npm:onnxruntime-common@1.30.0";
import type { Session, Tensor, TensorData, Tensors } from "../backend.ts";
import { checkFeeds, closedMessage } from "../feeds.ts";
import { RunQueue } from "../queue.ts";

/** The part of an onnxruntime module that is used; every build of it fits. */
export type OrtModule = Pick<typeof Ort, "InferenceSession" | "Tensor" | "env">;

export type OrtSession = Ort.InferenceSession;
export type OrtOptions = Ort.InferenceSession.SessionOptions;

/** onnxruntime's scale of what it may print: 4 is what ends the process only. Errors are thrown. */
const LOG_FATAL = 4;

/** Options for every build; onnxruntime-web leaves arena and pattern off unless they are named. */
export const commonOptions: OrtOptions = {
  logSeverityLevel: LOG_FATAL,
  enableCpuMemArena: true,
  enableMemPattern: true,
  graphOptimizationLevel: "all",
};

/**
 * For WebAssembly, where onnxruntime's rewriting of a graph takes a third of a session's start and
 * gains nothing: graphs are written in the form it would reach (same time, same bits).
 */
export const wasmOptions: OrtOptions = { ...commonOptions, graphOptimizationLevel: "disabled" };

const quietly: Ort.InferenceSession.RunOptions = { logSeverityLevel: LOG_FATAL };

/** Loads a model and says in one sentence why it could not. */
export async function createOrtSession(
  ort: OrtModule,
  backend: string,
  model: Uint8Array,
  options: OrtOptions,
): Promise<OrtSession> {
  ort.env.logLevel = "fatal";
  try {
    return await ort.InferenceSession.create(model, options);
  } catch (cause) {
    throw new Error(
      `${backend}: cannot load the model (${model.length} bytes): ${reasonOf(cause)}`,
      { cause },
    );
  }
}

/** One run of checked feeds, without a queue. */
export async function runOrt(
  ort: OrtModule,
  backend: string,
  session: OrtSession,
  feeds: Tensors,
): Promise<Tensors> {
  try {
    const given = Object.entries(feeds).map(([name, t]) => [name, toOrt(ort, t)] as const);
    const results = await session.run(Object.fromEntries(given), quietly);
    return Object.fromEntries(
      Object.entries(results).map(([name, value]) => [name, fromOrt(name, value)]),
    );
  } catch (cause) {
    throw new Error(`${backend}: the run failed: ${reasonOf(cause)}`, { cause });
  }
}

/** A session whose runs are queued, over an engine in the same thread. */
export class QueuedOrtSession implements Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #queue = new RunQueue();
  #closing: Promise<void> | undefined;

  constructor(
    readonly ort: OrtModule,
    readonly backend: string,
    readonly session: OrtSession,
    /** Runs a job alone in the engine; the default is that sessions do not disturb each other. */
    readonly exclusively: <T>(job: () => Promise<T>) => Promise<T> = (job) => job(),
  ) {
    this.inputNames = session.inputNames;
    this.outputNames = session.outputNames;
  }

  run(feeds: Tensors): Promise<Tensors> {
    return this.#queue.add(() =>
      this.exclusively(() => {
        checkFeeds(this.backend, this.inputNames, feeds);
        return runOrt(this.ort, this.backend, this.session, feeds);
      })
    );
  }

  close(): Promise<void> {
    return this.#closing ??= this.#queue.close(closedMessage(this.backend)).then(() =>
      this.exclusively(() => this.session.release())
    );
  }
}

function toOrt(ort: OrtModule, { data, dims }: Tensor): Ort.Tensor {
  return new ort.Tensor(elementType(data), data as Float32Array<ArrayBuffer>, [...dims]);
}

function elementType(data: TensorData): "float32" {
  const type = data instanceof Float32Array
    ? "float32"
    : data instanceof Int32Array
    ? "int32"
    : data instanceof BigInt64Array
    ? "int64"
    : "uint8";
  // TensorConstructor is overloaded by literal type; the arrays' classes are checked above.
  return type as "float32";
}

function fromOrt(name: string, { data, dims, type }: Ort.OnnxValue): Tensor {
  if (
    data instanceof Float32Array || data instanceof Int32Array ||
    data instanceof BigInt64Array || data instanceof Uint8Array
  ) return { data, dims };
  throw new Error(`output "${name}" is ${type}; float32, int32, int64, uint8 and bool are read`);
}

/** onnxruntime's message without its code, type prefix and source position. */
export function reasonOf(cause: unknown): string {
  if (typeof cause === "number") return `WebAssembly threw ${cause} (usually out of memory)`;
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.replace(/^.*?ERROR_MESSAGE: "?/s, "").replace(/^Error: /, "")
    .replace(/^[\w/.]+\.(cc|h):\d+ .*? (?=[A-Z])/, "").replace(/"$/, "").trim();
}
