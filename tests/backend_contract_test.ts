import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
import type { Backend, OnnxBackend } from "../src/backends/backend.ts";
import { backendByName } from "../src/backends/select.ts";
import { simdInline } from "../src/backends/simd/inline.ts";
import { wasmInline } from "../src/backends/onnxruntime/wasm_inline.ts";
import { testBackend, testOnnxBackend } from "./backend_contract.ts";

/** One backend a suite: opening it is not what the suite is about. */
const once = <B extends Backend>(open: () => Promise<B>) => {
  let opened: Promise<B> | undefined;
  return () => opened ??= open();
};

testBackend("simd", once(() => backendByName("simd")));
testBackend("simd inline", once(() => Promise.resolve(simdInline())));
testOnnxBackend("wasm", once(() => backendByName("wasm") as Promise<OnnxBackend>));
testOnnxBackend("wasm inline", once(() => Promise.resolve(wasmInline(ort))));
testOnnxBackend("native", once(() => backendByName("native") as Promise<OnnxBackend>));

if (await navigator.gpu?.requestAdapter()) {
  testOnnxBackend("webgpu", once(() => backendByName("webgpu") as Promise<OnnxBackend>));
} else {
  Deno.test({
    name: "webgpu: no adapter here (Debian: apt install mesa-vulkan-drivers libegl1)",
    ignore: true,
    fn() {},
  });
}
