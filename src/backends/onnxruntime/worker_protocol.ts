/** The messages between the wasm backend and its worker. */
import type { SessionOptions, TensorData, Tensors } from "../backend.ts";

/**
 * A tensor on its way. It is bare memory, since Deno's `node:worker_threads` walks through every
 * element of a typed array in a message (and throws at some hundred megabytes).
 */
interface SentTensor {
  readonly type: "float32" | "int32" | "int64" | "uint8";
  readonly buffer: ArrayBuffer;
  readonly dims: readonly number[];
}

export type SentTensors = Record<string, SentTensor>;

/** A request; each is answered by one `Reply` with the same id. */
export type Request =
  | { id: number; kind: "create"; session: number; model: ArrayBuffer; options: SessionOptions }
  | { id: number; kind: "run"; session: number; feeds: SentTensors }
  | { id: number; kind: "close"; session: number };

export interface Created {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

export type Reply =
  /** The worker listens. */
  | { kind: "ready" }
  | { kind: "created"; id: number; created: Created }
  | { kind: "ran"; id: number; results: SentTensors }
  | { kind: "closed"; id: number }
  /** `fatal`: the engine cannot be used any more, so the worker has to be replaced. */
  | { kind: "failed"; id: number; message: string; fatal: boolean };

/** Tensors for sending, in copies that can be transferred: the caller keeps its own. */
export function packCopies(tensors: Tensors): SentTensors {
  return packed(tensors, (data) => data.slice().buffer as ArrayBuffer);
}

/** Tensors for sending that nobody else holds: an array that fills its buffer is not copied. */
export function packOwn(tensors: Tensors): SentTensors {
  return packed(tensors, (data) => {
    const own = data.byteLength === data.buffer.byteLength;
    return (own ? data.buffer : data.slice().buffer) as ArrayBuffer;
  });
}

function packed(tensors: Tensors, bufferOf: (data: TensorData) => ArrayBuffer): SentTensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { data, dims }]) => [
      name,
      { type: typeOf(data), buffer: bufferOf(data), dims: [...dims] },
    ]),
  );
}

/** The tensors that were sent. */
export function unpack(tensors: SentTensors): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { type, buffer, dims }]) => [
      name,
      { data: new arrays[type](buffer), dims },
    ]),
  );
}

/** The buffers of some tensors, each once, for the list of what a message takes along. */
export function buffersOf(tensors: SentTensors): ArrayBuffer[] {
  return [...new Set(Object.values(tensors).map(({ buffer }) => buffer))];
}

const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
} as const;

function typeOf(data: TensorData): SentTensor["type"] {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Int32Array) return "int32";
  return data instanceof BigInt64Array ? "int64" : "uint8";
}
