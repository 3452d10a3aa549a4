/** What engines share: the choice among them, queues, checked feeds, messages and reasons. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as gpuOrt from "npm:onnxruntime-web@1.30.0/jspi";
import { firstThatCan } from "../src/backends/auto.ts";
import type { Backend, OnnxBackend, Session, Tensors } from "../src/backends/backend.ts";
import { checkFeeds } from "../src/backends/feeds.ts";
import {
  type OrtSession,
  QueuedOrtSession,
  reasonOf,
  runOrt,
} from "../src/backends/onnxruntime/ort.ts";
import { ortBackend } from "../src/backends/onnxruntime/onnx.ts";
import {
  buffersOf,
  packCopies,
  packOwn,
  unpack,
} from "../src/backends/onnxruntime/worker_protocol.ts";
import { webgpu } from "../src/backends/onnxruntime/webgpu.ts";
import { RunQueue } from "../src/backends/queue.ts";
import { backendByName } from "../src/backends/select.ts";
import { emit, portable, winograd } from "../src/onnx/mod.ts";
import { extendLowering } from "../src/onnx/lowering.ts";
import { Graph, neg } from "../src/graph/mod.ts";
import { doubling } from "./backend_models.ts";

const session = (about: string): Session => ({
  inputNames: [about],
  outputNames: [],
  run: () => Promise.resolve({}),
  close: () => Promise.resolve(),
});

/** An engine that tells what it was asked. */
function told(name: string, asked: unknown[], works = true): OnnxBackend {
  const answer = (what: string) => (...of: unknown[]) => {
    asked.push([name, what, ...of]);
    return works ? Promise.resolve(session(name)) : Promise.reject(new Error(`${name}: no`));
  };
  return {
    name,
    createSession: answer("session"),
    createOnnxSession: answer("onnx"),
    prepare: (options) => void asked.push([name, "prepare", options]),
    release: () => void asked.push([name, "release"]),
  };
}
const give = (backend: Backend) => () => Promise.resolve(backend);

Deno.test("auto: graph, weights, options and signals reach the engine that is used, as they are", async () => {
  const asked: unknown[] = [];
  const backend = await firstThatCan([give(told("a", asked)), give(told("b", asked))]);
  const { graph, weights } = doubling();
  const options = { threads: 3 };
  await backend.createSession(graph, weights, options);
  const model = Uint8Array.of(1);
  await backend.createOnnxSession(model, options);
  backend.prepare!(options);
  backend.release!();
  assertEquals(asked, [
    ["a", "session", graph, weights, options],
    ["a", "onnx", model, options],
    ["a", "prepare", options],
    ["a", "release"],
  ]);
});

Deno.test("auto: of several failures the first is told, and the name is that of who loaded last", async () => {
  const asked: unknown[] = [], notices: string[] = [];
  const order = [
    give(told("a", asked, false)),
    give(told("b", asked, false)),
    give(told("c", asked)),
  ];
  const backend = await firstThatCan(order, (notice) => notices.push(notice));
  assertEquals(backend.name, "a");
  await backend.createSession(new Graph());
  assertEquals([backend.name, notices], ["c", ["a: no; using c instead"]]);
  await backend.createSession(new Graph());
  assertEquals([asked.length, notices.length], [4, 1]);
  const none = await firstThatCan([give(told("a", [], false)), give(told("b", [], false))]);
  await assertRejects(() => none.createOnnxSession(new Uint8Array()), Error, "a: no");
  const { createOnnxSession: _, ...plain } = told("plain", asked);
  const words: string[] = [];
  const mixed = await firstThatCan(
    [give(plain), give(told("d", asked))],
    (word) => words.push(word),
  );
  await mixed.createOnnxSession(new Uint8Array());
  assertEquals([mixed.name, words], ["d", []], "what takes no ONNX has not failed");
});

Deno.test("auto: WebGPU goes first where an adapter is hardware by all that it says of itself", async () => {
  const before = Object.getOwnPropertyDescriptor(navigator, "gpu");
  const first = async (requestAdapter?: () => Promise<unknown>) => {
    const value = requestAdapter && { requestAdapter };
    Object.defineProperty(navigator, "gpu", { configurable: true, value });
    return (await backendByName("auto")).name;
  };
  const info = { vendor: "nvidia", architecture: "hopper", device: "", description: "" };
  const adapter = (more: object) => () => Promise.resolve({ info: { ...info, ...more } });
  try {
    assertEquals(await first(adapter({})), "webgpu");
    assertEquals(await first(adapter({ isFallbackAdapter: false })), "webgpu");
    const software = [
      "llvmpipe (LLVM 15)",
      "lavapipe",
      "SwiftShader Device",
      "Microsoft Basic Render",
    ];
    for (const description of [...software, "WARP", "a software adapter"]) {
      assertEquals(await first(adapter({ description })), "simd", description);
      for (const field of ["vendor", "architecture", "device"]) {
        assertEquals(await first(adapter({ [field]: description })), "simd", description);
      }
    }
    assertEquals(await first(adapter({ isFallbackAdapter: true })), "simd");
    assertEquals(await first(() => Promise.resolve(null)), "simd");
    assertEquals(await first(() => Promise.resolve({})), "simd");
    assertEquals(await first(() => Promise.reject(new Error("lost"))), "simd");
    assertEquals(await first(undefined), "simd");

    // The adapter is lost between the choice and the first session.
    let asked = 0;
    const requestAdapter = () => Promise.resolve(asked++ === 0 ? { info } : null);
    Object.defineProperty(navigator, "gpu", { configurable: true, value: { requestAdapter } });
    const notices: string[] = [];
    const backend = await backendByName("auto", { onNotice: (notice) => notices.push(notice) });
    const { graph, weights } = doubling();
    await (await backend.createSession(graph, weights, { threads: 1 })).close();
    assertEquals([backend.name, notices.length], ["simd", 1]);
    assertEquals(
      /^webgpu: no GPU adapter .*; using simd instead$/.test(notices[0]),
      true,
      notices[0],
    );
  } finally {
    if (before) Object.defineProperty(navigator, "gpu", before);
    else delete (navigator as { gpu?: unknown }).gpu;
  }
});

Deno.test("auto: whoever asked is told which engine stands in for which", async () => {
  const notices: string[] = [];
  const before = Object.getOwnPropertyDescriptor(navigator, "gpu");
  Object.defineProperty(navigator, "gpu", { configurable: true, value: undefined });
  try {
    const backend = await backendByName("auto", { onNotice: (notice) => notices.push(notice) });
    const graph = new Graph();
    const x = graph.input("x", [2], "int32");
    graph.output("y", graph.add("neg", [x], [2], {}, "int32"));
    await (await backend.createSession(graph)).close();
    assertEquals(notices, [
      'simd: cannot load the graph: it has no kernel for "neg" of int32; using wasm instead',
    ]);
    await (backend as unknown as { terminate?(): Promise<void> }).terminate?.();
  } finally {
    if (before) Object.defineProperty(navigator, "gpu", before);
    else delete (navigator as { gpu?: unknown }).gpu;
  }
});

Deno.test("a queue starts each job when the one before has ended, however, and none once it is closed", async () => {
  const queue = new RunQueue();
  const log: string[] = [];
  const gates = [0, 1, 2].map(() => Promise.withResolvers<void>());
  const jobs = gates.map(({ promise }, i) =>
    queue.add(async () => {
      log.push(`start ${i}`);
      await promise;
      log.push(`end ${i}`);
      return i;
    })
  );
  const settled = Promise.allSettled(jobs);
  gates[1].resolve();
  assertEquals(log, ["start 0"]);
  gates[0].reject(new Error("job 0 failed"));
  await assertRejects(() => jobs[0], Error, "job 0 failed");
  assertEquals(await jobs[1], 1);
  await Promise.resolve();
  assertEquals(log, ["start 0", "start 1", "end 1", "start 2"]);
  const waits = queue.add(() => Promise.resolve(log.push("never")));
  const refused = assertRejects(() => waits, Error, "closed for good");
  let closed = false;
  const closing = queue.close("closed for good").then(() => void (closed = true));
  await refused;
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(closed, false, "the running job has not ended");
  gates[2].resolve();
  await closing;
  assertEquals((await settled).map(({ status }) => status), ["rejected", "fulfilled", "fulfilled"]);
  await assertRejects(() => queue.add(() => Promise.resolve(1)), Error, "closed for good");
  await queue.close("again");
  await assertRejects(() => queue.add(() => Promise.resolve(1)), Error, "closed for good");
  assertEquals(log.at(-1), "end 2");
});

Deno.test("feeds are what the graph asks for, by name and by size", () => {
  const one = { data: Float32Array.of(1, 2), dims: [1, 2] };
  checkFeeds("mine", ["x"], { x: one });
  checkFeeds("mine", [], {});
  checkFeeds("mine", ["x"], { x: { data: new Float32Array(), dims: [0, 7] } });
  const wrong: [Parameters<typeof checkFeeds>[2], string][] = [
    [{}, "mine: expected the inputs x, found none"],
    [{ x: one, y: one }, "mine: expected the inputs x, found x, y"],
    [{ y: one }, "mine: expected the inputs x, found y"],
    [{ x: { ...one, dims: [3] } }, 'mine: input "x" has 2 elements, its shape [3] needs 3'],
    [{ x: { ...one, dims: [] } }, 'mine: input "x" has 2 elements, its shape [] needs 1'],
  ];
  for (const [feeds, says] of wrong) {
    assertThrows(() => checkFeeds("mine", ["x"], feeds), Error, says);
  }
});

Deno.test("tensors reach a worker and come back: copies of the caller's, its own without one", () => {
  const buffer = new ArrayBuffer(64);
  const tensors = {
    f: { data: new Float32Array(buffer, 8, 2).fill(1.5), dims: [2] },
    i: { data: Int32Array.of(-1), dims: [1] },
    l: { data: BigInt64Array.of(2n ** 40n), dims: [1, 1] },
    b: { data: Uint8Array.of(0, 255), dims: [2] },
  };
  const sent = packCopies(tensors);
  assertEquals(Object.values(sent).map(({ type }) => type), ["float32", "int32", "int64", "uint8"]);
  assertEquals(unpack(structuredClone(sent, { transfer: buffersOf(sent) })), tensors);
  assertEquals([buffer.byteLength, tensors.i.data.length], [64, 1], "the caller keeps its own");

  const own = { data: Float32Array.of(1, 2), dims: [2] };
  const [whole, part] = [packOwn({ own }), packOwn({ f: tensors.f })];
  assertEquals(whole.own.buffer, own.data.buffer);
  assertEquals(whole.own.buffer === own.data.buffer, true, "not copied");
  assertEquals([part.f.buffer.byteLength, unpack(part)], [8, { f: tensors.f }]);
  const twice = packOwn({ a: own, b: own });
  assertEquals(buffersOf(twice).length, 1);
});

Deno.test("why onnxruntime failed is told without its codes and places", () => {
  const reasons: [unknown, string][] = [
    [new Error("plain"), "plain"],
    ["text", "text"],
    [12345, "WebAssembly threw 12345 (usually out of memory)"],
    [
      new Error('[ONNXRuntimeError] ERROR_CODE: 2, ERROR_MESSAGE: "Load model failed"'),
      "Load model failed",
    ],
    [new Error("x ERROR_MESSAGE: Error: of two lines\nsecond"), "of two lines\nsecond"],
    [
      new Error(
        "/onnxruntime/core/graph/model.cc:149 onnxruntime::Model::Model(int) Unknown version 99",
      ),
      "Unknown version 99",
    ],
  ];
  for (const [cause, reason] of reasons) assertEquals(reasonOf(cause), reason);
});

Deno.test("a session of onnxruntime is released once, after its run, and refuses what does not fit", async () => {
  const log: string[] = [], severities: unknown[] = [];
  const gate = Promise.withResolvers<void>();
  const ort = { Tensor: class {} } as never;
  const inner = {
    inputNames: ["x"],
    outputNames: ["y"],
    run: async (_feeds: object, options: { logSeverityLevel: number }) => {
      log.push("run");
      severities.push(options.logSeverityLevel);
      await gate.promise;
      return {};
    },
    release: () => Promise.resolve(log.push("release")),
  } as unknown as OrtSession;
  const exclusive: string[] = [];
  const opened = new QueuedOrtSession(ort, "mine", inner, (job) => (exclusive.push("job"), job()));
  await assertRejects(() => opened.run({}), Error, "mine: expected the inputs x, found none");
  const x = { data: Float32Array.of(1), dims: [1] };
  const running = opened.run({ x });
  const closing = [opened.close(), opened.close()];
  await assertRejects(() => opened.run({ x }), Error, "mine: the session is closed");
  assertEquals(log, ["run"]);
  gate.resolve();
  await Promise.all([running, ...closing, opened.close()]);
  assertEquals([log, exclusive.length], [["run", "release"], 3]);
  assertEquals(severities, [4], "a run prints nothing of its own");
});

Deno.test("onnxruntime's tensors are of our types, going in and coming out", async () => {
  const made: unknown[][] = [];
  const ort = {
    Tensor: class {
      constructor(...given: unknown[]) {
        made.push(given);
      }
    },
  } as never;
  const giving = (y: unknown) => ({ run: () => Promise.resolve({ y }) }) as unknown as OrtSession;
  const run = (y: unknown, feeds: Tensors = {}) => runOrt(ort, "mine", giving(y), feeds);
  const arrays = {
    float32: Float32Array.of(1, 2),
    int32: Int32Array.of(1, 2),
    int64: BigInt64Array.of(1n, 2n),
    uint8: Uint8Array.of(1, 2),
  };
  for (const [type, data] of Object.entries(arrays)) {
    const tensor = { data, dims: [2, 1] };
    assertEquals(await run({ ...tensor, type }, { x: tensor }), { y: tensor });
    assertEquals(made.at(-1), [type, data, [2, 1]]);
  }
  for (const [type, data] of [["string", ["a"]], ["float64", Float64Array.of(1)]] as const) {
    const says =
      `mine: the run failed: output "y" is ${type}; float32, int32, int64, uint8 and bool are read`;
    await assertRejects(() => run({ data, dims: [1], type }), Error, says);
  }
});

Deno.test("webgpu: on one thread, without memory patterns; one call at a time, whichever session's", async () => {
  const before = Object.getOwnPropertyDescriptor(navigator, "gpu");
  const { InferenceSession, env } = gpuOrt;
  const { create } = InferenceSession, { numThreads } = env.wasm;
  const told: Record<string, unknown>[] = [], log: string[] = [];
  const call = async (what: string) => {
    log.push(what);
    await new Promise((resolve) => setTimeout(resolve, 0));
    log.push("over");
  };
  const requestAdapter = () => Promise.resolve({});
  Object.defineProperty(navigator, "gpu", { configurable: true, value: { requestAdapter } });
  InferenceSession.create = (async (_: Uint8Array, options: Record<string, unknown>) => {
    told.push({ ...options, threads: env.wasm.numThreads });
    await call("create");
    const run = async () => (await call("run"), {});
    return { inputNames: [], outputNames: [], run, release: () => call("release") };
  }) as unknown as typeof create;
  try {
    const model = Uint8Array.of(1);
    const open = () => webgpu().createOnnxSession(model);
    const [a, b] = await Promise.all([open(), open()]);
    await Promise.all([a.run({}), b.run({}), a.close(), open(), b.close()]);
  } finally {
    InferenceSession.create = create;
    env.wasm.numThreads = numThreads;
    if (before) Object.defineProperty(navigator, "gpu", before);
    else delete (navigator as { gpu?: unknown }).gpu;
  }
  assertEquals(log.toSorted(), [
    ...["create", "create", "create", ...Array(7).fill("over")],
    ...["release", "release", "run", "run"],
  ]);
  assertEquals(log.filter((_, i) => i % 2 === 1), Array(7).fill("over"));
  for (const { threads, executionProviders, enableMemPattern, enableCpuMemArena } of told) {
    assertEquals([threads, executionProviders], [1, ["webgpu"]]);
    assertEquals([enableMemPattern, enableCpuMemArena], [false, true]);
  }
});

Deno.test("graphs are written by an engine's lowering, those that are trained by that for training", async () => {
  const models: Uint8Array[] = [], options: unknown[] = [];
  const training = extendLowering(portable, "training", {
    neg: (e, _, [x]) => e.op("Mul", [x, e.scalar(-1)]),
  });
  const make = (trainingLowering?: typeof training) =>
    ortBackend({
      name: "mine",
      lowering: winograd,
      trainingLowering,
      createOnnxSession: (model: Uint8Array, of?: object) => {
        models.push(model);
        options.push(of);
        return Promise.resolve(session("x"));
      },
    });
  const graph = new Graph();
  const flat = graph.input("theta", [3]);
  graph.output("y", neg(graph.param("w", [3])));
  const weights = new Map([["w", Float32Array.of(1, 2, 3)]]);
  const fed = { input: flat, order: ["w"] };
  const threads = { threads: 2 };
  await make(training).createSession(graph, weights, threads);
  await make(training).createSession(graph, fed, threads);
  await make().createSession(graph, fed);
  assertEquals(models, [
    emit(graph, { lowering: winograd, weights }),
    emit(graph, { lowering: training, flatParams: fed }),
    emit(graph, { lowering: winograd, flatParams: fed }),
  ]);
  assertEquals(options, [threads, threads, undefined]);
});
