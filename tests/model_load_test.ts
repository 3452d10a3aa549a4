/** `load`: what it asks of the engine and of downloads, and what it leaves behind where it fails. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { load, type LoadOptions } from "../src/model/load.ts";
import type { Backend, OnnxBackend, Session } from "../src/backends/backend.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { InputError } from "../src/errors.ts";
import { type Model, openModel } from "../src/model/model.ts";
import { openWeights, readWeights } from "../src/model/open.ts";
import { openOnnx, readOnnx } from "../src/model/onnx/mod.ts";
import { type Files, filesAt, filesOf } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { temporaryFolder } from "./cli.ts";
import { onnxFiles, tinyOnnx } from "./onnx_fixtures.ts";
import { hub, hubFiles, serve, withEnvironment } from "./hub.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);

/** An engine that tells what it is asked; its sessions are real unless they are to fail. */
function told(fails = false) {
  const log: unknown[] = [];
  const backend: Backend = {
    name: "mine",
    createSession(graph, weights, options) {
      log.push(["session", options]);
      if (fails) return Promise.reject(new Error("no room"));
      return simdInline().createSession(graph, weights);
    },
    prepare: (options) => void log.push(["prepare", options]),
    release: () => void log.push(["release"]),
  };
  return { log, backend };
}

Deno.test("an engine is started while weights are read, and both it and its session get what sessions get", async () => {
  const { log, backend } = told();
  const options: LoadOptions = { threads: 3, spin: false, refresh: true, maxBytes: 1e9, backend };
  await using model = await load(golden, { ...options, onProgress() {}, onNotice() {} });
  assertEquals(model.backend, "mine");
  const session = { threads: 3, spin: false };
  assertEquals(log, [["prepare", session], ["session", session]]);
});

Deno.test("sessions of every kind get what sessions get: the network's, its gradients', an ONNX graph's", async () => {
  const session = { threads: 3, spin: false };
  const { log, backend } = told();
  await using model = await load(golden, { ...session, backend });
  const x = new Float32Array(model.shape.reduce((a, b) => a * b));
  const t = Float32Array.of(5), label = Int32Array.of(0);
  await assertRejects(() => model.vjp!(x, t, x, label), InputError, "gradients of the network");
  assertEquals(log, [["prepare", session], ["session", session], ["session", session]]);

  const asked: unknown[] = [];
  const onnx: OnnxBackend = {
    name: "onnx",
    createSession: () => Promise.reject(new Error("takes ONNX")),
    createOnnxSession(_model, options) {
      asked.push(options);
      return Promise.reject(new Error("no\n  room"));
    },
  };
  const from = () => load(onnxFiles(tinyOnnx()), { ...session, backend: onnx });
  await assertRejects(from, InputError, "memory/net.onnx: no room");
  assertEquals(asked, [session]);
});

Deno.test("an ONNX graph of twice the channels learned its variance", async () => {
  const file = await readOnnx(onnxFiles(tinyOnnx()));
  const of = async (channels: number) => {
    const y = { data: new Float32Array(16 * channels), dims: [1, channels, 4, 4] };
    const session: Session = {
      inputNames: [],
      outputNames: [],
      run: () => Promise.resolve({ [file.ports.output.name]: y }),
      close: () => Promise.resolve(),
    };
    const backend: OnnxBackend = {
      name: "onnx",
      createSession: () => Promise.reject(new Error("takes ONNX")),
      createOnnxSession: () => Promise.resolve(session),
    };
    const { outChannels, scheduler } = await openOnnx(file, backend);
    return [outChannels, scheduler.variance_type];
  };
  assertEquals(await of(1), [1, "fixed_small"]);
  assertEquals(await of(2), [2, "learned_range"]);
});

Deno.test("what weights say of themselves is the model's, of a folder and of an ONNX file alike", async () => {
  const card = {
    labels: ["a", "b"],
    null_label: 2,
    recommended: { scheduler: "ddim", steps: 4, guidance: 1 },
    distilled: { teacher: "mine", guidance: 2, steps: 4 },
  };
  const said = ({ labels, nullLabel, recommended, distilled, source, hash, backend }: Model) => ({
    ...{ labels, nullLabel, recommended, distilled, source, hash, backend },
  });
  const answer = { data: new Float32Array(16), dims: [1, 1, 4, 4] };
  let closed = 0;
  const session: Session = {
    inputNames: [],
    outputNames: [],
    run: () => Promise.resolve({ out_sample: answer }),
    async close() {
      await new Promise((done) => setTimeout(done));
      closed++;
    },
  };
  const engine: OnnxBackend = {
    name: "mine",
    createSession: () => Promise.resolve(session),
    createOnnxSession: () => Promise.resolve(session),
  };
  const file = await readOnnx(onnxFiles(tinyOnnx()));
  const folder = await readFolder(filesAt(golden));
  for (const [of, indices] of [[card, undefined], [{}, [3, 11]]] as const) {
    const { labels, null_label: nullLabel, recommended, distilled } = of as Partial<typeof card>;
    const expected = { nullLabel, recommended, distilled, backend: "mine" };
    await using model = await openModel({ ...folder, card: of }, engine);
    await using onnx = await openOnnx({ ...file, card: of }, engine);
    [onnx, model].forEach((found, i) => {
      const { where: source, hash } = [file, folder][i];
      const names = labels ?? Array.from(Array(indices![i]).keys(), String);
      assertEquals(said(found), { ...expected, source, hash, labels: names });
    });
  }
  assertEquals(closed, 4, "who declares them with `using` waits for their end");
});

Deno.test("gradients read the weights anew, so that those of a folder are not kept for them", async () => {
  const files = filesAt(golden);
  const read: string[] = [];
  const counted: Files = {
    ...files,
    read: ((path: string, optional?: boolean) => {
      if (path.endsWith(".safetensors")) read.push(path);
      return files.read(path, optional as true);
    }) as Files["read"],
  };
  const { log, backend } = told();
  await using model = await load(counted, { backend });
  const once = read.length;
  const x = new Float32Array(model.shape.reduce((a, b) => a * b));
  const vjp = () => model.vjp!(x, Float32Array.of(5), x, Int32Array.of(0));
  const says = `gradients of the network do not run on mine (`;
  for (const reads of [2, 2]) {
    const { message } = await assertRejects(vjp, InputError, says) as Error;
    assert(message.startsWith(model.source) && message.endsWith("); native and wasm have them"));
    assertEquals([read.length, log.length], [reads * once, 3], "asked for once");
  }
  const kept = told();
  await using held = await openWeights(await readWeights(files), kept.backend);
  await assertRejects(
    () => held.vjp!(x, Float32Array.of(5), x, Int32Array.of(0)),
    InputError,
    says,
  );
  assertEquals(kept.log.length, 2, "weights that cannot be read anew are at hand");
});

Deno.test("a vector–Jacobian product is along the network's output, variance and all", async () => {
  const { backend } = told();
  const folder = await readFolder(filesAt(new URL("../learned_range/", golden)));
  await using model = await openModel(folder, backend);
  const [channels, height, width] = model.shape;
  const x = new Float32Array(2 * channels * height * width), t = Float32Array.of(1, 2);
  assertEquals(model.outChannels, 2 * channels);
  const expected = `vjp: u has ${x.length} elements; expected [2,${
    2 * channels
  },${height},${width}]`;
  await assertRejects(() => model.vjp!(x, t, x), InputError, expected);
  const more = "predict: labels were given, but the network is unconditional";
  await assertRejects(() => model.vjp!(x, t, x, Int32Array.of(0, 1)), InputError, more);
});

Deno.test("auto tells the caller of load which engine stands in for which", async () => {
  const before = Object.getOwnPropertyDescriptor(navigator, "gpu");
  let asked = 0;
  const info = { vendor: "mine", architecture: "", device: "", description: "" };
  const requestAdapter = () => Promise.resolve(asked++ === 0 ? { info } : null);
  Object.defineProperty(navigator, "gpu", { configurable: true, value: { requestAdapter } });
  const notices: string[] = [];
  try {
    const onNotice = (notice: string) => void notices.push(notice);
    await using model = await load(golden, { threads: 1, onNotice });
    assertEquals(model.backend, "simd");
  } finally {
    if (before) Object.defineProperty(navigator, "gpu", before);
    else delete (navigator as { gpu?: unknown }).gpu;
  }
  assertEquals(notices.map((notice) => notice.replace(/:.*;/, ":")), [
    "webgpu: using simd instead",
  ]);
});

Deno.test("an engine that was started for weights that cannot be had is let go", async () => {
  const missing = new URL("none/", golden);
  const { log, backend } = told();
  await assertRejects(() => load(missing, { backend }), InputError);
  assertEquals(log.map((entry) => (entry as string[])[0]), ["prepare", "release"]);
  const broken = told(true);
  await assertRejects(() => load(golden, { backend: broken.backend }), Error, "no room");
  const kinds = broken.log.map((entry) => (entry as string[])[0]);
  assertEquals(kinds, ["prepare", "session", "release"]);
  const { prepare: _, release: __, ...plain } = told(true).backend;
  await assertRejects(() => load(golden, { backend: plain }), Error, "no room");
  const unknown = "cuda" as LoadOptions["backend"];
  await assertRejects(() => load(golden, { backend: unknown }), InputError, 'found "cuda"');
});

Deno.test("what is remarkable about weights is said, after they were read", async () => {
  const files: Record<string, Uint8Array> = {};
  for (const name of hubFiles.slice(1, 3)) {
    files[name.replace("unet/", "")] = await Deno.readFile(new URL(name, golden));
  }
  const said: string[] = [];
  const backend = simdInline();
  await using model = await load(filesOf(files, "mine/"), {
    backend,
    onNotice: (word) => said.push(word),
  });
  assertEquals(said.length, 1);
  assert(said[0].includes("mine/"), said[0]);
  await using silent = await load(filesOf(files, "mine/"), { backend });
  assertEquals(silent.hash, model.hash);
});

Deno.test("a download is shown, capped and stopped as the caller says; other files lend their configs", async () => {
  await using cache = await temporaryFolder();
  await using server = serve(hub);
  const environment = { DENOISE_CACHE: cache.path, HF_ENDPOINT: server.origin };
  const backend = simdInline();
  await withEnvironment(environment, async () => {
    const from = (options: LoadOptions) => load("hf:owner/name", { backend, ...options });
    await assertRejects(() => from({ maxBytes: 100 }), Error, "at most 100 are taken");
    const signal = AbortSignal.abort(new Error("enough"));
    await assertRejects(() => from({ signal }), Error, "enough");
    let most = 0;
    await using model = await from({
      onProgress: ({ received }) => most = Math.max(most, received),
    });
    const { size } = await Deno.stat(new URL(hubFiles[2], golden));
    assertEquals(most, size);

    const bare = `${cache.path}/bare.safetensors`;
    await Deno.copyFile(new URL(hubFiles[2], golden), bare);
    await using lent = await load(bare, { backend, configs: "hf:owner/name" });
    const x = new Float32Array(lent.shape.reduce((a, b) => a * b));
    const answer = (of: typeof model) => of.predict(x, Float32Array.of(5), Int32Array.of(1));
    assertEquals(await answer(lent), await answer(model));
    await assertRejects(() => load(bare, { backend }), InputError, "configs");
  });
});
