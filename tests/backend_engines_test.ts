/** What engines are asked for and given back, told by engines that a test puts in their place. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import * as nativeOrt from "npm:onnxruntime-node@1.30.0";
import type { SessionOptions } from "../src/backends/backend.ts";
import { native } from "../src/backends/onnxruntime/native.ts";
import { blockedLowering } from "../src/backends/onnxruntime/native_blocks.ts";
import { createOrtSession, type OrtModule, wasmOptions } from "../src/backends/onnxruntime/ort.ts";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { wasmInline } from "../src/backends/onnxruntime/wasm_inline.ts";
import { simdWorker } from "../src/backends/simd/in_worker.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { simd } from "../src/backends/simd/threads.ts";
import { blocked } from "../src/onnx/lowerings/blocked/mod.ts";
import { blockProbe } from "../src/onnx/lowerings/blocked/probe.ts";
import { portable, wasm as wasmLowering, WASM_MAX_THREADS } from "../src/onnx/mod.ts";
import { doubling } from "./backend_models.ts";
import { temporaryFolder } from "./cli.ts";

const module = (text: string) => `data:application/javascript,${encodeURIComponent(text)}`;
const model = Uint8Array.of(1, 2, 3);
const number = (x: number) => ({ x: { data: Float32Array.of(x), dims: [1] } });

/** An onnxruntime that loads anything by `create`, and what it was told. */
function fakeOrt(create: () => Promise<unknown> | unknown = () => {}) {
  const wasm: Record<string, unknown> = {};
  const log: string[] = [];
  const session = {
    inputNames: ["x"],
    outputNames: [],
    run: async () => {
      log.push("run");
      await new Promise((resolve) => setTimeout(resolve, 0));
      log.push("ran");
      return {};
    },
    release: () => Promise.resolve(log.push("release")),
  };
  const ort = {
    env: { wasm },
    Tensor: class {},
    InferenceSession: {
      create: async () => {
        log.push("create");
        await create();
        return session;
      },
    },
  };
  return { ort: ort as unknown as OrtModule, wasm, log };
}

Deno.test("engines go by their names, wherever they run, and have graphs written as they like them", () => {
  const simds = [simd(), simdInline(), simdWorker({ worker: "data:," })];
  assertEquals(simds.map(({ name }) => name), ["simd", "simd", "simd"]);
  const [threads, inline, cpu] = [wasm(), wasmInline(fakeOrt().ort), native()];
  assertEquals([threads.name, inline.name, cpu.name], ["wasm", "wasm", "native"]);
  assert(threads.lowering === wasmLowering && inline.lowering === wasmLowering);
  assert(cpu.lowering === portable);
});

Deno.test("a model that onnxruntime does not load is refused with its size and why, and prints nothing", async () => {
  const cause = new Error("[ONNXRuntimeError] ERROR_MESSAGE: no such operator");
  const { ort } = fakeOrt(() => Promise.reject(cause));
  const error = await assertRejects(
    () => createOrtSession(ort, "mine", model, wasmOptions),
    Error,
    "mine: cannot load the model (3 bytes): no such operator",
  ) as Error;
  assertEquals([error.cause, ort.env.logLevel], [cause, "fatal"]);
  const { graphOptimizationLevel, logSeverityLevel, enableMemPattern, enableCpuMemArena } =
    wasmOptions;
  assertEquals(graphOptimizationLevel, "disabled", "graphs are written in the form it would reach");
  assertEquals([logSeverityLevel, enableMemPattern, enableCpuMemArena], [4, true, true]);
});

Deno.test("wasm inline: as many threads as are asked for, one otherwise, told before the first session alone", async () => {
  const threadsOf = async (threads?: number) => {
    const { ort, wasm } = fakeOrt();
    const backend = wasmInline(ort, { threads });
    await backend.createOnnxSession(model);
    const told = wasm.numThreads;
    wasm.numThreads = "untouched";
    await backend.createOnnxSession(model);
    assertEquals(wasm.numThreads, "untouched");
    return told;
  };
  assertEquals(await threadsOf(), 1);
  assertEquals(await threadsOf(3), 3);
  assertEquals(await threadsOf(WASM_MAX_THREADS + 1), WASM_MAX_THREADS);
  const bytes = Uint8Array.of(1);
  const { ort, wasm } = fakeOrt();
  await wasmInline(ort, { wasmBinary: bytes }).createOnnxSession(model);
  assertEquals(wasm.wasmBinary, bytes);
  const plain = fakeOrt();
  await wasmInline(plain.ort).createOnnxSession(model);
  assertEquals("wasmBinary" in plain.wasm, false);
});

Deno.test("wasm inline: the module answers onnxruntime's own bytes, once; nothing else is touched", async () => {
  const { instantiate } = WebAssembly;
  const empty = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
  // One that exports a memory, so that it is told from the empty one.
  const wasmModule = new WebAssembly.Module(
    Uint8Array.of(...empty, 5, 3, 1, 0, 1, 7, 5, 1, 1, 109, 2, 0),
  );
  const exportsOf = async (bytes: Uint8Array) =>
    Object.keys((await WebAssembly.instantiate(bytes as BufferSource, {})).instance.exports);
  let fail = true;
  const seen: string[][] = [];
  const { ort, wasm } = fakeOrt(async () => {
    if (fail) throw new Error("not yet");
    const longer = Uint8Array.of(...empty, 0, 2, 1, 97);
    seen.push(await exportsOf(longer));
    seen.push(await exportsOf(wasm.wasmBinary as Uint8Array));
    assertEquals(WebAssembly.instantiate, instantiate, "it is back as soon as it was asked");
    seen.push(await exportsOf(empty));
  });
  const backend = wasmInline(ort, { wasmModule });
  await assertRejects(() => backend.createOnnxSession(model), Error, "not yet");
  assertEquals(WebAssembly.instantiate, instantiate, "and after a failure");
  fail = false;
  await backend.createOnnxSession(model);
  assertEquals(seen, [[], ["m"], []]);
  assertEquals(WebAssembly.instantiate, instantiate);
});

Deno.test("wasm inline: sessions load, run and end one after another", async () => {
  const { ort, log } = fakeOrt();
  const backend = wasmInline(ort);
  const [a, b] = await Promise.all([
    backend.createOnnxSession(model),
    backend.createOnnxSession(model),
  ]);
  log.length = 0;
  const loading = backend.createOnnxSession(model);
  await Promise.all([a.run(number(1)), b.run(number(2)), loading, a.close()]);
  assertEquals(log.length, 6);
  assertEquals(log.filter((_, i) => log[i - 1] === "run"), ["ran", "ran"], `${log}`);
});

Deno.test("native: a session's threads or every core's, which poll unless they are told to sleep", async () => {
  const { InferenceSession } = nativeOrt;
  const { create } = InferenceSession;
  const seen: Record<string, unknown>[] = [];
  InferenceSession.create = ((_model: Uint8Array, options: Record<string, unknown>) => {
    seen.push(options);
    return Promise.resolve({ inputNames: [], outputNames: [], release: () => Promise.resolve() });
  }) as unknown as typeof create;
  try {
    const of = async (options?: SessionOptions) => {
      await native().createOnnxSession(model, options);
      const told = seen.at(-1)!;
      assertEquals([told.executionProviders, told.interOpNumThreads], [["cpu"], 1]);
      assertEquals(told.logSeverityLevel, 4, "it prints nothing of its own");
      const { enableCpuMemArena, enableMemPattern, graphOptimizationLevel } = told;
      assertEquals([enableCpuMemArena, enableMemPattern], [true, true], "memory is used again");
      assertEquals(graphOptimizationLevel, "all");
      const { session } = told.extra as { session: { intra_op: { allow_spinning: string } } };
      return [told.intraOpNumThreads, session.intra_op.allow_spinning];
    };
    const cores = navigator.hardwareConcurrency;
    assertEquals(await of(), [cores, "1"]);
    assertEquals(await of({ threads: 3 }), [3, "1"]);
    assertEquals(await of({ threads: 1, spin: false }), [1, "0"]);
    assertEquals(await of({ spin: true }), [cores, "1"]);
  } finally {
    InferenceSession.create = create;
  }
});

/** The wasm backend's worker over an onnxruntime that computes nothing: each run fails as it is told to. */
const brittle = module(`
  import * as ort from "npm:onnxruntime-web@1.30.0";
  const worker = Math.random();
  // How many jobs there were at once, and the pages of a memory that may be shared.
  let busy = 0, most = 0, jobs = 0;
  const job = async () => {
    most = Math.max(most, ++busy);
    // The first few last long enough for the next requests to come.
    for (let turns = jobs++ < 4 ? 30 : 1; turns > 0; turns--) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    busy--;
  };
  const failures = [
    () => new Error("no luck"),
    () => 12345,
    () => new WebAssembly.RuntimeError("unreachable"),
    () => new Error("Aborted(OOM)"),
    () => new Error("previous call to 'initWasm()' failed"),
  ];
  ort.InferenceSession.create = (model, options) => job().then(() => ({
    inputNames: ["x"],
    outputNames: ["y"],
    run: async ({ x }) => {
      await job();
      const fail = failures[x.data[0]];
      if (fail) throw fail();
      const memory = new WebAssembly.Memory({ initial: 1, maximum: 9, shared: true });
      const pages = memory.buffer.byteLength / 65536;
      const unoptimised = options.graphOptimizationLevel === "disabled";
      const said = [worker, ort.env.wasm.numThreads, unoptimised, most, pages];
      return { y: new ort.Tensor("float32", said, [5]) };
    },
    release: () => Promise.reject(new Error("it was released")),
  }));
  await import(${
  JSON.stringify(import.meta.resolve("../src/backends/onnxruntime/wasm_worker.ts"))
});
`);

Deno.test("wasm: what leaves onnxruntime in an unknown state ends the worker, other failures do not", async () => {
  const backend = wasm({ workerUrl: brittle, threads: 3 });
  const session = await backend.createOnnxSession(model);
  const said = async () => [...(await session.run(number(-1))).y.data as Float32Array];
  await Promise.all([said(), said(), backend.createOnnxSession(model)]);
  const [first, threads, unoptimised, jobs, pages] = await said();
  assertEquals([threads, unoptimised], [3, 1]);
  assertEquals([jobs, pages], [1, 8], "one at a time; memory that does not grow under threads");
  let worker = first;
  const kinds: [kind: number, says: string, fatal: boolean][] = [
    [0, "wasm: the run failed: no luck", false],
    [1, "wasm: the run failed: WebAssembly threw 12345 (usually out of memory)", true],
    [2, "wasm: the run failed: unreachable", true],
    [3, "wasm: the run failed: Aborted(OOM)", true],
    [4, "wasm: the run failed: previous call to 'initWasm()' failed", true],
  ];
  for (const [kind, says, fatal] of kinds) {
    await assertRejects(() => session.run(number(kind)), Error, says);
    const [next] = await said();
    assertEquals(next !== worker, fatal, says);
    worker = next;
  }
  await assertRejects(() => session.close(), Error, "it was released");
  await backend.terminate();
});

/** What workers leave in a file when they start. */
const leaving = (path: string, rest: string) =>
  module(`
    Deno.writeTextFileSync(${JSON.stringify(path)}, "x", { append: true });
    await import(${JSON.stringify(import.meta.resolve(rest))});
  `);

Deno.test("simd: what was started ahead serves the first session, and is started again once it was let go", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/started`;
  const backend = simd({ workerUrl: leaving(file, "../src/backends/simd/worker.ts"), threads: 1 });
  const started = () => Deno.readTextFileSync(file).length;
  const runOnce = async () => {
    const session = await backend.createSession(doubling().graph);
    const x = { data: Float32Array.of(1, 2, 3), dims: [1, 3] };
    assertEquals((await session.run({ x })).y.data, Float32Array.of(2, 4, 6));
    return session;
  };
  backend.prepare!();
  const session = await runOnce();
  assertEquals(started(), 1);
  backend.release!();
  const second = await runOnce();
  assertEquals(started(), 1, "a session is open");
  await Promise.all([session.close(), second.close()]);
  backend.prepare!();
  for (let i = 0; started() < 2; i++) {
    assert(i < 4000, "nothing was started");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  backend.release!();
  await (await runOnce()).close();
  assertEquals(started(), 3);
  await backend.terminate();
});

for (
  const [name, open] of [
    ["simd", (workerUrl: string) => simd({ workerUrl, threads: 2 })],
    ["wasm", (workerUrl: string) => wasm({ workerUrl, threads: 2 })],
  ] as const
) {
  Deno.test(`${name}: an engine starts ahead of its sessions when it is told to, with their threads`, async () => {
    const channel = new BroadcastChannel(`started ahead: ${name}`);
    const workerUrl = module(`
      import { parentPort as port } from "node:worker_threads";
      const channel = new BroadcastChannel(${JSON.stringify(channel.name)});
      port.on("message", ({ threads, options }) =>
        channel.postMessage(threads ?? options.threads));
      port.postMessage({ kind: "ready" });
    `);
    const backend = open(workerUrl);
    try {
      for (const [options, threads] of [[undefined, 2], [{ threads: 3 }, 3]] as const) {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        channel.onmessage = ({ data }) => data === threads && resolve();
        // It comes at once, or never.
        const never = setTimeout(() => reject(new Error(`no ${threads} were started`)), 20_000);
        backend.prepare!(options);
        await promise.finally(() => clearTimeout(never));
      }
    } finally {
      channel.close();
      await (backend as { terminate(): Promise<void> }).terminate();
    }
  });
}

Deno.test("native: training is written in the processor's blocks where they are of a known size, plainly elsewhere", async () => {
  const of = async (reorder: (x: Float32Array) => Float32Array) => {
    let released = 0;
    const session = {
      run: ({ x }: { x: { type: string; data: Float32Array; dims: number[] } }) => {
        assertEquals([x.type, x.dims], ["float32", [1, 16, 1, 2]]);
        assertEquals([...x.data], Array.from({ length: 32 }, (_, i) => i));
        return Promise.resolve({ y: { data: reorder(x.data) } });
      },
      release: () => Promise.resolve(released++),
    };
    const Tensor = class {
      constructor(readonly type: string, readonly data: Float32Array, readonly dims: number[]) {}
    };
    const create = (model: Uint8Array, told: Record<string, unknown>) => {
      assertEquals(model, blockProbe().model);
      assertEquals([told.executionProviders, told.intraOpNumThreads], [["cpu"], 1]);
      return Promise.resolve(session);
    };
    const ort = { Tensor, InferenceSession: { create } };
    const lowering = await blockedLowering(ort as unknown as OrtModule);
    return [lowering?.name, released];
  };
  /** Sixteen channels of two pixels, in blocks of so many channels. */
  const blocks = (size: number) => (x: Float32Array) =>
    x.map((_, i) => {
      const [block, pixel] = [Math.floor(i / (2 * size)), Math.floor(i / size) % 2];
      return x[2 * (block * size + i % size) + pixel];
    });
  assertEquals(await of(blocks(8)), [blocked(8).name, 1]);
  assertEquals(await of(blocks(16)), [blocked(16).name, 1]);
  for (const size of [1, 2, 4]) assertEquals(await of(blocks(size)), [undefined, 1]);
  const fails = () => {
    throw new Error("no such operator");
  };
  assertEquals((await of(fails))[0], undefined);
  const none = { InferenceSession: { create: () => Promise.reject(new Error("unknown domain")) } };
  assertEquals(await blockedLowering(none as unknown as OrtModule), undefined);
});
