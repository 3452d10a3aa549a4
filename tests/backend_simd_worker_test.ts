/** The engine in a Web Worker, as pages have it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { simdWorker } from "../src/backends/inline.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { openModel } from "../src/model/model.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { testBackend } from "./backend_contract.ts";
import { doubling, powers, ramp } from "./backend_models.ts";

const worker = new URL("./simd_worker.ts", import.meta.url);
const one = { x: { data: new Float32Array([1, 2, 3]), dims: [1, 3] } };

testBackend("simd in a worker", () => Promise.resolve(simdWorker({ worker })));

Deno.test("simd in a worker: a network's bits are those of the calling thread", async () => {
  const folder = await readFolder(filesAt(new URL("./golden/ddpm_legacy_fp16/", import.meta.url)));
  const x = ramp(2 * folder.network.shape.reduce((a, b) => a * b));
  const t = Float32Array.of(10, 500);
  await using here = await openModel(folder, simdInline());
  await using there = await openModel(folder, simdWorker({ worker }));
  assertEquals(await there.predict(x, t), await here.predict(x, t));
});

Deno.test("simd in a worker: the calling thread stays free while a network runs", async () => {
  const session = await simdWorker({ worker }).createSession(powers(256, 100).graph);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await session.run({ x: { data: ramp(256 * 256).map((v) => v / 16), dims: [256, 256] } });
  clearInterval(timer);
  await session.close();
  assert(ticks > 1, `expected the event loop to turn during the run, it turned ${ticks} times`);
});

Deno.test("simd in a worker: one that dies fails its run; sessions go on with the next", async () => {
  const backend = simdWorker({ worker: `${worker}?dies` });
  const { graph } = doubling();
  const [first, second] = [await backend.createSession(graph), await backend.createSession(graph)];
  const expected = new Float32Array([2, 4, 6]);
  assertEquals((await first.run(one)).y.data, expected);
  await assertRejects(() => first.run(one), Error, "the worker died (");
  assertEquals((await second.run(one)).y.data, expected);
  await Promise.all([first.close(), second.close()]);
});

Deno.test("simd in a worker: one that cannot be started is an error", async () => {
  const backend = simdWorker({ worker: "data:application/javascript,throw new Error('no luck')" });
  await assertRejects(() => backend.createSession(doubling().graph), Error, "the worker died (");
});

Deno.test("simd in a worker: it lives while any session does, and no longer", async () => {
  const { Worker } = globalThis;
  const lives = { begun: 0, ended: 0 };
  globalThis.Worker = class extends Worker {
    constructor(module: string | URL, options?: WorkerOptions) {
      super(module, options);
      lives.begun++;
    }
    override terminate(): void {
      lives.ended++;
      super.terminate();
    }
  };
  try {
    const backend = simdWorker({ worker });
    const { graph } = doubling();
    const [first, second] = [
      await backend.createSession(graph),
      await backend.createSession(graph),
    ];
    await first.close();
    await first.close();
    assertEquals(lives, { begun: 1, ended: 0 }, "the second session is open");
    assertEquals((await second.run(one)).y.data, new Float32Array([2, 4, 6]));
    await second.close();
    assertEquals(lives, { begun: 1, ended: 1 }, "a worker would keep the program from ending");

    const third = await backend.createSession(graph);
    assertEquals((await third.run(one)).y.data, new Float32Array([2, 4, 6]));
    await third.close();
    assertEquals(lives, { begun: 2, ended: 2 });

    const unknown = powers(4, 1).graph;
    unknown.output("z", { ...unknown.outputs.get("y")!, node: { op: "none" } } as never);
    await assertRejects(() => backend.createSession(unknown));
    assertEquals(lives, { begun: 3, ended: 3 }, "nor does one in which nothing could be loaded");
  } finally {
    globalThis.Worker = Worker;
  }
});
