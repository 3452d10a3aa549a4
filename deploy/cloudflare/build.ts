/** Writes dist/: the Worker's bundle, the engine's .wasm, the weights, and the main module. */
import { builtInWeights } from "../../src/weights/find/locate.ts";
import { DEFAULT_WEIGHTS } from "../../src/weights/find/sources.ts";
import { kernelBytes, unshared } from "../../src/engine/kernels_module.ts";
import { bundle, emptyFolder, filesIn } from "../bundle.ts";

const here = new URL("./", import.meta.url);

/**
 * Builds into a folder.
 * @param weights a built-in's name, which is bundled; or the address of a folder, which the Worker reads
 * at its first request, for weights too large for a script
 */
export async function buildWorker(to: URL, weights: string = DEFAULT_WEIGHTS): Promise<void> {
  await emptyFolder(to);
  const address = /^https?:/.test(weights) ? new URL(weights.replace(/\/?$/, "/")) : undefined;
  const name = address ? address.pathname.split("/").at(-2) || "weights" : weights;
  const files = address ? [] : Object.entries(await filesIn(builtInWeights[name]));
  await Promise.all([
    bundle("deploy/cloudflare/worker.ts", new URL("worker.js", to)),
    // The platform has relaxed SIMD, and no memory that threads share.
    Deno.writeFile(new URL("engine.wasm", to), unshared(kernelBytes("relaxed"))),
    ...files.map(([, url], i) => Deno.copyFile(url, new URL(`weights-${i}.bin`, to))),
  ]);
  const bundled = [
    "{",
    ...files.map(([path], i) => `  ${JSON.stringify(path)}: weights${i},`),
    "}",
  ];
  const given = address ? JSON.stringify(address.href) : bundled.join("\n");
  const lines = [
    `import { createWorker } from "./worker.js";`,
    `import engine from "./engine.wasm";`,
    ...files.map((_, i) => `import weights${i} from "./weights-${i}.bin";`),
    `export default createWorker(engine, ${given}, ${JSON.stringify(name)});`,
  ];
  await Deno.writeTextFile(new URL("main.js", to), `${lines.join("\n")}\n`);
}

if (import.meta.main) await buildWorker(new URL("dist/", here), Deno.args[0]);
