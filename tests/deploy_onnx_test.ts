/** Bare ONNX files where everything has been bundled. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { bundle } from "../deploy/bundle.ts";
import { createWorker } from "../deploy/cloudflare/worker.ts";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { load } from "../src/model/load.ts";
import { ramp } from "./backend_models.ts";
import { temporaryFolder } from "./cli.ts";
import { onnxFiles, tinyOnnx } from "./onnx_fixtures.ts";

const feeds = [ramp(16), Float32Array.of(3), Int32Array.of(1)] as const;

/** A module of the browser's as a bundle, which has none of the other files around it. */
async function bundled<T>(name: string, folder: string): Promise<T> {
  const file = new URL(`file://${folder}/${name}.js`);
  await bundle(`deploy/browser/${name}.ts`, file);
  return await import(file.href);
}

Deno.test("the browser's onnx.js loads an ONNX file, and denoise.js says to use it", async () => {
  await using folder = await temporaryFolder();
  const library = await bundled<typeof import("../deploy/browser/library.ts")>(
    "library",
    folder.path,
  );
  const { loadOnnx } = await bundled<typeof import("../deploy/browser/onnx.ts")>(
    "onnx",
    folder.path,
  );
  const files = onnxFiles(tinyOnnx());
  const backend = wasm({ threads: 1 });
  try {
    const error = await assertRejects(
      () => library.load(files, { backend }),
      library.InputError,
      "memory/net.onnx: expected a diffusers folder, found an ONNX file",
    ) as Error;
    assertStringIncludes(error.message, "bundles leave it out: give the folder, or use loadOnnx");

    await using model = await loadOnnx(files, backend);
    await using expected = await load(files, { backend });
    assertEquals(await model.predict(...feeds), await expected.predict(...feeds));
  } finally {
    await backend.terminate();
  }
});

Deno.test("the Worker refuses an ONNX file by name, and says what to give", async () => {
  const wasmModule = new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  const worker = createWorker(wasmModule, { "net.onnx": new Uint8Array(8).buffer }, "mine");
  const response = await worker.fetch(new Request("http://localhost/v1/images/1.png"), {}, {
    waitUntil() {},
  });
  assertEquals(response.status, 500);
  const { title } = await response.json();
  assertStringIncludes(title, "mine/net.onnx: expected a network's config and tensors");
  assertStringIncludes(title, "give the folder or file that it was made from");
});
