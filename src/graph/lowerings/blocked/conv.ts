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

  /**
   * dw[o, c, i, j] = Σ_{n,h,w} dy[n, o, h, w]·x[n, c, h·s + i, w·s + j] is itself a convolution: of x
   * by dy, with pictures and channels in exchanged roles and the stride as dilation. A block of x's
   * channels is laid side by side in the width, so that one pass over dy serves all of them.
   */
  const conv2dWeightGrad: LowerOp = (e, value, inputs) => {
    const [x, dy] = inputs;
    const [xValue, dyValue] = value.node.inputs;
    const [n, channels] = xValue.shape as number[];
    if (n % block !== 0 || !takes(xValue, block) || !takes(dyValue, block)) {
      return base.ops.conv2dWeightGrad(e, value, inputs);
    }
    const { stride, padding } = attributesOf<ConvGeometry>(value.node);
    const [out, , kh, kw] = value.shape as number[];
    const [oh, ow] = dyValue.shape.slice(2) as number[];
    const side = channels < block ? 1 : block;

    const seen = [(oh - 1) * stride + kh, (ow - 1) * stride + kw] as const;
    const pictures = picturesAsChannels(e, x, xValue, seen, padding, side, block);
    const filter = gradientAsKernels(e, dy, dyValue, block);
    const outs = roundUp(out, block);
    const dw = blockedOp(e, "Conv", [pictures, filter], {
      kernel_shape: [oh, ow],
      dilations: [stride, stride * side],
    });
    const split = e.op("Reshape", [
      dw,
      e.int64([channels / side, outs / block, kh, kw, side, block]),
    ]);
    const ordered = e.op("Transpose", [split], { perm: [1, 5, 0, 4, 2, 3] });
    const all = e.op("Reshape", [ordered, e.int64([outs, channels, kh, kw])]);
    return outs === out ? all : e.op("Slice", [all, e.int64([0]), e.int64([out]), e.int64([0])]);
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

/**
 * x [N, C, H, W] as a blocked [C/side, N, rows, columns·side]: padded or cut to what the kernels saw,
 * pictures in blocks, `side` channels next to each other in the width.
 */
function picturesAsChannels(
  e: Emitter,
  x: string,
  { shape }: Value,
  [rows, columns]: readonly [number, number],
  [top, left]: readonly number[],
  side: number,
  block: number,
): string {
  const [n, channels, h, w] = shape as number[];
  const groups = channels / side;
  const lying = e.op("Reshape", [
    side === 1 ? x : toBlocked(e, x),
    e.int64([n, groups, h, w * side]),
  ]);
  const pads = [top, left * side, rows - h - top, (columns - w - left) * side];
  const padded = pads.some((p) => p !== 0)
    ? e.op("Pad", [lying, e.int64(pads), "", e.int64([2, 3])])
    : lying;
  // Over all elements of a picture at once: [1, N, elements, 1] → [N/B, elements, B].
  const gathered = blockedOp(e, "ReorderInput", [
    e.op("Reshape", [padded, e.int64([1, n, groups * rows * columns * side, 1])]),
  ]);
  const split = e.op("Reshape", [
    gathered,
    e.int64([n / block, groups, rows * columns * side * block]),
  ]);
  const ordered = groups === 1 || n === block
    ? split
    : e.op("Transpose", [split], { perm: [1, 0, 2] });
  return e.op("Reshape", [ordered, e.int64([groups, n, rows, columns * side])]);
}

/** dy [N, O, oh, ow] as blocked kernels [O, N, oh, ow], O filled up to whole blocks. */
function gradientAsKernels(e: Emitter, dy: string, { shape }: Value, block: number): string {
  const [n, out, oh, ow] = shape as number[];
  const outs = roundUp(out, block);
  const filled = outs === out ? dy : e.op("Pad", [dy, e.int64([0, outs - out]), "", e.int64([1])]);
  const split = e.op("Reshape", [
    toBlocked(e, filled),
    e.int64([n / block, block, outs / block, oh * ow, block]),
  ]);
  const ordered = e.op("Transpose", [split], { perm: [2, 0, 3, 1, 4] });
  return e.op("Reshape", [ordered, e.int64([outs, n, oh, ow])]);
}
