/** What the two sides of a worker say to each other. */
import type { SessionOptions, Tensors } from "./backend.ts";

/** A request; each but `start` is answered by one `Reply` with the same id. */
export type Request =
  | { id: number; kind: "create"; session: number; model: Uint8Array; options: SessionOptions }
  | { id: number; kind: "run"; session: number; feeds: Tensors }
  | { id: number; kind: "close"; session: number };

export interface Created {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

export type Reply =
  /** The worker listens. */
  | { kind: "ready" }
  | { kind: "created"; id: number; created: Created }
  | { kind: "ran"; id: number; results: Tensors }
  | { kind: "closed"; id: number }
  /** `fatal`: the engine cannot be used any more, so the worker has to be replaced. */
  | { kind: "failed"; id: number; message: string; fatal: boolean };

/** The buffers of some tensors, each once. */
export function buffersOf(tensors: Tensors): ArrayBuffer[] {
  return [...new Set(Object.values(tensors).map(({ data }) => data.buffer as ArrayBuffer))];
}
