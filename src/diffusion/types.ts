/** The contract between samplers (the plug-ins in `schedulers/`) and everything else. */

/** What the network's output stands for: ε, x₀ or v (Salimans & Ho 2022, app. D). */
export type PredictionType = "epsilon" | "sample" | "v_prediction";

/** Where a few-step run puts its timesteps (Lin et al. 2024, table 2). */
export type TimestepSpacing = "leading" | "linspace" | "trailing";

/** The reverse process' variance (Ho et al. 2020, §3.2; Nichol & Dhariwal 2021, eq. 15). */
export type VarianceType = "fixed_small" | "fixed_large" | "learned_range";

/** The keys of diffusers' `scheduler_config.json` that the samplers read; see `parseSchedulerConfig`. */
export interface SchedulerConfig {
  readonly num_train_timesteps: number;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: string;
  readonly trained_betas: readonly number[] | null;
  readonly variance_type: VarianceType;
  readonly prediction_type: PredictionType;
  readonly clip_sample: boolean;
  readonly clip_sample_range: number;
  readonly thresholding: boolean;
  readonly dynamic_thresholding_ratio: number;
  readonly sample_max_value: number;
  /** null where the file does not say: each sampler then takes its own default, as in diffusers. */
  readonly timestep_spacing: TimestepSpacing | null;
  readonly steps_offset: number;
  readonly rescale_betas_zero_snr: boolean;
  readonly set_alpha_to_one: boolean;
  /** The log-SNR solvers do not start below this λ (diffusers' key of that name); −∞ if left out. */
  readonly lambda_min_clipped?: number;
}

/** β_t, ᾱ_t and log-SNR of one noise schedule, in float64 tables of length T. */
export interface Schedule {
  readonly T: number;
  readonly betas: Float64Array;
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
  eps: Float32Array;
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
  type: "number" | "integer" | "boolean" | "string";
  description: string;
  default: number | boolean | string;
  minimum?: number;
  maximum?: number;
  enum?: readonly (number | string)[];
}

/** Option values by name, every default filled in. */
export type SchedulerOptions = Readonly<Record<string, number | boolean | string>>;

/** Everything one image's reverse process may touch. */
export interface Run {
  /** N(0, I): the seed's first draw; a σ-space sampler scales it itself. Length C·H·W. */
  x: Float32Array;
  timesteps: readonly number[];
  schedule: Schedule;
  config: SchedulerConfig;
  options: SchedulerOptions;
  /**
   * Asks the network about x_t. `alpha_bar` is x_t's ᾱ where it is not `schedule.alpha_bar(t)`.
   * Several calls may be pending at once; they share network evaluations.
   */
  denoise(x_t: Float32Array, t: number, alpha_bar?: number): Promise<Denoised>;
  /** The config's clip or dynamic threshold, on a copy. */
  clip(x_0: Float32Array): Float32Array;
  /** The image's next draw of N(0, I). */
  noise(): Float32Array;
}

/**
 * A scheduler plug-in: one file, this as its default export. What is left out comes from the model
 * (`betas`, `timesteps`) or is DDPM ancestral sampling (`sampler`).
 */
export interface Scheduler {
  name: string;
  api: 1;
  /** One line for help texts. */
  description?: string;
  options?: Record<string, OptionSchema>;
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
