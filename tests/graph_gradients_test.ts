/** Every operation against its reference in float64, its gradient against finite differences. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Tensors } from "../src/backends/backend.ts";
import type { OrtBackend } from "../src/backends/onnxruntime/onnx.ts";
import { emit, fused, type Lowering, portable } from "../src/onnx/mod.ts";
import { gradientRules, nonDifferentiable } from "../src/graph/gradients.ts";
import {
  add,
  avgPool,
  concat,
  conv2d,
  cos,
  div,
  dropoutMask,
  exp,
  expand,
  gather,
  gradients,
  Graph,
  groupNorm,
  lessOrEqual,
  log,
  logSoftmax,
  matmul,
  max,
  min,
  mul,
  neg,
  pad,
  type Padding,
  reciprocal,
  reduceMean,
  reduceSum,
  reshape,
  scale,
  sigmoid,
  silu,
  sin,
  slice,
  softmax,
  sqrt,
  square,
  sub,
  transpose,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";
import { ortBackendsUnderTest } from "./backends.ts";
import { interpret, referenceOps } from "./graph_reference.ts";

/** One use of an operation: the shapes of its float inputs, and how it is built from them. */
interface Case {
  readonly op: string;
  readonly about?: string;
  readonly inputs: readonly (readonly number[])[];
  readonly build: (...inputs: Value[]) => Value;
  /** Inputs lie in this interval; default [−1, 1]. */
  readonly range?: readonly [number, number];
}

const square33 = [3, 3];
const away0 = [0.5, 2] as const;

const matmuls = [[false, false], [true, false], [false, true], [true, true]].flatMap(
  ([transposeA, transposeB]): Case[] => {
    const a = transposeA ? [4, 3] : [3, 4];
    const b = transposeB ? [5, 4] : [4, 5];
    const about = `${transposeA ? "aᵀ" : "a"}·${transposeB ? "bᵀ" : "b"}`;
    const build = (x: Value, y: Value) => matmul(x, y, { transposeA, transposeB });
    return [
      { op: "matmul", about, inputs: [a, b], build },
      { op: "matmul", about: `${about}, batched`, inputs: [[2, 2, ...a], [2, 2, ...b]], build },
      { op: "matmul", about: `${about}, one b for all`, inputs: [[2, 2, ...a], b], build },
      { op: "matmul", about: `${about}, b stretched`, inputs: [[2, 3, ...a], [2, 1, ...b]], build },
    ];
  },
);

const convolution = (
  about: string,
  weight: readonly number[],
  stride: number,
  padding: Padding,
  [height, width] = [6, 6],
  bias = true,
): Case => ({
  op: "conv2d",
  about,
  inputs: [[2, weight[1], height, width], weight, ...bias ? [[weight[0]]] : []],
  build: (x, w, b) => conv2d(x, w, b, { stride, padding }),
});

const cases: readonly Case[] = [
  ...Object.entries({ add, sub, mul, min, max }).flatMap(([op, build]): Case[] => [
    { op, inputs: [square33, square33], build },
    { op, about: "broadcast", inputs: [[2, 3, 1, 2], [3, 4, 1]], build },
  ]),
  { op: "mul", about: "of a value by itself", inputs: [square33], build: (x) => mul(x, x) },
  { op: "div", inputs: [square33, square33], build: div, range: away0 },
  { op: "div", about: "broadcast", inputs: [[3], [2, 1]], build: div, range: away0 },
  { op: "neg", inputs: [square33], build: neg },
  { op: "exp", inputs: [square33], build: exp },
  { op: "log", inputs: [square33], build: log, range: away0 },
  { op: "sqrt", inputs: [square33], build: sqrt, range: away0 },
  { op: "reciprocal", inputs: [square33], build: reciprocal, range: away0 },
  { op: "sin", inputs: [square33], build: sin },
  { op: "cos", inputs: [square33], build: cos },
  { op: "sigmoid", inputs: [square33], build: sigmoid, range: [-6, 6] },
  { op: "silu", inputs: [square33], build: silu, range: [-6, 6] },

  { op: "reshape", inputs: [[2, 6]], build: (x) => reshape(x, [3, 4]) },
  { op: "transpose", inputs: [[2, 3, 4]], build: (x) => transpose(x, [2, 0, 1]) },
  { op: "concat", inputs: [[2, 1, 3], [2, 3, 3]], build: (a, b) => concat([a, b], 1) },
  { op: "concat", about: "a value twice", inputs: [[2, 3]], build: (a) => concat([a, a], -1) },
  { op: "slice", inputs: [[2, 5]], build: (x) => slice(x, 1, 1, 3) },
  { op: "pad", inputs: [[2, 3]], build: (x) => pad(x, 1, 1, 2) },
  { op: "expand", inputs: [[3, 1]], build: (x) => expand(x, [2, 3, 4]) },
  { op: "reduceSum", inputs: [[2, 3, 4]], build: (x) => reduceSum(x, [0, 2]) },
  { op: "reduceSum", about: "kept axes", inputs: [[2, 3]], build: (x) => reduceSum(x, [-1], true) },
  { op: "reduceMean", inputs: [[2, 3, 4]], build: (x) => reduceMean(x, [1]) },
  {
    op: "reduceMean",
    about: "kept axes",
    inputs: [[2, 3, 4]],
    build: (x) => reduceMean(x, [0, 2], true),
  },
  {
    op: "gather",
    about: "a row twice, a row never",
    inputs: [[4, 3]],
    build: (table) => gather(table, table.graph.constant(new Int32Array([2, 0, 2]))),
  },

  ...matmuls,
  convolution("1×1", [3, 2, 1, 1], 1, [0, 0, 0, 0]),
  convolution("3×3", [3, 2, 3, 3], 1, [1, 1, 1, 1]),
  convolution("3×3, no bias, an oblong picture", [3, 2, 3, 3], 1, [1, 1, 1, 1], [4, 7], false),
  convolution("3×3, no padding", [2, 2, 3, 3], 1, [0, 0, 0, 0]),
  convolution("3×3, each side padded by its own", [3, 2, 3, 3], 1, [0, 1, 2, 0], [5, 6]),
  convolution("3×2, each side padded by its own", [2, 3, 3, 2], 1, [2, 0, 1, 1], [5, 6]),
  convolution("3×3, stride 2", [3, 2, 3, 3], 2, [1, 1, 1, 1]),
  convolution("3×3, stride 2, near side padded", [3, 2, 3, 3], 2, [1, 1, 0, 0], [6, 7]),
  convolution("3×3, stride 2, odd sizes", [3, 2, 3, 3], 2, [1, 1, 1, 1], [7, 5]),
  convolution("3×3, stride 2, even by odd", [3, 2, 3, 3], 2, [1, 1, 1, 1], [6, 5]),
  convolution("3×3, stride 2, odd by even", [3, 2, 3, 3], 2, [1, 1, 1, 1], [7, 4]),
  convolution("3×3, stride 2, far side padded", [3, 2, 3, 3], 2, [0, 0, 1, 1]),
  convolution("3×2, stride 2, each side padded by its own", [2, 1, 3, 2], 2, [1, 0, 1, 3], [4, 6]),
  convolution("3×3, stride 2, far side padded, odd sizes", [3, 2, 3, 3], 2, [0, 0, 1, 1], [7, 5]),

  {
    op: "groupNorm",
    inputs: [[2, 6, 3, 2], [6], [6]],
    build: (x, w, b) => groupNorm(x, w, b, { groups: 3, eps: 1e-5 }),
  },
  {
    op: "groupNorm",
    about: "rows far from 0",
    inputs: [[2, 4, 5], [4], [4]],
    build: (x, w, b) => groupNorm(x, w, b, { groups: 2, eps: 1e-6 }),
    range: [3, 5],
  },
  {
    op: "silu",
    about: "after groupNorm",
    inputs: [[2, 4, 3, 3], [4], [4]],
    build: (x, w, b) => silu(groupNorm(x, w, b, { groups: 2, eps: 1e-5 })),
  },
  { op: "softmax", inputs: [[2, 2, 5]], build: softmax, range: [-3, 3] },
  { op: "logSoftmax", inputs: [[2, 5]], build: logSoftmax, range: [-3, 3] },
  { op: "upsampleNearest", inputs: [[2, 2, 3, 2]], build: (x) => upsampleNearest(x) },
  {
    op: "upsampleNearest",
    about: "×3",
    inputs: [[1, 2, 2, 2]],
    build: (x) => upsampleNearest(x, 3),
  },
  { op: "avgPool", inputs: [[2, 2, 4, 6]], build: (x) => avgPool(x) },
  { op: "avgPool", about: "odd sizes", inputs: [[1, 2, 5, 3]], build: (x) => avgPool(x) },
];

/** Numbers in `range` that are the same on every run and have no pattern. */
function numbers(n: number, [low, high]: readonly [number, number], salt = 0): Float32Array {
  return Float32Array.from({ length: n }, (_, i) => {
    const u = Math.abs(Math.sin((i + 1) * 12.9898 + salt * 78.233) * 43758.5453) % 1;
    return low + (high - low) * u;
  });
}

const count = (shape: readonly number[]) => shape.reduce((n, d) => n * d, 1);

/** Σ y·r with fixed r of about 1: a loss that depends on every element of y differently. */
function weightedSum(y: Value): Value {
  const r = numbers(count(y.shape as number[]), [-1, 1], 99);
  const weighted = mul(y, y.graph.constant(r, y.shape as number[]));
  return reduceSum(weighted, y.shape.map((_, i) => i));
}

interface Built {
  readonly graph: Graph;
  readonly y: Value;
  readonly loss: Value;
  readonly feeds: Record<string, Float32Array>;
  readonly tensors: Tensors;
}

/** The case's graph with outputs y and the gradient d0, d1, … of each input. */
function build({ inputs, build, range = [-1, 1] }: Case): Built {
  const graph = new Graph();
  const values = inputs.map((shape, i) => graph.input(`x${i}`, shape));
  const y = build(...values);
  const loss = weightedSum(y);
  graph.output("y", y);
  gradients(loss, values).forEach((d, i) => {
    assertEquals(d.shape, values[i].shape);
    graph.output(`d${i}`, d);
  });
  const data = inputs.map((shape, i) => numbers(count(shape), range, i));
  return {
    graph,
    y,
    loss,
    feeds: Object.fromEntries(data.map((x, i) => [`x${i}`, x])),
    tensors: Object.fromEntries(data.map((x, i) => [`x${i}`, { data: x, dims: inputs[i] }])),
  };
}

/** Central differences of the loss in float64. */
function differences({ graph, loss, feeds }: Built, name: string): Float64Array {
  const h = 1e-5;
  const x = Float64Array.from(feeds[name]);
  const lossAt = () => interpret(graph, loss, { ...feeds, [name]: x }).data[0];
  return x.map((centre, i) => {
    x[i] = centre + h;
    const above = lossAt();
    x[i] = centre - h;
    const below = lossAt();
    x[i] = centre;
    return (above - below) / (2 * h);
  });
}

function assertClose(actual: ArrayLike<number>, expected: Float64Array, what: string) {
  assertEquals(actual.length, expected.length, what);
  const scale = Math.max(1, ...expected.map(Math.abs));
  expected.forEach((x, i) => {
    assert(
      Math.abs(actual[i] - x) <= 3e-5 * scale,
      `${what}[${i}] is ${actual[i]}, expected ${x}`,
    );
  });
}

async function run(backend: OrtBackend, lowering: Lowering, { graph, tensors }: Built) {
  const session = await backend.createOnnxSession(emit(graph, { lowering }), { threads: 1 });
  const results = await session.run(tensors);
  await session.close();
  return results;
}

const backends = (await ortBackendsUnderTest()).map(({ backend }) => backend)
  .filter(({ name }) => name !== "webgpu");

for (const backend of backends) {
  for (const lowering of new Set([portable, fused, backend.lowering])) {
    Deno.test(`${backend.name}, ${lowering.name}: operations and their gradients`, async (t) => {
      for (const theCase of cases) {
        const { op, about } = theCase;
        await t.step(about ? `${op} (${about})` : op, async () => {
          const built = build(theCase);
          const results = await run(backend, lowering, built);
          const y = interpret(built.graph, built.y, built.feeds);
          assertClose(results.y.data as Float32Array, y.data, "y");
          for (const i of theCase.inputs.keys()) {
            const d = results[`d${i}`].data as Float32Array;
            assertClose(d, differences(built, `x${i}`), `d${i}`);
          }
        });
      }
    });
  }

  Deno.test(`${backend.name}: operations without a gradient give their reference`, async () => {
    const graph = new Graph();
    const a = graph.input("a", [2, 3]);
    const n = graph.input("n", [4], "int32");
    graph.output("lessOrEqual", lessOrEqual(a, slice(a, 1, 1, 2)));
    graph.output("dropoutMask", dropoutMask(n, [4, 3, 5, 5], { rate: 0.3, layer: 7 }));
    const feeds = { a: numbers(6, [-1, 1]), n: new Int32Array([3, -1, 0, 2 ** 31 - 1]) };
    const tensors = {
      a: { data: feeds.a, dims: [2, 3] },
      n: { data: feeds.n, dims: [4] },
    };
    const session = await backend.createSession(graph);
    const results = await session.run(tensors);
    await session.close();
    for (const [name, value] of graph.outputs) {
      const expected = interpret(graph, value, feeds).data;
      assertClose(results[name].data as Float32Array, expected, name);
    }
  });
}

/** The names under which the functions in ops/ add operations. */
async function operationsOfSource(): Promise<Set<string>> {
  const found = new Set<string>();
  const folder = new URL("../src/graph/ops/", import.meta.url);
  for await (const { name } of Deno.readDir(folder)) {
    const text = await Deno.readTextFile(new URL(name, folder));
    const made = /(?:\.add|\bbinary|\bunary|\breduction)\(\s*"(\w+)"/g;
    for (const [, op] of text.matchAll(made)) found.add(op);
  }
  return found;
}

Deno.test("every operation can be written for any engine", async () => {
  const made = await operationsOfSource();
  assert(made.size >= 30, `found only ${made.size} operations in the source`);
  assertEquals(Object.keys(portable.ops).sort(), [...made].sort());
});

Deno.test("every operation has a gradient rule or is declared to have none", async () => {
  for (const op of await operationsOfSource()) {
    assert(
      Object.hasOwn(gradientRules, op) !== nonDifferentiable.has(op),
      `"${op}" must be in exactly one of gradientRules and nonDifferentiable`,
    );
  }
});

Deno.test("every gradient rule is checked against finite differences", () => {
  const checked = new Set(cases.map(({ op }) => op));
  for (const op of Object.keys(gradientRules)) {
    assert(checked.has(op), `no case for "${op}"`);
    assert(Object.hasOwn(referenceOps, op), `no reference for "${op}"`);
  }
});

Deno.test("a value with several consumers gets the sum of their gradients", () => {
  const graph = new Graph();
  const x = graph.input("x", [1]);
  const [dx] = gradients(add(mul(square(x), x), scale(x, 2)), [x]);
  assertEquals([...interpret(graph, dx, { x: [3] }).data], [3 * 3 ** 2 + 2]);
});

Deno.test("nothing is added for inputs that no wanted value depends on", () => {
  const graph = new Graph();
  const x = graph.input("x", [4, 4]);
  const weight = graph.param("weight", [4, 4]);
  const loss = reduceSum(matmul(exp(x), weight), [0, 1]);
  const before = graph.values.length;
  const [dweight] = gradients(loss, [weight]);
  const added = graph.values.slice(before);
  assertEquals(dweight.shape, [4, 4]);
  assertEquals(added.filter(({ node }) => node.op === "matmul").length, 1);
  assert(!added.some(({ node }) => node.inputs.includes(x)), "x has a gradient it does not need");
});

Deno.test("a value that the loss does not depend on has a gradient of zeros", () => {
  const graph = new Graph();
  const [x, y] = [graph.input("x", [1]), graph.input("y", [2])];
  const [dy] = gradients(square(x), [y]);
  assertEquals([...interpret(graph, dy, { x: [1], y: [1, 1] }).data], [0, 0]);
});

Deno.test("where two are equal, the first takes the gradient of their minimum and maximum", () => {
  for (const op of [min, max]) {
    const graph = new Graph();
    const [a, b] = [graph.input("a", [3]), graph.input("b", [3])];
    const feeds = { a: [1, 2, 3], b: [2, 2, 2] };
    const [da, db] = gradients(reduceSum(op(a, b), [0]), [a, b])
      .map((d) => [...interpret(graph, d, feeds).data]);
    const takes = op === min ? [1, 1, 0] : [0, 1, 1];
    assertEquals([da, db], [takes, takes.map((one) => 1 - one)]);
  }
});

Deno.test("an operation without a rule is named", () => {
  const graph = new Graph();
  const x = graph.input("x", [1]);
  assertThrows(() => gradients(lessOrEqual(x, x), [x]), Error, '"lessOrEqual"');
  const loss = reduceSum(gather(x, x), [0]);
  assertThrows(() => gradients(loss, [x]), Error);
});

Deno.test("a loss of several numbers is refused", () => {
  const x = new Graph().input("x", [2]);
  assertThrows(() => gradients(x, [x]), Error, "expected a loss of one number, found shape [2]");
});
