/** diffusers' `UNet2DModel` as a function over the graph builder. */
import {
  add,
  concat,
  gather,
  type Graph,
  matmul,
  scale,
  shift,
  silu,
  type Value,
} from "../../graph/mod.ts";
import type { NetworkInputs } from "../architecture.ts";
import type { DownBlockType, UNetConfig, UpBlockType } from "./config.ts";
import {
  type Context,
  convLayer,
  downsample,
  norm,
  resnet,
  selfAttention,
  timeEmbedding,
  timeProjection,
  upsample,
} from "./layers.ts";
import { Scope } from "./scope.ts";

/**
 * The network's output for x_t at t: [N, out_channels, H, W]. Parameters are made in the graph
 * under diffusers' names, in the order of first use.
 * Source: Ho et al. 2020, app. B; Dhariwal & Nichol 2021, §3; diffusers' `UNet2DModel`.
 */
export function buildUNet(
  graph: Graph,
  config: UNetConfig,
  { sample, timestep, classLabels, classWeights }: NetworkInputs,
  dropout: (x: Value) => Value = (x) => x,
): Value {
  const root = new Scope(graph);
  const channels = config.block_out_channels;

  const projected = timeProjection(timestep, channels[0], config);
  let emb = timeEmbedding(root.in("time_embedding"), projected, config.time_embedding_dim);
  if (config.num_class_embeds !== null) {
    const shape = [config.num_class_embeds, config.time_embedding_dim];
    const table = root.in("class_embedding").param("weight", shape);
    if (classWeights) emb = add(emb, matmul(classWeights, table));
    else if (classLabels) emb = add(emb, gather(table, classLabels));
    else throw new Error("a network with num_class_embeds needs class labels");
  }
  const context: Context = { config, emb, dropout };

  const centred = config.center_input_sample ? shift(scale(sample, 2), -1) : sample;
  let x = convLayer(root.in("conv_in"), centred, channels[0]);

  const skips = [x];
  config.down_block_types.forEach((type, i) => {
    const last = i === channels.length - 1;
    x = downBlock(root.in("down_blocks").in(i), x, type, channels[i], last, context, skips);
  });

  if (config.mid_block_type) x = middle(root.in("mid_block"), x, context);

  config.up_block_types.forEach((type, i) => {
    const last = i === channels.length - 1;
    const out = channels[channels.length - 1 - i];
    x = upBlock(root.in("up_blocks").in(i), x, type, out, last, context, skips);
  });

  x = silu(norm(root.in("conv_norm_out"), x, config.norm_num_groups, config.norm_eps));
  return convLayer(root.in("conv_out"), x, config.out_channels);
}

function downBlock(
  s: Scope,
  x: Value,
  type: DownBlockType,
  out: number,
  last: boolean,
  context: Context,
  skips: Value[],
): Value {
  for (let j = 0; j < context.config.layers_per_block; j++) {
    x = resnet(s.in("resnets").in(j), x, out, context);
    if (type === "AttnDownBlock2D") x = selfAttention(s.in("attentions").in(j), x, context);
    skips.push(x);
  }
  if (last) return x;
  const byResnet = type === "ResnetDownsampleBlock2D" ||
    (type === "AttnDownBlock2D" && context.config.downsample_type === "resnet");
  const sampler = s.in("downsamplers").in(0);
  x = byResnet
    ? resnet(sampler, x, out, context, { resample: "down" })
    : downsample(sampler, x, context);
  skips.push(x);
  return x;
}

function middle(s: Scope, x: Value, context: Context): Value {
  const { config } = context;
  const channels = config.block_out_channels.at(-1)!;
  const outputScale = config.mid_block_scale_factor;
  x = resnet(s.in("resnets").in(0), x, channels, context, { outputScale });
  if (config.add_attention) {
    // diffusers leaves the norm out where the resnets take their embedding as scale and shift.
    const groups = config.attn_norm_num_groups ??
      (config.resnet_time_scale_shift === "default" ? config.norm_num_groups : null);
    x = selfAttention(s.in("attentions").in(0), x, context, { groups, outputScale });
  }
  return resnet(s.in("resnets").in(1), x, channels, context, { outputScale });
}

function upBlock(
  s: Scope,
  x: Value,
  type: UpBlockType,
  out: number,
  last: boolean,
  context: Context,
  skips: Value[],
): Value {
  for (let j = 0; j <= context.config.layers_per_block; j++) {
    x = resnet(s.in("resnets").in(j), concat([x, skips.pop()!], 1), out, context);
    if (type === "AttnUpBlock2D") x = selfAttention(s.in("attentions").in(j), x, context);
  }
  if (last) return x;
  const byResnet = type === "ResnetUpsampleBlock2D" ||
    (type === "AttnUpBlock2D" && context.config.upsample_type === "resnet");
  const sampler = s.in("upsamplers").in(0);
  return byResnet ? resnet(sampler, x, out, context, { resample: "up" }) : upsample(sampler, x);
}
