/** Convolutions and their gradients over blocked pictures. */
import { attributesOf } from "../../../graph/value.ts";
import { type Emitter, type Lowering, type LowerOp } from "../../lowering.ts";
import type { ConvGeometry } from "../../../graph/ops/linear.ts";
import type { Value } from "../../../graph/value.ts";
import { turned } from "../conv_grad.ts";
import { correlate, type Pictures } from "./correlate.ts";
import { blockedOp, fromBlocked, isBlockable, roundUp, toBlocked } from "./layout.ts";

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
