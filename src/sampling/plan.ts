/** Plans a run: its schedule, its timesteps and the model's time for each. */
import {
  configTimesteps,
  makeClip,
  makeSchedule,
  type Remap,
  remap,
  requireTimesteps,
  type Schedule,
  scheduleFor,
  type Scheduler,
  type SchedulerConfig,
  type SchedulerOptions,
} from "../diffusion/mod.ts";
import { InputError } from "../errors.ts";
import { resolveOptions } from "../recipe/options.ts";

/** Which noise levels to visit, and how. */
export interface PlanRequest {
  /** The sampler. */
  readonly scheduler: Scheduler;
  /** Another noise schedule under the sampler, by name; default the plug-in's, else the model's. */
  readonly schedule?: string;
  /** How many timesteps to choose. */
  readonly steps: number;
  /** The timesteps themselves, descending; overrides `steps`. */
  readonly timesteps?: readonly number[];
  /** The sampler's own options. */
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface Plan {
  readonly scheduler: Scheduler;
  readonly config: SchedulerConfig;
  readonly schedule: Schedule;
  readonly timesteps: readonly number[];
  readonly options: SchedulerOptions;
  readonly modelTime: Remap["modelTime"];
  readonly clip: (x_0: Float32Array) => Float32Array;
}

/** Works out a run under a model's config. @throws InputError for what cannot be run. */
export function planRun(config: SchedulerConfig, request: PlanRequest): Plan {
  const { scheduler } = request;
  const options = resolveOptions(scheduler, request.options);
  const trained = scheduleFor(config);
  const { schedule, modelTime, timesteps: fit } = remap(samplerSchedule(config, request), trained);
  if (config.prediction_type === "epsilon" && schedule.alphas_cumprod[schedule.T - 1] === 0) {
    throw new InputError(
      "this schedule ends in pure noise (ᾱ = 0), where a network that predicts ε says nothing; choose another schedule",
    );
  }
  const spaced = request.timesteps ??
    scheduler.timesteps?.(request.steps, schedule, config, options) ??
    configTimesteps(request.steps, schedule.T, config);
  const timesteps = fit(requireTimesteps(spaced, schedule.T));
  return { scheduler, config, schedule, timesteps, options, modelTime, clip: makeClip(config) };
}

function samplerSchedule(config: SchedulerConfig, { scheduler, schedule }: PlanRequest): Schedule {
  if (schedule !== undefined) return scheduleFor(config, schedule);
  const betas = scheduler.betas?.(config.num_train_timesteps, config);
  return betas ? makeSchedule(betas) : scheduleFor(config);
}
