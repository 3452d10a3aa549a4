/** How much memory a session takes: what its weights and one picture need, or the largest batch where threads share it. */
import { assertEquals, assertRejects } from "@std/assert";
import { simdInline, type SimdInlineOptions } from "../src/backends/simd/inline.ts";
import { openSimdSession, type SimdSession } from "../src/backends/simd/session.ts";
import { simd } from "../src/backends/simd/threads.ts";
import type { Crew } from "../src/engine/engine_session.ts";
import { inlineCrew } from "../src/engine/inline_crew.ts";
import { kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { pagesFor, placePlan, placeWeights } from "../src/engine/layout.ts";
import { stagingFor } from "../src/engine/pack.ts";
import { planGraph } from "../src/engine/plan/plan.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import { conv2d, Graph, matmul, neg, type Padding } from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";

const module = new WebAssembly.Module(unshared(kernelBytes()));
const inline = (options: SimdInlineOptions = {}) => simdInline({ module, ...options });
const PAGE = 65536;
const around = { stride: 1, padding: [1, 1, 1, 1] as Padding };

/** Where a batch's plan ends, behind the weights, and where packing those does. */
function ends(graph: Graph, n: number, threads = 1) {
  const weights = new WeightStore();
  const plan = planGraph(graph, { weights, sizes: new Map([["N", n]]), threads });
  const base = placeWeights(weights);
  return { plan: placePlan(plan, base, threads).end, packing: base + stagingFor(weights) };
}

const whole = (bytes: number) => Math.ceil(bytes / PAGE) * PAGE;

Deno.test("memory is of whole pages, as few as hold it", () => {
  assertEquals([0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE].map(pagesFor), [0, 1, 1, 1, 2, 3]);
});

Deno.test("of one thread's memory there is what one picture takes; a batch makes it as large as it needs, once", async () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 4]);
  graph.output("y", matmul(x, x, { transposeB: true }));
  const session = await inline().createSession(graph) as SimdSession;
  const taken: number[] = [session.engine.bytes];
  for (const n of [1, 500, 300, 700, 500]) {
    await session.run({ x: { data: ramp(4 * n), dims: [n, 4] } });
    taken.push(session.engine.bytes);
  }
  await session.close();
  const [one, middle, large] = [1, 500, 700].map((n) => whole(ends(graph, n).plan));
  assertEquals(taken, [one, one, middle, middle, large, large]);
});

Deno.test("there is room for the weights while they are packed, where that takes more than a picture", async () => {
  const graph = new Graph();
  const w = graph.param("w", [64, 64, 3, 3]);
  graph.output("y", conv2d(graph.input("x", ["N", 64, 3, 3]), w, undefined, around));
  const { plan, packing } = ends(graph, 1);
  assertEquals(packing < plan, true, "a picture's step takes a thread's memory, too");
  const weights = new Map([["w", ramp(64 * 64 * 9)]]);
  const session = await inline().createSession(graph, weights) as SimdSession;
  assertEquals(session.engine.bytes, whole(plan));
  await session.close();

  const table = new Graph();
  const few = matmul(table.input("x", [1, 1]), table.param("w", [1, 1]));
  const linear = conv2d(
    table.input("z", [1, 256, 1, 1]),
    table.param("v", [256, 256, 1, 1]),
    undefined,
    { stride: 1, padding: [0, 0, 0, 0] },
  );
  table.output("few", few);
  table.output("linear", linear);
  const most = ends(table, 1);
  assertEquals(most.packing > most.plan, true);
  const numbers = new Map([["w", ramp(1)], ["v", ramp(256 * 256)]]);
  const packed = await inline().createSession(table, numbers) as SimdSession;
  assertEquals(packed.engine.bytes, whole(most.packing));
  await packed.close();
});

Deno.test("threads share a memory for the largest batch that is computed at once", async () => {
  const sizes: number[] = [];
  const crew: Crew = {
    threads: 3,
    shared: true,
    open(memory) {
      sizes.push(memory.buffer.byteLength);
      return Promise.resolve({
        run: () => Promise.resolve(),
        settle: () => Promise.resolve(),
        close() {},
      });
    },
  };
  const graph = new Graph();
  graph.output("y", neg(graph.input("x", ["N", 4096])));
  for (const [arenaBytes, most] of [[1, 1], [65_536, 2], [98_304, 3], [1 << 30, 16]]) {
    const session = await openSimdSession(graph, undefined, crew, { arenaBytes });
    assertEquals(session.engine.batch, { name: "N", most }, `${arenaBytes} bytes`);
    assertEquals(sizes.pop(), whole(ends(graph, most, 3).plan));
  }
  const fixed = new Graph();
  fixed.output("y", neg(fixed.input("x", [5, 4096])));
  const session = await openSimdSession(fixed, undefined, crew, { arenaBytes: 1 << 30 });
  assertEquals([session.engine.batch, sizes], [undefined, [whole(ends(fixed, 1, 3).plan)]]);
});

Deno.test("where weights cannot be had, no memory stays open: threads may end", async () => {
  const lives = { opened: 0, closed: 0 };
  const crew: Crew = {
    threads: 1,
    shared: true,
    open() {
      lives.opened++;
      return Promise.resolve({
        run: () => Promise.resolve(),
        settle: () => Promise.resolve(),
        close: () => void lives.closed++,
      });
    },
  };
  const graph = new Graph();
  graph.output("y", neg(graph.param("w", [4])));
  const open = (weights: Parameters<typeof openSimdSession>[1]) =>
    openSimdSession(graph, weights, crew, { arenaBytes: 1 });
  await assertRejects(() => open(new Map()), Error, 'simd: no weights for parameter "w"');
  assertEquals(lives, { opened: 1, closed: 1 });
  const broken = {
    isHalf: () => false,
    // deno-lint-ignore require-yield
    async *tensors() {
      await Promise.reject(new Error("the file ends early"));
    },
  };
  await assertRejects(() => open(broken as never), Error, "the file ends early");
  assertEquals(lives, { opened: 2, closed: 2 });
  const session = await open(new Map([["w", ramp(4)]]));
  assertEquals(lives, { opened: 3, closed: 2 });
  await session.close();
  assertEquals(lives, { opened: 3, closed: 3 });
});

Deno.test("results of a batch take 16 MiB in the calling thread, 512 MiB in threads of their own, unless it is said", async () => {
  /** How many pictures are computed at once whose results are of so many bytes. */
  const most = async (bytes: number, backend = inline()) => {
    const graph = new Graph();
    graph.output("y", neg(graph.input("x", ["N", bytes / 8])));
    const session = await backend.createSession(graph) as SimdSession;
    await session.close();
    return session.engine.batch!.most;
  };
  assertEquals(await most(4 << 20), 4);
  assertEquals(await most((4 << 20) + 512), 3);
  assertEquals(await most(1 << 20, inline({ arenaBytes: 5 << 20 })), 5);
  assertEquals(await most(128 << 20, simd({ threads: 1 }) as never), 4);
  assertEquals(await most((128 << 20) + 512, simd({ threads: 1 }) as never), 3);
});

Deno.test("weights are widened and transformed once, unless there is a limit that they are above", async () => {
  const graph = new Graph();
  const w = graph.param("w", [16, 16, 3, 3]);
  graph.output("y", conv2d(graph.input("x", [1, 16, 8, 8]), w, undefined, around));
  const weights = new Map([["w", ramp(16 * 16 * 9)]]);
  // 36 numbers of four bytes for each of 16·16 kernels, or nine; and zeros for a pixel.
  const wide = 4 * 36 * 256 + 64, small = 4 * 9 * 256 + 64;
  const bytes = async (compactAbove?: number) => {
    const options = { arenaBytes: 1 << 20, compactAbove };
    const session = await openSimdSession(graph, weights, inlineCrew(module), options);
    await session.close();
    return session.engine.store.bytes;
  };
  assertEquals([await bytes(), await bytes(Infinity), await bytes(wide)], [wide, wide, wide]);
  assertEquals([await bytes(wide - 1), await bytes(0)], [small, small]);
});

Deno.test("weights that are fed, as in training, are refused", async () => {
  const graph = new Graph();
  const theta = graph.input("theta", [4]);
  graph.output("y", neg(graph.param("w", [4])));
  await assertRejects(
    () => inline().createSession(graph, { input: theta, order: ["w"] }),
    Error,
    "simd: cannot load the graph: weights that are fed, as in training",
  );
});
