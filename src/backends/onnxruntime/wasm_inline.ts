/**
 * onnxruntime-web in the calling thread, for edge runtimes, browsers and tests. The engine is handed
 * in, so that bundlers see a static import. Touches neither Deno nor node.
 *
 * @example
 * ```ts ignore
 * import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
 * import ortWasm from "./ort-wasm-simd-threaded.wasm"; // a WebAssembly.Module on Cloudflare
 * const model = await load("digits", { backend: wasmInline(ort, { wasmModule: ortWasm }) });
 * ```
 */
import { wasm as wasmLowering, WASM_MAX_THREADS } from "../../onnx/mod.ts";
import type { Session, SessionOptions } from "../backend.ts";
import { type OrtBackend, ortBackend } from "./onnx.ts";
import { createOrtSession, type OrtModule, QueuedOrtSession, wasmOptions } from "./ort.ts";
import { RunQueue } from "../queue.ts";

/** What {@link wasmInline} takes besides the module. */
export interface WasmInlineOptions {
  /** onnxruntime's .wasm as bytes, where it cannot be read or fetched by the module itself. */
  readonly wasmBinary?: ArrayBuffer | Uint8Array;
  /** onnxruntime's .wasm compiled ahead, where bytes may not be compiled (Cloudflare). */
  readonly wasmModule?: WebAssembly.Module;
  /** Threads; default 1. More need SharedArrayBuffer, and workers that the module can start. */
  readonly threads?: number;
}

/**
 * A Backend over an onnxruntime-web module in this thread. A run holds the thread until it is done.
 * The number of threads is the module's, set when its first session is made.
 */
export function wasmInline(ort: OrtModule, options: WasmInlineOptions = {}): OrtBackend {
  const { wasmBinary, wasmModule, threads = 1 } = options;
  const engine = new RunQueue();
  const exclusively = <T>(job: () => Promise<T>): Promise<T> => engine.add(job);
  let started = false;

  return ortBackend({
    name: "wasm",
    lowering: wasmLowering,
    createOnnxSession(model: Uint8Array, _options?: SessionOptions): Promise<Session> {
      return exclusively(async () => {
        const create = () => createOrtSession(ort, "wasm", model, wasmOptions);
        if (started) return new QueuedOrtSession(ort, "wasm", await create(), exclusively);
        ort.env.wasm.numThreads = Math.min(threads, WASM_MAX_THREADS);
        if (wasmBinary) ort.env.wasm.wasmBinary = wasmBinary;
        const session = wasmModule ? await withModule(ort, wasmModule, create) : await create();
        started = true;
        return new QueuedOrtSession(ort, "wasm", session, exclusively);
      });
    },
  });
}

/**
 * onnxruntime takes the .wasm as bytes only: it is given eight empty ones, and the call that would
 * compile them is answered with the module instead.
 */
async function withModule<T>(
  ort: OrtModule,
  module: WebAssembly.Module,
  create: () => Promise<T>,
): Promise<T> {
  const original = WebAssembly.instantiate;
  const bytes = new Uint8Array(8);
  ort.env.wasm.wasmBinary = bytes;
  const replaced = async (source: unknown, imports?: WebAssembly.Imports) => {
    const given = source as { byteLength?: number };
    if (given.byteLength !== bytes.byteLength) {
      return await original(source as BufferSource, imports);
    }
    WebAssembly.instantiate = original;
    return { module, instance: await original(module, imports) };
  };
  WebAssembly.instantiate = replaced as typeof WebAssembly.instantiate;
  try {
    return await create();
  } finally {
    WebAssembly.instantiate = original;
  }
}
