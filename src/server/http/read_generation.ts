/** What a generation request asks for, and how an answer says what was made. */
import { guidedText } from "../../diffusion/guided.ts";
import { invalid } from "../problem.ts";
import type { Charge, Order } from "../work/cost.ts";
import { describeSubject, findWeights, resolve, type ServedRecipe } from "../work/recipe.ts";
import { anySeed, hashToSeed, nextSeed, seedOf } from "../work/seed.ts";
import { labelNames, mixedLabels, type ServedModel } from "../work/served_model.ts";
import { sizeOfFile } from "../../recipe/size.ts";
import { recipeRequest } from "./recipe_request.ts";
import { checkCaps, type Services } from "./services.ts";

export interface Generation {
  /** A recipe for each image. */
  readonly orders: readonly Order[];
  readonly model: ServedModel;
  /** "56x56": the pictures' width and height. */
  readonly size: string;
  readonly format: "b64_json" | "url";
  /** Previews of each image in a stream. */
  readonly partialImages: number;
}

/**
 * Works out a request's recipes.
 * @param fields the validated body
 * @param charge told what it costs to plan runs that are new
 * @throws Problem 404 for weights that are not loaded, 422 for what does not fit them or is too much
 */
export async function readGeneration(
  services: Services,
  fields: Record<string, unknown>,
  charge: Charge,
): Promise<Generation> {
  const { catalog, limits, orders: planned } = services;
  const request = recipeRequest(services, fields, "json");
  const { model } = findWeights(catalog, request.weights);
  const prompt = (fields.prompt as string).trim();
  if (prompt === "") throw invalid("prompt", "some text", fields.prompt);
  const form = prompt.normalize("NFC");
  const named = labelNames(model).find((name) => name.normalize("NFC") === form);
  const mixed = mixedLabels(model, form);
  const label = request.label ?? named ?? mixed?.[0];
  const mix = request.label === undefined && mixed
    ? { ...request.mix, label: mixed[1] }
    : request.mix;
  const first = firstSeed(fields.seed, named ?? mixed ? undefined : prompt, limits);
  const n = (fields.n as number | undefined) ?? 1;
  const partialImages = fields.stream ? (fields.partial_images as number | undefined) ?? 0 : 0;
  const recipes = Array.from(
    { length: n },
    (_, i) => resolve(catalog, { ...request, label, mix }, nextSeed(first, i)),
  );
  const order = await planned.of(recipes[0], charge, { previews: partialImages });
  const orders = recipes.map((recipe) => planned.again(order, recipe));
  checkCaps(services, orders, "size");
  return {
    orders,
    model,
    size: sizeOfFile(model.shape, recipes[0]).join("x"),
    format: (fields.response_format ?? "b64_json") as Generation["format"],
    partialImages,
  };
}

/** A prompt that is only a class says nothing of the seed, which is then any. */
function firstSeed(
  seed: unknown,
  text: string | undefined,
  { maxNameLength }: Services["limits"],
): number {
  if (typeof seed === "number") return seed;
  if (typeof seed === "string") return seedOf(seed, maxNameLength);
  if (text !== undefined) return hashToSeed(text);
  return anySeed();
}

/** A recipe in an answer's words. */
export function describeImage(recipe: ServedRecipe, model: ServedModel): Record<string, unknown> {
  const { seed, scheduler, schedule, steps, guidance, guided, options, source } = recipe;
  const subject = describeSubject(recipe, model);
  const chosen = subject.label === undefined ? "" : `label ${subject.label}, `;
  const other = subject.with === undefined ? "" : ` with ${subject.with}`;
  return {
    revised_prompt: `${chosen}seed ${seed}${other}`,
    seed,
    weights: `${source}@${model.hash.slice(0, 16)}`,
    scheduler,
    ...(schedule === undefined ? {} : { schedule }),
    steps,
    ...subject,
    guidance,
    ...(guided === undefined ? {} : { guided: guidedText(guided) }),
    ...options,
  };
}
