/** From a sampler's tensors to the PNGs that are sent. */
import { type Pixels, toPixels } from "../../image/pixels.ts";
import { encodeEnlarged } from "../../image/png_enlarged.ts";
import type { Enlargement } from "../../image/resize.ts";
import { showTimes } from "../../sampling/making.ts";
import { type Recipe, RECIPE_KEYWORD, toText } from "../../recipe/recipe.ts";

/** The files that a picture comes in: itself, or its making as an animation. */
export const FORMATS = { png: "image/png", gif: "image/gif", apng: "image/apng" } as const;
export type Format = keyof typeof FORMATS;

type Shape = readonly [number, number, number];
type Png = Uint8Array<ArrayBuffer>;

/** The finished picture, with what made it in a text chunk. */
export function encodePicture(x: Float32Array, shape: Shape, recipe: Recipe): Png {
  const text = { [RECIPE_KEYWORD]: toText([recipe]) };
  return encodeEnlarged(toPixels(x, shape), recipe, text);
}

/** A picture on its way, for event streams. */
export function encodePreview(x: Float32Array, shape: Shape, enlarged: Enlargement = {}): Png {
  return encodeEnlarged(toPixels(x, shape), enlarged);
}

/**
 * The steps of a picture as an animation, the finished one last and longest; encoders are loaded for the
 * first one. An APNG carries the recipe, and is the finished picture to who knows no animation.
 */
export async function encodeMaking(
  frames: readonly Pixels[],
  format: Exclude<Format, "png">,
  recipe: Recipe,
): Promise<Png> {
  const { size, scale } = recipe;
  const how = { delay: showTimes(frames.length), enlarged: { size, scale } };
  if (format === "gif") return (await import("../../image/gif.ts")).encodeGif(frames, how);
  const { encodeApng } = await import("../../image/apng.ts");
  const still = frames[frames.length - 1];
  return encodeApng(frames, { ...how, still }, { [RECIPE_KEYWORD]: toText([recipe]) });
}

export function base64(bytes: Uint8Array): string {
  return bytes.toBase64();
}
