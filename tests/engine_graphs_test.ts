/** What the engine makes of whole graphs: where it puts things, and what it refuses. */
import { assertEquals, assertRejects } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import {
  add,
  avgPool,
  concat,
  conv2d,
  exp,
  expand,
  gather,
  Graph,
  groupNorm,
  linear,
  matmul,
  mul,
  neg,
  type Padding,
  reduceSum,
  reshape,
  sigmoid,
  silu,
  slice,
  transpose,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";
import { around, check, count, layer, module, none } from "./engine_graphs.ts";

const placed: Record<string, (graph: Graph) => Record<string, Value>> = {
  "each side's own padding, one of them as a 3×3 layer usually has it": (graph) => {
    const x = graph.input("x", [2, 16, 7, 9]);
    const paddings: Padding[] = [[1, 0, 1, 1], [1, 1, 0, 0], [1, 2, 1, 0], [0, 1, 1, 1]];
    return Object.fromEntries(paddings.map((padding, i) => [
      `${padding}`,
      conv2d(x, graph.param(`w${i}`, [8, 16, 3, 3]), undefined, { stride: 1, padding }),
    ]));
  },
  "a picture enlarged thrice, convolved": (graph) => {
    const x = graph.input("x", [2, 16, 3, 2]);
    return { y: conv2d(upsampleNearest(x, 3), graph.param("w", [8, 16, 3, 3]), undefined, around) };
  },
  "a doubled picture that is convolved and is an output": (graph) => {
    const large = upsampleNearest(graph.input("x", [2, 16, 3, 3]));
    return { large, y: conv2d(large, graph.param("w", [8, 16, 3, 3]), undefined, around) };
  },
  "one weight for pictures of two sizes": (graph) => {
    const w = graph.param("w", [16, 16, 3, 3]);
    const [small, large] = [[1, 16, 4, 4], [1, 16, 12, 12]].map((shape, i) =>
      conv2d(graph.input(`x${i}`, shape), w, undefined, around)
    );
    return { small, large };
  },
  "channels out of the middle of others, convolved": (graph) => {
    const x = graph.input("x", [2, 24, 4, 5]);
    const [w, v] = [[4, 16, 3, 3], [4, 6, 3, 3]].map((shape, i) => graph.param(`w${i}`, shape));
    return Object.fromEntries([1, 2, 4, 5, 8].flatMap((from) => [
      [`16 from ${from}`, conv2d(slice(silu(x), 1, from, from + 16), w, undefined, around)],
      [`6 from ${from}`, conv2d(slice(x, 1, from, from + 6), v, undefined, around)],
    ]));
  },
  "a value that is a part of two concatenations": (graph) => {
    const { conv, other } = layer(graph);
    const [a, b] = [conv("w"), silu(other)];
    return { first: concat([a, b], 1), second: concat([b, a, a], 1), batch: concat([a, b], 0) };
  },
  "a layer's result twice in one concatenation": (graph) => {
    const y = silu(layer(graph).conv("w"));
    return { y: concat([y, y], 1) };
  },
  "parts of six channels, each by a layer of its own": (graph) => {
    const x = graph.input("x", [2, 16, 5, 5]);
    const part = (name: string) => conv2d(x, graph.param(name, [6, 16, 3, 3]), undefined, around);
    const parts = ["a", "b", "c"].map(part);
    const others = ["d", "e", "f"].map(part);
    return { y: concat(parts, 1), z: concat(others.toReversed(), 1) };
  },
  "a pixel that is repeated all over a picture": (graph) => {
    const x = graph.input("x", [2, 16, 1, 1]);
    const wide = expand(x, [2, 16, 4, 4]);
    return { y: conv2d(wide, graph.param("w", [8, 16, 3, 3]), undefined, around) };
  },
  "a pixel that is repeated all over a picture, and what is made of it": (graph) => {
    const x = graph.input("x", [2, 16, 1, 1]);
    const wide = expand(x, [2, 16, 4, 4]);
    const [w, b] = ["n", "m"].map((name) => graph.param(name, [16]));
    const weight = (name: string, size: number) => graph.param(name, [8, 16, size, size]);
    const row = expand(graph.input("row", [2, 16, 1, 3]), [2, 16, 4, 3]);
    const column = expand(graph.input("column", [2, 16, 4, 1]), [2, 16, 4, 3]);
    return {
      norm: groupNorm(wide, w, b, { groups: 4, eps: 1e-5 }),
      point: conv2d(wide, weight("p", 1), undefined, none),
      strided: conv2d(wide, weight("s", 3), undefined, { ...around, stride: 2 }),
      doubled: conv2d(upsampleNearest(wide), weight("u", 3), undefined, around),
      joined: conv2d(
        concat([wide, silu(wide)], 1),
        graph.param("j", [8, 32, 3, 3]),
        undefined,
        around,
      ),
      part: conv2d(slice(wide, 1, 4, 12), graph.param("k", [8, 8, 3, 3]), undefined, around),
      added: add(conv2d(wide, weight("a", 3), undefined, around), slice(wide, 1, 0, 8)),
      pooled: avgPool(wide),
      row: conv2d(row, weight("r", 3), undefined, around),
      column: conv2d(column, weight("c", 3), undefined, around),
      copied: neg(wide),
    };
  },
  "inputs that are read late, and outputs that are ready early": (graph) => {
    const [a, b, late] = ["a", "b", "late"].map((name) => graph.input(name, [64]));
    const early = exp(a);
    let y = neg(b);
    for (let i = 0; i < 6; i++) y = add(neg(y), sigmoid(y));
    return { early, y: mul(y, late) };
  },
  "rows of two tables by the same numbers": (graph) => {
    const i = graph.input("i", [4], "int32");
    return {
      a: gather(graph.param("large", [9, 4]), i),
      b: gather(graph.param("small", [2, 4]), i),
      c: gather(graph.param("middle", [5, 4]), i),
    };
  },
  "parts that are outputs as they lie": (graph) => {
    const [x, fed] = [graph.input("x", [4, 6]), graph.input("fed", [5, 3])];
    const y = exp(x);
    return {
      rows: slice(y, 0, 1, 3),
      "a row in two": reshape(slice(y, 0, 2, 3), [2, 3]),
      columns: slice(y, 1, 2, 5),
      "of what is fed": slice(fed, 0, 3, 5),
      "of what is learned": slice(graph.param("w", [3, 2]), 0, 1, 2),
    };
  },
  "products of matrices that are repeated": (graph) => {
    let number = 0;
    const matrix = (...shape: number[]) => graph.input(`x${number++}`, shape);
    return {
      both: matmul(matrix(1, 3, 7, 5), matrix(2, 1, 5, 9)),
      left: matmul(matrix(1, 1, 7, 5), matrix(2, 3, 5, 9)),
      right: matmul(matrix(2, 3, 7, 5), matrix(1, 1, 5, 9)),
      flat: matmul(matrix(7, 5), matrix(2, 3, 5, 9)),
      deep: matmul(matrix(2, 3, 7, 5), matrix(3, 5, 9)),
    };
  },
  "sums over outer, inner and separate axes": (graph) => {
    const x = graph.input("x", [2, 3, 4, 5]);
    const axes = [[0], [3], [1, 2], [0, 3], [2, 3], [0, 2]];
    const sums = Object.fromEntries(axes.map((axes) => [`${axes}`, reduceSum(x, axes)]));
    // Dimensions of one take no loop, wherever they are.
    const y = graph.input("y", [1, 2, 1, 3, 1, 4]);
    const of = [[0], [1], [2, 3], [0, 2, 4], [1, 4, 5], [0, 1, 2, 3, 4]];
    return { ...sums, ...Object.fromEntries(of.map((axes) => [`y ${axes}`, reduceSum(y, axes)])) };
  },
};

for (const [about, make] of Object.entries(placed)) {
  Deno.test(`engine graphs: ${about}`, () => check(make));
}

Deno.test("engine graphs: an index is refused that is beyond the smallest of its tables", async () => {
  const graph = new Graph();
  const i = graph.input("i", ["N"], "int32");
  for (const rows of [9, 2, 5]) {
    graph.output(`${rows}`, gather(graph.constant(ramp(rows), [rows, 1]), i));
  }
  const session = await simdInline({ module }).createSession(graph);
  const run = (...of: number[]) =>
    session.run({ i: { data: Int32Array.from(of), dims: [of.length] } });
  assertEquals((await run(1, 0))["9"].dims, [2, 1]);
  for (const wrong of [2, -1, 9]) {
    await assertRejects(() => run(0, wrong), Error, `has the index ${wrong}, the table has 2 rows`);
  }
  await session.close();
});

Deno.test("engine graphs: what there is no kernel for is refused by its name, before anything runs", async () => {
  const refused: Record<string, (graph: Graph) => Value> = {
    "a convolution with computed weights": (graph) =>
      conv2d(
        graph.input("x", [1, 4, 5, 5]),
        neg(graph.param("w", [4, 4, 3, 3])),
        undefined,
        around,
      ),
    "reduceSum over 3 of 5 dimensions": (graph) =>
      reduceSum(graph.input("x", [2, 3, 2, 3, 2]), [0, 2, 4]),
    "reduceSum over 1 of 5 dimensions": (graph) =>
      reduceSum(graph.input("x", [2, 3, 2, 3, 2]), [1]),
    "a linear layer of 4 dimensions": (graph) =>
      linear(graph.input("x", [2, 3, 4, 5]), graph.param("w", [6, 5])),
    "a matrix product of 5 dimensions": (graph) =>
      matmul(graph.input("x", [2, 2, 2, 3, 4]), graph.input("y", [2, 2, 2, 4, 3])),
    "neg over 6 dimensions of different strides": (graph) =>
      neg(transpose(graph.input("x", [2, 3, 2, 3, 2, 3]), [5, 4, 3, 2, 1, 0])),
    '"add" of int32': (graph) => {
      const x = graph.input("x", [3], "int32");
      return graph.add("add", [x, x], [3], {}, "int32");
    },
    "an input of int64": (graph) =>
      gather(graph.param("t", [3, 2]), graph.input("x", [2], "int64")),
  };
  for (const [name, make] of Object.entries(refused)) {
    const graph = new Graph();
    graph.output("y", make(graph));
    const weights = new Map(
      [...graph.params].map(([name, { shape }]) => [name, ramp(count(shape as number[]))]),
    );
    await assertRejects(
      () => simdInline({ module }).createSession(graph, weights),
      Error,
      `simd: cannot load the graph: it has no kernel for ${name}`,
    );
  }
});
