/** Backends by name. Each is imported when it is asked for, by a path that no loader follows ahead. */
import { InputError } from "../errors.ts";
import { firstThatCan } from "./auto.ts";
import type { Backend } from "./backend.ts";
import { type BackendName, backendNames } from "./names.ts";

/** Who is told of what `auto` chose. */
export interface SelectOptions {
  /** Told in a sentence when "auto" could not use an engine and took the next. */
  readonly onNotice?: (notice: string) => void;
}

const engines = {
  simd: async () => {
    const file = new URL("./simd/threads.ts", import.meta.url).href;
    return (await import(file) as typeof import("./simd/threads.ts")).simd();
  },
  wasm: async () => {
    const file = new URL("./onnxruntime/wasm.ts", import.meta.url).href;
    return (await import(file) as typeof import("./onnxruntime/wasm.ts")).wasm();
  },
  webgpu: async () => {
    const file = new URL("./onnxruntime/webgpu.ts", import.meta.url).href;
    return (await import(file) as typeof import("./onnxruntime/webgpu.ts")).webgpu();
  },
  native: async () => {
    const file = new URL("./onnxruntime/native.ts", import.meta.url).href;
    return (await import(file) as typeof import("./onnxruntime/native.ts")).native();
  },
} satisfies Record<Exclude<BackendName, "auto">, () => Promise<Backend>>;

/**
 * The engine of that name. "auto" is WebGPU where there is a GPU adapter that is not a software
 * fallback, else simd, else wasm: an engine that cannot load a graph leaves it to the next, with a
 * notice. ONNX models are left to onnxruntime's.
 *
 * @throws InputError for another name
 */
export async function backendByName(
  name: string,
  options: SelectOptions = {},
): Promise<Backend> {
  if (name === "auto") {
    const { simd, wasm, webgpu } = engines;
    const order = await hasGpu() ? [webgpu, simd, wasm] : [simd, wasm];
    return await firstThatCan(order, options.onNotice);
  }
  if (Object.hasOwn(engines, name)) return await engines[name as keyof typeof engines]();
  throw new InputError(`expected a backend of ${backendNames.join(", ")}, found "${name}"`);
}

/** Names by which software adapters are known where `isFallbackAdapter` does not tell. */
const SOFTWARE = /llvmpipe|lavapipe|swiftshader|software|basic render|warp/i;

async function hasGpu(): Promise<boolean> {
  try {
    const info = (await globalThis.navigator?.gpu?.requestAdapter())?.info;
    if (!info || info.isFallbackAdapter) return false;
    return !SOFTWARE.test(`${info.vendor} ${info.architecture} ${info.device} ${info.description}`);
  } catch {
    return false;
  }
}
