/** From validated fields to what a recipe is made from. */
import { optionsFromText } from "../../recipe/options.ts";
import { chooseScheduler } from "../../recipe/resolve.ts";
import { findWeights, type RecipeRequest } from "../work/recipe.ts";
import type { Services } from "./services.ts";

/**
 * The fields that make a recipe.
 * @param source an address writes its options as text, which is read by the type that their scheduler
 * gives them
 * @throws Problem 404 for weights that are not loaded
 */
export function recipeRequest(
  { catalog, schemas }: Pick<Services, "catalog" | "schemas">,
  fields: Record<string, unknown>,
  source: "address" | "json",
): RecipeRequest {
  const { model: modelName, scheduler, schedule, steps, label, guidance, scale } = fields;
  const weights = (fields.weights ?? modelName) as string | undefined;
  const { model } = findWeights(catalog, weights);
  const chosen = chooseScheduler(model, catalog.schedulers, scheduler as string | undefined);
  const given = Object.fromEntries(
    Object.entries(fields).filter(([name]) => schemas.optionNames.has(name)),
  );
  const options = source === "address" ? optionsFromText(chosen, given) : given;
  return { weights, scheduler, schedule, steps, label, guidance, scale, options } as RecipeRequest;
}
