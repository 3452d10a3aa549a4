/** Everything that decides a picture, with every default filled in. */
import type { Scheduler, SchedulerOptions } from "../../diffusion/mod.ts";
import { InputError } from "../../errors.ts";
import { checkTaughtTimesteps } from "../../sampling/distilled.ts";
import { planRun } from "../../sampling/plan.ts";
import { invalid, listed, Problem } from "../problem.ts";
import type { Limits } from "./limits.ts";
import { labelIndex, labelNames, labelText, type ServedModel } from "./served_model.ts";

/** Goes up when the same recipe begins to give other bytes. */
export const PICTURE_VERSION = 1;

export interface Recipe {
  readonly weights: string;
  readonly hash: string;
  readonly backend: string;
  readonly scheduler: string;
  /** Which code of that name, where it is not built in. */
  readonly plugin?: string;
  readonly schedule?: string;
  readonly steps: number;
  readonly options: SchedulerOptions;
  readonly seed: number;
  readonly label?: number;
  readonly guidance: number;
  readonly scale: number;
}

/** What a request says; everything but the seed may be left out. */
export interface RecipeRequest {
  readonly weights?: string;
  readonly scheduler?: string;
  readonly schedule?: string;
  readonly steps?: number;
  readonly label?: string | number;
  readonly guidance?: number;
  readonly scale?: number;
  readonly options?: SchedulerOptions;
}

/** What the operator loaded. */
export interface Catalog {
  readonly models: ReadonlyMap<string, ServedModel>;
  readonly schedulers: Readonly<Record<string, Scheduler>>;
  /** What tells the code of a plug-in from what had its name before; nothing for the built-in ones. */
  readonly plugins: Readonly<Record<string, string>>;
  readonly limits: Limits;
}

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

/** The sampler of requests that name none: what the weights recommend, else DDIM, else the first. */
export function defaultScheduler(
  { recommended }: ServedModel,
  schedulers: Catalog["schedulers"],
): string {
  return recommended?.scheduler ??
    (Object.hasOwn(schedulers, "ddim") ? "ddim" : Object.keys(schedulers)[0]);
}

/**
 * Fills in the defaults. The seed also picks the class where none is named, as an image of the
 * training data has one.
 *
 * @throws Problem 404 for weights that are not loaded, 422 for what does not fit them
 */
export function resolve(catalog: Catalog, request: RecipeRequest, seed: number): Recipe {
  const { name, model } = findWeights(catalog, request.weights);
  const scheduler = request.scheduler ?? defaultScheduler(model, catalog.schedulers);
  const steps = request.steps ?? model.recommended?.steps ?? 50;
  const T = model.scheduler.num_train_timesteps;
  if (steps > T) throw invalid("steps", `at most ${T}, the steps "${name}" learned`, steps);
  const label = chooseLabel(model, name, request.label, seed);
  checkTaught(catalog, request, { model, name, scheduler, steps });
  const plugin = catalog.plugins[scheduler];
  return {
    weights: name,
    hash: model.hash,
    backend: model.backend,
    scheduler,
    ...(plugin === undefined ? {} : { plugin }),
    ...(request.schedule === undefined ? {} : { schedule: request.schedule }),
    steps,
    options: completeOptions(catalog.schedulers[scheduler], request.options ?? {}),
    seed,
    ...(label === undefined ? {} : { label }),
    guidance: chooseGuidance(model, name, request.guidance),
    scale: request.scale ?? 1,
  };
}

/** Few-step weights answer at their own timesteps alone. */
function checkTaught(
  catalog: Catalog,
  { schedule }: RecipeRequest,
  { model, name, scheduler, steps }: {
    readonly model: ServedModel;
    readonly name: string;
    readonly scheduler: string;
    readonly steps: number;
  },
): void {
  if (model.distilled?.steps === undefined) return;
  const request = { scheduler: catalog.schedulers[scheduler], schedule, steps };
  try {
    checkTaughtTimesteps(model, planRun(model.scheduler, request));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const own = model.distilled.steps;
    throw invalid("steps", `${own}, the steps "${name}" was distilled to`, steps);
  }
}

function chooseLabel(
  model: ServedModel,
  name: string,
  label: string | number | undefined,
  seed: number,
): number | undefined {
  const labels = labelNames(model);
  if (label === undefined) return model.labels ? seed % labels.length : undefined;
  if (!model.labels) throw invalid("label", `nothing: "${name}" knows no classes`, label);
  const index = labelIndex(model, label);
  if (index === undefined) throw invalid("label", `one of ${listed(labels)}`, label);
  return index;
}

function chooseGuidance(model: ServedModel, name: string, guidance?: number): number {
  if (guidance === undefined || guidance === 1) return guidance ?? model.recommended?.guidance ?? 1;
  if (model.distilled) {
    const { guidance: folded } = model.distilled;
    throw invalid("guidance", `1: "${name}" has guidance ${folded} folded in`, guidance);
  }
  if (model.nullLabel === undefined) {
    throw invalid("guidance", `1: "${name}" has no label that means "no class"`, guidance);
  }
  return guidance;
}

function completeOptions({ options = {} }: Scheduler, asked: SchedulerOptions): SchedulerOptions {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => [name, asked[name] ?? option.default]),
  );
}

/**
 * The ETag of a recipe's PNG: the recipe itself. It is known before anything is computed, without a
 * digest to wait for, and no two pictures share one.
 */
export function etagOf({ hash, options, ...choices }: Recipe): string {
  const sorted = Object.entries(options).sort(([a], [b]) => a < b ? -1 : 1);
  const facts = Object.entries({ picture: PICTURE_VERSION, hash: hash.slice(0, 32), ...choices });
  const pairs = [...facts, ...sorted].map(([name, value]) => [name, String(value)]);
  return `"${new URLSearchParams(pairs)}"`;
}

/** Whether an If-None-Match header names the ETag (RFC 9110, weak comparison). */
export function etagMatches(header: string | undefined | null, etag: string): boolean {
  if (!header) return false;
  return header.split(",").some((tag) => {
    const trimmed = tag.trim();
    return trimmed === "*" || trimmed.replace(/^W\//, "") === etag;
  });
}

/** The address that gives the picture for ever: every choice and the weights' hash are in it. */
export function addressOf(recipe: Recipe, model: ServedModel, kind = ".png"): string {
  const query = new URLSearchParams({
    weights: `${recipe.weights}@${recipe.hash.slice(0, 16)}`,
    scheduler: recipe.scheduler,
    ...(recipe.schedule === undefined ? {} : { schedule: recipe.schedule }),
    steps: String(recipe.steps),
    ...(recipe.label === undefined ? {} : { label: labelText(model, recipe.label) }),
    ...(model.labels ? { guidance: String(recipe.guidance) } : {}),
    ...Object.fromEntries(Object.entries(recipe.options).map(([k, v]) => [k, String(v)])),
    ...(recipe.scale === 1 ? {} : { scale: String(recipe.scale) }),
  });
  return `v1/images/${recipe.seed}${kind}?${query}`;
}
