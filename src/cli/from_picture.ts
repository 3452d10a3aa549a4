/** From a picture back to how it was made. */
import type { Scheduler } from "../diffusion/types.ts";
import { InputError } from "../errors.ts";
import type { Pixels } from "../image/pixels.ts";
import { decodePng } from "../image/png.ts";
import { type Recipe, RECIPE_KEYWORD, recipeFromText } from "../recipe/recipe.ts";
import { builtInWeights } from "../weights/find/locate.ts";
import { defaultSource, deployedSources } from "../weights/find/sources.ts";
import { schedulerByName } from "../sampling/generate.ts";
import { readInput } from "./input.ts";

/** A picture and the recipe in it. */
export interface RecipeFile {
  readonly path: string;
  readonly picture: Pixels;
  readonly recipe: Recipe;
}

/** @throws InputError for what is no PNG, or carries no recipe. */
export async function readRecipeFile(path: string): Promise<RecipeFile> {
  const bytes = await readInput("--from", path);
  const picture = decodePng(bytes, `--from ${path}`);
  const text = picture.text[RECIPE_KEYWORD];
  if (text === undefined) {
    throw new InputError(`--from ${path}: expected a PNG that \`sample\` made, found no recipe`);
  }
  return { path, picture, recipe: recipeFromText(text, `--from ${path}`) };
}

/**
 * The weights of a picture whose maker did not say more. Only a built-in name is followed: a
 * stranger's picture does not decide what is downloaded or read. For other weights the deployment's
 * stand in, where there are any.
 */
export function weightsOf({ path, recipe: { source = "?", weights } }: RecipeFile): string {
  if (Object.hasOwn(builtInWeights, source)) return source;
  if (deployedSources().length > 0) return defaultSource();
  throw new InputError(
    `--from ${path}: made with the weights ${JSON.stringify(source)} (${
      weights.slice(0, 12)
    }…); give them with --weights`,
  );
}

/** The scheduler of a picture; a plug-in has to be given by the user, as it is code. */
export function schedulerOf({ path, recipe: { scheduler } }: RecipeFile): Scheduler {
  try {
    return schedulerByName(scheduler);
  } catch {
    throw new InputError(
      `--from ${path}: made with the plug-in ${
        JSON.stringify(scheduler)
      }; give it with --scheduler`,
    );
  }
}

/** How a picture that was made again compares with the first one, in words. */
export function comparison({ path, picture }: RecipeFile, again: Pixels): string {
  const { pixels, width, height, channels } = again;
  if (width !== picture.width || height !== picture.height || channels !== picture.channels) {
    return `unlike ${path} in size`;
  }
  let most = 0, different = 0;
  for (let i = 0; i < pixels.length; i++) {
    const difference = Math.abs(pixels[i] - picture.pixels[i]);
    if (difference > 0) different++;
    most = Math.max(most, difference);
  }
  if (different === 0) return `the same pixels as ${path}`;
  const share = (100 * different / pixels.length).toPrecision(2);
  return `${share} % of the levels unlike ${path}'s, by at most ${most}/255`;
}
