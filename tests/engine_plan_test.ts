/** How the engine plans a graph: what becomes one step, by which kernel, and what memory that takes. */
import { assert, assertEquals } from "@std/assert";
import { placePlan, placeWeights } from "../src/engine/layout.ts";
import { type NumberSource, packWeights, stagingFor } from "../src/engine/pack.ts";
import { arenaBytes } from "../src/engine/plan/memory.ts";
import { planGraph } from "../src/engine/plan/plan.ts";
import { opcodes } from "../src/engine/plan/step.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import {
  add,
  conv2d,
  Graph,
  linear,
  neg,
  type Padding,
  scale,
  shift,
  silu,
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
    "attention, but values used a second time": "attention 6×6×6, add",
    "attention, but the keys as they lie": "matmul 6×6×6, softmax, matmul 6×6×6",
  };
  for (const [about, expected] of Object.entries(steps)) {
    const { plan } = plannedCase(about);
    assertEquals(plan.steps.map((step) => step.about).join(", "), expected, about);
  }
});

/** What is done beside a layer's own step. */
const beside = (make: (graph: Graph) => Value) =>
  planned(make).plan.steps.map(({ op, about }) => op === "elementwise" ? about : "layer")
    .filter((about) => !/ as (pixels|rows)$/.test(about)).join(" ");

Deno.test("engine plans: what follows a layer is done in its step, where the kernel has a place for it", () => {
  type Follower = (x: Value, other: Value, perChannel: Value) => Value;
  const followers: Record<string, Follower> = {
    picture: (x, other) => add(x, other),
    embedding: (x, _, perChannel) => add(x, perChannel),
    times: (x) => scale(x, 0.5),
    plus: (x) => shift(x, 0.25),
    silu: (x) => silu(x),
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
    "a residual block: time embedding, skip and scale in one step": [41664, 70464, 27616],
    "concatenated pictures, each written into its place": [14976, 79424, 47696],
  };
  for (const [about, expected] of Object.entries(bytes)) {
    const { plan, weights } = plannedCase(about);
    assertEquals([plan.arenaBytes, plan.scratchBytes, weights.bytes], expected, about);
  }
});

/** A parameter of a shape. */
const param = (...shape: number[]) => new Graph().param("w", shape);

Deno.test("engine plans: a weight is kept once in each form that is asked for, in as many bytes as that takes", () => {
  const value = param(10, 16, 3, 3);
  const bytesOf = (ask: (store: WeightStore) => unknown, half?: boolean) => {
    const store = new WeightStore(half === undefined ? undefined : () => half);
    ask(store);
    ask(store);
    assertEquals(store.buffers.length, 2, "it, and zeros");
    return store.bytes - store.zeros.bytes;
  };
  // Channels go in panels of eight.
  assertEquals(bytesOf((store) => store.conv(value)), 4 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.conv(value), false), 4 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.conv(value), true), 2 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.winograd(value, 4, 4)), 4 * 16 * 16 * 36);
  assertEquals(bytesOf((store) => store.winograd(value, 2, 4)), 4 * 16 * 16 * 16);
  assertEquals(bytesOf((store) => store.winograd(value, 4, 4), false), 4 * 16 * 16 * 9);
  assertEquals(bytesOf((store) => store.winograd(value, 4, 4), true), 2 * 16 * 16 * 9);
  assertEquals([0, 1, 4, 5].map((n) => bytesOf((store) => store.raw(param(n)))), [16, 16, 16, 32]);
  const both = new WeightStore();
  both.conv(value);
  both.winograd(value, 2, 4);
  both.winograd(value, 4, 4);
  both.raw(value);
  assertEquals(both.buffers.length, 5);
  const compact = [undefined, false, true].map((half) =>
    new WeightStore(half === undefined ? undefined : () => half).winograd(value, 2, 4).compact
  );
  assertEquals(compact, [0, 1, 2]);
  const zeros = new WeightStore();
  const sizes = [16, 17, 4, 40].map((channels) => {
    zeros.zeroPixel(channels);
    return zeros.zeros.bytes;
  });
  assertEquals(sizes, [64, 80, 80, 160], "as the widest pixel has, and never less");
});

Deno.test("engine plans: weights lie behind the kernels' own words, then results, threads' memory and commands", () => {
  const store = new WeightStore();
  store.raw(param(5));
  store.conv(param(3, 7));
  store.zeroPixel(20);
  const base = placeWeights(store);
  const places = store.buffers.map(({ address, bytes }) => [address, bytes]);
  assertEquals([places, base], [[[1024, 32], [1088, 224], [1344, 80]], 1472]);
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
  }
});

Deno.test("engine plans: weights are packed as many at a time as there is room for, each where it is kept", async () => {
  const kinds = [
    (store: WeightStore, value: Value) => store.conv(value).place.buffer,
    (store: WeightStore, value: Value) => store.winograd(value, 4, 4).place.buffer,
  ];
  const lengths: Record<number, number> = {
    [opcodes.packConv]: 9,
    [opcodes.packWinograd]: 11,
    [opcodes.packKernels]: 9,
  };
  const pack = async (count: number, room: number, half?: boolean) => {
    const graph = new Graph();
    const store = new WeightStore(half === undefined ? undefined : () => half);
    const wanted = Array.from({ length: count }, (_, i) => {
      return kinds[i % 2](store, graph.param(`w${i}`, [8, 4, 3, 3]));
    });
    const from = placeWeights(store);
    const to = from + stagingFor(store) + room;
    const memory = new WebAssembly.Memory({ initial: Math.ceil(to / 65536) });
    const log: string[] = [], given: number[] = [];
    let begin = 0;
    const packer = {
      settle: () => Promise.resolve(void log.push("settle")),
      run: (at: number) => {
        log.push("run");
        assertEquals(at, from);
        const words = new Int32Array(memory.buffer);
        let i = at / 4;
        for (let first = true; words[i] !== 0; i += words[i + 1], first = false) {
          const [op, length, staged, address] = words.subarray(i, i + 4);
          assertEquals(length, lengths[op]);
          const number = new Float32Array(memory.buffer)[staged / 4];
          assertEquals(wanted[number - 1].address, address, `weight ${number}`);
          given.push(number);
          if (first) begin ||= staged;
          if (first) assertEquals(staged, begin, "the place is used again");
          assert(staged + 4 * 8 * 4 * 9 <= to);
        }
        assert(4 * (i + 1) - at <= 64 * 1024, "commands have 64 KiB");
        return Promise.resolve();
      },
    };
    const source: NumberSource = {
      fitsHalf: () => half!,
      async *each(values) {
        for (const value of values) {
          yield [value, await Promise.resolve(new Float32Array(288).fill(value.id + 1))];
        }
      },
    };
    await packWeights(store, source, memory, { from, to }, packer);
    assertEquals(given, Array.from({ length: count }, (_, i) => i + 1));
    const runs = log.length / 2;
    assertEquals(log, Array(runs).fill(["settle", "run"]).flat());
    return runs;
  };
  assertEquals(await pack(0, 0), 0);
  assertEquals(await pack(3, 0), 3, "room for one");
  assertEquals(await pack(5, 1152), 3, "for two");
  assertEquals(await pack(40, 1 << 20), 1);
  for (const half of [false, true]) assertEquals(await pack(40, 1 << 20, half), 1);
  // Commands of 10 words on average, as long as 16 more fit into 16,384.
  assertEquals([await pack(1637, 4 << 20), await pack(1638, 4 << 20)], [1, 2]);
});
