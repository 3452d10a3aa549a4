/** diffusers' `scheduler_config.json`, old and new. */
import { SCHEDULE_NAMES } from "./betas.ts";
import { FieldError, InputError } from "../errors.ts";
import { choice, Keys, number, type Type, whole } from "../schema.ts";
import type { SchedulerConfig, VarianceType } from "./scheduler.ts";

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

const share = number(0, 1);
const betas: Type<readonly number[] | null> = {
  expected: "null or a list of numbers between 0 and 1",
  accepts: (value): value is readonly number[] | null =>
    value === null ||
    Array.isArray(value) && value.length > 0 &&
      value.every((beta) => typeof beta === "number" && beta > 0 && beta < 1),
  fromText: (text) => text,
};
/** λ, which Python writes as -Infinity where nothing is cut. */
const lambda: Type<number> = {
  ...number(),
  accepts: (value): value is number => typeof value === "number" && value < Infinity,
};

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
  const file = typeof json === "string" ? parsePythonJson(json, where) : json;
  const keys = new Keys(file, where);
  keys.read("_class_name", choice(CLASSES), "DDPMScheduler");
  if (keys.take("use_flow_sigmas")) throw new FieldError("use_flow_sigmas", "false", true, where);
  // The network is then told ¼·ln σ in place of t.
  keys.read("timestep_type", choice(["discrete"]), "discrete");

  const trained_betas = keys.read("trained_betas", betas, null);
  const num_train_timesteps = keys.read("num_train_timesteps", whole(1), 1000);
  if (trained_betas && trained_betas.length !== num_train_timesteps) {
    const expected = `${num_train_timesteps} numbers (num_train_timesteps)`;
    throw new FieldError("trained_betas", expected, trained_betas.length, where);
  }
  const predicts = keys.take("predict_epsilon") === false ? "sample" : "epsilon";
  const variances = choice(Object.keys(VARIANCES));
  return {
    num_train_timesteps,
    beta_start: keys.read("beta_start", number(0), 0.0001),
    beta_end: keys.read("beta_end", number(0), 0.02),
    beta_schedule: keys.read("beta_schedule", choice(SCHEDULE_NAMES), "linear"),
    trained_betas,
    variance_type: VARIANCES[keys.read("variance_type", variances, "fixed_small")],
    prediction_type: keys.read(
      "prediction_type",
      choice(["epsilon", "sample", "v_prediction"]),
      predicts,
    ),
    clip_sample: keys.flag("clip_sample", true),
    clip_sample_range: keys.read("clip_sample_range", number(0), 1),
    thresholding: keys.flag("thresholding", false),
    dynamic_thresholding_ratio: keys.read("dynamic_thresholding_ratio", share, 0.995),
    sample_max_value: keys.read("sample_max_value", number(0), 1),
    timestep_spacing: keys.exactly(
      "timestep_spacing",
      choice(["leading", "linspace", "trailing", null]),
      null,
    ),
    steps_offset: keys.read("steps_offset", whole(0), 0),
    rescale_betas_zero_snr: keys.flag("rescale_betas_zero_snr", false),
    set_alpha_to_one: keys.flag("set_alpha_to_one", true),
    lambda_min_clipped: keys.read("lambda_min_clipped", lambda, -Infinity),
  };
}
