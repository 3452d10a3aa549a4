/** The network and the noise schedule that a recipe asks for, as diffusers' config files. */
import { parseSchedulerConfig } from "../diffusion/mod.ts";
import type { SchedulerConfig } from "../diffusion/types.ts";
import { parseUNetConfig, type UNetConfig } from "../networks/unet2d/mod.ts";
import { type Recipe, sizeOf } from "./recipe.ts";

/** @param classes how many the data has; the network gets one more, for "no class" */
export function unetOf(recipe: Recipe, classes: number | undefined): UNetConfig {
  const [height, width] = sizeOf(recipe);
  const { attention, channels } = recipe;
  return parseUNetConfig({
    sample_size: height === width ? height : [height, width],
    in_channels: channels,
    out_channels: channels,
    block_out_channels: recipe.block_out_channels,
    down_block_types: attention.map((yes) => yes ? "AttnDownBlock2D" : "DownBlock2D"),
    up_block_types: attention.toReversed().map((yes) => yes ? "AttnUpBlock2D" : "UpBlock2D"),
    layers_per_block: recipe.layers_per_block,
    norm_num_groups: recipe.norm_num_groups,
    attention_head_dim: recipe.attention_head_dim,
    dropout: recipe.dropout,
    num_class_embeds: classes === undefined ? null : classes + 1,
  }, "recipe");
}

export function schedulerOf(recipe: Recipe): SchedulerConfig {
  const { num_train_timesteps, beta_schedule, prediction_type } = recipe;
  return parseSchedulerConfig({
    _class_name: "DDPMScheduler",
    num_train_timesteps,
    beta_schedule,
    prediction_type,
    // v says what colour a picture is from the first step on, if that step is at pure noise: started
    // below T−1, as "leading" does, it takes the noise's own mean for it (Lin et al. 2024, §3.3).
    ...(prediction_type === "v_prediction" ? { timestep_spacing: "trailing" } : {}),
  }, "recipe");
}

/** The keys of a recipe that a network and its schedule stand for: the way back from these two. */
export function recipeOf(config: UNetConfig, scheduler: SchedulerConfig) {
  const [height, width] = config.sample_size;
  return {
    size: height === width ? height : [height, width] as const,
    block_out_channels: config.block_out_channels,
    attention: config.down_block_types.map((type) => type.startsWith("Attn")),
    layers_per_block: config.layers_per_block,
    norm_num_groups: config.norm_num_groups,
    attention_head_dim: config.attention_head_dim,
    num_train_timesteps: scheduler.num_train_timesteps,
    beta_schedule: scheduler.beta_schedule,
    prediction_type: scheduler.prediction_type,
  };
}

/** config.json as diffusers' `UNet2DModel` writes it. */
export function unetJson(config: UNetConfig): Record<string, unknown> {
  const { sample_size: [height, width], mid_block_type, ...rest } = config;
  return {
    _class_name: "UNet2DModel",
    _diffusers_version: DIFFUSERS_VERSION,
    act_fn: "silu",
    ...rest,
    // Only the newest versions know the key, and they take what is left out.
    ...(mid_block_type === "UNetMidBlock2D" ? {} : { mid_block_type }),
    sample_size: height === width ? height : [height, width],
  };
}

/** The samplers of diffusers that weights from here name as theirs. */
export type SchedulerClass = "DDPMScheduler" | "DDIMScheduler";

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

/** The version whose config keys are written. */
export const DIFFUSERS_VERSION = "0.30.0";
