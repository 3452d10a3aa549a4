/** Shapes that operations take, give, and refuse: a graph that was built fits together. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  add,
  avgPool,
  concat,
  conv2d,
  dropout,
  dropoutMask,
  expand,
  gather,
  gradients,
  Graph,
  groupNorm,
  linear,
  matmul,
  mul,
  neg,
  pad,
  paramShapes,
  reduceMean,
  reduceSum,
  reshape,
  scale,
  type Shape,
  shift,
  sigmoid,
  slice,
  square,
  sub,
  transpose,
  upsampleNearest,
  type Value,
  vjp,
} from "../src/graph/mod.ts";
import { gatherGrad } from "../src/graph/ops/shape.ts";
import { axisOf, broadcast, sameShape, sizeOf } from "../src/graph/value.ts";
import { interpret } from "./graph_reference.ts";

const graph = new Graph();
let made = 0;
const value = (...shape: Shape): Value => graph.input(`x${made++}`, shape);

const refused = (build: () => unknown, says: string) => assertThrows(build, Error, says);

Deno.test("shapes broadcast as numpy's do: aligned at the end, 1 stretches", () => {
  const cases: [Shape, Shape, Shape][] = [
    [[2, 3], [2, 3], [2, 3]],
    [[2, 3], [3], [2, 3]],
    [[3], [2, 1], [2, 3]],
    [[], [4], [4]],
    [[1, 1], [5, 6], [5, 6]],
    [["N", 1], [1, 7], ["N", 7]],
    [["N", 3], ["N", 1], ["N", 3]],
  ];
  for (const [a, b, expected] of cases) {
    assertEquals(broadcast(a, b), expected);
    assertEquals(broadcast(b, a), expected);
    assertEquals(add(value(...a), value(...b)).shape, expected);
  }
  for (const [a, b] of [[[2, 3], [2]], [[2], [3]], [["N"], [2]], [["N"], ["M"]]] as const) {
    refused(
      () => broadcast(a, b),
      `shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`,
    );
    refused(() => broadcast(b, a), "do not broadcast");
  }
});

Deno.test("sizes, equal shapes and axes", () => {
  assertEquals([sizeOf([]), sizeOf([2, 3]), sizeOf([2, 0])], [1, 6, 0]);
  refused(() => sizeOf(["N", 2]), 'expected a fixed dimension, found "N" in [N, 2]');
  assert(sameShape([2, "N"], [2, "N"]) && !sameShape([2], [2, 1]) && !sameShape([2, 1], [2]));
  assertEquals([axisOf(0, 3), axisOf(2, 3), axisOf(-1, 3), axisOf(-3, 3)], [0, 2, 2, 0]);
  for (const axis of [3, -4]) {
    refused(() => axisOf(axis, 3), `axis ${axis} is outside a tensor of rank 3`);
  }
});

Deno.test("matrices are multiplied where the inner sides agree, either of them turned", () => {
  const shapeOf = (a: Shape, b: Shape, transposeA = false, transposeB = false) =>
    matmul(value(...a), value(...b), { transposeA, transposeB }).shape;
  assertEquals(shapeOf([2, 3], [3, 4]), [2, 4]);
  assertEquals(shapeOf([3, 2], [3, 4], true), [2, 4]);
  assertEquals(shapeOf([2, 3], [4, 3], false, true), [2, 4]);
  assertEquals(shapeOf([3, 2], [4, 3], true, true), [2, 4]);
  assertEquals(shapeOf(["N", 5, 2, 3], [3, 4]), ["N", 5, 2, 4]);
  assertEquals(shapeOf([7, 2, 3], [5, 1, 3, 4]), [5, 7, 2, 4]);
  refused(() => shapeOf([7, 2, 3], [5, 3, 4]), "do not broadcast");
  refused(() => shapeOf([2, 3], [4, 3]), "cannot multiply [2, 3] by [4, 3]");
  refused(() => shapeOf([2, 3], [3, 4], true), "cannot multiply [2, 3]ᵀ by [3, 4]");
  refused(() => shapeOf([2, 3], [3, 4], false, true), "cannot multiply [2, 3] by [3, 4]ᵀ");
  refused(() => shapeOf([3], [3, 4]), "cannot multiply");
  refused(() => shapeOf([2, 3], [3]), "cannot multiply");
  assertEquals(linear(value("N", 3), value(5, 3), value(5)).shape, ["N", 5]);
});

Deno.test("a convolution's sides follow from stride and padding, each side's own", () => {
  const shapeOf = (x: Shape, w: Shape, stride: number, padding: [number, number, number, number]) =>
    conv2d(value(...x), value(...w), undefined, { stride, padding }).shape;
  assertEquals(shapeOf(["N", 3, 8, 6], [5, 3, 3, 3], 1, [1, 1, 1, 1]), ["N", 5, 8, 6]);
  assertEquals(shapeOf(["N", 3, 8, 6], [5, 3, 3, 3], 2, [0, 0, 1, 1]), ["N", 5, 4, 3]);
  assertEquals(shapeOf(["N", 3, 8, 6], [5, 3, 3, 1], 1, [0, 1, 2, 4]), ["N", 5, 8, 11]);
  for (const channels of [2, 4]) {
    refused(
      () => shapeOf(["N", channels, 8, 6], [5, 3, 3, 3], 1, [1, 1, 1, 1]),
      `a convolution with weight [5, 3, 3, 3] cannot take [N, ${channels}, 8, 6]`,
    );
  }
});

Deno.test("group norms need equal groups, halving needs two pixels a side", () => {
  assertEquals(groupNorm(value("N", 6, 2), value(6), value(6), { groups: 3, eps: 0 }).shape, [
    "N",
    6,
    2,
  ]);
  for (const groups of [4, 5, 12]) {
    refused(
      () => groupNorm(value("N", 6, 2), value(6), value(6), { groups, eps: 0 }),
      `6 channels cannot be split into ${groups} equal groups`,
    );
  }
  assertEquals(avgPool(value("N", 2, 5, 4)).shape, ["N", 2, 2, 2]);
  assertEquals(upsampleNearest(value("N", 2, 5, 4), 3).shape, ["N", 2, 15, 12]);
  refused(
    () => avgPool(value("N", 2, 4, 1)),
    "pictures of [N, 2, 4, 1] are too small to be halved",
  );
  refused(() => avgPool(value("N", 2, 1, 4)), "too small to be halved");
});

Deno.test("reshaping keeps the elements, and what is known only at run time", () => {
  assertEquals(reshape(value("N", 6), ["N", 2, 3]).shape, ["N", 2, 3]);
  assertEquals(reshape(value(2, 3), [6]).shape, [6]);
  const wrong: [Shape, Shape][] = [[[2, 3], [5]], [["N", 6], [6]], [["N", 6], ["M", 6]]];
  wrong.push([["N", "M"], ["M", "N"]], [[2, 1], [3]], [["N"], ["N", "N"]]);
  for (const [from, to] of wrong) {
    const says = `cannot reshape [${from.join(", ")}] to [${to.join(", ")}]`;
    refused(() => reshape(value(...from), to), says);
  }
  assertEquals(reshape(value("N", 1, "M"), ["N", "M"]).shape, ["N", "M"]);
  assertEquals(transpose(value(2, 3, 4), [2, 0, 1]).shape, [4, 2, 3]);
  assertEquals(transpose(value(2, 3, 4), [0, 2, 1]).shape, [2, 4, 3]);
  refused(() => transpose(value(2, 3, 4), [1, 0]), "permutation [1, 0] does not fit [2, 3, 4]");
  assertEquals(expand(value(1, 3), [2, 3]).shape, [2, 3]);
  refused(() => expand(value(2, 3), [2, 4]), "do not broadcast");
  for (const shape of [[3], [2, 1]]) {
    refused(() => expand(value(2, 3), shape), "cannot expand [2, 3] to");
  }
});

Deno.test("slices, joins and borders lie inside their axis", () => {
  assertEquals(slice(value("N", 5), 1, 1, 4).shape, ["N", 3]);
  assertEquals(slice(value("N", 5), -1, 2, 2).shape, ["N", 0]);
  for (const [start, end] of [[-1, 2], [3, 2], [0, 6]]) {
    refused(
      () => slice(value("N", 5), 1, start, end),
      `slice ${start}:${end} is outside axis 1 of [N, 5]`,
    );
  }
  refused(() => slice(value("N", 5), 0, 0, 1), "expected a fixed dimension");
  assertEquals(concat([value("N", 2, 3), value("N", 4, 3)], 1).shape, ["N", 6, 3]);
  assertEquals(concat([value(2), value(3), value(1)], -1).shape, [6]);
  for (const other of [["N", 4, 5], ["M", 4, 3], ["N", 4]]) {
    const says = `cannot join [${other.join(", ")}] to [N, 2, 3] along axis 1`;
    refused(() => concat([value("N", 2, 3), value(...other)], 1), says);
  }
  assertEquals(pad(value("N", 5), 1, 2, 1).shape, ["N", 8]);
});

Deno.test("reductions take their axes in any order, and keep them as 1 where asked", () => {
  for (const reduce of [reduceSum, reduceMean]) {
    assertEquals(reduce(value(2, 3, 4), [2, 0]).shape, [3]);
    assertEquals(reduce(value(2, 3, 4), [-1], true).shape, [2, 3, 1]);
    assertEquals(reduce(value(2, 3), [0, 1]).shape, []);
    // One order, so that engines find equal work.
    assertEquals(reduce(value(2, 3, 4), [-1, 0]).node.attributes.axes, [0, 2]);
  }
  assertEquals(gather(value(5, 3), value("N")).shape, ["N", 3]);
  assertEquals(gatherGrad(value("N", 3), value("N"), 5).shape, [5, 3]);
  const rows = "expected indices [N] and dy [N, C], found";
  refused(() => gatherGrad(value("N", 3, 2), value("N"), 5), `${rows} [N] and [N, 3, 2]`);
  refused(() => gatherGrad(value("N", 3), value("N", 1), 5), `${rows} [N, 1] and [N, 3]`);
});

Deno.test("what changes nothing adds no operation", () => {
  const x = value(2, 3);
  for (
    const same of [
      reshape(x, [2, 3]),
      transpose(x, [0, 1]),
      slice(x, 1, 0, 3),
      pad(x, 1, 0, 0),
      expand(x, [2, 3]),
      reduceSum(x, []),
      scale(x, 1),
      shift(x, 0),
      dropout(x, value(2), { rate: 0, layer: 0 }),
    ]
  ) assert(same === x);
});

Deno.test("units are left out at a rate from 0 to below 1, in shapes that are known but for the batch", () => {
  const mask = (rate: number, shape: Shape = ["N", 4]) =>
    dropoutMask(value("N"), shape, { rate, layer: 0 });
  assertEquals([mask(0.99).shape, mask(0).shape], [["N", 4], ["N", 4]]);
  for (const rate of [1, 1.5, -0.1, NaN]) {
    refused(() => mask(rate), `expected a dropout rate in [0, 1), found ${rate}`);
  }
  refused(() => mask(0.5, ["N", "C"]), 'expected a fixed dimension, found "C"');
});

Deno.test("names are once: inputs and outputs are refused twice, a parameter is shared", () => {
  const graph = new Graph();
  const x = graph.input("x", [2]);
  refused(() => graph.input("x", [2]), 'the graph already has an input "x"');
  graph.output("y", x);
  refused(() => graph.output("y", x), 'the graph already has an output "y"');
  const w = graph.param("w", [2, 3]);
  assert(graph.param("w", [2, 3]) === w);
  refused(() => graph.param("w", [3, 2]), 'parameter "w" has shape [2, 3], asked for [3, 2]');
  assertEquals([...paramShapes(graph)], [["w", [2, 3]]]);
  refused(() => add(x, new Graph().input("x", [2])), "add: an input belongs to another graph");
});

Deno.test("constants fill their shape and have the type of their numbers", () => {
  const graph = new Graph();
  const types = [
    [new Float32Array(2), "float32"],
    [new Int32Array(2), "int32"],
    [new BigInt64Array(2), "int64"],
    [new Uint8Array(2), "uint8"],
  ] as const;
  for (const [data, type] of types) assertEquals(graph.constant(data).type, type);
  assertEquals(graph.scalar(3).shape, []);
  refused(
    () => graph.constant(new Float32Array(3), [2, 2]),
    "a constant of 3 elements does not fill shape [2, 2]",
  );
});

Deno.test("a gradient is asked of one number, a vector–Jacobian product along the result's shape", () => {
  const x = value(2, 3);
  refused(() => gradients(square(x), [x]), "expected a loss of one number, found shape [2, 3]");
  assertEquals(gradients(reduceSum(square(x), [0, 1]), [x])[0].shape, [2, 3]);
  assertEquals(gradients(reduceSum(square(x), [0, 1]), []), []);
  for (const u of [value(3, 2), value(2), value(2, 1)]) {
    refused(() => vjp(neg(x), u, [x]), "expected u of shape [2, 3], found");
  }
  const open = value("N", 3);
  assertEquals(vjp(neg(open), value("N", 3), [open])[0].shape, ["N", 3]);
  for (const reduce of [reduceSum, reduceMean]) {
    assertEquals(vjp(reduce(open, [1]), value("N"), [open])[0].shape, ["N", 3]);
    refused(
      () => vjp(reduce(open, [0]), value(3), [open]),
      'expected a fixed dimension, found "N"',
    );
  }
  const unknown = graph.add("mystery", [x], x.shape);
  refused(() => vjp(unknown, value(2, 3), [x]), 'operation "mystery" cannot be differentiated');
});

/** The gradient of the sum of u·f(x). */
function gradientOf(
  f: (x: Value) => Value,
  shape: number[],
  x: number[],
  u: (n: number) => number,
) {
  const graph = new Graph();
  const input = graph.input("x", shape);
  const y = f(input);
  const weights = Float32Array.from({ length: sizeOf(y.shape) }, (_, i) => u(i));
  const [dx] = vjp(y, graph.constant(weights, y.shape as number[]), [input]);
  return [...interpret(graph, dx, { x }).data];
}

Deno.test("a part of a tensor has its own place in the gradient, a turned one its own axes", () => {
  const x = Array.from({ length: 6 }, (_, i) => i);
  assertEquals(gradientOf((x) => slice(x, 1, 0, 2), [2, 3], x, (i) => i + 1), [1, 2, 0, 3, 4, 0]);
  assertEquals(gradientOf((x) => slice(x, 0, 1, 2), [2, 3], x, (i) => i + 1), [0, 0, 0, 1, 2, 3]);
  assertEquals(gradientOf((x) => pad(x, 0, 1, 2), [6], x, (i) => i), [1, 2, 3, 4, 5, 6]);
  // x [2, 3, 4] turned to [3, 4, 2]: x at (a, b, c) is y at (b, c, a).
  const shape = [2, 3, 4], numbers = Array.from({ length: 24 }, (_, i) => i);
  const turned = gradientOf((x) => transpose(x, [1, 2, 0]), shape, numbers, (i) => i);
  assertEquals(turned, numbers.map((i) => i % 12 * 2 + Math.floor(i / 12)));
  const joined = gradientOf((x) => concat([scale(x, 2), x], 0), [2], [0, 0], (i) => 10 ** i);
  assertEquals(joined, [2 + 100, 20 + 1000]);
});

Deno.test("what fills no square takes no part in a mean, and has no gradient", () => {
  const x = Array.from({ length: 15 }, (_, i) => i);
  const found = gradientOf((x) => avgPool(x), [1, 1, 3, 5], x, (i) => 4 * (i + 1));
  assertEquals(found, [1, 1, 2, 2, 0, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0]);
});

Deno.test("gradients of one value by several ways add up, each way its own", () => {
  const close = (f: (x: Value) => Value, expected: (x: number) => number) => {
    const x = [0.5, -1, 2];
    gradientOf(f, [3], x, (i) => i + 1)
      .forEach((d, i) => assert(Math.abs(d - (i + 1) * expected(x[i])) < 1e-6, `${d}`));
  };
  close((x) => add(mul(x, x), scale(x, 3)), (x) => 2 * x + 3);
  close((x) => sigmoid(x), (x) => Math.exp(-x) / (1 + Math.exp(-x)) ** 2);
  close((x) => sub(square(x), neg(x)), (x) => 2 * x + 1);
});

Deno.test("a weight that meets pictures of an open batch has a gradient, and turned matrices theirs", () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 3, 4]), w = graph.param("w", [4, 2]);
  const [dw] = vjp(matmul(x, w), graph.input("u", ["N", 3, 2]), [w]);
  assertEquals(dw.shape, [4, 2]);
  const leads: [number[], number[], number[]][] = [[[], [], []], [[2], [], [2]], [[], [3], [3]]];
  leads.push([[2, 1], [1, 3], [2, 3]]);
  for (const [leadA, leadB, lead] of leads) {
    for (
      const [transposeA, transposeB] of [[0, 0], [0, 1], [1, 0], [1, 1]].map((t) => t.map(Boolean))
    ) {
      const graph = new Graph();
      const a = graph.input("a", [...leadA, ...transposeA ? [3, 2] : [2, 3]]);
      const b = graph.input("b", [...leadB, ...transposeB ? [4, 3] : [3, 4]]);
      const y = matmul(a, b, { transposeA, transposeB });
      assertEquals(y.shape, [...lead, 2, 4]);
      const u = Float32Array.from({ length: sizeOf(y.shape) }, (_, i) => i);
      const gradients = vjp(y, graph.constant(u, y.shape as number[]), [a, b]);
      const numbers = (value: Value, of: (i: number) => number) =>
        Array.from({ length: sizeOf(value.shape) }, (_, i) => of(i));
      const feeds = { a: numbers(a, (i) => i * i), b: numbers(b, (i) => 5 - i) };
      const data = (value: Value) => [...interpret(graph, value, feeds).data];
      // The gradient of Σ u·y along a itself is Σ u·y, as y is linear in it; so along b.
      const along = data(y).reduce((sum, v, i) => sum + v * i, 0);
      gradients.forEach((d, k) => {
        const input = k === 0 ? feeds.a : feeds.b;
        const found = data(d).reduce((sum, v, i) => sum + v * input[i], 0);
        const what = `[${leadA}] ${transposeA} [${leadB}] ${transposeB} ${k}: ${found}`;
        assert(Math.abs(found - along) < 1e-3 * Math.abs(along), what);
        assertEquals(d.shape, k === 0 ? a.shape : b.shape);
      });
    }
  }
});

Deno.test("what is moved about keeps its type; what is computed is float32", () => {
  const whole = (...shape: Shape) => graph.input(`i${made++}`, shape, "int32");
  const x = whole(2, 3);
  const moved = {
    reshape: reshape(x, [6]),
    transpose: transpose(x, [1, 0]),
    slice: slice(x, 1, 0, 2),
    concat: concat([x, x], 0),
    expand: expand(whole(1, 3), [2, 3]),
  };
  for (const [op, { type }] of Object.entries(moved)) assertEquals(type, "int32", op);
  assertEquals(gather(value(5, 2), whole(3)).type, "float32");
  assertEquals(dropoutMask(whole(2), [2, 3], { rate: 0.5, layer: 0 }).type, "float32");
});

Deno.test("no gradient goes through the numbers of rows, and that is told by the operation and the input", () => {
  const rows = value(3);
  const [table] = [value(4, 2)];
  assertEquals(vjp(gather(table, rows), value(3, 2), [table])[0].shape, [4, 2]);
  refused(
    () => vjp(gather(table, rows), value(3, 2), [rows]),
    'operation "gather" has no gradient for its input 1',
  );
});

Deno.test("the gradient of a matrix that many meet is one product, where their sizes are known", () => {
  const added = (a: Shape, b: Shape, y: Shape, transposeA = false) => {
    const graph = new Graph();
    const [left, right] = [graph.input("a", a), graph.input("b", b)];
    const product = matmul(left, right, { transposeA });
    const u = graph.input("u", y);
    const before = graph.values.length;
    vjp(product, u, [right]);
    return graph.values.slice(before).map(({ node }) => node.op).join(" ");
  };
  assertEquals(added([2, 3, 4], [4, 5], [2, 3, 5]), "reshape reshape matmul");
  assertEquals(added([3, 4], [4, 5], [3, 5]), "matmul");
  assertEquals(added(["N", 3, 4], [4, 5], ["N", 3, 5]), "matmul reduceSum reshape");
  assertEquals(added([2, 4, 3], [4, 5], [2, 3, 5], true), "matmul reduceSum reshape");
  assertEquals(added([2, 3, 4], [2, 4, 5], [2, 3, 5]), "matmul");
});
