/** What a graph takes of the engine's memory, without running it. */
import type { Graph } from "../../graph/mod.ts";
import { planGraph } from "./plan.ts";
import { WeightStore } from "./weights.ts";

/**
 * Bytes of all intermediate results of one picture's evaluation, on one thread.
 * @throws UnsupportedGraph for what the engine has no kernel for
 */
export function arenaBytes(graph: Graph): number {
  const names = graph.values.flatMap(({ shape }) => shape.filter((d) => typeof d === "string"));
  const sizes = new Map(names.map((name) => [name, 1]));
  return planGraph(graph, { weights: new WeightStore(), sizes, threads: 1 }).arenaBytes;
}
