/** What the engine makes of whole graphs: what it fuses and what it must not, where it puts things. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import { openSimdSession } from "../src/backends/simd/session.ts";
import type { Crew } from "../src/engine/engine_session.ts";

import { inlineCrew } from "../src/engine/inline_crew.ts";
import { kernelBytes, unshared } from "../src/engine/kernels_module.ts";

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
  scale,
  sigmoid,
  silu,
  slice,
  softmax,
  transpose,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";
import { interpret } from "./graph_reference.ts";

const module = new WebAssembly.Module(unshared(kernelBytes()));
const around = { stride: 1, padding: [1, 1, 1, 1] as Padding };
const none = { stride: 1, padding: [0, 0, 0, 0] as Padding };
const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Every output of a graph, in memory that is full of NaN before, against float64 loops. */
async function check(make: (graph: Graph) => Record<string, Value>): Promise<void> {
  const graph = new Graph();
  for (const [name, value] of Object.entries(make(graph))) graph.output(name, value);
  const numbers = (values: ReadonlyMap<string, Value>, seed: number) =>
    new Map([...values].map(([name, { shape, type }], i) => {
      const dims = shape as number[];
      const data = type === "int32"
        ? Int32Array.from({ length: count(dims) }, (_, k) => k % 2)
        : ramp(count(dims), seed + i);
      return [name, { data, dims }];
    }));
  const fed = numbers(graph.inputs, 1), learned = numbers(graph.params, 50);
  const weights = new Map([...learned].map(([name, { data }]) => [name, data as Float32Array]));
  const inner = inlineCrew(module);
  let memory: WebAssembly.Memory;
  const crew: Crew = { ...inner, open: (opened) => inner.open(memory = opened) };
  const session = await openSimdSession(graph, weights, crew, { arenaBytes: 1 << 20 });
  new Float32Array(memory!.buffer).fill(NaN, session.engine.base / 4);
  const found = await session.run(Object.fromEntries(fed));
  await session.close();
  const given = Object.fromEntries([...fed, ...learned].map(([name, { data }]) => [name, data]));
  assertEquals(Object.keys(found), [...graph.outputs.keys()]);
  for (const [name, value] of graph.outputs) {
    const expected = interpret(graph, value, given);
    assertEquals(found[name].dims, expected.shape);
    const size = expected.data.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-30);
    expected.data.forEach((v, i) => {
      const difference = Math.abs(Number(found[name].data[i]) - v);
      assert(difference <= 1e-5 * size, `${name}[${i}] is ${found[name].data[i]}, expected ${v}`);
    });
  }
}

/** A layer of 16 pictures' channels to 8, and what else is at hand. */
function layer(graph: Graph) {
  const x = graph.input("x", [2, 16, 5, 5]);
  const conv = (name: string) =>
    conv2d(x, graph.param(name, [8, 16, 3, 3]), graph.param(`${name}_b`, [8]), around);
  return { x, conv, other: graph.input("other", [2, 8, 5, 5]) };
}

const fused: Record<string, (graph: Graph) => Record<string, Value>> = {
  "a layer's result that is an output, too": (graph) => {
    const y = layer(graph).conv("w");
    return { y, activated: silu(y) };
  },
  "a layer's result that two read": (graph) => {
    const { conv, other } = layer(graph);
    const y = conv("w");
    return { sum: add(silu(y), mul(y, other)) };
  },
  "two pictures that are added to a layer": (graph) => {
    const { conv, other } = layer(graph);
    return { y: add(add(conv("w"), other), scale(other, 3)) };
  },
  "two embeddings that are added to a layer": (graph) => {
    const { conv } = layer(graph);
    const [a, b] = ["a", "b"].map((name) => graph.input(name, [2, 8, 1, 1]));
    return { y: silu(add(add(conv("w"), a), b)) };
  },
  "layers that are each other's residual": (graph) => {
    const { conv } = layer(graph);
    const [a, b] = [conv("w"), conv("v")];
    return { y: add(a, b), z: add(silu(a), b) };
  },
  "a picture of one pixel that is added": (graph) => {
    const x = graph.input("x", [2, 16, 1, 1]);
    const w = graph.param("w", [8, 16, 1, 1]);
    const [a, b] = ["a", "b"].map((name) => graph.input(name, [2, 8, 1, 1]));
    return { y: add(add(conv2d(x, w, undefined, none), a), b) };
  },
  "a linear layer with two biases": (graph) => {
    const x = graph.input("x", [2, 3, 12]);
    const [w, a, b] = [[8, 12], [8], [8]].map((shape, i) => graph.param(`p${i}`, shape));
    return { y: add(add(linear(x, w, a), b), a) };
  },
  "a linear layer whose rows are transposed": (graph) => {
    const x = graph.input("x", [12, 5]);
    return { y: matmul(x, graph.param("w", [8, 12]), { transposeA: true, transposeB: true }) };
  },
  "a linear layer of turned matrices, and of one row for all": (graph) => {
    const w = graph.param("w", [8, 12]);
    const [flat, deep] = [graph.input("flat", [12, 5]), graph.input("deep", [12, 2, 5])];
    return {
      flat: linear(transpose(flat, [1, 0]), w),
      deep: linear(transpose(deep, [1, 2, 0]), w),
      rows: linear(transpose(graph.input("rows", [5, 2, 12]), [1, 0, 2]), w),
      wide: linear(expand(graph.input("wide", [1, 1]), [5, 12]), w),
    };
  },
  "a layer times a number a channel, and times one in a shape of its own": (graph) => {
    const { conv } = layer(graph);
    const x = graph.input("rows", [2, 5, 12]);
    const y = (name: string) => linear(x, graph.param(name, [8, 12]));
    return {
      conv: mul(conv("a"), graph.constant(ramp(8, 3), [8, 1, 1])),
      rows: mul(y("b"), graph.constant(ramp(8, 4))),
      one: mul(conv("c"), graph.constant(ramp(1, 5), [1, 1, 1, 1])),
      row: mul(y("d"), graph.constant(ramp(1, 6), [1])),
    };
  },
  "a weight that is used as it lies": (graph) => {
    const x = graph.input("x", [5, 12]);
    return { y: matmul(x, graph.param("w", [12, 8])) };
  },
  "a norm that is an output, too, or that something else follows": (graph) => {
    const x = graph.input("x", [2, 8, 4, 4]);
    const [w, b] = ["w", "b"].map((name) => graph.param(name, [8]));
    const norm = (eps: number) => groupNorm(x, w, b, { groups: 2, eps });
    const first = norm(1e-5);
    return { first, silu: silu(first), sigmoid: sigmoid(norm(1e-4)), plain: silu(norm(1e-3)) };
  },
  "an attention whose scores are read elsewhere": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [2, 4, 8]));
    const scores = matmul(q, k, { transposeB: true });
    const scaled = scale(scores, 0.5);
    return { y: matmul(softmax(scaled), v), sum: add(exp(scores), scaled) };
  },
  "an attention whose scaled scores are read elsewhere": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [2, 4, 8]));
    const scaled = scale(matmul(q, k, { transposeB: true }), 0.5);
    return { y: matmul(softmax(scaled), v), z: neg(scaled) };
  },
  "an attention whose bare scores are read elsewhere": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [2, 4, 8]));
    const scores = matmul(q, k, { transposeB: true });
    return { y: matmul(softmax(scores), v), z: neg(scores) };
  },
  "scores times as many numbers, and times one that is computed": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [2, 4, 4]));
    const scores = matmul(q, k, { transposeB: true });
    const one = neg(graph.input("one", [1]));
    return {
      y: matmul(softmax(mul(scores, v)), v),
      z: matmul(softmax(mul(matmul(v, k, { transposeB: true }), one)), v),
    };
  },
  "a layer scaled twice": (graph) => ({ y: scale(scale(layer(graph).conv("w"), 0.5), 3) }),
  "more weights than there is room for at once while they are packed": (graph) => {
    let y = graph.input("x", [1, 32, 4, 4]);
    for (let i = 0; i < 8; i++) {
      y = conv2d(y, graph.param(`w${i}`, [32, 32, 3, 3]), undefined, around);
    }
    return { y: scale(y, 1e-6) };
  },
  "an attention whose probabilities are read elsewhere": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [2, 4, 8]));
    const probabilities = softmax(scale(matmul(q, k, { transposeB: true }), 0.5));
    return { y: matmul(probabilities, v), p: neg(probabilities) };
  },
  "an attention with one value for all heads": (graph) => {
    const [q, k] = ["q", "k"].map((name) => graph.input(name, [2, 3, 4, 8]));
    const v = graph.input("v", [2, 1, 4, 8]);
    return { y: matmul(softmax(scale(matmul(q, k, { transposeB: true }), 0.5)), v) };
  },
  "an attention of transposed matrices": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) =>
      transpose(graph.input(name, [2, 8, 4]), [0, 2, 1])
    );
    return { y: matmul(softmax(scale(matmul(q, k, { transposeB: true }), 0.5)), v) };
  },
  "an attention of keys and values that are learned": (graph) => {
    const [q, k, v] = [[5, 8], [6, 8], [6, 3]].map((shape, i) => graph.param(`p${i}`, shape));
    const scores = matmul(neg(q), k, { transposeB: true });
    return { y: matmul(softmax(scale(scores, 0.5)), v), z: matmul(softmax(linear(q, k)), v) };
  },
  "an attention of matrices alone": (graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [4, 8]));
    return { y: matmul(softmax(matmul(q, k, { transposeB: true })), v) };
  },
};

for (const [about, make] of Object.entries(fused)) {
  Deno.test(`engine graphs: ${about}`, () => check(make));
}

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
  "sums over outer, inner and separate axes": (graph) => {
    const x = graph.input("x", [2, 3, 4, 5]);
    const axes = [[0], [3], [1, 2], [0, 3], [2, 3], [0, 2]];
    return Object.fromEntries(axes.map((axes) => [`${axes}`, reduceSum(x, axes)]));
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
