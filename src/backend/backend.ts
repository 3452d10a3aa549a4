/**
 * The one boundary to the engines. A backend turns ONNX bytes into a session; a session maps named
 * tensors to named tensors. Everything above this file knows only these types; onnxruntime is named
 * in the files that implement them and nowhere else.
 */
import type { Lowering } from "../graph/lowering.ts";

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

/** An engine that can run ONNX graphs. */
export interface Backend {
  /** How users and recipes name it. */
  readonly name: string;
  /** How this engine likes its operations written, by measurement. */
  readonly lowering: Lowering;
  /** The same for graphs whose weights are computed, as in training; the default is `lowering`. */
  readonly trainingLowering?: Lowering;
  /** Loads a serialised ONNX model. Rejects with what the engine said when it cannot. */
  createSession(model: Uint8Array, options?: SessionOptions): Promise<Session>;
  /** Starts the engine ahead of a session with these options, beside what the caller does. */
  prepare?(options?: SessionOptions): void;
}
