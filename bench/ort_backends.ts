/** The engines over onnxruntime by name, with what they say of their lowerings. */
import type { OrtBackend } from "../src/backend/onnx.ts";

export const ortBackends: Readonly<Record<string, () => Promise<OrtBackend>>> = {
  wasm: async () => (await import("../src/backend/wasm.ts")).wasm(),
  webgpu: async () => (await import("../src/backend/webgpu.ts")).webgpu(),
  native: async () => (await import("../src/backend/native.ts")).native(),
};
