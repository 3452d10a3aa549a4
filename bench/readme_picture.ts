/** Draws docs/digits.png: digits by the shipped weights, and the denoising of one of them. */
import { grid, paste } from "../src/image/grid.ts";
import { type Pixels, toPixels } from "../src/image/pixels.ts";
import { encodePng } from "../src/image/png.ts";
import { enlarge } from "../src/image/resize.ts";
import { generate, load, sample } from "../mod.ts";
import { readFlags } from "./flags.ts";

readFlags("Draws docs/digits.png: digits by the shipped weights, and the denoising of one.", {});

const COLUMNS = 10;
const STEPS = 20;

await using model = await load("digits", { backend: "native" });
const seeds = Array.from({ length: 2 * COLUMNS }, (_, i) => i);
const made: Pixels[] = await generate(model, { seeds, steps: STEPS });

const way: Pixels[] = [];
for await (const { step, x } of sample(model, { seeds: [5], steps: STEPS })) {
  if (step % (STEPS / COLUMNS) === 0) way.push(toPixels(x, model.shape));
}

const all = grid([...made, ...way], { columns: COLUMNS, gap: 1 });
const framed = { ...all, width: all.width + 2, height: all.height + 2, pixels: new Uint8Array(0) };
framed.pixels = new Uint8Array(framed.width * framed.height);
paste(framed, all, 1, 1);
await Deno.mkdir(new URL("../docs/", import.meta.url), { recursive: true });
await Deno.writeFile(new URL("../docs/digits.png", import.meta.url), encodePng(enlarge(framed, 3)));
