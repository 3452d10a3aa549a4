/** Counts a graph's multiply-adds and the memory of its activations from its shapes. */
import type { Graph } from "./graph.ts";
import type { Value } from "./value.ts";

export interface GraphCost {
  /** Multiplications with additions, in convolutions and matrix products. */
  readonly multiplyAdds: number;
  /** The most bytes of intermediate results alive at once, in the order the graph was made. */
  readonly peakBytes: number;
}

/** Counts a graph for one batch size; dimensions known only at run time stand for `batch`. */
export function graphCost(graph: Graph, batch: number): GraphCost {
  const elements = (value: Value) =>
    value.shape.reduce<number>((n, d) => n * (typeof d === "number" ? d : batch), 1);
  const lastUse = new Map<Value, number>();
  for (const value of graph.values) {
    for (const input of value.node.inputs) lastUse.set(input, value.id);
  }
  const freed = Map.groupBy([...lastUse], ([, id]) => id);

  let multiplyAdds = 0;
  let alive = 0;
  let peakBytes = 0;
  for (const value of graph.values) {
    const { op, inputs } = value.node;
    if (op === "conv2d") {
      const [, channels, kh, kw] = inputs[1].shape as number[];
      multiplyAdds += elements(value) * channels * kh * kw;
    } else if (op === "matmul") {
      const inner = inputs[0].shape.at(value.node.attributes.transposeA ? -2 : -1);
      multiplyAdds += elements(value) * (typeof inner === "number" ? inner : batch);
    }
    if (op === "param" || op === "constant") continue;
    alive += 4 * elements(value);
    peakBytes = Math.max(peakBytes, alive);
    for (const [input] of freed.get(value.id) ?? []) {
      if (input.node.op !== "param" && input.node.op !== "constant") alive -= 4 * elements(input);
    }
  }
  return { multiplyAdds, peakBytes };
}
