/** From a sampler's tensors to the PNGs that are sent. */
import { toPixels } from "../../image/pixels.ts";
import { encodeEnlarged } from "../../image/png_enlarged.ts";
import { type Recipe, RECIPE_KEYWORD, toText } from "../../recipe/recipe.ts";

type Shape = readonly [number, number, number];
type Png = Uint8Array<ArrayBuffer>;

/** The finished picture, with what made it in a text chunk. */
export function encodePicture(x: Float32Array, shape: Shape, recipe: Recipe): Png {
  const { scale = 1 } = recipe;
  const text = { [RECIPE_KEYWORD]: toText([recipe]) };
  return encodeEnlarged(toPixels(x, shape), scale, text);
}

/** A picture on its way, for event streams. */
export function encodePreview(x: Float32Array, shape: Shape, scale = 1): Png {
  return encodeEnlarged(toPixels(x, shape), scale);
}

export function base64(bytes: Uint8Array): string {
  return bytes.toBase64();
}
