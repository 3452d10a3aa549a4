/** From a sampler's tensors to the PNGs that are sent. */
import { type Pixels, toPixels } from "../../image/pixels.ts";
import { encodePng } from "../../image/png.ts";
import { RECIPE_KEYWORD, toText } from "../../recipe/recipe.ts";
import type { Recipe } from "./recipe.ts";

type Shape = readonly [number, number, number];
type Png = Uint8Array<ArrayBuffer>;

/** The finished picture, with what made it in a text chunk. */
export function encodePicture(x: Float32Array, shape: Shape, recipe: Recipe): Png {
  const { hash, weights, scheduler, schedule, steps, options, seed, label, guidance } = recipe;
  const { backend, scale } = recipe;
  const text = toText([{
    weights: hash,
    source: weights,
    ...{ scheduler, schedule, steps, options, seed, label, guidance, backend },
    ...(scale === 1 ? {} : { scale }),
  }]);
  return encodePng(enlarge(toPixels(x, shape), scale), { [RECIPE_KEYWORD]: text });
}

/** A picture on its way, for event streams. */
export function encodePreview(x: Float32Array, shape: Shape, scale = 1): Png {
  return encodePng(enlarge(toPixels(x, shape), scale));
}

/** Every pixel becomes scale × scale pixels. */
export function enlarge(picture: Pixels, scale: number): Pixels {
  if (scale === 1) return picture;
  const { pixels, width, height, channels } = picture;
  const row = width * scale * channels;
  const out = new Uint8Array(row * height * scale);
  for (let y = 0; y < height; y++) {
    const start = y * scale * row;
    for (let x = 0; x < width * scale; x++) {
      const from = (y * width + Math.floor(x / scale)) * channels;
      for (let c = 0; c < channels; c++) out[start + x * channels + c] = pixels[from + c];
    }
    for (let copy = 1; copy < scale; copy++) {
      out.copyWithin(start + copy * row, start, start + row);
    }
  }
  return { pixels: out, width: width * scale, height: height * scale, channels };
}

export function base64(bytes: Uint8Array): string {
  return bytes.toBase64();
}
