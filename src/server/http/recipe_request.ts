/** From validated fields to what a recipe is made from. */
import type { SchedulerOptions } from "../../diffusion/mod.ts";
import { invalid, listed } from "../problem.ts";
import { defaultScheduler, findWeights, type RecipeRequest } from "../work/recipe.ts";
import type { Services } from "./services.ts";
import { validate } from "./validate.ts";

/**
 * The fields that make a recipe. Options are read by the type that their scheduler gives them.
 * @throws Problem 404 for weights that are not loaded, 422 for options that do not fit
 */
export function recipeRequest(
  { catalog, schemas }: Pick<Services, "catalog" | "schemas">,
  fields: Record<string, unknown>,
  source: "address" | "json",
): RecipeRequest {
  const { model: modelName, schedule, steps, label, guidance, scale } = fields;
  const weights = (fields.weights ?? modelName) as string | undefined;
  const { model } = findWeights(catalog, weights);
  const scheduler = (fields.scheduler ?? defaultScheduler(model, catalog.schedulers)) as string;
  const asked = Object.entries(fields).filter(([name]) => schemas.optionNames.has(name));
  const known = Object.keys(catalog.schedulers[scheduler].options ?? {});
  for (const [name, value] of asked) {
    if (known.includes(name)) continue;
    const names = listed(known) || "none";
    throw invalid(name, `an option of the scheduler "${scheduler}" (${names})`, value);
  }
  const options = validate(schemas.options(scheduler, source), Object.fromEntries(asked));
  return {
    weights,
    scheduler,
    schedule,
    steps,
    label,
    guidance,
    scale,
    options: options as SchedulerOptions,
  } as RecipeRequest;
}
