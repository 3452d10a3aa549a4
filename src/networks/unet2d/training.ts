/** The U-Net that a training config's keys ask for, and the keys that a U-Net stands for. */
import { FieldError } from "../../errors.ts";
import { flag, list, nullable, whole } from "../../schema.ts";
import type { NetworkKeys, TrainingField } from "../architecture.ts";
import { parseUNetConfig } from "./config.ts";

/** The keys that choose a U-Net. */
interface UNetKeys {
  readonly block_out_channels: readonly number[];
  readonly attention: readonly boolean[];
  readonly layers_per_block: number;
  readonly norm_num_groups: number;
  readonly attention_head_dim: number | null;
}

export const trainingFields: { readonly [K in keyof UNetKeys]: TrainingField<UNetKeys[K]> } = {
  block_out_channels: {
    missing: [32, 64, 64],
    type: list(whole(1, 4096)),
    help: "channels of each level; each halves the picture",
  },
  attention: {
    missing: [false, false, true],
    type: list(flag),
    help: "which levels have self-attention",
  },
  layers_per_block: { missing: 1, type: whole(1, 16), help: "residual blocks a level" },
  norm_num_groups: { missing: 8, type: whole(1, 4096), help: "groups of the group norms" },
  attention_head_dim: {
    missing: null,
    type: nullable(whole(1, 4096)),
    help: "channels of an attention head; null is one head",
  },
};

/** @throws FieldError where the levels' lists differ in length */
export function checkTrainingKeys(given: NetworkKeys): void {
  const { attention, block_out_channels: levels } = given as unknown as UNetKeys;
  if (attention.length === levels.length) return;
  const expected = `${levels.length} values, one for each of block_out_channels`;
  throw new FieldError("attention", expected, attention, "recipe");
}

/** config.json of a U-Net for pictures of `shape`. */
export function configForTraining(
  given: NetworkKeys,
  [channels, height, width]: readonly [number, number, number],
  classes: number | null,
): Record<string, unknown> {
  const keys = given as unknown as UNetKeys;
  const { attention } = keys;
  return {
    sample_size: height === width ? height : [height, width],
    in_channels: channels,
    out_channels: channels,
    block_out_channels: keys.block_out_channels,
    down_block_types: attention.map((yes) => yes ? "AttnDownBlock2D" : "DownBlock2D"),
    up_block_types: attention.toReversed().map((yes) => yes ? "AttnUpBlock2D" : "UpBlock2D"),
    layers_per_block: keys.layers_per_block,
    norm_num_groups: keys.norm_num_groups,
    attention_head_dim: keys.attention_head_dim,
    num_class_embeds: classes,
  };
}

/** The way back. */
export function trainingKeysOf(json: Record<string, unknown>): UNetKeys {
  const config = parseUNetConfig(json);
  return {
    block_out_channels: config.block_out_channels,
    attention: config.down_block_types.map((type) => type.startsWith("Attn")),
    layers_per_block: config.layers_per_block,
    norm_num_groups: config.norm_num_groups,
    attention_head_dim: config.attention_head_dim,
  };
}
