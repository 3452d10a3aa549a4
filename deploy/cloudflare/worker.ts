/**
 * The image endpoint as a Cloudflare Worker. `build.ts` writes the module that calls
 * {@link createWorker} with the engine's compiled .wasm and the weights, both bundled.
 */
import { simdInline } from "../../src/backends/simd/inline.ts";
import { fetchStream, filesAt, filesOf } from "../../src/weights/files.ts";
import { type StreamedFiles, streamFolder } from "../../src/weights/read/streamed.ts";
import { type Model, openStreamed } from "../../src/model/model.ts";
import { PlatformDigest, WholeDigest } from "./digest.ts";
import { createApp, type DenoiseApp, type Limits } from "../../src/server/mod.ts";

/**
 * What fits the platform: 128 MB an isolate and `cpu_ms` of wrangler.jsonc, 60 s. README.md says how
 * the cap follows from the measured CPU of an evaluation.
 */
export const limits: Partial<Limits> = {
  maxBatch: 2,
  maxRunning: 1,
  maxImages: 2,
  maxSteps: 100,
  maxCost: 200,
  // The making of a picture of 512 pixels in four steps has five or six frames.
  maxPixels: 2 * 1024 * 1024,
  cacheBytes: 0,
};

/** Pictures are computed one or two at a time: an isolate has 128 MB. */
const ARENA_BYTES = 4 * 2 ** 20;
/** Larger weights stay as small as they are stored, and an evaluation takes up to twice the time. */
const COMPACT_ABOVE = 48 * 2 ** 20;

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

export interface Worker {
  fetch(request: Request, env: unknown, context: Context): Promise<Response>;
}

/** A folder's files, or the address of a folder whose weights are too large for a script. */
export type WorkerWeights = Readonly<Record<string, ArrayBuffer>> | string;

/** The default export of the Worker's main module. */
export function createWorker(
  engine: WebAssembly.Module,
  weights: WorkerWeights,
  name: string,
): Worker {
  let loading: Promise<Model> | undefined;
  // No work is allowed before the first request. What could not be loaded is asked for again by the next.
  const model = () =>
    loading ??= open(engine, weights, name).catch((error) => {
      loading = undefined;
      throw error;
    });
  return {
    async fetch(request, _env, context) {
      try {
        // What one request loads others wait for: it goes on when its visitor leaves.
        context.waitUntil(model().catch(() => {}));
        // An app of its own for every request: what one request waits for must not run in another,
        // which the platform ends when its visitor leaves.
        const app = createApp({ models: { [name]: await model() }, limits });
        return await answer(app, request, context);
      } catch (error) {
        console.error(error);
        return Response.json({ status: 500, title: `${error}` }, { status: 500 });
      }
    },
  };
}

async function open(
  engine: WebAssembly.Module,
  weights: WorkerWeights,
  name: string,
): Promise<Model> {
  const backend = simdInline({
    module: engine,
    arenaBytes: ARENA_BYTES,
    compact: COMPACT_ABOVE,
  });
  const folder = typeof weights === "string"
    ? await streamFolder(addressed(new URL(weights)), new PlatformDigest())
    : await streamFolder(bundled(weights, name), new WholeDigest());
  return openStreamed(folder, backend);
}

function addressed(base: URL): StreamedFiles {
  return { ...filesAt(base), stream: (path) => fetchStream(new URL(path, base)) };
}

function bundled(files: Readonly<Record<string, ArrayBuffer>>, name: string): StreamedFiles {
  const entries = Object.entries(files).map(([path, bytes]) => [path, new Uint8Array(bytes)]);
  const all: Record<string, Uint8Array> = Object.fromEntries(entries);
  // In one piece, and not a Blob's stream, which would be a copy.
  const streamOf = (bytes: Uint8Array) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes);
        controller.close();
      },
    });
  const stream = (path: string) => Promise.resolve(path in all ? streamOf(all[path]) : undefined);
  const file = Object.keys(all).find((path) => path.endsWith(".onnx"));
  return { ...filesOf(all, `${name}/`), file, stream };
}

/**
 * Pictures come out of the data centre's cache where it has them. The app gives the ETag without
 * making the picture; the ETag names weights and parameters, so what lies under it never changes.
 */
async function answer(app: DenoiseApp, request: Request, context: Context): Promise<Response> {
  const url = new URL(request.url);
  const edge = (globalThis as { caches?: { default?: Cache } }).caches?.default;
  const cacheable = request.method === "GET" &&
    /^\/v1\/images\/.+\.(png|gif|apng)$/.test(url.pathname);
  if (!edge || !cacheable) return app.fetch(request);

  // Of a picture that the visitor has it says 304, as the request itself is answered.
  const described = await app.fetch(new Request(request, { method: "HEAD" }));
  const etag = described.headers.get("etag");
  if (!described.ok || !etag) return app.fetch(request);
  const key = new URL(`/etag/${encodeURIComponent(etag)}`, url).href;
  const kept = await edge.match(key);
  if (kept) {
    const headers = new Headers(described.headers);
    headers.set("x-edge-cache", "hit");
    return new Response(kept.body, { headers });
  }
  const made = await app.fetch(request);
  if (made.ok) {
    const type = made.headers.get("content-type")!;
    const headers = { "content-type": type, "cache-control": "public, max-age=31536000" };
    context.waitUntil(edge.put(key, new Response(made.clone().body, { headers })));
  }
  return made;
}
