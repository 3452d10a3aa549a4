/** The networks that tell classes apart: a plain one for grey pictures, a residual one for colours. */
import {
  add,
  conv2d,
  type Graph,
  groupNorm,
  known,
  linear,
  reshape,
  silu,
  type Value,
} from "../graph/mod.ts";

/** Width of the last hidden layer, whose values are the features. */
export const FEATURES = 64;
/** Halving stops at this many pixels a side. */
const SMALLEST = 8;

export interface Classified {
  /** [N, FEATURES] */
  readonly features: Value;
  /** [N, classes] */
  readonly logits: Value;
}

/** Whether pictures [C, H, W] are read by the residual network. */
export function isResidual([channels]: readonly number[]): boolean {
  return channels > 1;
}

/** Features and logits of pictures [N, C, H, W]. */
export function classifierNetwork(graph: Graph, pictures: Value, classes: number): Classified {
  const maps = isResidual(pictures.shape.slice(1) as number[])
    ? residual(graph, pictures)
    : plain(graph, pictures);
  const flat = reshape(maps, [
    maps.shape[0],
    pixelsOf(maps).reduce((a, b) => a * b, channelsOf(maps)),
  ]);
  const features = silu(dense(graph, flat, "features", FEATURES));
  return { features, logits: dense(graph, features, "logits", classes) };
}

const PLAIN_CHANNELS = 16;

/** Convolutions that halve the picture and double the channels. */
function plain(graph: Graph, pictures: Value): Value {
  let x = silu(conv(graph, pictures, "layers.0", PLAIN_CHANNELS));
  for (let i = 1; smallest(x) > SMALLEST; i++) {
    x = silu(conv(graph, x, `layers.${i}`, Math.min(PLAIN_CHANNELS << i, FEATURES), 2));
  }
  return x;
}

/** The first residual block's size, and the channels of the blocks. */
const RESIDUAL_SIDE = 16;
const RESIDUAL_CHANNELS = [48, 96] as const;
const GROUPS = 8;

/** Two residual blocks (He et al. 2016, with group norms before the convolutions), half the size each. */
function residual(graph: Graph, pictures: Value): Value {
  const [first, second] = RESIDUAL_CHANNELS;
  let x = conv(graph, pictures, "stem.0", first, smallest(pictures) > RESIDUAL_SIDE ? 2 : 1);
  for (let i = 1; smallest(x) > RESIDUAL_SIDE; i++) {
    x = conv(graph, silu(x), `stem.${i}`, first, 2);
  }
  x = block(graph, x, "blocks.0");
  x = conv(graph, x, "down", second, smallest(x) > SMALLEST ? 2 : 1);
  x = block(graph, x, "blocks.1");
  return silu(norm(graph, x, "norm"));
}

function block(graph: Graph, x: Value, name: string): Value {
  const channels = channelsOf(x);
  const h = conv(graph, silu(norm(graph, x, `${name}.norm1`)), `${name}.conv1`, channels);
  return add(x, conv(graph, silu(norm(graph, h, `${name}.norm2`)), `${name}.conv2`, channels));
}

const channelsOf = (x: Value) => known(x.shape[1], x.shape);
const pixelsOf = (x: Value) => x.shape.slice(2) as number[];
const smallest = (x: Value) => Math.min(...pixelsOf(x));

function conv(graph: Graph, x: Value, name: string, out: number, stride: 1 | 2 = 1): Value {
  const weight = graph.param(`${name}.weight`, [out, channelsOf(x), 3, 3]);
  return conv2d(x, weight, graph.param(`${name}.bias`, [out]), {
    stride,
    padding: [1, 1, 1, 1],
  });
}

function dense(graph: Graph, x: Value, name: string, out: number): Value {
  const weight = graph.param(`${name}.weight`, [out, channelsOf(x)]);
  return linear(x, weight, graph.param(`${name}.bias`, [out]));
}

function norm(graph: Graph, x: Value, name: string): Value {
  const shape = [channelsOf(x)];
  return groupNorm(x, graph.param(`${name}.weight`, shape), graph.param(`${name}.bias`, shape), {
    groups: GROUPS,
    eps: 1e-5,
  });
}
