/** A session over the engine: queued runs, checked feeds, and messages as every backend has them. */
import { type Crew, type EngineOptions, EngineSession } from "../../engine/engine_session.ts";
import { UnsupportedGraph } from "../../engine/plan/planner.ts";
import type { Graph, Value } from "../../graph/mod.ts";
import { type NumberSource, sourceOf } from "../../engine/pack.ts";
import type { GraphWeights, Session, StreamedWeights, Tensors } from "../backend.ts";
import { checkFeeds, closedMessage } from "../feeds.ts";
import { RunQueue } from "../queue.ts";

/** Loads a graph. Rejects with what the engine has no kernel for. */
export async function openSimdSession(
  graph: Graph,
  weights: GraphWeights | StreamedWeights | undefined,
  crew: Crew,
  options: EngineOptions,
): Promise<SimdSession> {
  if (weights && "order" in weights) {
    throw new Error("simd: cannot load the graph: weights that are fed, as in training");
  }
  try {
    const numbers = weights && "tensors" in weights
      ? streamed(weights)
      : sourceOf(numbersOf(weights));
    const engine = await EngineSession.load(graph, numbers, crew, options);
    return new SimdSession(graph, engine);
  } catch (cause) {
    if (!(cause instanceof UnsupportedGraph)) throw cause;
    throw new Error(`simd: cannot load the graph: it has no kernel for ${cause.message}`, {
      cause,
    });
  }
}

function numbersOf(weights: ReadonlyMap<string, Float32Array> | undefined) {
  return ({ node: { op, attributes } }: Value) => {
    if (op === "constant") return attributes.data as Float32Array;
    const name = attributes.name as string;
    const numbers = weights?.get(name);
    if (!numbers) throw new Error(`simd: no weights for parameter "${name}"`);
    return numbers;
  };
}

/** Constants, then parameters in the order in which they come. */
function streamed(weights: StreamedWeights): NumberSource {
  const nameOf = ({ node }: Value) => node.attributes.name as string;
  return {
    fitsHalf: (value) => value.node.op === "param" && weights.isHalf(nameOf(value)),
    async *each(values) {
      const params = new Map<string, Value>();
      for (const value of values) {
        if (value.node.op === "param") params.set(nameOf(value), value);
        else yield [value, value.node.attributes.data as Float32Array];
      }
      for await (const [name, data] of weights.tensors()) {
        const value = params.get(name);
        if (value && params.delete(name)) yield [value, data];
      }
      const [missing] = params.keys();
      if (missing !== undefined) throw new Error(`simd: no weights for parameter "${missing}"`);
    },
  };
}

export class SimdSession implements Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #queue = new RunQueue();
  #closing: Promise<void> | undefined;

  constructor(graph: Graph, readonly engine: EngineSession) {
    this.inputNames = [...graph.inputs.keys()];
    this.outputNames = [...graph.outputs.keys()];
  }

  run(feeds: Tensors): Promise<Tensors> {
    return this.#queue.add(async () => {
      checkFeeds("simd", this.inputNames, feeds);
      try {
        return await this.engine.run(feeds);
      } catch (cause) {
        throw new Error(`simd: the run failed: ${(cause as Error).message}`, { cause });
      }
    });
  }

  close(): Promise<void> {
    return this.#closing ??= this.#queue.close(closedMessage("simd")).then(() =>
      this.engine.close()
    );
  }
}
