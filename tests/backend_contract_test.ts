import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
import type { OnnxBackend } from "../src/backends/backend.ts";
import { backendByName } from "../src/backends/select.ts";
import { wasmInline } from "../src/backends/onnxruntime/wasm_inline.ts";
import { testOnnxBackend } from "./backend_contract.ts";

/** One backend a suite: opening it is not what the suite is about. */
const once = (open: () => Promise<OnnxBackend>) => {
  let opened: Promise<OnnxBackend> | undefined;
  return () => opened ??= open();
};

testOnnxBackend("wasm", once(() => backendByName("wasm")));
testOnnxBackend("wasm inline", once(() => Promise.resolve(wasmInline(ort))));
testOnnxBackend("native", once(() => backendByName("native")));

if (await navigator.gpu?.requestAdapter()) {
  testOnnxBackend("webgpu", once(() => backendByName("webgpu")));
} else {
  Deno.test({
    name: "webgpu: no adapter here (Debian: apt install mesa-vulkan-drivers libegl1)",
    ignore: true,
    fn() {},
  });
}
