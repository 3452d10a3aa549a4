/** What a graph takes of the engine's memory, without running it. */
import type { Graph } from "../../graph/mod.ts";
import { planGraph } from "./plan.ts";
import { WeightStore } from "./weights.ts";

export interface EngineMemory {
  /** Bytes of weights as the kernels want them. */
  readonly weights: number;
  /** Bytes of all intermediate results of one evaluation. */
  readonly arena: number;
}

/**
 * Plans an evaluation of `batch` pictures on one thread and says what it takes.
 * @throws UnsupportedGraph for what the engine has no kernel for
 */
export function memoryOf(graph: Graph, batch: number): EngineMemory {
  const store = new WeightStore();
  const names = graph.values.flatMap(({ shape }) => shape.filter((d) => typeof d === "string"));
  const sizes = new Map(names.map((name) => [name, batch]));
  const { arenaBytes } = planGraph(graph, { weights: store, sizes, threads: 1 });
  return { weights: store.bytes, arena: arenaBytes };
}
