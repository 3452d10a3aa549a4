/** onnxruntime-web on WebAssembly in the page's own thread: for bare ONNX files, see `onnx.ts`. */
import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
import type { Backend } from "../../src/backends/backend.ts";
import { wasmInline } from "../../src/backends/onnxruntime/wasm_inline.ts";

/** @param wasm where `ort.wasm` lies; default beside this module */
export async function backend(wasm: URL = new URL("ort.wasm", import.meta.url)): Promise<Backend> {
  const response = await fetch(wasm);
  if (!response.ok) throw new Error(`${wasm}: ${response.status}`);
  return wasmInline(ort, { wasmBinary: await response.arrayBuffer() });
}
