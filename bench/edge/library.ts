/** The picture to compare with: the library in Deno, WebAssembly with one thread in a worker. */
import { generate, load } from "../../mod.ts";
import { DEFAULT_WEIGHTS } from "../../src/weights/find/sources.ts";
import { probe } from "./target.ts";

export async function referencePixels(): Promise<Uint8Array> {
  await using model = await load(DEFAULT_WEIGHTS, { backend: "simd", threads: 1 });
  const { seed, scheduler, steps } = probe;
  const [{ pixels }] = await generate(model, { seeds: [seed], scheduler, steps });
  return pixels;
}
