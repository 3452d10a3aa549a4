/** Convolutions and their gradients over blocked pictures. */
import { attributesOf, type Emitter, type Lowering, type LowerOp } from "../../lowering.ts";
import type { ConvGeometry } from "../../ops/linear.ts";
import type { Value } from "../../value.ts";
import { blockedOp, fromBlocked, isBlockable, toBlocked } from "./layout.ts";

const roundUp = (n: number, block: number) => Math.ceil(n / block) * block;

/** The kernels of a convolution, [O, C, kh, kw], under the name of a plain tensor. */
interface Kernels {
  readonly name: string;
  readonly out: number;
  readonly channels: number;
  readonly size: readonly [number, number];
}

/**
 * [O, C, kh, kw] → [O/B, C/B, kh, kw, B of C, B of O], or with fewer channels than a block
 * [O/B, C, kh, kw, B of O]. `out` is filled up with zeros to whole blocks.
 */
function blockedKernels(e: Emitter, { name, out, channels, size }: Kernels, block: number): string {
  const [kh, kw] = size;
  const outs = roundUp(out, block);
  const filled = outs === out
    ? name
    : e.op("Pad", [name, e.int64([0, outs - out]), "", e.int64([0])]);
  const ordered = channels < block
    ? e.op("Transpose", [
      e.op("Reshape", [filled, e.int64([outs / block, block, channels * kh * kw])]),
    ], { perm: [0, 2, 1] })
    : e.op("Transpose", [
      e.op("Reshape", [
        filled,
        e.int64([outs / block, block, channels / block, block, kh * kw]),
      ]),
    ], { perm: [0, 2, 4, 3, 1] });
  return e.op("Reshape", [ordered, e.int64([outs, channels, kh, kw])]);
}

interface BlockedConv {
  readonly x: string;
  readonly kernels: Kernels;
  readonly bias?: string;
  readonly stride: number;
  readonly padding: readonly number[];
}

/** The plain name of a convolution of x, whose channels fill whole blocks or less than one. */
function convolve(e: Emitter, { x, kernels, bias, stride, padding }: BlockedConv, block: number) {
  const { out, channels, size } = kernels;
  const outs = roundUp(out, block);
  const inputs = [
    channels < block ? x : toBlocked(e, x),
    blockedKernels(e, kernels, block),
  ];
  if (bias !== undefined) {
    inputs.push(
      outs === out ? bias : e.op("Pad", [bias, e.int64([0, outs - out]), "", e.int64([0])]),
    );
  }
  const y = blockedOp(e, "Conv", inputs, {
    kernel_shape: size,
    strides: [stride, stride],
    pads: padding,
  });
  return fromBlocked(e, y, out, outs !== out);
}

/** Whether blocked convolutions take pictures of this shape. */
function takes(value: Value, block: number): boolean {
  return isBlockable(value, block) ||
    value.shape.every((d) => typeof d === "number") && (value.shape[1] as number) < block;
}

export function convLowerings(block: number, base: Lowering): Record<string, LowerOp> {
  const conv2d: LowerOp = (e, value, inputs) => {
    const [x, weight, bias] = inputs;
    const [xValue, weightValue] = value.node.inputs;
    if (!takes(xValue, block)) return base.ops.conv2d(e, value, inputs);
    const [out, channels, ...size] = weightValue.shape as [number, number, number, number];
    const kernels = { name: weight, out, channels, size };
    return convolve(e, { x, kernels, bias, ...attributesOf<ConvGeometry>(value.node) }, block);
  };

  const conv2dInputGrad: LowerOp = (e, value, inputs) => {
    const [dy, weight] = inputs;
    const [dyValue, weightValue] = value.node.inputs;
    const { stride, padding } = attributesOf<ConvGeometry>(value.node);
    if (stride !== 1 || !takes(dyValue, block)) return base.ops.conv2dInputGrad(e, value, inputs);
    const [out, channels, kh, kw] = weightValue.shape as number[];
    const [top, left, bottom, right] = padding;
    return convolve(e, {
      x: dy,
      kernels: {
        name: turned(e, weight, weightValue.shape as number[]),
        out: channels,
        channels: out,
        size: [kh, kw],
      },
      stride: 1,
      padding: [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right],
    }, block);
  };

  const conv2dWeightGrad: LowerOp = (e, value, inputs) => {
    const [xValue, dyValue] = value.node.inputs;
    const [n, channels, h, w] = xValue.shape as number[];
    if (!takes(xValue, block) || !takes(dyValue, block)) {
      return base.ops.conv2dWeightGrad(e, value, inputs);
    }
    const { stride, padding: [top, left] } = attributesOf<ConvGeometry>(value.node);
    const [out, , kh, kw] = value.shape as number[];
    const [oh, ow] = dyValue.shape.slice(2) as number[];
    const x: Pictures = { name: inputs[0], shape: [n, channels, h, w] };
    const dy: Pictures = { name: inputs[1], shape: [n, out, oh, ow] };
    const size = [kh, kw] as const;
    // The sliding side is the dearer one to prepare, so it should be the one with fewer channels.
    if (stride === 1 && out < channels) {
      const before = [kh - 1 - top, kw - 1 - left] as const;
      const dw = correlate(e, { sliding: dy, fixed: x, size, stride, before }, block);
      return turned(e, dw, [channels, out, kh, kw]);
    }
    return correlate(e, { sliding: x, fixed: dy, size, stride, before: [top, left] }, block);
  };

  return { conv2d, conv2dInputGrad, conv2dWeightGrad };
}

/** Kernels [O, C, kh, kw] of the opposite direction: [C, O, kh, kw], turned by half a circle. */
function turned(e: Emitter, weight: string, [, , kh, kw]: readonly number[]): string {
  const exchanged = e.op("Transpose", [weight], { perm: [1, 0, 2, 3] });
  if (kh * kw === 1) return exchanged;
  const backwards = e.int64([-1, -1]);
  const beyond = e.int64([-(2 ** 31), -(2 ** 31)]);
  return e.op("Slice", [exchanged, backwards, beyond, e.int64([2, 3]), backwards]);
}

/** A tensor [N, C, H, W] under its plain name. */
interface Pictures {
  readonly name: string;
  readonly shape: readonly [number, number, number, number];
}

interface Correlation {
  /** [N, C, …], padded by `before` rows and columns at the top and on the left. */
  readonly sliding: Pictures;
  /** [N, O, h, w] */
  readonly fixed: Pictures;
  /** Offsets of interest, from 0: rows, columns. */
  readonly size: readonly [number, number];
  readonly stride: number;
  readonly before: readonly [number, number];
}

/**
 * r[o, c, i, j] = Σ_{n,y,x} fixed[n, o, y, x]·sliding[n, c, y·stride + i, x·stride + j], which with
 * fixed = dy is a convolution's weight gradient. It is itself a convolution, by `fixed`, with pictures
 * and channels in exchanged roles and the stride as dilation. A block of the sliding side's channels
 * lies side by side in the width, so that one pass over `fixed` serves all of them.
 */
function correlate(
  e: Emitter,
  { sliding, fixed, size: [kh, kw], stride, before }: Correlation,
  block: number,
): string {
  const channels = sliding.shape[1];
  const [, out, h, w] = fixed.shape;
  const outs = roundUp(out, block);
  const side = channels < block ? 1 : block;
  const seen = [(h - 1) * stride + kh, (w - 1) * stride + kw] as const;
  const r = blockedOp(e, "Conv", [
    picturesAsChannels(e, sliding, seen, before, side, block),
    picturesAsKernels(e, fixed, block),
  ], { kernel_shape: [h, w], dilations: [stride, stride * side] });
  const split = e.op("Reshape", [
    r,
    e.int64([channels / side, outs / block, kh, kw, side, block]),
  ]);
  const ordered = e.op("Transpose", [split], { perm: [1, 5, 0, 4, 2, 3] });
  const all = e.op("Reshape", [ordered, e.int64([outs, channels, kh, kw])]);
  return outs === out ? all : e.op("Slice", [all, e.int64([0]), e.int64([out]), e.int64([0])]);
}

/**
 * x [N, C, H, W] as a blocked [C/side, N, rows, columns·side]: padded or cut to what the kernels saw,
 * pictures in blocks, `side` channels next to each other in the width.
 */
function picturesAsChannels(
  e: Emitter,
  { name, shape }: Pictures,
  [rows, columns]: readonly [number, number],
  [top, left]: readonly [number, number],
  side: number,
  block: number,
): string {
  const [n, channels, h, w] = shape;
  const groups = channels / side;
  const pictures = roundUp(n, block);
  const lying = e.op("Reshape", [
    side === 1 ? name : toBlocked(e, name),
    e.int64([n, groups, h, w * side]),
  ]);
  const pads = [
    ...[0, top, left * side],
    ...[pictures - n, rows - h - top, (columns - w - left) * side],
  ];
  const padded = pads.some((p) => p !== 0)
    ? e.op("Pad", [lying, e.int64(pads), "", e.int64([0, 2, 3])])
    : lying;
  // Over all elements of a picture at once: [1, N, elements, 1] → [N/B, elements, B].
  const gathered = blockedOp(e, "ReorderInput", [
    e.op("Reshape", [padded, e.int64([1, pictures, groups * rows * columns * side, 1])]),
  ]);
  const split = e.op("Reshape", [
    gathered,
    e.int64([pictures / block, groups, rows * columns * side * block]),
  ]);
  const ordered = groups === 1 || pictures === block
    ? split
    : e.op("Transpose", [split], { perm: [1, 0, 2] });
  return e.op("Reshape", [ordered, e.int64([groups, pictures, rows, columns * side])]);
}

/** A tensor [N, O, h, w] as blocked kernels [O, N, h, w], N and O filled up to whole blocks. */
function picturesAsKernels(e: Emitter, { name, shape }: Pictures, block: number): string {
  const [n, out, h, w] = shape;
  const [pictures, outs] = [roundUp(n, block), roundUp(out, block)];
  const fill = (x: string, axis: number, missing: number) =>
    missing === 0 ? x : e.op("Pad", [x, e.int64([0, missing]), "", e.int64([axis])]);
  const split = e.op("Reshape", [
    fill(toBlocked(e, fill(name, 1, outs - out)), 0, pictures - n),
    e.int64([pictures / block, block, outs / block, h * w, block]),
  ]);
  const ordered = e.op("Transpose", [split], { perm: [2, 0, 3, 1, 4] });
  return e.op("Reshape", [ordered, e.int64([outs, pictures, h, w])]);
}
