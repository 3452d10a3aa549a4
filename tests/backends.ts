/** The engines that parity is tested on here, each with what it is held to. */
import type { Backend } from "../src/backend/backend.ts";
import { backendByName } from "../src/backend/select.ts";

export interface BackendUnderTest {
  backend: Backend;
  /** The largest difference to PyTorch's network output. */
  tolerance: number;
}

/** wasm and native always; WebGPU where an adapter (a software one will do) is found. */
export async function backendsUnderTest(): Promise<BackendUnderTest[]> {
  const under: BackendUnderTest[] = [
    { backend: await backendByName("native"), tolerance: 2e-5 },
    { backend: await backendByName("wasm"), tolerance: 2e-5 },
  ];
  if (await navigator.gpu?.requestAdapter()) {
    under.push({ backend: await backendByName("webgpu"), tolerance: 1e-4 });
  } else {
    console.warn("no WebGPU adapter (apt: mesa-vulkan-drivers libegl1): WebGPU is not tested");
  }
  return under;
}
