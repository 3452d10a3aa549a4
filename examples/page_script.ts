/// <reference lib="dom" />
/** What runs in the visitor's browser: weights beside the page, a canvas, our WebAssembly in a worker. */
import { filesAt, load, sample, toPixels } from "../mod.ts";
import { simdWorker } from "../src/backends/inline.ts";

const backend = simdWorker({ worker: new URL("engine.js", location.href) });
const model = await load(filesAt(new URL("weights/", location.href)), { backend });
const [, height, width] = model.shape;
const canvas = document.querySelector("canvas")!;
Object.assign(canvas, { width, height });
const pen = canvas.getContext("2d")!;

let seed = 0;
async function draw(): Promise<void> {
  for await (const { x_0, done } of sample(model, { seeds: [seed++], steps: 12 })) {
    const { pixels, channels } = toPixels(x_0, model.shape);
    const rgba = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) {
        rgba.data[4 * i + c] = pixels[i * channels + (channels < 3 ? 0 : c)];
      }
      rgba.data[4 * i + 3] = 255;
    }
    pen.putImageData(rgba, 0, 0);
    if (done) document.body.dataset.done = String(seed);
  }
}
canvas.addEventListener("click", draw);
await draw();
