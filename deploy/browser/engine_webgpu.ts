/** onnxruntime-web on the visitor's GPU. Its .wasm lies beside this module. */
import type { Backend } from "../../src/backends/backend.ts";
import { webgpu } from "../../src/backends/onnxruntime/webgpu.ts";

export function backend(): Promise<Backend> {
  return Promise.resolve(webgpu());
}
