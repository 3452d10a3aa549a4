/** Graph → the commands and the memory of an evaluation. */
import type { Graph, Value } from "../../graph/mod.ts";
import { layOut } from "./arena.ts";
import { lowerLayer } from "./layers.ts";
import { lowerNorm } from "./norms.ts";
import { lowerOperation, placeConcats } from "./operations.ts";
import { Planner, UnsupportedGraph } from "./planner.ts";
import { lowerAttention } from "./products.ts";
import { scratchOf, type Step } from "./step.ts";
import { type Buffer, roundUp, rowMajor, type View } from "./view.ts";
import type { WeightStore } from "./weights.ts";

/** Everything an evaluation of one batch size does. Addresses are relative until memory is laid out. */
export interface Plan {
  readonly steps: readonly Step[];
  /** Where inputs are written and outputs are read, dense and row-major. */
  readonly inputs: ReadonlyMap<string, View>;
  readonly outputs: ReadonlyMap<string, View>;
  /** Outputs that are an input as it is. */
  readonly passed: ReadonlyMap<string, string>;
  /** Indices that are fed, by input: they must be below this. */
  readonly limits: ReadonlyMap<string, number>;
  /** What the arena consists of, with addresses that begin at 0. */
  readonly buffers: readonly Buffer[];
  /** Bytes of intermediate results. */
  readonly arenaBytes: number;
  /** Bytes of each thread's own memory. */
  readonly scratchBytes: number;
}

export interface PlanOptions {
  readonly weights: WeightStore;
  /** What the named dimensions are. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly threads: number;
}

/**
 * Plans an evaluation.
 * @throws UnsupportedGraph for what this engine has no kernel for
 */
export function planGraph(graph: Graph, { weights, sizes, threads }: PlanOptions): Plan {
  const p = new Planner(graph, weights, sizes, threads);
  const inputs = new Map<string, View>();
  const limits = new Map<string, number>();
  for (const [name, value] of graph.inputs) {
    const users = [...p.live].filter(({ node }) => node.inputs.includes(value));
    if (users.length === 0) continue;
    if (value.type !== "float32" && value.type !== "int32") {
      throw new UnsupportedGraph(`an input of ${value.type}`);
    }
    for (const { node } of users) {
      if (node.op !== "gather" || node.inputs[1] !== value) continue;
      const [rows] = p.dims(node.inputs[0].shape);
      limits.set(name, Math.min(rows, limits.get(name) ?? Infinity));
    }
    inputs.set(name, p.rowOutput(value));
  }
  placeConcats(p);
  for (const value of p.live) lower(p, value);

  const outputs = new Map<string, View>();
  const passed = new Map<string, string>();
  for (const [name, value] of graph.outputs) {
    if (value.node.op === "input") passed.set(name, value.node.attributes.name as string);
    else outputs.set(name, p.rows(value));
  }

  p.steps.forEach(({ touches }, i) => {
    for (const buffer of touches) {
      buffer.first = Math.min(buffer.first, i);
      buffer.last = Math.max(buffer.last, i);
    }
  });
  for (const { buffer } of inputs.values()) buffer.first = -1;
  for (const { buffer } of outputs.values()) buffer.last = Infinity;
  const arenaBytes = layOut(p.buffers, 0);
  const scratchBytes = p.steps.reduce((most, step) => Math.max(most, scratchOf(step)), 0);
  return {
    steps: p.steps,
    inputs,
    outputs,
    passed,
    limits,
    buffers: p.buffers,
    arenaBytes,
    scratchBytes: roundUp(scratchBytes, 64) + 64,
  };
}

function lower(p: Planner, value: Value): void {
  const { layers, attentions, normSilu, inner } = p.fusions;
  if (inner.has(value)) return;
  const layer = layers.get(value);
  if (layer) return lowerLayer(p, layer);
  const attention = attentions.get(value);
  if (attention) return lowerAttention(p, value, attention);
  const norm = normSilu.get(value);
  if (norm) return lowerNorm(p, norm, value);
  const { op } = value.node;
  if (op === "input") return;
  if (op === "param" || op === "constant") {
    // Layers ask for their own form; anything else reads it as it is.
    return p.set(value, lazyWeight(p, value));
  }
  lowerOperation(p, value);
}

/** A weight's view that takes memory only when something uses it as it is. */
function lazyWeight(p: Planner, value: Value): View {
  const dims = value.shape as number[];
  return {
    get buffer() {
      return p.weights.raw(value).buffer;
    },
    offset: 0,
    dims,
    strides: rowMajor(dims),
  };
}
