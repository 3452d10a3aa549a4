/** Backends by name. Each is imported when it is asked for, by a path that no loader follows ahead. */
import { InputError } from "../errors.ts";
import type { OnnxBackend, Session } from "./backend.ts";

export const backendNames = ["auto", "wasm", "webgpu", "native"] as const;
export type BackendName = typeof backendNames[number];

export interface SelectOptions {
  /** Told in a sentence when "auto" found a GPU and could not use it. */
  readonly onNotice?: (notice: string) => void;
}

const wasm = async () => {
  const file = new URL("./onnxruntime/wasm.ts", import.meta.url).href;
  return (await import(file) as typeof import("./onnxruntime/wasm.ts")).wasm();
};
const webgpu = async () => {
  const file = new URL("./onnxruntime/webgpu.ts", import.meta.url).href;
  return (await import(file) as typeof import("./onnxruntime/webgpu.ts")).webgpu();
};
const native = async () => {
  const file = new URL("./onnxruntime/native.ts", import.meta.url).href;
  return (await import(file) as typeof import("./onnxruntime/native.ts")).native();
};

/**
 * The engine of that name. "auto" is WebGPU where there is a GPU adapter that is not a software
 * fallback, else wasm; if the GPU cannot load a model, that session is made on wasm with a notice.
 *
 * @throws InputError for another name
 */
export async function backendByName(
  name: string,
  options: SelectOptions = {},
): Promise<OnnxBackend> {
  switch (name) {
    case "auto":
      return await hasGpu() ? withFallback(await webgpu(), wasm, options.onNotice) : await wasm();
    case "wasm":
      return await wasm();
    case "webgpu":
      return await webgpu();
    case "native":
      return await native();
  }
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

/** `first` until it fails to load a model, `other` from then on. */
export function withFallback(
  first: OnnxBackend,
  other: () => Promise<OnnxBackend>,
  onNotice?: (notice: string) => void,
): OnnxBackend {
  let used = first;
  const load = async (create: (backend: OnnxBackend) => Promise<Session>): Promise<Session> => {
    if (used !== first) return await create(used);
    try {
      return await create(first);
    } catch (error) {
      const second = await other();
      const session = await create(second);
      onNotice?.(`${(error as Error).message}; using ${second.name} instead`);
      used = second;
      return session;
    }
  };
  return {
    get name() {
      return used.name;
    },
    createSession: (graph, weights, options) =>
      load((backend) => backend.createSession(graph, weights, options)),
    createOnnxSession: (model, options) =>
      load((backend) => backend.createOnnxSession(model, options)),
  };
}
