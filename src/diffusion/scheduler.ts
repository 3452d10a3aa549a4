/** The contract between samplers (the plug-ins in `schedulers/`) and everything else. */
import type { Measurement } from "./measurement.ts";
export type { LinearOperator, Measurement, Vector } from "./measurement.ts";

/** What the network's output stands for: ε, x₀ or v (Salimans & Ho 2022, app. D). */
export type PredictionType = "epsilon" | "sample" | "v_prediction";

/** Where a few-step run puts its timesteps (Lin et al. 2024, table 2). */
export type TimestepSpacing = "leading" | "linspace" | "trailing";

/** The reverse process' variance (Ho et al. 2020, §3.2; Nichol & Dhariwal 2021, eq. 15). */
export type VarianceType = "fixed_small" | "fixed_large" | "learned_range";

/** The keys of diffusers' `scheduler_config.json` that the samplers read; see `parseSchedulerConfig`. */
export interface SchedulerConfig {
  /** T, the number of steps of the forward process. */
  readonly num_train_timesteps: number;
  /** β_1 of the named schedules. */
  readonly beta_start: number;
  /** β_T of the named schedules. */
  readonly beta_end: number;
  /** One of `SCHEDULE_NAMES`. */
  readonly beta_schedule: string;
  /** β_1 … β_T spelt out, in place of `beta_schedule`. */
  readonly trained_betas: readonly number[] | null;
  /** The variance of ancestral sampling. */
  readonly variance_type: VarianceType;
  /** What the network was trained to say. */
  readonly prediction_type: PredictionType;
  /** Whether `Run.clip` keeps x_0 within ±`clip_sample_range`. */
  readonly clip_sample: boolean;
  /** In pixel units, 1 being white. */
  readonly clip_sample_range: number;
  /** Whether `Run.clip` is dynamic thresholding; it goes before `clip_sample`. */
  readonly thresholding: boolean;
  /** The quantile of |x_0| to which dynamic thresholding clips. */
  readonly dynamic_thresholding_ratio: number;
  /** The most to which dynamic thresholding clips. */
  readonly sample_max_value: number;
  /** null where the file does not say: each sampler then takes its own default, as in diffusers. */
  readonly timestep_spacing: TimestepSpacing | null;
  /** Added to the timesteps of leading spacing. */
  readonly steps_offset: number;
  /** Whether the βs are rescaled so that ᾱ_T = 0 (Lin et al. 2024, algorithm 1). */
  readonly rescale_betas_zero_snr: boolean;
  /** Whether DDIM's last step ends at ᾱ = 1, rather than at ᾱ_0. */
  readonly set_alpha_to_one: boolean;
  /** The log-SNR solvers do not start below this λ (diffusers' key of that name); −∞ if left out. */
  readonly lambda_min_clipped?: number;
}

/** β_t, ᾱ_t and log-SNR of one noise schedule, in float64 tables of length T. */
export interface Schedule {
  /** The number of steps of the forward process. */
  readonly T: number;
  /** β_t, the variance that step t adds (Ho et al. 2020, eq. 2). */
  readonly betas: Float64Array;
  /** ᾱ_t = Π (1 − β_s) over s ≤ t, the share of the picture's variance left at t. */
  readonly alphas_cumprod: Float64Array;
  /** ᾱ at t; 1 for t < 0; fractional t interpolates linearly in λ. */
  alpha_bar(t: number): number;
  /** λ(t) = ½·ln(ᾱ/(1−ᾱ)), half the log signal-to-noise ratio. */
  lambda(t: number): number;
  /** The (fractional) t at which λ(t) = `lambda`, clamped to the grid. */
  t_of(lambda: number): number;
}

/** What the network says about x_t, both ways round; x_t = √ᾱ·x_0 + √(1−ᾱ)·eps holds. Never clipped. */
export interface Denoised {
  /** The noise in x_t. */
  eps: Float32Array;
  /** The picture in x_t, pixels in −1 … 1 if the network is right. */
  x_0: Float32Array;
  /** The other half of a 2C-channel output (learned_range), raw. */
  variance?: Float32Array;
}

/** One reverse step as seen from outside. */
export interface Frame {
  /** The timestep whose noise was just taken out. */
  t: number;
  /** x after the step (what the next step starts from). */
  x: Float32Array;
  /** The sampler's current estimate of the finished picture. */
  x_0: Float32Array;
}

/** A plug-in option, in JSON Schema's words; help, validation and OpenAPI are made from it. */
export interface OptionSchema {
  /** The type of its value. */
  type: "number" | "integer" | "boolean" | "string";
  /** One line for help texts. */
  description: string;
  /** Its value unless the user says otherwise. */
  default: number | boolean | string;
  /** The least number allowed. */
  minimum?: number;
  /** The greatest number allowed. */
  maximum?: number;
  /** The only values allowed. */
  enum?: readonly (number | string)[];
}

/** Option values by name, every default filled in. */
export type SchedulerOptions = Readonly<Record<string, number | boolean | string>>;

/** Everything one image's reverse process may touch. */
export interface Run {
  /** N(0, I): the seed's first draw; a σ-space sampler scales it itself. Length C·H·W. */
  x: Float32Array;
  /** The timesteps to visit, strictly descending within 0 … T − 1, possibly fractional. */
  timesteps: readonly number[];
  /** The noise levels to sample under, the model's or the plug-in's own. */
  schedule: Schedule;
  /** The model's `scheduler_config.json`. */
  config: SchedulerConfig;
  /** The plug-in's options, defaults filled in. */
  options: SchedulerOptions;
  /** Whether `denoise` guides: its x_0 then leaves −1 … 1 at most steps, and far. */
  guided: boolean;
  /**
   * Asks the network about x_t. `alpha_bar` is x_t's ᾱ where it is not `schedule.alpha_bar(t)`.
   * Several calls may be pending at once; they share network evaluations.
   */
  denoise(x_t: Float32Array, t: number, alpha_bar?: number): Promise<Denoised>;
  /** The config's clip or dynamic threshold, on a copy. */
  clip(x_0: Float32Array): Float32Array;
  /** The image's next draw of N(0, I). */
  noise(): Float32Array;
  /** What the image starts from beside noise, by the names in the plug-in's `needs`. */
  inputs: RunInputs;
  /**
   * (∂ε̂/∂x_t)ᵀ u, the gradient of Σ u·ε̂ with respect to x_t; undefined where the network has none.
   * Costs about two evaluations. `alpha_bar` as for `denoise`.
   */
  vjp?(x_t: Float32Array, t: number, u: Float32Array, alpha_bar?: number): Promise<Float32Array>;
}

/** What an image starts from beside noise, by the names in a plug-in's `needs`. */
export interface RunInputs {
  /** What is known of the picture, for samplers that restore. */
  readonly measurement?: Measurement;
  /** What else a plug-in needs, by name. */
  readonly [name: string]: unknown;
}

/**
 * A scheduler plug-in: one file, this as its default export. What is left out comes from the model
 * (`betas`, `timesteps`) or is DDPM ancestral sampling (`sampler`). A sampler is written for one image;
 * it must not change the arrays it is given, nor those it has yielded.
 *
 * @example
 * ```ts
 * import { combine, type Scheduler } from "@denoise/denoise/diffusion";
 *
 * const euler: Scheduler = {
 *   name: "euler",
 *   api: 1,
 *   async *sampler(run) {
 *     let x = run.x;
 *     for (const [i, t] of run.timesteps.entries()) {
 *       const { eps, x_0: raw } = await run.denoise(x, t);
 *       const x_0 = run.clip(raw);
 *       const alpha_bar = run.schedule.alpha_bar(run.timesteps[i + 1] ?? -1);
 *       x = combine([Math.sqrt(alpha_bar), x_0], [Math.sqrt(1 - alpha_bar), eps]);
 *       yield { t, x, x_0 };
 *     }
 *     return x;
 *   },
 * };
 * export default euler;
 * ```
 */
export interface Scheduler {
  /** What `--scheduler` calls it: lower-case letters, digits, "-", "_" and "+". */
  name: string;
  /** The version of this contract. */
  api: 1;
  /** One line for help texts. */
  description?: string;
  /** What the user may set, by name. */
  options?: Record<string, OptionSchema>;
  /** What its runs have to bring beside noise: inputs by name, as "measurement"; "vjp" is gradients. */
  needs?: readonly string[];
  /** β_1 … β_T of a schedule of its own. */
  betas?(T: number, config: SchedulerConfig): Float64Array;
  /** Descending timesteps for an n-step run; may be fractional. */
  timesteps?(
    n: number,
    schedule: Schedule,
    config: SchedulerConfig,
    options: SchedulerOptions,
  ): number[];
  /** The reverse process of one image: yields a frame a step, returns the final x. */
  sampler?(run: Run): AsyncGenerator<Frame, Float32Array>;
}
