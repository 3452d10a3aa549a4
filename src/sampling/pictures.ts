/** Finished pictures with their recipes. */
import { grid } from "../image/grid.ts";
import { type Pixels, toPixels } from "../image/pixels.ts";
import { enlarge } from "../image/resize.ts";
import { type Recipe, RECIPE_KEYWORD, toText } from "../recipe/recipe.ts";
import type { NamedNetwork } from "../recipe/resolve.ts";
import { sample, type SampleFrame, type SampleOptions } from "./sample.ts";

/** A sampled picture. */
export interface Picture extends Pixels {
  /** What it was made from. */
  readonly seed: number;
  /** Its class, where the network knows any. */
  readonly label?: number;
  /** Everything that decided its pixels. */
  readonly recipe: Recipe;
  /** The picture as a PNG file that carries its recipe. */
  png(): Promise<Uint8Array<ArrayBuffer>>;
}

/** The picture of a frame that is done. @param shape the network's [C, H, W] */
export function pictureOfFrame(
  { x, recipe }: Pick<SampleFrame, "x" | "recipe">,
  shape: readonly [number, number, number],
): Picture {
  const picture = enlarge(toPixels(x, shape), recipe);
  const { seed, label } = recipe;
  return { ...picture, seed, label, recipe, png: () => pngOf(picture, [recipe]) };
}

/** Pictures as they are finished, which need not be the seeds' order. */
export async function* pictures(
  network: NamedNetwork,
  options: SampleOptions,
): AsyncGenerator<Picture & { readonly index: number }, void> {
  for await (const frame of sample(network, options)) {
    if (frame.done) yield { ...pictureOfFrame(frame, network.shape), index: frame.index };
  }
}

/**
 * Samples seeds and gives their pictures, in the seeds' order.
 * @param network a loaded model
 * @throws InputError before any work when something that was asked for cannot be
 *
 * @example
 * ```ts
 * import { generate, load } from "@denoise/denoise";
 * await using model = await load("digits", { backend: "wasm" });
 * const [picture] = await generate(model, { seeds: [7], steps: 4 });
 * const png = await picture.png();
 * ```
 */
export async function generate(network: NamedNetwork, options: SampleOptions): Promise<Picture[]> {
  const made: Picture[] = [];
  for await (const { index, ...picture } of pictures(network, options)) made[index] = picture;
  return made;
}

/** All pictures of one request as one PNG, with the recipe that makes it again. */
export function gridPng(made: readonly Picture[]): Promise<Uint8Array<ArrayBuffer>> {
  return pngOf(grid(made), made.map(({ recipe }) => recipe));
}

async function pngOf(
  picture: Pixels,
  recipes: readonly Recipe[],
): Promise<Uint8Array<ArrayBuffer>> {
  const { encodePng } = await import("../image/png.ts");
  return encodePng(picture, { [RECIPE_KEYWORD]: toText(recipes) });
}
