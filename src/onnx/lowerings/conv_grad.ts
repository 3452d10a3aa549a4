/** A convolution's two gradients in standard ONNX operators. */
import { attributesOf } from "../../graph/value.ts";
import { type Emitter, type LowerOp } from "../lowering.ts";
import type { ConvGeometry } from "../../graph/ops/linear.ts";
import type { Value } from "../../graph/value.ts";

/** Kernels [O, C, kh, kw] of the opposite direction: [C, O, kh, kw], turned by half a circle. */
export function turned(e: Emitter, weight: string, [, , kh, kw]: readonly number[]): string {
  const exchanged = e.op("Transpose", [weight], { perm: [1, 0, 2, 3] });
  if (kh * kw === 1) return exchanged;
  const backwards = e.int64([-1, -1]);
  const beyond = e.int64([-(2 ** 31), -(2 ** 31)]);
  return e.op("Slice", [exchanged, backwards, beyond, e.int64([2, 3]), backwards]);
}

/** The same of kernels whose numbers are known. */
function turnedKernels(weight: Float32Array, [O, C, kh, kw]: readonly number[]): Float32Array {
  const size = kh * kw;
  const turned = new Float32Array(weight.length);
  for (let o = 0; o < O; o++) {
    for (let c = 0; c < C; c++) {
      const kernel = weight.subarray((o * C + c) * size, (o * C + c + 1) * size);
      turned.set(kernel.toReversed(), (c * O + o) * size);
    }
  }
  return turned;
}

/**
 * dx where the weights are known and the stride is 1: a convolution of dy with kernels turned by half
 * a circle, in the form that `conv2d` gives it (Winograd's, or one whose sums no batch changes).
 */
export function inputGradAs(conv2d: LowerOp): LowerOp {
  return (e, value, [dy, weight]) => {
    const { stride, padding } = attributesOf<ConvGeometry>(value.node);
    const [dyValue, weightValue] = value.node.inputs;
    const data = e.data(weightValue);
    if (stride > 1 || !(data instanceof Float32Array)) {
      return conv2dInputGrad(e, value, [dy, weight]);
    }
    const [out, channels, kh, kw] = weightValue.shape as number[];
    const [top, left, bottom, right] = padding;
    const kernels = turnedKernels(data, [out, channels, kh, kw]);
    const shape = [channels, out, kh, kw];
    const turnedValue: Value = {
      ...weightValue,
      shape,
      node: { op: "constant", inputs: [], attributes: { data: kernels } },
    };
    const geometry: ConvGeometry = {
      stride: 1,
      padding: [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right],
    };
    const node = { op: "conv2d", inputs: [dyValue, turnedValue], attributes: { ...geometry } };
    return conv2d(e, { ...value, node }, [dy, e.constant(kernels, shape)]);
  };
}

/** dx: dy convolved with the kernel turned round; with a stride, the transposed convolution. */
export const conv2dInputGrad: LowerOp = (e, value, [dy, weight]) => {
  const { stride, padding } = attributesOf<ConvGeometry>(value.node);
  const [, , h, w] = value.shape as number[];
  const [dyValue, weightValue] = value.node.inputs;
  const [kh, kw] = weightValue.shape.slice(2) as number[];
  const [top, left, bottom, right] = padding;
  if (stride > 1) {
    const [oh, ow] = dyValue.shape.slice(2) as number[];
    return e.op("ConvTranspose", [dy, weight], {
      kernel_shape: [kh, kw],
      strides: [stride, stride],
      pads: padding,
      output_padding: [
        h + top + bottom - kh - (oh - 1) * stride,
        w + left + right - kw - (ow - 1) * stride,
      ],
    });
  }
  return e.op("Conv", [dy, turned(e, weight, weightValue.shape as number[])], {
    kernel_shape: [kh, kw],
    strides: [1, 1],
    pads: [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right],
  });
};

/** dweight: for each kernel position, dy times the part of x that the position saw. */
export const conv2dWeightGrad: LowerOp = (e, value, [x, dy]) => {
  const { stride, padding } = attributesOf<ConvGeometry>(value.node);
  const [xValue, dyValue] = value.node.inputs;
  const [, channels] = xValue.shape as number[];
  const [, out, oh, ow] = dyValue.shape as number[];
  const [kh, kw] = value.shape.slice(2) as number[];
  const [top, left, bottom, right] = padding;
  const dyRows = e.op("Reshape", [dy, e.int64([0, out, -1])]);
  const padded = padding.some((p) => p > 0)
    ? e.op("Pad", [x, e.int64([top, left, bottom, right]), "", e.int64([2, 3])])
    : x;
  const positions: string[] = [];
  for (let i = 0; i < kh; i++) {
    for (let j = 0; j < kw; j++) {
      const seen = e.op("Slice", [
        padded,
        e.int64([i, j]),
        e.int64([i + (oh - 1) * stride + 1, j + (ow - 1) * stride + 1]),
        e.int64([2, 3]),
        e.int64([stride, stride]),
      ]);
      const columns = e.op("Transpose", [e.op("Reshape", [seen, e.int64([0, channels, -1])])], {
        perm: [0, 2, 1],
      });
      const perPicture = e.op("MatMul", [dyRows, columns]);
      positions.push(e.op("ReduceSum", [perPicture, e.int64([0])], { keepdims: 0 }));
    }
  }
  const stacked = positions.map((p) => e.op("Reshape", [p, e.int64([out, channels, 1])]));
  const joined = e.op("Concat", stacked, { axis: 2 });
  return e.op("Reshape", [joined, e.int64([out, channels, kh, kw])]);
};
