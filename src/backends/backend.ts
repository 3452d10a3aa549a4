/**
 * The one boundary to the engines. A backend turns a graph and its weights into a session; a session
 * maps named tensors to named tensors. Everything above this file knows only these types; how an
 * engine wants its graphs written is its own affair.
 */
import type { Graph, Value } from "../graph/mod.ts";

/** The tensor element types that cross the boundary. */
export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** A dense row-major tensor; its element type follows from the array's class. */
export interface Tensor {
  /** The elements, the last dimension fastest. */
  readonly data: TensorData;
  /** The length of each dimension; their product is the data's. */
  readonly dims: readonly number[];
}

/** Named tensors: what a run is fed and what it gives back. */
export type Tensors = Record<string, Tensor>;

/** One loaded graph. Runs may be asked for at any time; they are carried out one after another. */
export interface Session {
  /** The names `run` has to be fed. */
  readonly inputNames: readonly string[];
  /** The names `run` gives back. */
  readonly outputNames: readonly string[];
  /** Runs the graph once. The fed arrays are not changed and not kept. Rejects after `close`. */
  run(feeds: Tensors): Promise<Tensors>;
  /** Frees the engine's memory. Safe to call twice; waiting runs are rejected. */
  close(): Promise<void>;
}

/** How a session uses the machine. */
export interface SessionOptions {
  /** CPU threads for this session; the default is every core (WebGPU: ignored). */
  threads?: number;
  /**
   * Runs may wait for each other by polling (lowest latency, the default) or by sleeping, which
   * leaves the cores to other programs.
   */
  spin?: boolean;
}

/** Parameters that are fed: pieces, in order, of one flat input, as in training. */
export interface FlatParams {
  /** The flat input. */
  readonly input: Value;
  /** The parameters' names in their order in it. */
  readonly order: readonly string[];
}

/** A graph's parameters: their numbers by name, or where in the inputs they lie. */
export type GraphWeights = ReadonlyMap<string, Float32Array> | FlatParams;

/** An engine that can run graphs. */
export interface Backend {
  /** How users and recipes name it. */
  readonly name: string;
  /**
   * Loads a graph with its weights, which stay the caller's and may be kept: do not change them.
   * Rejects with what the engine said when it cannot.
   */
  createSession(
    graph: Graph,
    weights?: GraphWeights,
    options?: SessionOptions,
  ): Promise<Session>;
  /** Starts the engine ahead of a session with these options, beside what the caller does. */
  prepare?(options?: SessionOptions): void;
  /** Ends what was started and no session uses, after a session that did not come about. */
  release?(): void;
}

/** An engine that can also run ONNX models as they lie in files. */
export interface OnnxBackend extends Backend {
  /** Loads a serialised ONNX model, which may be kept. Rejects as `createSession` does. */
  createOnnxSession(model: Uint8Array, options?: SessionOptions): Promise<Session>;
}

/** Weights that come one after another, so that they are never in memory together. */
export interface StreamedWeights {
  /** Whether a parameter is stored in 16-bit floats. */
  isHalf(name: string): boolean;
  /** Each parameter's numbers once, in any order; an array is good until the next is asked for. */
  tensors(): AsyncIterable<readonly [name: string, data: Float32Array]>;
}

/** An engine that takes weights as they come. */
export interface StreamingBackend extends Backend {
  /** Loads a graph; rejects as `createSession` does, and with what the weights throw. */
  createStreamedSession(graph: Graph, weights: StreamedWeights): Promise<Session>;
}

/** Whether an engine takes ONNX models. */
export function takesOnnx(backend: Backend): backend is OnnxBackend {
  return "createOnnxSession" in backend;
}
