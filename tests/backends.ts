/** The engines that parity is tested on here, each with what it is held to. */
import type { Backend } from "../src/backends/backend.ts";
import { native } from "../src/backends/onnxruntime/native.ts";
import type { OrtBackend } from "../src/backends/onnxruntime/onnx.ts";
import { simd } from "../src/backends/simd/threads.ts";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { webgpu } from "../src/backends/onnxruntime/webgpu.ts";

export interface BackendUnderTest<Engine extends Backend = Backend> {
  backend: Engine;
  /** The largest difference to PyTorch's network output. */
  tolerance: number;
}

/** wasm and native always; WebGPU where an adapter (a software one will do) is found. */
export async function ortBackendsUnderTest(): Promise<BackendUnderTest<OrtBackend>[]> {
  const under: BackendUnderTest<OrtBackend>[] = [
    { backend: native(), tolerance: 2e-5 },
    { backend: wasm(), tolerance: 2e-5 },
  ];
  if (await navigator.gpu?.requestAdapter()) {
    under.push({ backend: webgpu(), tolerance: 1e-4 });
  } else {
    console.warn("no WebGPU adapter (apt: mesa-vulkan-drivers libegl1): WebGPU is not tested");
  }
  return under;
}

/** Every engine. */
export async function backendsUnderTest(): Promise<BackendUnderTest[]> {
  return [{ backend: simd(), tolerance: 2e-5 }, ...await ortBackendsUnderTest()];
}
