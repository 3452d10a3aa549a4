/** What the wasm and simd backends ask of their workers, told by workers that compute nothing. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Tensors } from "../src/backends/backend.ts";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { simd } from "../src/backends/simd/threads.ts";
import { doubling } from "./backend_models.ts";

const module = (text: string) => `data:application/javascript,${encodeURIComponent(text)}`;

/** Answers as onnxruntime's worker does; the outputs' names say what it was asked. */
const echo = module(`
  import { parentPort as port } from "node:worker_threads";
  const worker = Math.random();
  const asked = [];
  port.on("message", ({ id, kind, session, options, feeds }) => {
    asked.push(kind);
    if (kind === "create") {
      const outputNames = [JSON.stringify(options), String(session), String(worker)];
      return port.postMessage({ kind: "created", id, created: { inputNames: ["x"], outputNames } });
    }
    if (kind === "close") return port.postMessage({ kind: "closed", id });
    const [number] = new Float32Array(feeds.x.buffer);
    if (number < 0) {
      const fatal = number < -1;
      return port.postMessage({ kind: "failed", id, message: "no luck", fatal });
    }
    const buffer = new TextEncoder().encode(JSON.stringify({ worker, asked })).buffer;
    port.postMessage({ kind: "ran", id, results: { y: { type: "uint8", buffer, dims: [1] } } });
  });
  port.postMessage({ kind: "ready" });
`);

const model = Uint8Array.of(1, 2, 3);
const number = (x: number) => ({ x: { data: Float32Array.of(x), dims: [1] } });
const said = (results: Tensors): { worker: number; asked: string[] } =>
  JSON.parse(new TextDecoder().decode(results.y.data as Uint8Array));

Deno.test("wasm: a session's threads come before the backend's, those before the cores; 16 at most", async () => {
  const threadsOf = async (own?: number, session?: number) => {
    const backend = wasm({ workerUrl: echo, threads: own });
    const opened = await backend.createOnnxSession(model, { threads: session, spin: false });
    const options = JSON.parse(opened.outputNames[0]);
    assertEquals(options.spin, false);
    await opened.close();
    await backend.terminate();
    return options.threads;
  };
  assertEquals(await threadsOf(2, 3), 3);
  assertEquals(await threadsOf(2), 2);
  assertEquals(await threadsOf(), Math.min(16, navigator.hardwareConcurrency));
  assertEquals(await threadsOf(99), 16);
  assertEquals(await threadsOf(2, 99), 16);
});

Deno.test("wasm: sessions of equal threads share a worker, which is told of those that are closed", async () => {
  const backend = wasm({ workerUrl: echo, threads: 1 });
  const [a, b, other] = await Promise.all(
    [1, 1, 2].map((threads) => backend.createOnnxSession(model, { threads })),
  );
  const [first, second] = [said(await a.run(number(1))), said(await b.run(number(1)))];
  assertEquals(first.worker, second.worker);
  assert(said(await other.run(number(1))).worker !== first.worker);
  assertEquals(new Set([a, b, other].map(({ outputNames }) => outputNames[1])).size, 3);
  await a.close();
  await a.close();
  assertEquals(said(await b.run(number(1))).asked, [
    "create",
    "create",
    "run",
    "run",
    "close",
    "run",
  ]);
  await assertRejects(() => a.run(number(1)), Error, "the session is closed");
  await assertRejects(() => b.run({}), Error, "wasm: expected the inputs x, found none");
  await Promise.all([b.close(), other.close()]);
  await backend.terminate();
});

Deno.test("wasm: after a failure the worker goes on, after a fatal one the next run has a new one", async () => {
  const backend = wasm({ workerUrl: echo, threads: 1 });
  const session = await backend.createOnnxSession(model);
  const before = said(await session.run(number(1))).worker;
  await assertRejects(() => session.run(number(-1)), Error, "no luck");
  assertEquals(said(await session.run(number(1))).worker, before);
  await assertRejects(() => session.run(number(-2)), Error, "no luck");
  const after = said(await session.run(number(1)));
  assert(after.worker !== before);
  assertEquals(after.asked, ["create", "run"]);
  await session.close();
  await backend.terminate();
});

Deno.test("wasm: what a worker held is closed with it: nothing is left to tell it, or another one", async () => {
  const backend = wasm({ workerUrl: echo, threads: 1 });
  const [lost, other] = [
    await backend.createOnnxSession(model),
    await backend.createOnnxSession(model),
  ];
  await backend.terminate();
  await lost.close();
  const { asked } = said(await other.run(number(1)));
  assertEquals(asked, ["create", "run"]);
  await other.close();
  await backend.terminate();
});

Deno.test("wasm: what is loaded ahead is closed again; where nothing can be, the first session tells why", async () => {
  const backend = wasm({ workerUrl: echo, threads: 1 });
  backend.prepare!();
  const session = await backend.createOnnxSession(model);
  await session.run(number(1));
  const { asked } = said(await session.run(number(1)));
  assertEquals(asked.toSorted(), ["close", "create", "create", "run", "run"]);
  await session.close();
  await backend.terminate();

  const broken = wasm({ workerUrl: module("throw new Error('no luck')"), threads: 1 });
  broken.prepare!();
  await assertRejects(() => broken.createOnnxSession(model), Error, "no luck");
  await broken.terminate();
});

const one = { x: { data: Float32Array.of(1, 2, 3), dims: [1, 3] } };

/** Why a run on workers of this kind is lost. */
async function lost(workerUrl: string, threads?: number, session?: number): Promise<string> {
  const backend = simd({ workerUrl, threads });
  const run = backend.createSession(doubling().graph, undefined, { threads: session })
    .then((opened) => opened.run(one));
  const error = await assertRejects(() => run) as Error;
  await backend.terminate();
  return /the worker died \((.*)\); this run is lost/.exec(error.message)![1];
}

Deno.test("simd: as many threads as are asked for, one at least and 16 at most", async () => {
  const tells = module(`
    import { parentPort as port } from "node:worker_threads";
    port.on("message", ({ kind, threads }) => {
      if (kind === "start") port.postMessage({ kind: "failed", message: threads + " threads" });
    });
    port.postMessage({ kind: "ready" });
  `);
  assertEquals(await lost(tells, 3, 2), "2 threads");
  assertEquals(await lost(tells, 3), "3 threads");
  assertEquals(await lost(tells), `${Math.min(16, navigator.hardwareConcurrency)} threads`);
  assertEquals(await lost(tells, 0), "1 threads");
  assertEquals(await lost(tells, 17), "16 threads");
});

Deno.test("simd: a worker that ends by itself ends the run", async () => {
  const ends = module(`
    import { parentPort as port } from "node:worker_threads";
    port.on("message", () => process.exit(7));
    port.postMessage({ kind: "ready" });
  `);
  assertEquals(await lost(ends, 1), "it ended with code 7");
});
