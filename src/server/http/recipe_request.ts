/** From validated fields to what a recipe is made from. */
import { guidedType } from "../../diffusion/guided.ts";
import { optionsFromText } from "../../recipe/options.ts";
import { chooseScheduler } from "../../recipe/resolve.ts";
import { sizeFromText, sizesOf } from "../../recipe/size.ts";
import { invalid } from "../problem.ts";
import { findWeights, MAX_SCALE, type RecipeRequest } from "../work/recipe.ts";
import { seedOf } from "../work/seed.ts";
import { mixedLabels, type ServedModel } from "../work/served_model.ts";
import type { Services } from "./services.ts";

/**
 * The fields that make a recipe.
 * @param source an address writes its options as text, which is read by the type that their scheduler
 * gives them
 * @throws Problem 404 for weights that are not loaded
 */
export function recipeRequest(
  { catalog, schemas, limits }: Pick<Services, "catalog" | "schemas" | "limits">,
  fields: Record<string, unknown>,
  source: "address" | "json",
): RecipeRequest {
  const { model: modelName, scheduler, schedule, steps, label, guidance, scale } = fields;
  const { with: other, mix: share } = fields;
  const weights = (fields.weights ?? modelName) as string | undefined;
  const { model } = findWeights(catalog, weights);
  const chosen = chooseScheduler(model, catalog.schedulers, scheduler as string | undefined);
  const given = Object.fromEntries(
    Object.entries(fields).filter(([name]) => schemas.optionNames.has(name)),
  );
  const options = source === "address" ? optionsFromText(chosen, given) : given;
  const labels = typeof label === "string" ? mixedLabels(model, label, source) : undefined;
  const seed = other === undefined
    ? undefined
    : seedOf(String(other), limits.maxNameLength, "with");
  const mix = { seed, label: labels?.[1], share };
  return {
    weights,
    scheduler,
    schedule,
    steps,
    label: labels?.[0] ?? label,
    mix: Object.values(mix).every((part) => part === undefined) ? undefined : mix,
    guidance,
    guided: readGuided(fields.guided as string | undefined),
    scale,
    size: readSize(fields.size as string | undefined, model),
    options,
  } as RecipeRequest;
}

/** "170-880". @throws Problem 422 for another text */
function readGuided(text: string | undefined) {
  if (text === undefined) return undefined;
  const guided = guidedType.fromText(text);
  if (!guidedType.accepts(guided)) throw invalid("guided", guidedType.expected, text);
  return guided;
}

/** "128", "128x96", or "auto" for the weights' own. @throws Problem 422 for another text */
export function readSize(text: string | undefined, { shape }: ServedModel) {
  if (text === undefined || text === "auto") return undefined;
  const size = sizeFromText(text);
  if (size === undefined) throw invalid("size", `"auto", or ${sizesOf(shape, MAX_SCALE)}`, text);
  return size;
}
