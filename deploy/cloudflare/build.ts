/** Writes dist/: the Worker's bundle, the engine's .wasm, the weights, and the main module. */
import { builtInWeights } from "../../src/weights/find/locate.ts";
import { DEFAULT_WEIGHTS } from "../../src/weights/find/sources.ts";
import { kernelBytes, unshared } from "../../src/engine/kernels_module.ts";
import { bundle, emptyFolder, filesIn } from "../bundle.ts";

const here = new URL("./", import.meta.url);

/** A Worker's main module, and the files of weights that it imports, by their names beside it. */
export async function mainModule(weights: string) {
  const address = /^https?:/.test(weights) ? new URL(weights.replace(/\/?$/, "/")) : undefined;
  const name = address ? address.pathname.split("/").at(-2) || "weights" : weights;
  const found = address ? [] : Object.entries(await filesIn(builtInWeights[name]));
  const bundled = [
    "{",
    ...found.map(([path], i) => `  ${JSON.stringify(path)}: weights${i},`),
    "}",
  ];
  const given = address ? JSON.stringify(address.href) : bundled.join("\n");
  const lines = [
    `import { createWorker } from "./worker.js";`,
    `import engine from "./engine.wasm";`,
    ...found.map((_, i) => `import weights${i} from "./weights-${i}.bin";`),
    `export default createWorker(engine, ${given}, ${JSON.stringify(name)});`,
  ];
  const files = found.map(([, url], i) => [`weights-${i}.bin`, url] as const);
  return { text: `${lines.join("\n")}\n`, files };
}

/**
 * Builds into a folder.
 * @param weights a built-in's name, which is bundled; or the address of a folder, which the Worker reads
 * at its first request, for weights too large for a script
 */
export async function buildWorker(to: URL, weights: string = DEFAULT_WEIGHTS): Promise<void> {
  await emptyFolder(to);
  const { text, files } = await mainModule(weights);
  await Promise.all([
    bundle("deploy/cloudflare/worker.ts", new URL("worker.js", to)),
    // The platform has relaxed SIMD, and no memory that threads share.
    Deno.writeFile(new URL("engine.wasm", to), unshared(kernelBytes("relaxed"))),
    ...files.map(([name, url]) => Deno.copyFile(url, new URL(name, to))),
    Deno.writeTextFile(new URL("main.js", to), text),
  ]);
}

if (import.meta.main) await buildWorker(new URL("dist/", here), Deno.args[0]);
