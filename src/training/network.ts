/** The network and the noise schedule that a recipe asks for, as diffusers' config files. */
import { parseSchedulerConfig } from "../diffusion/mod.ts";
import type { SchedulerConfig } from "../diffusion/scheduler.ts";
import { DIFFUSERS_VERSION, type NetworkDefinition } from "../networks/architecture.ts";
import { architectures } from "../networks/registry.ts";
import type { WeightsCard } from "../weights/read/card.ts";
import { sizeOf, type TrainingRecipe } from "./recipe.ts";

/** @param classes how many the data has; the network gets one more, for "no class" */
export function networkFor(recipe: TrainingRecipe, classes: number | undefined): NetworkDefinition {
  const { parse, training } = architectures.find(({ className }) =>
    className === recipe.architecture
  )!;
  const shape = [recipe.channels, ...sizeOf(recipe)] as const;
  const rows = classes === undefined ? null : classes + 1;
  return parse(training.json(recipe, shape, rows), "recipe");
}

export function schedulerOf(recipe: TrainingRecipe): SchedulerConfig {
  const { num_train_timesteps, beta_schedule, prediction_type } = recipe;
  return parseSchedulerConfig({
    num_train_timesteps,
    beta_schedule,
    prediction_type,
    // v says what colour a picture is from the first step on, if that step is at pure noise: started
    // below T−1, as "leading" does, it takes the noise's own mean for it (Lin et al. 2024, §3.3).
    ...(prediction_type === "v_prediction" ? { timestep_spacing: "trailing" } : {}),
  }, "recipe");
}

/** The keys of a recipe that a network and its schedule stand for: the way back from these two. */
export function keysOf(network: NetworkDefinition, scheduler: SchedulerConfig) {
  const [, height, width] = network.shape;
  const { className, training } = network.architecture;
  return {
    size: height === width ? height : [height, width] as const,
    architecture: className,
    ...training.keys(network),
    num_train_timesteps: scheduler.num_train_timesteps,
    beta_schedule: scheduler.beta_schedule,
    prediction_type: scheduler.prediction_type,
  };
}

/** The samplers of diffusers that weights from here name as theirs. */
export type SchedulerClass = "DDPMScheduler" | "DDIMScheduler";

/** The sampler that diffusers is to take: few-step weights know no other than DDIM's steps. */
export function schedulerClass({ distilled }: WeightsCard): SchedulerClass {
  return distilled ? "DDIMScheduler" : "DDPMScheduler";
}

/** Where diffusers' pipelines of pixels, DDPMPipeline and DDIMPipeline, have their network. */
export const PIPELINE_FOLDER = "unet";

/** scheduler_config.json, by default for the pipeline that samples as the paper does. */
export function schedulerJson(
  config: SchedulerConfig,
  className: SchedulerClass = "DDPMScheduler",
): Record<string, unknown> {
  const { lambda_min_clipped: _, variance_type, timestep_spacing, set_alpha_to_one, ...rest } =
    config;
  const isDdim = className === "DDIMScheduler";
  return {
    _class_name: className,
    _diffusers_version: DIFFUSERS_VERSION,
    ...rest,
    // A key of DDPM alone.
    ...(isDdim ? {} : { variance_type }),
    timestep_spacing: timestep_spacing ?? "leading",
    // A key of DDIM alone, kept where it is not the default.
    ...(set_alpha_to_one && !isDdim ? {} : { set_alpha_to_one }),
  };
}
