/** Small graphs that backends are tested with. */
import {
  add,
  conv2d,
  gather,
  Graph,
  groupNorm,
  matmul,
  type Padding,
  scale,
  silu,
} from "../src/graph/mod.ts";

/** A graph with the numbers of its parameters. */
export interface Built {
  graph: Graph;
  weights: Map<string, Float32Array>;
}

/** A graph without parameters. */
const bare = (graph: Graph): Built => ({ graph, weights: new Map() });

/** y = 2x for x [N, 3]. */
export function doubling(): Built {
  const graph = new Graph();
  graph.output("y", scale(graph.input("x", ["N", 3]), 2));
  return bare(graph);
}

/** Each type that crosses the boundary, back as it was: float32, int32, int64, uint8. */
export function identities(): Built {
  const graph = new Graph();
  for (const type of ["float32", "int32", "int64", "uint8"] as const) {
    graph.output(`${type}_out`, graph.input(type, ["N"], type));
  }
  return bare(graph);
}

/** A row of a table for each index, int32 in, float32 out. */
export function lookup(): Built {
  const graph = new Graph();
  const table = graph.constant(new Float32Array([0, 0.5, 1, 1.5, 2, 2.5]), [3, 2]);
  graph.output("rows", gather(table, graph.input("indices", ["N"], "int32")));
  return bare(graph);
}

/** xⁿ for a square matrix x: a run long enough to be interrupted. */
export function powers(size: number, n: number): Built {
  const graph = new Graph();
  const x = graph.input("x", [size, size]);
  let y = x;
  for (let i = 1; i < n; i++) y = matmul(y, x);
  graph.output("y", y);
  return bare(graph);
}

/** Numbers in [−1, 1) that look random and are the same everywhere. */
export function ramp(length: number, seed = 1): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** A residual block and a strided convolution: what a U-Net is made of. */
export function convolutions(channels: number, size: number): Built {
  const graph = new Graph();
  const weights = new Map<string, Float32Array>();
  const param = (name: string, shape: number[]) => {
    weights.set(name, ramp(shape.reduce((a, b) => a * b), weights.size + 1).map((w) => w / 20));
    return graph.param(name, shape);
  };
  const x = graph.input("x", ["N", channels, size, size]);
  const same = { stride: 1, padding: [1, 1, 1, 1] as const };
  const kernel = [channels, channels, 3, 3];
  let h = groupNorm(x, param("scale", [channels]), param("shift", [channels]), {
    groups: 4,
    eps: 1e-5,
  });
  h = conv2d(silu(h), param("a", kernel), param("a_bias", [channels]), same);
  h = add(x, h);
  const half = { stride: 2, padding: [1, 1, 1, 1] as const };
  const down = conv2d(h, param("b", kernel), param("b_bias", [channels]), half);
  const wide = conv2d(h, param("c", [2 * channels, channels, 1, 1]), undefined, {
    stride: 1,
    padding: [0, 0, 0, 0],
  });
  graph.output("down", down);
  graph.output("wide", wide);
  return { graph, weights };
}

export interface ConvolutionShape {
  channels: number;
  height: number;
  width: number;
  kernel: number;
  stride: number;
  padding: Padding;
}

/** y = x * w + b, as many channels out as in. */
export function stridedConvolution(shape: ConvolutionShape): Built {
  const { channels, height, width, kernel, stride, padding } = shape;
  const graph = new Graph();
  const size = channels * channels * kernel * kernel;
  const weights = new Map([
    ["w", ramp(size).map((w) => w / 20)],
    ["b", ramp(channels)],
  ]);
  const x = graph.input("x", ["N", channels, height, width]);
  const w = graph.param("w", [channels, channels, kernel, kernel]);
  graph.output("y", conv2d(x, w, graph.param("b", [channels]), { stride, padding }));
  return { graph, weights };
}

/** `lookup` with two rows that hold `elements` float32 in all, 0.5 each. */
export function largeTable(elements: number): Built {
  const graph = new Graph();
  const table = graph.constant(new Float32Array(elements).fill(0.5), [2, elements / 2]);
  graph.output("rows", gather(table, graph.input("indices", ["N"], "int32")));
  return bare(graph);
}
