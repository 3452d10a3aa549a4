/** Writes dist/, a folder for any web server: the playground, the library, the engines, the weights. */
import { builtInWeights } from "../../src/weights/find/locate.ts";
import { DEFAULT_WEIGHTS } from "../../src/weights/find/sources.ts";
import { bundle, copyEngine, emptyFolder, filesIn } from "../bundle.ts";

const here = new URL("./", import.meta.url);

export async function buildSite(to: URL, name: string = DEFAULT_WEIGHTS): Promise<void> {
  await emptyFolder(to);
  const at = (file: string) => new URL(file, to);
  for (const entry of ["playground", "engine_simd", "engine_webgpu", "engine_onnx", "onnx"]) {
    await bundle(`deploy/browser/${entry}.ts`, at(`${entry}.js`));
  }
  await bundle("deploy/browser/library.ts", at("denoise.js"));
  await copyEngine("ort-wasm-simd-threaded.wasm", at("ort.wasm"));
  await copyEngine("ort-wasm-simd-threaded.jspi.wasm", at("ort-wasm-simd-threaded.jspi.wasm"));
  await Deno.copyFile(new URL("index.html", here), at("index.html"));
  for (const [path, url] of Object.entries(await filesIn(builtInWeights[name]))) {
    const file = at(`weights/${path}`);
    await Deno.mkdir(new URL(".", file), { recursive: true });
    await Deno.copyFile(url, file);
  }
}

if (import.meta.main) await buildSite(new URL("dist/", here), Deno.args[0]);
