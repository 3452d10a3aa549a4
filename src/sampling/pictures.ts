/** Finished pictures with their recipes. */
import { grid } from "../image/grid.ts";
import { type Pixels, toPixels } from "../image/pixels.ts";
import { type Recipe, RECIPE_KEYWORD, recipeToText } from "../recipe/recipe.ts";
import type { Network } from "../model/network.ts";
import { resolveOptions } from "./options.ts";
import { sample, type SampleFrame, type SampleRequest } from "./sample.ts";

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

/** A network whose weights are known by their hash. */
export type NamedNetwork = Network & {
  readonly hash: string;
  readonly source?: string;
  readonly backend?: string;
};

/** The recipe of one request; `seeds` and `labels` as they were in it. */
export function recipeOf(
  network: NamedNetwork,
  options: SampleRequest,
  seeds: readonly number[],
  labels?: readonly number[],
): Recipe {
  const { scheduler, schedule, steps, timesteps, nullLabel } = options;
  return {
    weights: network.hash,
    source: network.source && sourceName(network.source),
    scheduler: scheduler.name,
    schedule,
    steps,
    timesteps,
    options: resolveOptions(scheduler, options.options),
    seeds,
    labels,
    guidance: options.guidance ?? network.recommended?.guidance ?? 1,
    nullLabel,
    backend: network.backend,
  };
}

/**
 * What weights are called in a file that is passed on: an address without its query, of a path only
 * the last name. Folders of one's own and tokens do not belong in pictures.
 */
function sourceName(source: string): string {
  if (/^https?:/.test(source) && URL.canParse(source)) {
    const { origin, pathname } = new URL(source);
    return origin + pathname;
  }
  return source.split(/[/\\]/).findLast((part) => part !== "") ?? source;
}

/** The picture of a frame that is done. */
export function pictureOfFrame(
  network: NamedNetwork,
  options: SampleRequest,
  { x, seed, label }: Pick<SampleFrame, "x" | "seed" | "label">,
): Picture {
  const picture = toPixels(x, network.shape);
  const recipe = recipeOf(network, options, [seed], label === undefined ? undefined : [label]);
  return { ...picture, seed, label, recipe, png: () => pngOf(picture, recipe) };
}

/** Pictures as they are finished, which need not be the seeds' order. */
export async function* pictures(
  network: NamedNetwork,
  options: SampleRequest,
): AsyncGenerator<Picture & { readonly index: number }, void> {
  for await (const frame of sample(network, options)) {
    if (frame.done) yield { ...pictureOfFrame(network, options, frame), index: frame.index };
  }
}

/** Every seed's picture, in the seeds' order. */
export async function generate(network: NamedNetwork, options: SampleRequest): Promise<Picture[]> {
  const made: Picture[] = [];
  for await (const { index, ...picture } of pictures(network, options)) made[index] = picture;
  return made;
}

/** All pictures of one request as one PNG, with the recipe that makes it again. */
export function gridPng(made: readonly Picture[]): Promise<Uint8Array<ArrayBuffer>> {
  return pngOf(grid(made), gridRecipe(made));
}

/** The recipe that makes all of one request's pictures again. */
export function gridRecipe(made: readonly Picture[]): Recipe {
  const labels = made.map(({ label }) => label);
  return {
    ...made[0].recipe,
    seeds: made.map(({ seed }) => seed),
    labels: labels.includes(undefined) ? undefined : labels as number[],
  };
}

async function pngOf(picture: Pixels, recipe: Recipe): Promise<Uint8Array<ArrayBuffer>> {
  const { encodePng } = await import("../image/png.ts");
  return encodePng(picture, { [RECIPE_KEYWORD]: recipeToText(recipe) });
}
