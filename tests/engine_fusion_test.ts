/** What the engine does in one step, and what it must not: chains that are a layer, a norm, an attention, or nearly. */
import { assertEquals } from "@std/assert";
import { planGraph } from "../src/engine/plan/plan.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import {
  add,
  conv2d,
  exp,
  expand,
  Graph,
  groupNorm,
  linear,
  matmul,
  mul,
  neg,
  reshape,
  scale,
  shift,
  sigmoid,
  silu,
  softmax,
  transpose,
  type Value,
} from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";
import { around, check, layer, none } from "./engine_graphs.ts";

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
  "a layer plus learned numbers, of every shape": (graph) => {
    const { conv } = layer(graph);
    const rows = linear(graph.input("rows", [2, 5, 8]), graph.param("v", [8, 8]));
    const learned = (x: Value, shapes: number[][], about: string) =>
      shapes.map((shape, i) => {
        const sum = add(x, graph.param(`${about}${i}`, shape));
        return [`${about} plus [${shape}]`, silu(sum)] as const;
      });
    const shapes = [[5], [8, 1, 1], [5, 1], [2, 8, 1, 1], [1, 8, 5, 5], [2, 8, 5, 5], [2, 1, 5, 5]];
    return Object.fromEntries([
      ...shapes.flatMap((shape, i) => learned(conv(`w${i}`), [shape], `pictures${i}`)),
      ...[[8], [1], [5, 1], [5, 8], [2, 5, 8], [1, 1, 8]].flatMap((shape, i) =>
        learned(linear(rows, graph.param(`u${i}`, [8, 8])), [shape], `rows${i}`)
      ),
    ]);
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
  "rows that become pictures, and some that become nearly such": (graph) => {
    const x = graph.input("x", [2, 6, 8]);
    const rows = (name: string) => linear(x, graph.param(name, [12, 8]));
    const turned = (name: string) => transpose(rows(name), [0, 2, 1]);
    return {
      pictures: silu(reshape(turned("a"), [2, 12, 2, 3])),
      "of half as many channels": silu(reshape(turned("b"), [2, 6, 4, 3])),
      "of three dimensions": silu(reshape(turned("c"), [2, 12, 6])),
      "of five": silu(reshape(turned("d"), [2, 12, 1, 2, 3])),
      "of as many channels as pixels": silu(reshape(rows("e"), [2, 6, 4, 3])),
      "turned another way": silu(reshape(transpose(rows("f"), [1, 0, 2]), [6, 2, 4, 3])),
      "turned alone": scale(turned("g"), 2),
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

function planned(make: (graph: Graph) => Value) {
  const graph = new Graph();
  graph.output("y", make(graph));
  return planGraph(graph, { weights: new WeightStore(), sizes: new Map(), threads: 1 });
}

/** What is done beside a layer's own step. */
const beside = (make: (graph: Graph) => Value) =>
  planned(make).steps.map(({ op, about }) => op === "elementwise" ? about : "layer")
    .filter((about) => !/ as (pixels|rows)$/.test(about)).join(" ");

Deno.test("engine plans: what follows a layer is done in its step, where the kernel has a place for it", () => {
  type Follower = (x: Value, other: Value, perChannel: Value) => Value;
  const followers: Record<string, Follower> = {
    picture: (x, other) => add(x, other),
    embedding: (x, _, perChannel) => add(x, perChannel),
    times: (x) => scale(x, 0.5),
    plus: (x) => shift(x, 0.25),
    silu: (x) => silu(x),
    one: (x) => mul(x, x.graph.constant(Float32Array.of(3), x.shape.map(() => 1))),
    numbers: (x) => {
      const shape = x.shape.map((d, i) => i === x.shape.indexOf(8) ? Number(d) : 1);
      return mul(x, x.graph.constant(new Float32Array(8), shape));
    },
  };
  /** Of each pair, what is left of it for steps of its own: of a convolution, and of a linear layer. */
  const left: Record<string, [conv: string, linear: string]> = {
    "picture picture": ["add", "add"],
    "picture embedding": ["", "add"],
    "picture times": ["", ""],
    "picture plus": ["add", "add"],
    "picture silu": ["", ""],
    "embedding picture": ["", "add add"],
    "embedding embedding": ["add", "add add"],
    "embedding times": ["", "add mul"],
    "embedding plus": ["add", "add add"],
    "embedding silu": ["", "add silu"],
    "times picture": ["add", "add"],
    "times embedding": ["add", "add"],
    "times times": ["mul", "mul"],
    "times plus": ["add", "add"],
    "times silu": ["", ""],
    "plus picture": ["add add", "add add"],
    "plus silu": ["add silu", "add silu"],
    "one picture": ["add", "add"],
    "one silu": ["", ""],
    "numbers silu": ["mul silu", "mul silu"],
    "silu picture": ["add", "add"],
    "silu times": ["mul", "mul"],
    "silu silu": ["silu", "silu"],
  };
  for (const [pair, [conv, rows]] of Object.entries(left)) {
    const [f, g] = pair.split(" ").map((name) => followers[name]);
    const ofConv = beside((graph) => {
      const other = graph.input("o", [2, 8, 5, 5]), perChannel = graph.input("p", [2, 8, 1, 1]);
      const x = graph.input("x", [2, 16, 5, 5]);
      const y = conv2d(x, graph.param("w", [8, 16, 3, 3]), graph.param("b", [8]), around);
      return g(f(y, other, perChannel), other, perChannel);
    });
    const ofLinear = beside((graph) => {
      const other = graph.input("o", [2, 5, 8]), perRow = graph.input("p", [2, 1, 8]);
      const y = linear(
        graph.input("x", [2, 5, 12]),
        graph.param("w", [8, 12]),
        graph.param("b", [8]),
      );
      return g(f(y, other, perRow), other, perRow);
    });
    const told = (rest: string) => ["layer", ...rest ? [rest] : []].join(" ");
    assertEquals([ofConv, ofLinear], [told(conv), told(rows)], pair);
  }
});

Deno.test("engine plans: a number a channel is added in a layer's step to rows and columns of pixels, and to one as a picture is", () => {
  const left = ([height, width]: number[], of: number[][]) =>
    beside((graph) => {
      const x = graph.input("x", [2, 16, height, width]);
      const y = conv2d(x, graph.param("w", [8, 16, 1, 1]), undefined, none);
      return of.reduce((sum, shape, i) => add(sum, graph.input(`o${i}`, shape)), y);
    });
  const perChannel = [2, 8, 1, 1];
  for (const size of [[1, 3], [3, 1], [3, 3]]) {
    assertEquals(left(size, [perChannel]), "layer", `${size}`);
    assertEquals(left(size, [perChannel, [2, 8, ...size]]), "layer", `${size}`);
    assertEquals(left(size, [perChannel, perChannel]), "layer add", `${size}`);
    for (const shape of [[1, 8, 1, 1], [2, 1, 1, 1], [8, 1, 1]]) {
      assertEquals(left(size, [shape]), "layer add", `[${shape}] to ${size}`);
    }
  }
  assertEquals(left([3, 3], [[2, 8, 1, 3]]), "layer add");
  assertEquals(left([3, 3], [[2, 8, 3, 1]]), "layer add");
  assertEquals(left([1, 1], [perChannel]), "layer");
  assertEquals(left([1, 1], [perChannel, perChannel]), "layer add");
});
