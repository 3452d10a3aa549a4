/** The U-Net that a training config's keys ask for, and the keys that a U-Net stands for. */
import type { NetworkKeys } from "../architecture.ts";
import { parseUNetConfig } from "./config.ts";

/** The keys that choose a U-Net. */
interface UNetKeys {
  readonly block_out_channels: readonly number[];
  /** Which levels have self-attention. */
  readonly attention: readonly boolean[];
  readonly layers_per_block: number;
  readonly norm_num_groups: number;
  readonly attention_head_dim: number | null;
  readonly dropout: number;
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
    dropout: keys.dropout,
    num_class_embeds: classes,
  };
}

/** The way back. Dropout is the run's own choice and not among them. */
export function trainingKeysOf(json: Record<string, unknown>): Omit<UNetKeys, "dropout"> {
  const config = parseUNetConfig(json);
  return {
    block_out_channels: config.block_out_channels,
    attention: config.down_block_types.map((type) => type.startsWith("Attn")),
    layers_per_block: config.layers_per_block,
    norm_num_groups: config.norm_num_groups,
    attention_head_dim: config.attention_head_dim,
  };
}
