/** The engines over onnxruntime by name, with what they say of their lowerings. */
import type { OrtBackend } from "../src/backends/onnxruntime/onnx.ts";

export const ortBackends: Readonly<Record<string, () => Promise<OrtBackend>>> = {
  wasm: async () => (await import("../src/backends/onnxruntime/wasm.ts")).wasm(),
  webgpu: async () => (await import("../src/backends/onnxruntime/webgpu.ts")).webgpu(),
  native: async () => (await import("../src/backends/onnxruntime/native.ts")).native(),
};
