/** diffusers' `scheduler_config.json`, old and new. */
import { SCHEDULE_NAMES } from "./betas.ts";
import { InputError } from "../errors.ts";
import type {
  PredictionType,
  SchedulerConfig,
  TimestepSpacing,
  VarianceType,
} from "./scheduler.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * Classes whose forward process is the one here. What else their files say (solver_order,
 * use_karras_sigmas …) chooses a sampler, which is the user's to choose.
 */
const CLASSES = [
  "DDPMScheduler",
  "DDPMParallelScheduler",
  "DDIMScheduler",
  "DDIMParallelScheduler",
  "DDIMInverseScheduler",
  "PNDMScheduler",
  "DPMSolverMultistepScheduler",
  "DPMSolverSinglestepScheduler",
  "DEISMultistepScheduler",
  "UniPCMultistepScheduler",
  "HeunDiscreteScheduler",
  "EulerDiscreteScheduler",
  "EulerAncestralDiscreteScheduler",
  "LMSDiscreteScheduler",
] as const;

/** What diffusers does with fixed_small_log is fixed_small; fixed_large_log was meant to be fixed_large. */
const VARIANCES: Readonly<Record<string, VarianceType>> = {
  fixed_small: "fixed_small",
  fixed_small_log: "fixed_small",
  fixed_large: "fixed_large",
  fixed_large_log: "fixed_large",
  learned_range: "learned_range",
};

function wrong(where: string, key: string, expected: string, found: unknown): InputError {
  const value = found === undefined ? "undefined" : JSON.stringify(found);
  return new InputError(
    `${where}: "${key}": expected ${expected}, found ${value}`,
  );
}

/** Reads keys of one file; a missing or null key takes the default, but null flags are false. */
class Keys {
  constructor(private readonly json: Json, private readonly where: string) {}

  #read<V>(key: string, fallback: V, expected: string, fits: (value: unknown) => boolean): V {
    const value = this.json[key] ?? fallback;
    if (!fits(value)) throw wrong(this.where, key, expected, value);
    return value as V;
  }

  number(key: string, fallback: number, least = -Infinity, most = Infinity): number {
    const bounds = most < Infinity ? ` from ${least} to ${most}` : ` of at least ${least}`;
    return this.#read(
      key,
      fallback,
      `a number${least > -Infinity ? bounds : ""}`,
      (value) => typeof value === "number" && value >= least && value <= most && value < Infinity,
    );
  }

  integer(key: string, fallback: number, least: number): number {
    return this.#read(
      key,
      fallback,
      `a whole number of at least ${least}`,
      (value) => Number.isSafeInteger(value) && value as number >= least,
    );
  }

  boolean(key: string, fallback: boolean): boolean {
    // diffusers asks only whether they are true.
    if (this.json[key] === null) return false;
    return this.#read(key, fallback, "true or false", (value) => typeof value === "boolean");
  }

  oneOf<V extends string>(key: string, fallback: V, names: readonly V[]): V {
    return this.#read(
      key,
      fallback,
      `one of ${names.join(", ")}`,
      (value) => names.includes(value as V),
    );
  }

  numbers(key: string): number[] | null {
    return this.#read<number[] | null>(
      key,
      null,
      "null or a list of numbers between 0 and 1",
      (value) =>
        value === null ||
        Array.isArray(value) && value.length > 0 &&
          value.every((beta) => typeof beta === "number" && beta > 0 && beta < 1),
    );
  }
}

/**
 * JSON as Python writes it: diffusers saves `lambda_min_clipped: -Infinity`.
 * @throws InputError for what is no JSON
 */
export function parsePythonJson(text: string, where: string): unknown {
  try {
    return JSON.parse(
      text.replace(
        /("(?:[^"\\]|\\.)*")|(-?)Infinity|NaN/g,
        (match, string, minus) => string ?? (match === "NaN" ? '"NaN"' : `${minus}1e999`),
      ),
    );
  } catch (error) {
    throw new InputError(`${where}: expected JSON, found ${(error as Error).message}`);
  }
}

/**
 * Reads diffusers' `scheduler_config.json`, as its text or as parsed JSON. Keys that old files lack
 * take diffusers' defaults; `predict_epsilon: false` is today's `prediction_type: "sample"`; null is
 * false for a flag, else the same as missing. Keys that only configure one of diffusers' samplers are passed over.
 *
 * Throws `InputError` that names the key and its value for everything that is not understood and
 * would change the picture.
 * @param where what to call the file in messages
 */
export function parseSchedulerConfig(
  json: unknown,
  where = "scheduler_config.json",
): SchedulerConfig {
  const parsed = typeof json === "string" ? parsePythonJson(json, where) : json;
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new InputError(
      `${where}: expected an object, found ${Array.isArray(parsed) ? "a list" : parsed}`,
    );
  }
  const file = parsed as Json;
  const keys = new Keys(file, where);
  keys.oneOf("_class_name", "DDPMScheduler", CLASSES);
  if (file.use_flow_sigmas) throw wrong(where, "use_flow_sigmas", "false", file.use_flow_sigmas);
  // The network is then told ¼·ln σ in place of t.
  keys.oneOf("timestep_type", "discrete", ["discrete"]);

  const trained_betas = keys.numbers("trained_betas");
  const num_train_timesteps = keys.integer("num_train_timesteps", 1000, 1);
  if (trained_betas && trained_betas.length !== num_train_timesteps) {
    throw new InputError(
      `${where}: "trained_betas": expected ${num_train_timesteps} numbers ` +
        `("num_train_timesteps"), found ${trained_betas.length}`,
    );
  }

  const predicts: PredictionType = file.predict_epsilon === false ? "sample" : "epsilon";
  const spacings: TimestepSpacing[] = ["leading", "linspace", "trailing"];
  const variance = keys.oneOf("variance_type", "fixed_small", Object.keys(VARIANCES));
  return {
    num_train_timesteps,
    beta_start: keys.number("beta_start", 0.0001, 0),
    beta_end: keys.number("beta_end", 0.02, 0),
    beta_schedule: keys.oneOf<string>("beta_schedule", "linear", SCHEDULE_NAMES),
    trained_betas,
    variance_type: VARIANCES[variance],
    prediction_type: keys.oneOf("prediction_type", predicts, [
      "epsilon",
      "sample",
      "v_prediction",
    ]),
    clip_sample: keys.boolean("clip_sample", true),
    clip_sample_range: keys.number("clip_sample_range", 1, 0),
    thresholding: keys.boolean("thresholding", false),
    dynamic_thresholding_ratio: keys.number("dynamic_thresholding_ratio", 0.995, 0, 1),
    sample_max_value: keys.number("sample_max_value", 1, 0),
    timestep_spacing: file.timestep_spacing == null
      ? null
      : keys.oneOf("timestep_spacing", "leading", spacings),
    steps_offset: keys.integer("steps_offset", 0, 0),
    rescale_betas_zero_snr: keys.boolean("rescale_betas_zero_snr", false),
    set_alpha_to_one: keys.boolean("set_alpha_to_one", true),
    lambda_min_clipped: keys.number("lambda_min_clipped", -Infinity),
  };
}
