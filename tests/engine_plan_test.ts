/** How the engine plans a graph: what becomes one step, by which kernel, and what memory that takes. */
import { assertEquals, assertThrows } from "@std/assert";
import { encodeAlone, placePlan } from "../src/engine/layout.ts";
import { arenaBytes } from "../src/engine/plan/memory.ts";
import { planGraph } from "../src/engine/plan/plan.ts";
import { UnsupportedGraph } from "../src/engine/plan/planner.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import {
  add,
  attention,
  avgPool,
  concat,
  conv2d,
  exp,
  gather,
  Graph,
  groupNorm,
  linear,
  mul,
  neg,
  type Padding,
  scale,
  silu,
  slice,
  transpose,
  type Value,
} from "../src/graph/mod.ts";
import { cases } from "./engine_cases.ts";

function planned(make: (graph: Graph) => Value, threads = 1) {
  const graph = new Graph();
  graph.output("y", make(graph));
  const weights = new WeightStore();
  return { plan: planGraph(graph, { weights, sizes: new Map(), threads }), weights };
}

const around = { stride: 1, padding: [1, 1, 1, 1] as Padding };

/** A case of the engine's operations. */
function plannedCase(about: string) {
  const { inputs = [], params = [], build } = cases.find((one) => one.about === about)!;
  return planned((graph) =>
    build(
      inputs.map((shape, i) => graph.input(`x${i}`, shape)),
      params.map((shape, i) => graph.param(`p${i}`, shape)),
    )
  );
}

Deno.test("engine plans: a graph's steps, none of them a copy that need not be", () => {
  const steps: Record<string, string> = {
    "reshape": "neg",
    "reshape of a transposed tensor": "reshape as rows, neg",
    "transpose": "transpose as rows",
    "slice": "neg",
    "pad": "zeros, pad",
    "expand": "expand as rows",
    "concat": "concat, concat",
    "matmul a·b, batched": "matmul 7×5×9",
    "matmul aᵀ·b, batched": "matmul as rows, matmul 7×5×9",
    "matmul a·bᵀ, batched": "matmul 7×5×9",
    "linear with bias, residual, scale and SiLU":
      "input as pixels, conv 1×1 7→10 1×5, silu as rows",
    "linear of one row": "conv 1×1 33→17 1×1",
    "attention of one head": "attention 49×49×20",
    "attention of heads of three numbers, as a network has them": "attention 10×10×3",
    "a doubled picture, convolved": "input as pixels, conv 3×3 16→24 12×10 F4, conv2d as rows",
    "a doubled picture that is used as it is, too":
      "input as pixels, upsampleNearest, input as pixels, conv 1×1 16→16 8×8, add as rows",
    "group norm with SiLU": "input as pixels, norm 24, 7×5, silu as rows",
    "group norm of [N, C, P]": "groupNorm as pixels, norm 8, 30, groupNorm as rows",
    "a residual block: time embedding, skip and scale in one step":
      "conv 1×1 12→24 1×1, input as pixels, conv 1×1 16→24 9×9, input as pixels, " +
      "conv 3×3 16→24 9×9 F2, mul as rows",
    "concatenated pictures, each written into its place":
      "input as pixels, conv 1×1 16→8 6×6, input as pixels, conv 3×3 16→12 6×6 F2, " +
      "conv 3×3 20→20 6×6 F2, add as rows",
    "scale and shift of a norm by an embedding":
      "input as pixels, norm 8, 5×5, add, mul, add, silu, silu as rows",
    "six channels, pooled, doubled, concatenated and convolved":
      "silu, silu as pixels, avgPool, input as pixels, avgPool, mul, upsampleNearest, silu, add, " +
      "concat, concat, concat as pixels, conv 3×3 12→7 4×4, conv 1×1 7→5 4×4, conv2d as rows",
    "attention, but values used a second time": "attention 6×6×6, add",
    "attention, but the keys as they lie": "matmul 6×6×6, softmax, matmul 6×6×6",
  };
  for (const [about, expected] of Object.entries(steps)) {
    const { plan } = plannedCase(about);
    assertEquals(plan.steps.map((step) => step.about).join(", "), expected, about);
  }
});

Deno.test("engine plans: pictures of one pixel are read as they lie, turned matrices are copied", () => {
  const steps = (make: (graph: Graph) => Value) =>
    planned(make).plan.steps.map(({ about }) => about);
  for (const channels of [4, 8, 20]) {
    const pixel = steps((graph) => {
      const weight = graph.param("w", [4, channels, 1, 1]);
      const x = graph.input("x", [2, channels, 1, 1]);
      return conv2d(x, weight, undefined, { stride: 1, padding: [0, 0, 0, 0] });
    });
    assertEquals(pixel, [`conv 1×1 ${channels}→4 1×1`]);
  }
  const turned = (perm: number[], ...shape: number[]) =>
    steps((graph) => linear(transpose(graph.input("x", shape), perm), graph.param("w", [8, 12])));
  assertEquals(turned([1, 0], 12, 5), ["transpose as rows", "conv 1×1 12→8 1×1"]);
  assertEquals(turned([1, 0, 2], 5, 2, 12).length, turned([0, 1, 2], 2, 5, 12).length);
});

Deno.test("engine plans: 3×3 convolutions go by Winograd's tile that takes fewer products, small ones by none", () => {
  const kernel = (
    [height, width]: readonly number[],
    channels = 16,
    padding: Padding = around.padding,
    [stride, side] = [1, 3],
  ) => {
    const { plan } = planned((graph) => {
      const weight = graph.param("w", [8, channels, side, side]);
      const x = graph.input("x", [2, channels, height, width]);
      return conv2d(x, weight, undefined, { stride, padding });
    });
    const { op, about } = plan.steps.find(({ op }) => op === "conv" || op === "winograd")!;
    return op === "conv" ? "plain" : about.slice(-2);
  };
  // Products of a plane of 4×4: 36 a tile of it, or 16 a tile of 2×2; few tiles are not worth their rows.
  const sides: [size: readonly number[], expected: string][] = [
    [[1, 1], "plain"],
    [[2, 4], "plain"],
    [[1, 9], "F2"],
    [[3, 3], "F2"],
    [[4, 4], "F2"],
    [[4, 5], "F2"],
    [[5, 6], "F2"],
    [[6, 6], "F2"],
    [[9, 9], "F2"],
    [[10, 10], "F2"],
    [[4, 8], "F4"],
    [[12, 4], "F4"],
    [[4, 12], "F4"],
    [[7, 7], "F4"],
    [[8, 8], "F4"],
    [[13, 13], "F4"],
    [[28, 28], "F4"],
  ];
  for (const [size, expected] of sides) assertEquals(kernel(size), expected, `${size}`);
  const channels = [12, 15, 16, 17, 18, 20].map((count) => kernel([8, 8], count));
  assertEquals(channels, ["plain", "plain", "F4", "plain", "plain", "F4"]);
  for (const side of [0, 1, 2, 3]) {
    const padding = around.padding.with(side, 0) as unknown as Padding;
    assertEquals(kernel([9, 9], 16, padding), "plain", `${padding}`);
  }
  assertEquals(kernel([8, 8], 16, around.padding, [2, 3]), "plain");
  assertEquals(kernel([8, 8], 16, around.padding, [1, 5]), "plain");
});

Deno.test("engine plans: intermediate results share memory as soon as they may, and no sooner", () => {
  const chain = (length: number, width = 1024) => {
    const graph = new Graph();
    let x = graph.input("x", ["N", width]);
    for (let i = 0; i < length; i++) x = neg(x);
    graph.output("y", x);
    return arenaBytes(graph);
  };
  assertEquals(
    [chain(1), chain(2), chain(10)],
    [8192, 8192, 8192],
    "what is read and what is made",
  );
  assertEquals(chain(3, 1), 128, "of the least a cache line each");
  // Bytes of results, of a thread's own memory, and of weights: a network's cost, told by `inspect`.
  const bytes: Record<string, [arena: number, scratch: number, weights: number]> = {
    "linear of one row": [320, 512, 3392],
    "matmul a·b, batched": [4736, 1920, 64],
    "attention of one head": [49856, 9344, 64],
    "attention of heads of three numbers, as a network has them": [4096, 1728, 64],
    "3×3, F(4×4), whole tiles, 16→16 12×8": [24576, 122944, 36992],
    "3×3, F(2×2), 16→10 5×6": [7680, 73536, 16496],
    "3×3, few channels, 3→5 9×10": [9408, 3392, 960],
    "1×1, 12→21 7×5": [12608, 512, 1312],
    "5×3, 5→6 9×9": [5248, 3776, 2496],
    "group norm with SiLU": [13440, 768, 256],
    "group norm of [N, C, P]": [3840, 320, 128],
    "a residual block: time embedding, skip and scale in one step": [41664, 70464, 27616],
    "concatenated pictures, each written into its place": [14976, 79424, 47696],
  };
  for (const [about, expected] of Object.entries(bytes)) {
    const { plan, weights } = plannedCase(about);
    assertEquals([plan.arenaBytes, plan.scratchBytes, weights.bytes], expected, about);
  }
});

Deno.test("engine plans: what a kernel writes as pixels it writes into its place among the channels that are joined", () => {
  const copies = (part: (graph: Graph, x: Value) => Value, axis = 1, channels = 8) =>
    planned((graph) => {
      const x = graph.input("x", [2, channels, 4, 4]);
      const weight = graph.param("w", [4, channels, 3, 3]);
      const other = conv2d(x, weight, undefined, around);
      return concat(axis === 1 ? [part(graph, x), other] : [part(graph, x), part(graph, x)], axis);
    }).plan.steps.filter(({ about }) => about === "concat").length;
  const norm = (graph: Graph, x: Value) => {
    const [w, b] = ["n", "m"].map((name) => graph.param(name, [x.shape[1] as number]));
    return groupNorm(x, w, b, { groups: 2, eps: 1e-5 });
  };
  const conv = (out: number) => (graph: Graph, x: Value) =>
    conv2d(x, graph.param("v", [out, 8, 3, 3]), undefined, around);
  const written: Record<string, (graph: Graph, x: Value) => Value> = {
    conv: conv(8),
    layer: (graph, x) => silu(scale(conv(8)(graph, x), 0.5)),
    norm,
    "norm and SiLU": (graph, x) => silu(norm(graph, x)),
    add: (_, x) => add(x, x),
    mul: (_, x) => mul(x, x),
    silu: (_, x) => silu(x),
  };
  for (const [name, part] of Object.entries(written)) assertEquals(copies(part), 0, name);
  const pooled = planned((graph) => {
    const x = graph.input("x", [2, 8, 8, 8]);
    return concat([avgPool(x), avgPool(silu(x))], 1);
  });
  assertEquals(pooled.plan.steps.filter(({ about }) => about === "concat").length, 0);
  const copied: Record<string, (graph: Graph, x: Value) => Value> = {
    "the input": (_, x) => x,
    exp: (_, x) => exp(x),
    "a part": (_, x) => slice(silu(x), 1, 0, 4),
  };
  for (const [name, part] of Object.entries(copied)) assertEquals(copies(part), 1, name);
  assertEquals(copies(conv(6)), 2, "channels that are not of four");
  assertEquals(copies(conv(8), 0), 2, "another axis");
});

Deno.test("engine plans: work is divided into as many pieces as keep every thread at work, and no more", () => {
  const words = (make: (graph: Graph) => Value, threads: number, op: string) =>
    planned(make, threads).plan.steps.find((step) => step.op === op)!.words;
  const point = (size: number, n = 1) => (graph: Graph) => {
    const weight = graph.param("w", [64, 16, 1, 1]);
    const x = graph.input("x", [n, 16, size, size]);
    return conv2d(x, weight, undefined, { stride: 1, padding: [0, 0, 0, 0] });
  };
  // Rows in blocks of 24, and panels of 8 channels: all 8 at once, or in parts where blocks are few.
  const panels = (size: number, threads: number, n?: number) =>
    words(point(size, n), threads, "conv").slice(18, 20);
  assertEquals([[5, 1], [5, 2], [5, 4], [9, 2], [9, 3]].map(([s, t]) => panels(s, t)), [
    [24, 8],
    [24, 2],
    [24, 1],
    [24, 8],
    [24, 2],
  ]);
  assertEquals([panels(5, 2, 3), panels(5, 2, 4)], [[24, 8], [24, 8]], "of all pictures");
  // Pieces of a pixel of at most 16 bytes are copied, where a row of the product has several.
  const copied = (channels: number, side: number) =>
    words(
      (graph) => {
        const weight = graph.param("w", [8, channels, side, side]);
        return conv2d(graph.input("x", [1, channels, 9, 9]), weight, undefined, around);
      },
      1,
      "conv",
    )[21];
  assertEquals([copied(3, 3), copied(4, 3), copied(5, 3), copied(4, 1)], [1, 1, 0, 0]);
  const tiles = (height: number, width = height) => (graph: Graph) => {
    const x = graph.input("x", [1, 16, height, width]);
    return conv2d(x, graph.param("w", [8, 16, 3, 3]), undefined, around);
  };
  // 49 tiles: in blocks of at most 24; of few tiles a thread, those are transformed before all are multiplied.
  const blocks = (threads: number, side = 28) =>
    words(tiles(side), threads, "winograd").slice(13, 15);
  assertEquals([1, 4, 6, 7].map((threads) => blocks(threads)), [[17, 0], [13, 0], [9, 0], [17, 1]]);
  assertEquals([blocks(1, 7), blocks(2, 7), blocks(1, 8)], [[4, 0], [4, 1], [4, 0]]);
  assertEquals([blocks(2, 16), blocks(3, 16)], [[8, 0], [16, 1]]);
  const most = [[16, 24], [20, 20]].map(([height, width]) =>
    words(tiles(height, width), 1, "winograd")[13]
  );
  assertEquals(most, [24, 13]);
  for (const half of [false, true]) {
    const graph = new Graph();
    graph.output("y", tiles(28)(graph));
    const weights = new WeightStore(() => half);
    const { steps } = planGraph(graph, { weights, sizes: new Map(), threads: 1 });
    const [block, apart] = steps.find(({ op }) => op === "winograd")!.words.slice(13, 15);
    assertEquals([block, apart], [17, 1], "weights that are transformed each time are so once");
  }
  // Channels of a norm: whole groups and vectors of four, a cache line of them or more.
  const normed = (channels: number, groups: number) =>
    words(
      (graph) => {
        const [w, b] = ["w", "b"].map((name) => graph.param(name, [channels]));
        return groupNorm(graph.input("x", [1, channels, 2, 2]), w, b, { groups, eps: 1 });
      },
      1,
      "groupNorm",
    )[10];
  const groups = [[64, 64], [48, 24], [42, 14], [48, 12], [40, 8], [48, 8], [48, 6], [64, 2]];
  assertEquals(groups.map(([channels, count]) => normed(channels, count)), [
    ...[16, 16, 24, 16, 20, 24, 16, 32],
  ]);
  assertEquals(normed(8, 2), 8, "all there are");
  const heads = (rows: number) => (graph: Graph) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [1, 1, rows, 8]));
    return attention(q, k, v, 0.5);
  };
  /** Pictures, heads, rows, keys, and the numbers of a key and of a value. */
  const sizes = (...shape: number[]) =>
    words(
      (graph) => {
        const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, shape));
        return attention(q, k, v, 0.5);
      },
      1,
      "attention",
    ).slice(16, 22);
  assertEquals([sizes(4, 8), sizes(2, 4, 8), sizes(2, 3, 4, 8)], [
    [1, 1, 4, 4, 8, 8],
    [2, 1, 4, 4, 8, 8],
    [2, 3, 4, 4, 8, 8],
  ]);
  assertThrows(() => sizes(2, 3, 2, 4, 8), UnsupportedGraph, "a matrix product of 5 dimensions");
  const block = (rows: number, threads: number) => words(heads(rows), threads, "attention")[23];
  assertEquals([block(49, 1), block(49, 3), block(49, 4), block(49, 9), block(4, 1)], [
    24,
    18,
    18,
    6,
    6,
  ]);
});

Deno.test("engine plans: what no output depends on takes no step, no memory and no kernel", () => {
  const graph = new Graph();
  const [unread, passed] = [graph.input("unread", [5]), graph.input("passed", [7], "int64")];
  const [x, i] = [graph.input("x", [2, 4, 3, 3]), graph.input("i", [3], "int32")];
  const [table, fed] = [graph.param("table", [9, 2]), graph.input("fed", [12, 4])];
  silu(conv2d(neg(x), graph.param("w", [4, 4, 3, 3]), undefined, around));
  graph.add("unheard of", [neg(unread)], [5], {}, "int64");
  gather(graph.param("short", [2, 2]), i);
  gather(graph.param("long", [4, 1]), passed);
  graph.output("rows", gather(table, i));
  graph.output("others", gather(fed, i));
  graph.output("y", neg(x));
  graph.output("same", passed);
  const weights = new WeightStore();
  const plan = planGraph(graph, { weights, sizes: new Map(), threads: 1 });
  assertEquals(plan.steps.map(({ about }) => about), ["gather", "gather", "neg"]);
  assertEquals([...plan.inputs.keys()], ["x", "i", "fed"]);
  assertEquals([...plan.outputs.keys()], ["rows", "others", "y"]);
  assertEquals([...plan.passed], [["same", "passed"]]);
  assertEquals([...plan.limits], [["i", 9]], "by the tables that are read");
  assertEquals(weights.bytes, 4 * 20 + 64, "the table, and zeros");
  assertEquals(plan.buffers.map(({ bytes }) => bytes), [288, 16, 192, 32, 48, 288]);
});

Deno.test("engine plans: behind the weights lie results, threads' own memory, then commands", () => {
  for (const [from, threads] of [[1472, 1], [1473, 3]]) {
    const { plan } = plannedCase("concatenated pictures, each written into its place");
    const before = plan.buffers.map(({ address }) => address);
    const { commands, at, end } = placePlan(plan, from, threads);
    const arena = Math.ceil(from / 64) * 64;
    assertEquals(plan.buffers.map(({ address }) => address), before.map((at) => arena + at));
    assertEquals(at, arena + plan.arenaBytes + threads * plan.scratchBytes);
    // Products may read rows behind the last one.
    assertEquals(end, at + commands.byteLength + 256 * 1024);
    assertEquals(commands.at(-1), 0);
    // For profiles each step is a list of its own.
    const placed = { plan, commands, at, end };
    const alone = plan.steps.map((step) => [...encodeAlone(step, placed, from)]);
    assertEquals(alone.flatMap((list) => list.slice(0, -1)), [...commands.subarray(0, -1)]);
    assertEquals(alone.map((list) => list.at(-1)), plan.steps.map(() => 0));
  }
});
