/** diffusers' `UNet2DModel` config.json: every key read, or refused by name. */
import { InputError } from "../../errors.ts";
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

/**
 * Reads a `UNet2DModel` config. Keys that are missing take the class' defaults, as in diffusers.
 * @throws InputError naming the first key whose value this U-Net does not have.
 */
export function parseUNetConfig(json: unknown, where = "unet/config.json"): UNetConfig {
  const keys = new KeyReader(json, where);
  keys.only("_class_name", ["UNet2DModel", "UNetUnconditionalModel"], "UNet2DModel");
  keys.only("time_embedding_type", ["positional"], "positional");
  keys.only("class_embed_type", [null], null);
  keys.lower("act_fn");
  keys.only("act_fn", ["silu", "swish"], "silu");
  keys.ignore("num_train_timesteps");

  const block_out_channels = keys.list("block_out_channels", [224, 448, 672, 896], isCount);
  const config: UNetConfig = {
    sample_size: keys.size("sample_size"),
    in_channels: keys.count("in_channels", 3),
    out_channels: keys.count("out_channels", 3),
    center_input_sample: keys.flag("center_input_sample", false),
    // 0 is as good as null in Python.
    time_embedding_dim: keys.nullable("time_embedding_dim", null, isCountOrNone) ||
      block_out_channels[0] * 4,
    freq_shift: keys.number("freq_shift", 0),
    flip_sin_to_cos: keys.flag("flip_sin_to_cos", true),
    down_block_types: keys.blocks("down_block_types", downBlockTypes, [
      "DownBlock2D",
      "AttnDownBlock2D",
      "AttnDownBlock2D",
      "AttnDownBlock2D",
    ]),
    // diffusers asks only whether it is null: any name makes the one middle block.
    mid_block_type: keys.nullable("mid_block_type", "UNetMidBlock2D", isText) === null
      ? null
      : "UNetMidBlock2D",
    up_block_types: keys.blocks("up_block_types", upBlockTypes, [
      "AttnUpBlock2D",
      "AttnUpBlock2D",
      "AttnUpBlock2D",
      "UpBlock2D",
    ]),
    block_out_channels,
    layers_per_block: keys.count("layers_per_block", 2),
    mid_block_scale_factor: keys.number("mid_block_scale_factor", 1),
    downsample_padding: keys.only("downsample_padding", [0, 1], 1),
    downsample_type: keys.only("downsample_type", ["conv", "resnet"], "conv"),
    upsample_type: keys.only("upsample_type", ["conv", "resnet"], "conv"),
    dropout: keys.number("dropout", 0),
    attention_head_dim: keys.nullable("attention_head_dim", 8, isCount),
    norm_num_groups: keys.count("norm_num_groups", 32),
    attn_norm_num_groups: keys.nullable("attn_norm_num_groups", null, isCount),
    norm_eps: keys.number("norm_eps", 1e-5),
    resnet_time_scale_shift: keys.only(
      "resnet_time_scale_shift",
      ["default", "scale_shift"],
      "default",
    ),
    add_attention: keys.flag("add_attention", true),
    num_class_embeds: keys.nullable("num_class_embeds", null, isCount),
  };
  keys.refuseTheRest();
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
        `${where}: ${key} has ${
          config[key].length
        } blocks, block_out_channels has ${levels}; they must be as many`,
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

const MAX_CHANNELS = 1 << 16;
const isCount = (x: unknown): x is number =>
  Number.isInteger(x) && (x as number) > 0 && (x as number) <= MAX_CHANNELS;

const isCountOrNone = (x: unknown): x is number => x === 0 || isCount(x);
const isText = (x: unknown): x is string => typeof x === "string";

/** Takes keys out of a JSON object one by one, so that what is left over is known to be foreign. */
class KeyReader {
  readonly #keys = new Map<string, unknown>();

  constructor(json: unknown, readonly where: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new InputError(`${where}: expected a JSON object, found ${describe(json)}`);
    }
    for (const [key, value] of Object.entries(json)) this.#keys.set(oldKeys[key] ?? key, value);
  }

  #take(key: string): unknown {
    const value = this.#keys.get(key);
    this.#keys.delete(key);
    return value;
  }

  #fail(key: string, expected: string, found: unknown): never {
    throw new InputError(`${this.where}: ${key} is ${describe(found)}; expected ${expected}`);
  }

  ignore(key: string): void {
    this.#keys.delete(key);
  }

  /** Names that diffusers reads in either case. */
  lower(key: string): void {
    const value = this.#keys.get(key);
    if (typeof value === "string") this.#keys.set(key, value.toLowerCase());
  }

  only<T extends string | number | null>(key: string, allowed: readonly T[], missing: T): T {
    const value = this.#keys.has(key) ? this.#take(key) : missing;
    if (allowed.includes(value as T)) return value as T;
    this.#fail(key, `one of ${allowed.map(describe).join(", ")}`, value);
  }

  number(key: string, missing: number): number {
    const value = this.#take(key) ?? missing;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    this.#fail(key, "a number", value);
  }

  count(key: string, missing: number): number {
    const value = this.#take(key) ?? missing;
    if (isCount(value)) return value;
    this.#fail(key, `a whole number from 1 to ${MAX_CHANNELS}`, value);
  }

  /** null is false where it is there, as in Python. */
  flag(key: string, missing: boolean): boolean {
    const value = this.#keys.has(key) ? this.#take(key) ?? false : missing;
    if (typeof value === "boolean") return value;
    this.#fail(key, "true or false", value);
  }

  nullable<T>(key: string, missing: T | null, is: (x: unknown) => x is T): T | null {
    const value = this.#keys.has(key) ? this.#take(key) : missing;
    if (value === null || is(value)) return value as T | null;
    this.#fail(
      key,
      typeof missing === "string" ? "a name or null" : "a whole number or null",
      value,
    );
  }

  list<T>(key: string, missing: readonly T[], is: (x: unknown) => x is T): readonly T[] {
    const value = this.#take(key) ?? missing;
    if (Array.isArray(value) && value.length > 0 && value.every(is)) return value;
    this.#fail(key, "a list of whole numbers", value);
  }

  blocks<T extends string>(key: string, known: readonly T[], missing: readonly T[]): readonly T[] {
    const value = this.#take(key) ?? missing;
    if (!Array.isArray(value)) this.#fail(key, "a list of block types", value);
    return value.map((type) => {
      const name = String(type).replace(/^UNetRes/, "");
      if (known.includes(name as T)) return name as T;
      this.#fail(key, `blocks out of ${known.join(", ")}`, type);
    });
  }

  size(key: string): readonly [number, number] {
    const value = this.#take(key);
    const pair = Array.isArray(value) ? value : [value, value];
    if (pair.length === 2 && pair.every(isCount)) return [pair[0], pair[1]];
    this.#fail(key, "a whole number, or [height, width]", value);
  }

  refuseTheRest(): void {
    for (const [key, value] of this.#keys) {
      if (key.startsWith("_") || value === null) continue;
      throw new InputError(
        `${this.where}: unknown key ${key} with value ${
          describe(value)
        }; this U-Net has no such setting, so its pictures would be wrong`,
      );
    }
  }
}

function describe(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}
