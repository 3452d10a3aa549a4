/** Convolutions and linear layers as steps. */
import type { Value } from "../../graph/mod.ts";
import type { Layer } from "./fusion.ts";
import { type Planner, UnsupportedGraph } from "./planner.ts";
import type { Word } from "./step.ts";
import { pixelOf, product, roundUp, type View } from "./view.ts";

/** Tiles of a block: V of a block and M of a range of columns stay in the second cache. */
const MOST_TILES = 24;
/** Panels of a range of columns. */
const RANGE = 4;
/** Rows of a block of a matrix product. */
const ROW_BLOCK = 24;
/** Pieces of a picture of this many bytes at most are copied, so that a row of them is multiplied in one go. */
const SHORT = 16;
/** Memory for addresses and half-transformed tiles; see `kernels/winograd.ts`. */
const TILE_BYTES = 736;
/** Rows that a product may compute beyond the last. */
const SPARE_ROWS = 5;

const ceil = (x: number, by: number) => Math.ceil(x / by);

export function lowerLayer(p: Planner, layer: Layer): void {
  if (layer.producer.node.op === "conv2d") lowerConv(p, layer);
  else lowerLinear(p, layer);
}

/** The words of `kernels/output.ts`. `to` is [N, C, H, W] as pixels. */
function outputWords(p: Planner, layer: Layer, to: View): Word[] {
  const [n] = to.dims;
  const residual = layer.residual && p.pixels(layer.residual);
  const embedding = layer.embedding && embeddingOf(p, layer.embedding);
  return [
    { place: to },
    4 * pixelOf(to)!,
    4 * (n > 1 ? to.strides[0] : 0),
    layer.bias ? { place: p.weights.raw(layer.bias) } : 0,
    embedding ? { place: embedding } : 0,
    embedding && n > 1 ? 4 * embedding.strides[0] : 0,
    residual ? { place: residual } : 0,
    residual ? 4 * pixelOf(residual)! : 0,
    residual && n > 1 ? 4 * residual.strides[0] : 0,
    { float: layer.scale },
    layer.silu ? 1 : 0,
  ];
}

/** [N, C, 1, 1] with its channels one after the other, and room behind them. */
function embeddingOf(p: Planner, value: Value): View {
  const view = p.view(value);
  const channels = view.dims[1];
  if (view.strides[1] === 1 && channels % 4 === 0) return view;
  const to = p.pixelsOf(view.dims);
  p.copy(view, to, "embedding");
  return to;
}

/** What a convolution reads: doubled pictures are read where they were before. */
function convInput(p: Planner, value: Value): { x: View; up: 0 | 1 } {
  const { op, inputs, attributes } = value.node;
  return op === "upsampleNearest" && attributes.factor === 2
    ? { x: p.pixels(inputs[0]), up: 1 }
    : { x: p.pixels(value), up: 0 };
}

function lowerConv(p: Planner, layer: Layer): void {
  const { node, shape } = layer.producer;
  const [source, weight] = node.inputs;
  const { stride, padding } = node.attributes as { stride: number; padding: readonly number[] };
  const [outChannels, channels, kernelHeight, kernelWidth] = weight.shape as number[];
  if (!["param", "constant"].includes(weight.node.op)) {
    throw new UnsupportedGraph("a convolution with computed weights");
  }
  const { x, up } = convInput(p, source);
  const dims = p.dims(shape);
  const to = p.pixelOutput(layer.root);
  const out = outputWords(p, layer, to);
  const picture = dims[0] > 1 ? 4 * x.strides[0] : 0;
  const fits = stride === 1 && kernelHeight === 3 &&
    kernelWidth === 3 && padding.every((side) => side === 1) && channels % 4 === 0 &&
    channels >= 16;
  const m = fits ? tileOf(dims[2], dims[3]) : undefined;
  if (m) return lowerWinograd(p, { x, up, picture, dims, channels, outChannels, weight, m, out });
  convStep(p, {
    x,
    picture,
    size: x.dims.slice(2),
    bytes: 4 * channels,
    kernel: [kernelHeight, kernelWidth],
    stride,
    padding: padding.slice(0, 2),
    up,
    n: dims[0],
    outSize: dims.slice(2),
    weight,
    outChannels,
    out,
  });
}

/**
 * The tile's side for pictures of a size: the one with fewer products, which are 36 a tile of 4×4 and
 * 16 a tile of 2×2. Pictures of one tile of 4×4 take 2×2: a product of one row takes as long as one of
 * four, and reads over twice the weights. It must not depend on the batch, or a picture's bits would.
 */
function tileOf(height: number, width: number): 2 | 4 | undefined {
  if (height * width < 9) return undefined;
  if (height <= 4 && width <= 4) return 2;
  const four = 36 * ceil(height, 4) * ceil(width, 4);
  const two = 16 * ceil(height, 2) * ceil(width, 2);
  return four < 0.75 * two ? 4 : 2;
}

interface WinogradStep {
  x: View;
  up: 0 | 1;
  picture: number;
  dims: readonly number[];
  channels: number;
  outChannels: number;
  weight: Value;
  m: 2 | 4;
  out: Word[];
}

function lowerWinograd(
  p: Planner,
  { x, up, picture, dims, channels, outChannels, weight, m, out }: WinogradStep,
): void {
  const [n, , height, width] = dims;
  const planes = (m + 2) ** 2;
  const bytes = 4 * channels;
  const tiles = n * ceil(height, m) * ceil(width, m);
  const range = RANGE;
  const { place: kernels, compact } = p.weights.winograd(weight, m, range);
  const apart = compact > 0 || (p.threads > 1 && tiles < 8 * p.threads);
  const blocks = apart
    ? ceil(tiles, MOST_TILES)
    : roundUp(ceil(tiles, MOST_TILES), Math.min(p.threads, tiles));
  const block = ceil(tiles, blocks);
  const planeBytes = (rows: number, rowBytes: number) =>
    planes * ((rows + SPARE_ROWS) * rowBytes + 64);
  const shared = apart ? p.rowsOf([planeBytes(tiles, bytes) / 4]) : undefined;
  const scratch = TILE_BYTES + (apart ? 0 : planeBytes(block, bytes)) +
    planeBytes(block, 32 * range) + (compact ? 640 + planes * range * 8 * bytes : 0);
  p.step("winograd", `conv 3×3 ${channels}→${outChannels} ${height}×${width} F${m}`, [
    { place: x },
    4 * pixelOf(x)!,
    picture,
    height,
    width,
    bytes,
    up,
    n,
    m,
    { place: kernels },
    compact,
    outChannels,
    range,
    block,
    apart ? 1 : 0,
    { place: p.weights.zeroPixel(channels) },
    shared ? { place: shared } : 0,
    { scratch },
    ...out,
  ]);
}

function lowerLinear(p: Planner, layer: Layer): void {
  const [source, weight] = layer.producer.node.inputs;
  const [outChannels, inner] = weight.shape as number[];
  if (source.shape.length > 3) {
    throw new UnsupportedGraph(`a linear layer of ${source.shape.length} dimensions`);
  }
  const view = p.view(source);
  const x = view.strides.at(-1) !== 1 && inner > 1 ? p.rows(source) : view;
  // Rows are pixels: [N, P, K] is N pictures of P pixels, [N, K] is N of one.
  const [n, pixels] = x.dims.length === 3 ? x.dims : [x.dims[0], 1];
  const [picture, pixel] = x.dims.length === 3 ? x.strides : [x.strides[0], inner];
  const as4d = { ...x, dims: [n, inner, 1, pixels], strides: [picture, 1, pixels * pixel, pixel] };
  const dims = p.dims(layer.root.shape);
  const to = dims.length === 4
    ? p.pixelOutput(layer.root)
    : p.pixelsOf([n, outChannels, 1, pixels]);
  if (dims.length !== 4) {
    const [a, , , b] = to.strides;
    p.set(layer.root, { ...to, dims, strides: dims.length === 3 ? [a, b, 1] : [a, 1] });
  }
  const out = outputWords(p, rowResidual(p, layer, to), to);
  convStep(p, {
    x: as4d,
    picture: 4 * picture,
    size: [1, pixels],
    bytes: 4 * inner,
    kernel: [1, 1],
    stride: 1,
    padding: [0, 0],
    up: 0,
    n,
    outSize: [1, pixels],
    weight,
    outChannels,
    out,
  });
}

/** A residual of rows takes the shape of pixels. */
function rowResidual(p: Planner, layer: Layer, to: View): Layer {
  if (!layer.residual || layer.residual.shape.length === 4) return layer;
  const rows = p.rows(layer.residual);
  const [n, c, , w] = to.dims;
  const view = { ...rows, dims: to.dims, strides: [w * c, 1, w * c, c] };
  const stand = { ...layer.residual, shape: [n, c, 1, w] };
  p.set(stand, view);
  return { ...layer, residual: stand };
}

interface ConvStep {
  x: View;
  picture: number;
  size: readonly number[];
  bytes: number;
  kernel: readonly number[];
  stride: number;
  padding: readonly number[];
  up: 0 | 1;
  n: number;
  outSize: readonly number[];
  weight: Value;
  outChannels: number;
  out: Word[];
}

function convStep(p: Planner, s: ConvStep): void {
  const taps = product(s.kernel);
  const panels = ceil(s.outChannels, 8);
  const rows = s.n * product(s.outSize);
  const blocks = ceil(rows, ROW_BLOCK);
  const panelBlock = blocks >= 2 * p.threads ? panels : ceil(panels, 2 * p.threads);
  const channels = s.bytes / 4;
  const pixel = product(s.size) > 1 ? pixelOf({ ...s.x, dims: [1, channels, ...s.size] })! : 0;
  const { place, half } = p.weights.conv(s.weight);
  const copied = taps > 1 && s.bytes <= SHORT;
  const rowBytes = taps * (copied ? s.bytes : 8);
  p.step("conv", `conv ${s.kernel.join("×")} ${channels}→${s.outChannels} ${s.outSize.join("×")}`, [
    { place: s.x },
    4 * pixel,
    s.picture,
    ...s.size,
    s.bytes,
    ...s.kernel,
    s.stride,
    ...s.padding,
    s.up,
    s.n,
    ...s.outSize,
    { place },
    half ? 1 : 0,
    s.outChannels,
    ROW_BLOCK,
    panelBlock,
    { place: p.weights.zeroPixel(channels) },
    copied ? 1 : 0,
    { scratch: 192 + (half ? 8 * s.bytes * taps : 0) + (ROW_BLOCK + SPARE_ROWS) * rowBytes },
    ...s.out,
  ]);
}
