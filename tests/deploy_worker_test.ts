/** The Cloudflare Worker's own part: what it loads, and what the data centre's cache keeps of it. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { WholeDigest } from "../deploy/cloudflare/digest.ts";
import {
  createWorker,
  limits,
  type Worker,
  type WorkerWeights,
} from "../deploy/cloudflare/worker.ts";
import { kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { writeSafetensors } from "../src/files/safetensors.ts";
import { paramShapes } from "../src/graph/mod.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { hubFiles } from "./hub.ts";

const golden = new URL("./golden/class_conditional/", import.meta.url);
const engine = new WebAssembly.Module(unshared(kernelBytes()));
const path = "v1/images/7.png?steps=2";

async function folder(): Promise<Record<string, ArrayBuffer>> {
  const read = hubFiles.map(async (name) =>
    [name, (await Deno.readFile(new URL(name, golden))).buffer] as const
  );
  return Object.fromEntries(await Promise.all(read));
}

/** A Worker, and what it has left for after its answers. */
function started(weights: WorkerWeights) {
  const worker: Worker = createWorker(engine, weights, "mine");
  const after: Promise<unknown>[] = [];
  return {
    after,
    ask: (of = path, init?: RequestInit) =>
      worker.fetch(new Request(`https://pictures.example/${of}`, init), {}, {
        waitUntil: (promise) => void after.push(promise),
      }),
  };
}

/** What a Worker writes to its log meanwhile. */
async function complaints(work: () => Promise<void>): Promise<string[]> {
  const { error } = console;
  const said: unknown[] = [];
  console.error = (...all) => void said.push(...all);
  try {
    await work();
  } finally {
    console.error = error;
  }
  return said.map(String);
}

Deno.test("weights are loaded once; what could not be loaded is asked for again", async () => {
  const whole = await folder();
  const weights = { ...whole };
  for (const name of hubFiles) delete weights[name];
  const { ask, after } = started(weights);
  const said = await complaints(async () => {
    for (const failed of await Promise.all([ask(), ask()])) {
      const { status, title } = await failed.json();
      assertEquals([failed.status, status], [500, 500]);
      assertStringIncludes(title, "mine/");
    }
  });
  assertEquals(said.map((error) => error.includes("mine/")), [true, true], "in its log");
  assertEquals(after.length, 2, "loading goes on when its visitor leaves");
  await Promise.all(after);

  Object.assign(weights, whole);
  const made = await ask();
  assertEquals([made.status, made.headers.get("content-type")], [200, "image/png"]);
  const picture = await made.bytes();

  for (const name of hubFiles) delete weights[name];
  const again = await ask();
  assertEquals(again.status, 200, "it needs nothing any more");
  assertEquals(await again.bytes(), picture);
});

/** A cache as the platform has it. */
class FakeCache {
  readonly kept = new Map<string, Response>();
  match(key: string): Promise<Response | undefined> {
    return Promise.resolve(this.kept.get(key)?.clone());
  }
  put(key: string, response: Response): Promise<void> {
    this.kept.set(key, response);
    return Promise.resolve();
  }
}

Deno.test("the data centre keeps pictures under their ETag, and nothing else", async () => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "caches");
  const cache = new FakeCache();
  Object.defineProperty(globalThis, "caches", { configurable: true, value: { default: cache } });
  try {
    const { ask, after } = started(await folder());
    const made = await ask();
    const [etag, picture] = [made.headers.get("etag")!, await made.bytes()];
    assertEquals(made.headers.get("x-edge-cache"), null);
    await Promise.all(after);
    const key = `https://pictures.example/etag/${encodeURIComponent(etag)}`;
    assertEquals([...cache.kept.keys()], [key]);
    const lasting = { "content-type": "image/png", "cache-control": "public, max-age=31536000" };
    assertEquals(Object.fromEntries(cache.kept.get(key)!.headers), lasting);

    // Another address of the same picture has the same ETag.
    const hit = await ask("v1/images/7.png?weights=mine&steps=2");
    assertEquals(hit.headers.get("x-edge-cache"), "hit");
    for (const header of ["etag", "content-type"]) {
      assertEquals(hit.headers.get(header), made.headers.get(header));
    }
    assertEquals(hit.headers.get("cache-control"), made.headers.get("cache-control"));
    assertEquals(await hit.bytes(), picture);

    const known = await ask(path, { headers: { "if-none-match": etag } });
    assertEquals([known.status, await known.text()], [304, ""]);
    const other = await ask(path, { headers: { "if-none-match": '"other"' } });
    assertEquals([other.status, other.headers.get("x-edge-cache")], [200, "hit"]);
    assertEquals(await other.bytes(), picture);
    const head = await ask(path, { method: "HEAD" });
    assertEquals([head.status, head.headers.get("x-edge-cache")], [200, null]);
    assertEquals((await ask("v1/images/7.png?steps=0")).status, 422);
    assertEquals((await ask("v1/models")).status, 200);
    await Promise.all(after);
    assertEquals(cache.kept.size, 1, "no error, no HEAD, nothing that is no picture");

    for (const format of ["gif", "apng"]) {
      const film = `v1/images/7.${format}?steps=2`;
      const first = await (await ask(film)).bytes();
      await Promise.all(after);
      const second = await ask(film);
      assertEquals(second.headers.get("x-edge-cache"), "hit", format);
      assertEquals(await second.bytes(), first);
    }
    assertEquals(cache.kept.size, 3);

    cache.match = () => Promise.reject(new Error("the cache is down"));
    const said = await complaints(async () => {
      const failed = await ask();
      assertEquals([failed.status, (await failed.json()).title], [500, "Error: the cache is down"]);
    });
    assertEquals(said, ["Error: the cache is down"]);
  } finally {
    if (before) Object.defineProperty(globalThis, "caches", before);
    else delete (globalThis as { caches?: unknown }).caches;
  }
});

Deno.test("the data centre keeps no answer that failed, though the picture could be described", async () => {
  const before = Object.getOwnPropertyDescriptor(globalThis, "caches");
  const cache = new FakeCache();
  Object.defineProperty(globalThis, "caches", { configurable: true, value: { default: cache } });
  try {
    const weights = await folder();
    const name = "unet/diffusion_pytorch_model.safetensors";
    const bytes = new Uint8Array(weights[name]).slice();
    // Numbers that are finite and make others of the network that are not.
    const numbers = new DataView(bytes.buffer);
    const start = 8 + Number(numbers.getBigUint64(0, true));
    for (let at = start; at + 4 <= bytes.length; at += 4) numbers.setFloat32(at, 3e38, true);
    const { ask, after } = started({ ...weights, [name]: bytes.buffer });
    const failed = await ask();
    await failed.body?.cancel();
    assertEquals(failed.status >= 500, true, `${failed.status}`);
    await Promise.all(after);
    assertEquals(cache.kept.size, 0);
  } finally {
    if (before) Object.defineProperty(globalThis, "caches", before);
    else delete (globalThis as { caches?: unknown }).caches;
  }
});

Deno.test("a bundled file's digest is of it whole: a second piece would be another file", async () => {
  const digest = new WholeDigest();
  const text = new TextEncoder().encode("abc");
  digest.update(text);
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assertEquals(await digest.hex(), abc);
  assertThrows(() => digest.update(text), Error, "found a second");
  assertEquals((await new WholeDigest().hex()).slice(0, 8), "e3b0c442");
});

/** A folder like the golden one whose network has other sizes; all its weights are 0. */
async function sized(sizes: Record<string, unknown>): Promise<Record<string, ArrayBuffer>> {
  const files = await folder();
  const text = new TextDecoder().decode(files["unet/config.json"]);
  const config = { ...JSON.parse(text), ...sizes };
  const shapes = paramShapes(networkGraph(parseNetwork(config)));
  const tensors = new Map([...shapes].map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return [name, { shape, data: new Float32Array(size) }];
  }));
  return {
    ...files,
    "unet/config.json": new TextEncoder().encode(JSON.stringify(config)).buffer,
    "unet/diffusion_pytorch_model.safetensors": writeSafetensors(tensors).buffer as ArrayBuffer,
  };
}

/** MiB of the one memory that a Worker takes: once its weights are there, and after a request more. */
async function memoryOf(weights: Record<string, ArrayBuffer>, path?: string) {
  const { Memory } = WebAssembly;
  const taken: WebAssembly.Memory[] = [];
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      taken.push(new target(descriptor));
      return taken.at(-1)!;
    },
  });
  const size = () => {
    assertEquals(taken.length, 1);
    return taken[0].buffer.byteLength / 2 ** 20;
  };
  try {
    const { ask, after } = started(weights);
    assertEquals((await ask("v1/models")).status, 200);
    await Promise.all(after);
    const loaded = size();
    if (path) assertEquals((await ask(path)).status, 200);
    return { loaded, used: size() };
  } finally {
    WebAssembly.Memory = Memory;
  }
}

Deno.test("weights that would take more than 48 MiB as the engine likes them stay as they are stored", async () => {
  // 22 convolutions of so many channels: 13 MB in the file, 52 MB transformed.
  const large = await sized({ block_out_channels: [128, 128] });
  const [small, compact] = [await memoryOf(await folder()), await memoryOf(large)];
  assert(small.loaded < 8, `${small.loaded} MiB`);
  assert(compact.loaded > 10 && compact.loaded < 40, `${compact.loaded} MiB`);
});

Deno.test("two images are evaluated at once where they take 4 MiB together, else one by one", async () => {
  // A mixture of two classes is two; each takes 1.75 MiB at 32 pixels, 2.2 MiB at 36.
  for (const [sample_size, together] of [[32, true], [36, false]] as const) {
    const weights = await sized({ sample_size, block_out_channels: [64, 64] });
    const { loaded, used } = await memoryOf(weights, "v1/images/7.png?steps=1&label=0%2B1");
    assertEquals(used - loaded > 1, together, `${loaded} MiB, then ${used}`);
  }
});

Deno.test("a Worker's limits fit the platform's memory and the CPU that its configuration asks for", async () => {
  assertEquals(limits, {
    ...{ maxBatch: 2, maxRunning: 1, maxImages: 2, maxSteps: 100, maxCost: 200 },
    ...{ maxPixels: 2_097_152, cacheBytes: 0 },
  });
  const text = await Deno.readTextFile(
    new URL("../deploy/cloudflare/wrangler.jsonc", import.meta.url),
  );
  const { compatibility_date: date, ...config } = JSON.parse(text.replace(/^ *\/\/.*$/gm, ""));
  assertEquals(/^\d{4}-\d\d-\d\d$/.test(date), true);
  assertEquals(config, {
    ...{ name: "denoise", main: "dist/main.js", base_dir: "dist" },
    ...{ no_bundle: true, find_additional_modules: true },
    rules: [
      { type: "ESModule", globs: ["**/*.js"] },
      { type: "CompiledWasm", globs: ["**/*.wasm"] },
      { type: "Data", globs: ["**/*.bin"] },
    ],
    limits: { cpu_ms: 60_000 },
  });
});
