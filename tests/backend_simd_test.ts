import { assert, assertEquals, assertRejects } from "@std/assert";
import { simdInline } from "../src/backends/simd/inline.ts";
import { simd, startWorker } from "../src/backends/simd/threads.ts";
import { UnsupportedGraph } from "../src/engine/plan/planner.ts";
import { teamOf, type Thread } from "../src/engine/team.ts";
import { Graph, matmul, neg, scale } from "../src/graph/mod.ts";
import { doubling, largeTable, powers, ramp } from "./backend_models.ts";

const matrix = { x: { data: ramp(256 * 256).map((v) => v / 16), dims: [256, 256] } };
const one = { x: { data: new Float32Array([1, 2, 3]), dims: [1, 3] } };
const long = powers(256, 100).graph;
const { graph } = doubling();

Deno.test("simd: the calling thread stays free while a network runs", async () => {
  const backend = simd();
  const session = await backend.createSession(long);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run(matrix);
  clearInterval(timer);
  await session.close();
  await backend.terminate();
  assert(ticks > 1, `expected the event loop to turn during the run, it turned ${ticks} times`);
});

Deno.test("simd: workers that die fail their runs; the session goes on with new ones", async () => {
  const backend = simd({ threads: 2 });
  const [slow, quick] = await Promise.all([
    backend.createSession(long),
    backend.createSession(graph),
  ]);
  const before = (await slow.run(matrix)).y.data;
  const lost = assertRejects(() => slow.run(matrix), Error, "the worker died (it was ended)");
  // In the middle of the run.
  await new Promise((resolve) => setTimeout(resolve, 3));
  await backend.terminate();
  await lost;
  assertEquals((await quick.run(one)).y.data, new Float32Array([2, 4, 6]));
  assertEquals((await slow.run(matrix)).y.data, before);
  await Promise.all([slow.close(), quick.close()]);
  await backend.terminate();
});

Deno.test("simd: one worker's death ends the run that the other waits for", async () => {
  const dying = `
    import { parentPort } from "node:worker_threads";
    import { threadBody } from ${
    JSON.stringify(import.meta.resolve("../src/engine/worker_body.ts"))
  };
    const answer = threadBody((reply) => parentPort.postMessage(reply));
    let thread = 0;
    parentPort.on("message", (request) => {
      if (request.kind === "start") thread = request.thread;
      if (request.kind === "open") {
        // One takes an item and never does it: NEXT of kernels/sync.ts. The other comes behind it.
        const next = new BigUint64Array(request.memory.buffer);
        if (thread === 1) {
          Atomics.add(next, 8, 1n);
          throw new Error("out of luck");
        }
        while (Atomics.load(next, 8) === 0n);
      }
      answer(request);
    });
    parentPort.postMessage({ kind: "ready" });
  `;
  const workerUrl = `data:application/javascript,${encodeURIComponent(dying)}`;
  const backend = simd({ threads: 2, workerUrl });
  const session = await backend.createSession(graph);
  await assertRejects(() => session.run(one), Error, "the worker died (");
  await session.close();
  await backend.terminate();
});

Deno.test("simd: a worker that cannot start rejects with the reason", async () => {
  const backend = simd({ workerUrl: "data:application/javascript,throw new Error('no luck')" });
  const session = await backend.createSession(graph).catch((error) => error);
  const error = session instanceof Error ? session : await session.run(one).catch((e: Error) => e);
  assert(error.message.includes("no luck"), error.message);
});

Deno.test("simd: a program that closes nothing ends", async () => {
  const program = `
    import { simd } from ${JSON.stringify(import.meta.resolve("../src/backends/simd/threads.ts"))};
    import { Graph, scale } from ${JSON.stringify(import.meta.resolve("../src/graph/mod.ts"))};
    const graph = new Graph();
    graph.output("y", scale(graph.input("x", ["N", 3]), 2));
    const session = await simd().createSession(graph);
    const { y } = await session.run({ x: { data: new Float32Array([1, 2, 3]), dims: [1, 3] } });
    console.log(y.data.join());
  `;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", `data:application/javascript,${encodeURIComponent(program)}`],
    stderr: "inherit",
    // Where it does not end by itself.
    signal: AbortSignal.timeout(120_000),
  }).output();
  assertEquals([code, new TextDecoder().decode(stdout)], [0, "2,4,6\n"]);
});

for (const [name, backend] of [["simd", simd({ threads: 1 })], ["inline", simdInline()]] as const) {
  Deno.test(`simd, ${name}: what does not fit into WebAssembly's memory is an error; it goes on`, async () => {
    const size = 40_000;
    const huge = new Graph();
    const x = huge.input("x", [size, size]);
    huge.output("y", neg(x));
    await assertRejects(() => backend.createSession(huge), Error, "GiB");
    const session = await backend.createSession(graph);
    assertEquals((await session.run(one)).y.data, new Float32Array([2, 4, 6]));
    await session.close();
  });

  Deno.test(`simd, ${name}: a batch for which the memory is too small gets a larger one`, async () => {
    const graph = new Graph();
    // The batch is multiplied with itself: it cannot be computed in parts.
    const x = graph.input("x", ["N", 4]);
    graph.output("y", matmul(x, x, { transposeB: true }));
    const session = await backend.createSession(graph);
    for (const n of [1, 600, 2]) {
      const data = ramp(n * 4);
      const { y } = await session.run({ x: { data, dims: [n, 4] } });
      assertEquals(y.dims, [n, n]);
      const expected = Math.fround([0, 1, 2, 3].reduce((sum, k) => sum + data[k] ** 2, 0));
      assert(Math.abs(Number(y.data[0]) - expected) < 1e-6);
    }
    await session.close();
  });

  Deno.test(`simd, ${name}: a model of 150 MB loads`, async () => {
    const session = await backend.createSession(largeTable(37_500_000).graph);
    const { rows } = await session.run({ indices: { data: new Int32Array([1]), dims: [1] } });
    assertEquals(rows.data.length, 37_500_000 / 2);
    assertEquals(rows.data[7], 0.5);
    await session.close();
  });

  Deno.test(`simd, ${name}: a graph without its weights is refused by name`, async () => {
    const graph = new Graph();
    graph.output("y", scale(graph.param("conv.weight", [3]), 2));
    await assertRejects(
      () => backend.createSession(graph),
      Error,
      'no weights for parameter "conv.weight"',
    );
  });
}

Deno.test("simd: what cannot be loaded or run is told in a sentence, with the error behind it", async () => {
  const backend = simdInline();
  const unknown = new Graph();
  const x = unknown.input("x", [3], "int32");
  unknown.output("y", unknown.add("neg", [x], [3], {}, "int32"));
  const refused = await assertRejects(() => backend.createSession(unknown), Error) as Error;
  assertEquals(refused.message, 'simd: cannot load the graph: it has no kernel for "neg" of int32');
  assert(refused.cause instanceof UnsupportedGraph);
  const session = await backend.createSession(graph);
  const wide = { x: { data: new Float32Array(4), dims: [1, 4] } };
  const failed = await assertRejects(() => session.run(wide), Error) as Error;
  const why = 'input "x" is of shape [1, 4], expected float32 of shape [N, 3]';
  assertEquals(failed.message, `simd: the run failed: ${why}`);
  assertEquals((failed.cause as Error).message, why);
  await session.close();
  await assertRejects(() => session.run(one), Error, "simd: the session is closed");
});

Deno.test("simd: threads end with the last that used them, and start again when needed", async () => {
  let running = 0;
  const team = teamOf(2, (events): Thread => {
    running++;
    const thread = startWorker(new URL("../src/backends/simd/worker.ts", import.meta.url), events);
    let ended = false;
    return {
      ...thread,
      terminate: () => {
        if (!ended) running--;
        ended = true;
        return thread.terminate();
      },
    };
  });
  // Weights that could not be read: what was started for them is not needed.
  team.start();
  assertEquals(running, 2);
  team.release();
  assertEquals(running, 0);

  const memory = () => new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const first = await team.open(memory());
  const second = await team.open(memory());
  await first.run(0);
  await second.run(0);
  first.close();
  first.close();
  team.release();
  assertEquals(running, 2);
  second.close();
  assertEquals(running, 0);
  const third = await team.open(memory());
  await third.run(0);
  assertEquals(running, 2);
  third.close();
  assertEquals(running, 0);
});
