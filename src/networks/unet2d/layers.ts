/** The layers that the blocks are made of, each under diffusers' tensor names. */
import {
  add,
  attention,
  avgPool,
  concat,
  conv2d,
  cos,
  groupNorm,
  known,
  linear,
  mul,
  type Padding,
  reshape,
  scale,
  shift,
  silu,
  sin,
  slice,
  transpose,
  upsampleNearest,
  type Value,
} from "../../graph/mod.ts";
import type { UNetConfig } from "./config.ts";
import type { Scope } from "./scope.ts";

/** What every layer of one U-Net shares. */
export interface Context {
  readonly config: UNetConfig;
  /** The time (and class) embedding, [N, time_embedding_dim]. */
  readonly emb: Value;
  /** Dropout, in training; the identity otherwise. */
  readonly dropout: (x: Value) => Value;
}

const around: Padding = [1, 1, 1, 1];
const none: Padding = [0, 0, 0, 0];
const channelsOf = (x: Value) => known(x.shape[1], x.shape);

export function convLayer(
  s: Scope,
  x: Value,
  out: number,
  { kernel = 3, stride = 1, padding = around }: {
    kernel?: 1 | 3;
    stride?: 1 | 2;
    padding?: Padding;
  } = {},
): Value {
  const weight = s.param("weight", [out, channelsOf(x), kernel, kernel]);
  return conv2d(x, weight, s.param("bias", [out]), { stride, padding });
}

export function linearLayer(s: Scope, x: Value, out: number): Value {
  const weight = s.param("weight", [out, known(x.shape.at(-1)!, x.shape)]);
  return linear(x, weight, s.param("bias", [out]));
}

export function norm(s: Scope, x: Value, groups: number, eps: number): Value {
  const shape = [channelsOf(x)];
  return groupNorm(x, s.param("weight", shape), s.param("bias", shape), { groups, eps });
}

/** Sinusoids of the timestep (Vaswani et al. 2017, §3.5), [N] → [N, channels]. */
export function timeProjection(t: Value, channels: number, config: UNetConfig): Value {
  const half = Math.floor(channels / 2);
  const f = Math.fround;
  // float32 at every step, as torch computes it: at t = 999 an ulp of a frequency is visible.
  const frequencies = Float32Array.from(
    { length: half },
    (_, k) => Math.exp(f(f(f(-Math.log(10000)) * k) / (half - config.freq_shift))),
  );
  const angles = mul(
    reshape(t, [t.shape[0], 1]),
    t.graph.constant(frequencies, [1, half]),
  );
  const parts = config.flip_sin_to_cos ? [cos(angles), sin(angles)] : [sin(angles), cos(angles)];
  if (channels % 2 === 1) parts.push(scale(slice(angles, 1, 0, 1), 0));
  return concat(parts, 1);
}

export function timeEmbedding(s: Scope, projected: Value, out: number): Value {
  return linearLayer(s.in("linear_2"), silu(linearLayer(s.in("linear_1"), projected, out)), out);
}

export type Resample = "down" | "up";

/** Residual block (Ho et al. 2020, app. B), optionally halving or doubling the picture inside. */
export function resnet(
  s: Scope,
  x: Value,
  out: number,
  { config, emb, dropout }: Context,
  { resample, outputScale = 1 }: { resample?: Resample; outputScale?: number } = {},
): Value {
  const { norm_num_groups: groups, norm_eps: eps } = config;
  const resized = (v: Value) =>
    resample === "down" ? avgPool(v) : resample === "up" ? upsampleNearest(v) : v;

  let h = resized(silu(norm(s.in("norm1"), x, groups, eps)));
  h = convLayer(s.in("conv1"), h, out);
  const scaleShift = config.resnet_time_scale_shift === "scale_shift";
  const width = scaleShift ? 2 * out : out;
  const projected = linearLayer(s.in("time_emb_proj"), silu(emb), width);
  const temb = reshape(projected, [projected.shape[0], width, 1, 1]);
  if (scaleShift) {
    h = norm(s.in("norm2"), h, groups, eps);
    h = add(mul(h, shift(slice(temb, 1, 0, out), 1)), slice(temb, 1, out, 2 * out));
  } else {
    h = norm(s.in("norm2"), add(h, temb), groups, eps);
  }
  h = convLayer(s.in("conv2"), dropout(silu(h)), out);

  let skip = resized(x);
  if (channelsOf(x) !== out) {
    skip = convLayer(s.in("conv_shortcut"), skip, out, { kernel: 1, padding: none });
  }
  return scale(add(skip, h), 1 / outputScale);
}

/** Self-attention over the pixels, with its residual; `groups` null leaves the norm out. */
export function selfAttention(
  s: Scope,
  x: Value,
  { config }: Context,
  { groups = config.norm_num_groups, outputScale = 1 }: {
    groups?: number | null;
    outputScale?: number;
  } = {},
): Value {
  const [n, , height, width] = x.shape;
  const channels = channelsOf(x);
  const headDim = config.attention_head_dim ?? channels;
  const heads = Math.floor(channels / headDim);
  const pixels = known(height, x.shape) * known(width, x.shape);

  const normed = groups === null ? x : norm(s.in("group_norm"), x, groups, config.norm_eps);
  const rows = transpose(reshape(normed, [n, channels, pixels]), [0, 2, 1]);
  const split = (name: string) => {
    const y = linearLayer(s.in(name), rows, heads * headDim);
    return heads === 1 ? y : transpose(reshape(y, [n, pixels, heads, headDim]), [0, 2, 1, 3]);
  };
  let h = attention(split("to_q"), split("to_k"), split("to_v"), headDim ** -0.5);
  if (heads > 1) h = reshape(transpose(h, [0, 2, 1, 3]), [n, pixels, heads * headDim]);
  h = linearLayer(s.in("to_out").in(0), h, channels);
  return scale(add(reshape(transpose(h, [0, 2, 1]), x.shape), x), 1 / outputScale);
}

/** Half the size by a convolution; padding 0 stands for a row and a column on the far side only. */
export function downsample(s: Scope, x: Value, { config }: Context): Value {
  const padding: Padding = config.downsample_padding === 0 ? [0, 0, 1, 1] : around;
  return convLayer(s.in("conv"), x, channelsOf(x), { stride: 2, padding });
}

/** Twice the size, then a convolution. */
export function upsample(s: Scope, x: Value): Value {
  return convLayer(s.in("conv"), upsampleNearest(x), channelsOf(x));
}
