/** From a picture back to how it was made. */
import { InputError, shown } from "../errors.ts";
import type { Pixels } from "../image/pixels.ts";
import { decodePng } from "../image/png.ts";
import { fromText, type Recipe, RECIPE_KEYWORD } from "../recipe/recipe.ts";
import { builtInWeights } from "../weights/find/locate.ts";
import { defaultSource, deployedSources } from "../weights/find/sources.ts";
import { schedulers } from "../../schedulers/mod.ts";
import { readInput } from "./files.ts";

/** A picture and how it was made; one that shows several has a recipe for each. */
export interface RecipeFile {
  readonly path: string;
  readonly picture: Pixels;
  readonly recipes: readonly Recipe[];
}

/** @throws InputError for what is no PNG, or carries no recipe. */
export async function readRecipeFile(path: string): Promise<RecipeFile> {
  const bytes = await readInput("--from", path);
  const picture = decodePng(bytes, `--from ${path}`);
  const text = picture.text[RECIPE_KEYWORD];
  if (text === undefined) {
    throw new InputError(`--from ${path}: expected a PNG that \`sample\` made, found no recipe`);
  }
  const recipes = fromText(text, `--from ${path}`);
  const [first] = recipes;
  if (first?.inputs) {
    const names = Object.keys(first.inputs).join(", ");
    throw new InputError(
      `--from ${path}: was made from ${names} beside its seed, of which it holds only the hash`,
    );
  }
  if (!first) throw new InputError(`--from ${path}: the recipe in the picture is of no pictures`);
  return { path, picture, recipes };
}

/**
 * The weights of a picture whose maker did not say more. Only a built-in name is followed: a
 * stranger's picture does not decide what is downloaded or read. For other weights the deployment's
 * stand in, where there are any.
 */
export function weightsOf({ path, recipes: [{ source = "?", weights }] }: RecipeFile): string {
  if (Object.hasOwn(builtInWeights, source)) return source;
  if (deployedSources().length > 0) return defaultSource();
  throw new InputError(
    `--from ${path}: made with the weights ${shown(source)} (${
      weights.slice(0, 12)
    }…); give them with --weights`,
  );
}

/** The scheduler of a picture; a plug-in has to be given by the user, as it is code. */
export function schedulerOf({ path, recipes: [{ scheduler }] }: RecipeFile): string {
  if (Object.hasOwn(schedulers, scheduler)) return scheduler;
  throw new InputError(
    `--from ${path}: made with the plug-in ${shown(scheduler)}; give it with --scheduler`,
  );
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
