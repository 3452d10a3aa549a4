import * as ort from "npm:onnxruntime-web@1.30.0/wasm";
import type { Backend } from "../src/backend/backend.ts";
import { backendByName } from "../src/backend/select.ts";
import { wasmInline } from "../src/backend/wasm_inline.ts";
import { testBackend } from "./backend_contract.ts";

/** One backend a suite: opening it is not what the suite is about. */
const once = (open: () => Promise<Backend>) => {
  let opened: Promise<Backend> | undefined;
  return () => opened ??= open();
};

testBackend("wasm", once(() => backendByName("wasm")));
testBackend("wasm inline", once(() => Promise.resolve(wasmInline(ort))));
testBackend("native", once(() => backendByName("native")));

if (await navigator.gpu?.requestAdapter()) {
  testBackend("webgpu", once(() => backendByName("webgpu")));
} else {
  Deno.test({
    name: "webgpu: no adapter here (Debian: apt install mesa-vulkan-drivers libegl1)",
    ignore: true,
    fn() {},
  });
}
