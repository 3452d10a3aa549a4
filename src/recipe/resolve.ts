/** From what a request says to a recipe: names looked up, defaults filled in, everything checked. */
import { checkGuided, type Guided } from "../diffusion/guided.ts";
import { seedType } from "../diffusion/seed.ts";
import type { Scheduler } from "../diffusion/scheduler.ts";
import { FieldError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import { check, whole } from "../schema.ts";
import { checkGuidance, defaultLabel, type Label, labelIndex } from "./conditioning.ts";
import { checkInputs, hashesOf, type Inputs } from "./inputs.ts";
import { resolveOptions } from "./options.ts";
import { type MixRequest, resolveMix } from "./mix.ts";
import { enlargementTo, MAX_SCALE, type Size } from "./size.ts";
import { DEFAULT } from "../weights/read/sampler.ts";
import type { Method, Recipe, Subject } from "./recipe.ts";

/** A network and what is known of its weights. */
export type NamedNetwork = Network & {
  /** SHA-256 of the weights. */
  readonly hash?: string;
  /** Where the weights came from. */
  readonly source?: string;
  /** The engine that runs it. */
  readonly backend?: string;
};

/** Scheduler plug-ins by name. */
export type Schedulers = Readonly<Record<string, Scheduler>>;

/** How pictures are to be made; what is left out is what the weights recommend. */
export interface MethodRequest {
  /** A scheduler's name, or a plug-in; default what the weights recommend, else {@link DEFAULT}. */
  readonly scheduler?: string | Scheduler;
  /** Another noise schedule under the sampler, by name; default the plug-in's, else the model's. */
  readonly schedule?: string;
  /** Steps of the sampler; default what the weights recommend, else {@link DEFAULT}. */
  readonly steps?: number;
  /** The timesteps themselves, descending; goes before `steps`. */
  readonly timesteps?: readonly number[];
  /** The sampler's own options. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Guidance scale; default what the weights recommend, else 1 (off). */
  readonly guidance?: number;
  /** The model's timesteps at which it is guided, from … to; default what the weights recommend, else all. */
  readonly guided?: Guided;
  /** The class that means "none", where the weights do not say. */
  readonly nullLabel?: number;
  /** Enlarges every pixel of the finished picture to scale × scale; default 1. */
  readonly scale?: number;
  /**
   * The finished picture's width and height, one number for both, in place of `scale`: the largest whole
   * multiple that fits, its ground around it.
   */
  readonly size?: number | Size;
}

/** One picture that is to be made. */
export interface RecipeRequest extends MethodRequest {
  /** 0 … 2³² − 1. */
  readonly seed: number;
  /** The class by name or index; default seed mod classes. */
  readonly label?: Label;
  /** Another picture, and how much of this one is to be its. */
  readonly mix?: MixRequest;
  /** What the sampler starts from beside noise. */
  readonly inputs?: Inputs;
}

/**
 * The scheduler that a request names, or the one that the weights recommend.
 * @throws FieldError listing the names there are
 */
export function chooseScheduler(
  network: Pick<Network, "recommended">,
  schedulers: Schedulers,
  chosen?: string | Scheduler,
): Scheduler {
  if (typeof chosen === "object") return chosen;
  const names = Object.keys(schedulers);
  const name = chosen ??
    [network.recommended?.scheduler, DEFAULT.scheduler, names[0]]
      .find((name) => name !== undefined && Object.hasOwn(schedulers, name));
  if (name !== undefined && Object.hasOwn(schedulers, name)) return schedulers[name];
  throw new FieldError("scheduler", `one of ${names.join(", ")}`, name);
}

/** @throws FieldError naming the first thing asked for that the network or the scheduler has not */
export function resolveMethod(
  network: NamedNetwork,
  schedulers: Schedulers,
  request: MethodRequest,
): Method {
  const { recommended, hash = "", source, backend } = network;
  const { schedule, timesteps, nullLabel } = request;
  const scheduler = chooseScheduler(network, schedulers, request.scheduler);
  const steps = timesteps?.length ?? request.steps ?? recommended?.steps ?? DEFAULT.steps;
  const guidance = request.guidance ?? recommended?.guidance ?? 1;
  checkGuidance(network, { guidance, nullLabel });
  const guided = request.guided ?? recommended?.guided;
  if (guided !== undefined) checkGuided(guided, network.scheduler.num_train_timesteps);
  check(whole(1), steps, "steps");
  return withoutUndefined({
    weights: hash,
    source: source === undefined ? undefined : sourceName(source),
    scheduler: scheduler.name,
    schedule,
    steps,
    timesteps,
    options: resolveOptions(scheduler, request.options),
    guidance,
    guided: guidance === 1 ? undefined : guided,
    nullLabel,
    ...enlargement(network, request),
    backend,
  });
}

function enlargement({ shape }: Network, { scale = 1, size }: MethodRequest) {
  check(whole(1, MAX_SCALE), scale, "scale");
  if (size === undefined) return { scale: scale === 1 ? undefined : scale };
  if (scale !== 1) throw new FieldError("size", "none beside a scale", size);
  return enlargementTo(shape, typeof size === "number" ? [size, size] : size);
}

/**
 * One picture's recipe, every default filled in: what the weights recommend, else {@link DEFAULT}. The
 * seed also picks the class where none is named, as an image of the training data has one.
 * @throws FieldError naming the first thing asked for that cannot be
 */
export function resolve(
  network: NamedNetwork,
  schedulers: Schedulers,
  request: RecipeRequest,
): Recipe {
  return {
    ...resolveMethod(network, schedulers, request),
    ...resolveSubject(
      network,
      chooseScheduler(network, schedulers, request.scheduler),
      request,
    ),
  };
}

/** Which picture a request is for. @throws FieldError naming what cannot be */
export function resolveSubject(
  network: Network,
  scheduler: Scheduler,
  { seed, label, mix, inputs }: Pick<RecipeRequest, "seed" | "label" | "mix" | "inputs">,
): Subject {
  check(seedType, seed, "seed");
  checkInputs(scheduler, inputs);
  const named = label !== undefined;
  const own = { seed, label: named ? labelIndex(network, label) : defaultLabel(network, seed) };
  return withoutUndefined({
    ...own,
    mix: resolveMix(network, { ...own, named }, mix),
    inputs: hashesOf(inputs),
  });
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

/** Without the keys whose value is undefined, so that recipes of equal content are equal. */
function withoutUndefined<T extends object>(object: T): T {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as T;
}
