/** diffusers' `UNet2DModel` config.json: every key read, or refused by name. */
import { InputError, shown } from "../../errors.ts";
import {
  check,
  choice,
  Keys,
  list,
  nullable,
  number,
  text,
  type Type,
  whole,
} from "../../schema.ts";
import { DIFFUSERS_VERSION } from "../architecture.ts";

/** The keys of `UNet2DModel` that shape the network, under diffusers' names. */
export interface UNetConfig {
  /** [height, width] of the pictures. */
  readonly sample_size: readonly [number, number];
  /** Channels of a picture. */
  readonly in_channels: number;
  /** Channels of the output: in_channels, or twice as many with a learned variance. */
  readonly out_channels: number;
  /** Whether pictures come in 0 … 1 and are brought to −1 … 1. */
  readonly center_input_sample: boolean;
  /** Width of the time embedding. */
  readonly time_embedding_dim: number;
  /** Taken from the number of frequencies of the time embedding. */
  readonly freq_shift: number;
  /** Whether cosines come before sines in it. */
  readonly flip_sin_to_cos: boolean;
  /** The blocks on the way down, the largest pictures first. */
  readonly down_block_types: readonly DownBlockType[];
  /** null leaves the middle out. */
  readonly mid_block_type: "UNetMidBlock2D" | null;
  /** The blocks on the way up, the smallest pictures first. */
  readonly up_block_types: readonly UpBlockType[];
  /** Channels of each block on the way down. */
  readonly block_out_channels: readonly number[];
  /** Residual blocks in each block down; one more in each up. */
  readonly layers_per_block: number;
  /** What the middle's residual sums are divided by. */
  readonly mid_block_scale_factor: number;
  /** 1 pads all round before halving, 0 only right and bottom. */
  readonly downsample_padding: 0 | 1;
  /** How AttnDownBlock2D halves. */
  readonly downsample_type: "conv" | "resnet";
  /** How AttnUpBlock2D doubles. */
  readonly upsample_type: "conv" | "resnet";
  /** Dropout of the residual blocks, in training. */
  readonly dropout: number;
  /** Channels a head; null is one head over all channels. */
  readonly attention_head_dim: number | null;
  /** Groups of every group norm but the middle attention's. */
  readonly norm_num_groups: number;
  /** Groups of the middle attention's norm, where they differ. */
  readonly attn_norm_num_groups: number | null;
  /** Added to every group norm's variance. */
  readonly norm_eps: number;
  /** How the time embedding enters a residual block: added, or as scale and shift. */
  readonly resnet_time_scale_shift: "default" | "scale_shift";
  /** Whether the middle has attention. */
  readonly add_attention: boolean;
  /** Rows of the class embedding; null for an unconditional network. */
  readonly num_class_embeds: number | null;
}

/** A block on the way down, by diffusers' name. */
export type DownBlockType = "DownBlock2D" | "AttnDownBlock2D" | "ResnetDownsampleBlock2D";
/** A block on the way up, by diffusers' name. */
export type UpBlockType = "UpBlock2D" | "AttnUpBlock2D" | "ResnetUpsampleBlock2D";

const downBlockTypes: readonly DownBlockType[] = [
  "DownBlock2D",
  "AttnDownBlock2D",
  "ResnetDownsampleBlock2D",
];
const upBlockTypes: readonly UpBlockType[] = [
  "UpBlock2D",
  "AttnUpBlock2D",
  "ResnetUpsampleBlock2D",
];

/** Names that diffusers before 0.1 gave these keys. */
const oldKeys: Record<string, string> = {
  image_size: "sample_size",
  num_res_blocks: "layers_per_block",
  block_channels: "block_out_channels",
  down_blocks: "down_block_types",
  up_blocks: "up_block_types",
  downscale_freq_shift: "freq_shift",
  resnet_num_groups: "norm_num_groups",
  resnet_act_fn: "act_fn",
  resnet_eps: "norm_eps",
  num_head_channels: "attention_head_dim",
};

const MAX_CHANNELS = 1 << 16;
const count = whole(1, MAX_CHANNELS);

/** diffusers reads it in either case. */
const activation: Type<string> = {
  ...choice<string>(["silu", "swish"]),
  accepts: (value): value is string =>
    typeof value === "string" && ["silu", "swish"].includes(value.toLowerCase()),
};

const side: Type<number | readonly number[]> = {
  expected: "a whole number, or [height, width]",
  accepts: (value): value is number | readonly number[] =>
    count.accepts(value) ||
    Array.isArray(value) && value.length === 2 && value.every((one) => count.accepts(one)),
  fromText: count.fromText,
};

function pair(size: number | readonly number[]): readonly [number, number] {
  return typeof size === "number" ? [size, size] : [size[0], size[1]];
}

/** Block types, under today's names. */
function blocks<T extends string>(
  keys: Keys,
  key: string,
  known: readonly T[],
  missing: readonly T[],
): readonly T[] {
  const types = keys.read<readonly unknown[]>(key, listOfAnything, missing);
  return types.map((type) =>
    check(choice(known), String(type).replace(/^UNetRes/, ""), key, keys.where)
  );
}

const listOfAnything: Type<readonly unknown[]> = {
  expected: "a list of block types",
  accepts: (value): value is readonly unknown[] => Array.isArray(value),
  fromText: (text) => text,
};

function refuseTheRest({ left, where }: Keys): void {
  for (const [key, value] of left) {
    if (key.startsWith("_") || value === null) continue;
    throw new InputError(
      `${where}: unknown key ${key} with value ${
        shown(value)
      }; this U-Net has no such setting, so its pictures would be wrong`,
    );
  }
}

/**
 * Reads a `UNet2DModel` config. Keys that are missing take the class' defaults, as in diffusers.
 * @throws InputError naming the first key whose value this U-Net does not have.
 */
export function parseUNetConfig(json: unknown, where = "unet/config.json"): UNetConfig {
  const keys = new Keys(json, where, oldKeys);
  keys.exactly("_class_name", choice(["UNet2DModel", "UNetUnconditionalModel"]), "UNet2DModel");
  keys.exactly("time_embedding_type", choice(["positional"]), "positional");
  keys.exactly("class_embed_type", choice([null]), null);
  keys.exactly("act_fn", activation, "silu");
  keys.take("num_train_timesteps");

  const block_out_channels = keys.read("block_out_channels", list(count), [224, 448, 672, 896]);
  const config: UNetConfig = {
    sample_size: pair(check(side, keys.take("sample_size"), "sample_size", where)),
    in_channels: keys.read("in_channels", count, 3),
    out_channels: keys.read("out_channels", count, 3),
    center_input_sample: keys.flag("center_input_sample", false),
    // 0 is as good as null in Python.
    time_embedding_dim:
      keys.exactly("time_embedding_dim", nullable(whole(0, MAX_CHANNELS)), null) ||
      block_out_channels[0] * 4,
    freq_shift: keys.read("freq_shift", number(), 0),
    flip_sin_to_cos: keys.flag("flip_sin_to_cos", true),
    down_block_types: blocks(keys, "down_block_types", downBlockTypes, [
      "DownBlock2D",
      "AttnDownBlock2D",
      "AttnDownBlock2D",
      "AttnDownBlock2D",
    ]),
    // diffusers asks only whether it is null: any name makes the one middle block.
    mid_block_type: keys.exactly("mid_block_type", nullable(text()), "UNetMidBlock2D") === null
      ? null
      : "UNetMidBlock2D",
    up_block_types: blocks(keys, "up_block_types", upBlockTypes, [
      "AttnUpBlock2D",
      "AttnUpBlock2D",
      "AttnUpBlock2D",
      "UpBlock2D",
    ]),
    block_out_channels,
    layers_per_block: keys.read("layers_per_block", count, 2),
    mid_block_scale_factor: keys.read("mid_block_scale_factor", number(), 1),
    downsample_padding: keys.exactly("downsample_padding", choice([0, 1]), 1),
    downsample_type: keys.exactly("downsample_type", choice(["conv", "resnet"]), "conv"),
    upsample_type: keys.exactly("upsample_type", choice(["conv", "resnet"]), "conv"),
    dropout: keys.read("dropout", number(), 0),
    attention_head_dim: keys.exactly("attention_head_dim", nullable(count), 8),
    norm_num_groups: keys.read("norm_num_groups", count, 32),
    attn_norm_num_groups: keys.exactly("attn_norm_num_groups", nullable(count), null),
    norm_eps: keys.read("norm_eps", number(), 1e-5),
    resnet_time_scale_shift: keys.exactly(
      "resnet_time_scale_shift",
      choice(["default", "scale_shift"]),
      "default",
    ),
    add_attention: keys.flag("add_attention", true),
    num_class_embeds: keys.exactly("num_class_embeds", nullable(count), null),
  };
  refuseTheRest(keys);
  checkTogether(config, where);
  return config;
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

/** What no single key can tell. */
function checkTogether(config: UNetConfig, where: string): void {
  const levels = config.block_out_channels.length;
  for (const key of ["down_block_types", "up_block_types"] as const) {
    if (config[key].length !== levels) {
      throw new InputError(
        `${where}: ${key}: expected ${levels} blocks, as many as block_out_channels, found ${
          config[key].length
        }`,
      );
    }
  }
  const [height, width] = config.sample_size;
  const factor = 2 ** (levels - 1);
  if (height % factor !== 0 || width % factor !== 0) {
    throw new InputError(
      `${where}: sample_size ${height}×${width} cannot be halved ${
        levels - 1
      } times; ${levels} blocks need multiples of ${factor}`,
    );
  }
  for (const channels of config.block_out_channels) {
    if (channels % config.norm_num_groups !== 0) {
      throw new InputError(
        `${where}: norm_num_groups ${config.norm_num_groups} does not divide block_out_channels ${channels}`,
      );
    }
    if (config.attention_head_dim !== null && config.attention_head_dim > channels) {
      const attends = [...config.down_block_types, ...config.up_block_types].some((type, i) =>
        type.startsWith("Attn") &&
        [...config.block_out_channels, ...config.block_out_channels.toReversed()][i] === channels
      );
      const middle = config.add_attention && channels === config.block_out_channels.at(-1);
      if (attends || middle) {
        throw new InputError(
          `${where}: attention_head_dim ${config.attention_head_dim} is more than the ${channels} channels it should split`,
        );
      }
    }
  }
}
