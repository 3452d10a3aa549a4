/** What a picture is asked for by, resolved against what is loaded here. */
import { type Guided, guidedText } from "../../diffusion/guided.ts";
import type { Scheduler } from "../../diffusion/mod.ts";
import type { Inputs } from "../../recipe/inputs.ts";
import type { MixRequest } from "../../recipe/mix.ts";
import type { Recipe } from "../../recipe/recipe.ts";
import { resolve as resolveRecipe } from "../../recipe/resolve.ts";
import { enlargementTo, type Size } from "../../recipe/size.ts";
import { invalid, listed, Problem, refusing } from "../problem.ts";
import type { Limits } from "./limits.ts";
import { labelIndex, labelNames, labelsText, type ServedModel } from "./served_model.ts";

/** A recipe whose source is the name that the weights have here. */
export interface ServedRecipe extends Recipe {
  readonly source: string;
}

/** What a request says; everything but the seed may be left out. */
export interface RecipeRequest {
  readonly weights?: string;
  readonly scheduler?: string;
  readonly schedule?: string;
  readonly steps?: number;
  readonly label?: string | number;
  readonly guidance?: number;
  readonly guided?: Guided;
  readonly mix?: MixRequest;
  readonly scale?: number;
  readonly size?: Size;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly inputs?: Inputs;
}

/** What the operator loaded. */
export interface Catalog {
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly schedulers: Readonly<Record<string, Scheduler>>;
  /** What tells the code of a plug-in from what had its name before; nothing for the built-in ones. */
  readonly plugins: Readonly<Record<string, string>>;
  readonly limits: Limits;
}

/** The largest enlargement, in addresses and as a size. */
export const MAX_SCALE = 64;

/** Hexadecimal digits of a weights hash that an address needs at least to pin it. */
const MIN_HASH = 12;

/** The weights that an address names: `name`, `name@hash` or nothing for the first. */
export function findWeights(
  catalog: Catalog,
  address: string | undefined,
): { name: string; model: ServedModel; pinned: boolean } {
  const [first] = catalog.models.keys();
  const at = address?.lastIndexOf("@") ?? -1;
  const name = at < 0 ? address ?? first : address!.slice(0, at);
  const model = catalog.models.get(name);
  if (!model) {
    const loaded = [...catalog.models.keys()].map((known) => `"${known}"`);
    throw notLoaded(`one of the loaded weights (${listed(loaded)})`, address);
  }
  if (at < 0) return { name, model, pinned: false };
  const hash = address!.slice(at + 1);
  if (hash.length < MIN_HASH || !model.hash.startsWith(hash)) {
    throw notLoaded(`${name}@${model.hash.slice(0, 16)}, the "${name}" loaded here`, address);
  }
  return { name, model, pinned: true };
}

function notLoaded(expected: string, found: unknown): Problem {
  const { message, errors } = invalid("weights", expected, found);
  return new Problem(404, "not_found", message, { errors });
}

/**
 * One picture's recipe, every default filled in.
 * @throws Problem 404 for weights that are not loaded, 422 for what does not fit them
 */
export function resolve(catalog: Catalog, request: RecipeRequest, seed: number): ServedRecipe {
  const { name, model } = findWeights(catalog, request.weights);
  const { steps, guidance } = request;
  const T = model.scheduler.num_train_timesteps;
  if (steps !== undefined && steps > T) {
    throw invalid("steps", `at most ${T}, the steps "${name}" learned`, steps);
  }
  if (guidance !== undefined && guidance !== 1 && model.distilled) {
    const { guidance: folded } = model.distilled;
    throw invalid("guidance", `1: "${name}" has guidance ${folded} folded in`, guidance);
  }
  if (guidance !== undefined && guidance !== 1 && model.nullLabel === undefined) {
    throw invalid("guidance", `1: "${name}" has no label that means "no class"`, guidance);
  }
  const label = request.label === undefined ? undefined : findLabel(model, name, request.label);
  const mix = request.mix?.label === undefined
    ? request.mix
    : { ...request.mix, label: findLabel(model, name, request.mix.label) };
  const recipe = refusing(() => {
    if (request.size !== undefined) enlargementTo(model.shape, request.size, MAX_SCALE);
    return resolveRecipe(model, catalog.schedulers, { ...request, seed, label, mix });
  });
  const plugin = catalog.plugins[recipe.scheduler];
  return { ...recipe, source: name, ...(plugin === undefined ? {} : { plugin }) };
}

function findLabel(model: ServedModel, name: string, label: string | number): number {
  if (!model.labels) throw invalid("label", `nothing: "${name}" knows no classes`, label);
  const index = labelIndex(model, label);
  if (index === undefined) {
    throw invalid("label", `one of ${listed(labelNames(model))}, or two with + between`, label);
  }
  return index;
}

/** Whether an If-None-Match header names the ETag (RFC 9110, weak comparison). */
export function etagMatches(header: string | undefined | null, etag: string): boolean {
  if (!header) return false;
  return header.split(",").some((tag) => {
    const trimmed = tag.trim();
    return trimmed === "*" || trimmed.replace(/^W\//, "") === etag;
  });
}

/**
 * A picture's class and what it is mixed with, in the words of a request; its seed is told elsewhere. What
 * means no class is none, as restorations have it.
 */
export function describeSubject(
  { label, mix }: ServedRecipe,
  model: ServedModel,
): { label?: string; with?: number; mix?: number } {
  const classes = labelNames(model).length;
  const labels = [label, mix?.label].filter((index): index is number =>
    index !== undefined && index < classes
  );
  return {
    ...(labels.length === 0 ? {} : { label: labelsText(model, labels) }),
    ...(mix?.seed === undefined ? {} : { with: mix.seed }),
    ...(mix === undefined ? {} : { mix: mix.share }),
  };
}

/** The address that gives the picture for ever: every choice and the weights' hash are in it. */
export function addressOf(recipe: ServedRecipe, model: ServedModel, kind = ".png"): string {
  const { scale = 1, size } = recipe;
  const query = new URLSearchParams({
    weights: `${recipe.source}@${recipe.weights.slice(0, 16)}`,
    scheduler: recipe.scheduler,
    ...(recipe.schedule === undefined ? {} : { schedule: recipe.schedule }),
    steps: String(recipe.steps),
    ...Object.fromEntries(
      Object.entries(describeSubject(recipe, model)).map(([key, value]) => [key, String(value)]),
    ),
    ...(model.labels ? { guidance: String(recipe.guidance) } : {}),
    ...(recipe.guided ? { guided: guidedText(recipe.guided) } : {}),
    ...Object.fromEntries(Object.entries(recipe.options).map(([k, v]) => [k, String(v)])),
    ...(size ? { size: size.join("x") } : scale === 1 ? {} : { scale: String(scale) }),
  });
  return `v1/images/${recipe.seed}${kind}?${query}`;
}
