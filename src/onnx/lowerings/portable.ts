/** Every operation in standard ONNX operators (opset 21): correct on any engine. */
import { attributesOf } from "../../graph/value.ts";
import { type Emitter, type Lowering, type LowerOp } from "../lowering.ts";
import type { ConvGeometry } from "../../graph/ops/linear.ts";
import type { Shape, Value } from "../../graph/value.ts";
import { conv2dInputGrad, conv2dWeightGrad } from "./conv_grad.ts";
import { dropoutMask } from "./dropout.ts";
import { groupNorm } from "./group_norm.ts";
import { groupNormInputGrad, groupNormWeightGrad } from "./norm_grad.ts";

const same = (type: string): LowerOp => (e, _value, inputs) => e.op(type, inputs);

/** A target for Reshape and Expand: 0 keeps a dimension where it stands, −1 is the one left over. */
function target(shape: Shape, from: Shape): number[] {
  return shape.map((d, i) => typeof d === "number" ? d : from[i] === d ? 0 : -1);
}

/** matmul's operands may be marked as transposed; ONNX' MatMul takes them as they lie. */
function swapLast(e: Emitter, value: Value, name: string): string {
  const perm = value.shape.map((_, i) => i);
  const last = perm.length - 1;
  [perm[last - 1], perm[last]] = [perm[last], perm[last - 1]];
  return e.op("Transpose", [name], { perm });
}

export function resize(e: Emitter, x: string, factor: number): string {
  const scales = e.constant(new Float32Array([1, 1, factor, factor]));
  return e.op("Resize", [x, "", scales], {
    mode: "nearest",
    nearest_mode: "floor",
    coordinate_transformation_mode: "asymmetric",
  });
}

const ops: Record<string, LowerOp> = {
  add: same("Add"),
  sub: same("Sub"),
  mul: same("Mul"),
  div: same("Div"),
  min: same("Min"),
  max: same("Max"),
  lessOrEqual: (e, _, inputs) => e.cast(e.op("LessOrEqual", inputs), "float32"),
  neg: same("Neg"),
  exp: same("Exp"),
  log: same("Log"),
  sqrt: same("Sqrt"),
  reciprocal: same("Reciprocal"),
  sin: same("Sin"),
  cos: same("Cos"),
  sigmoid: same("Sigmoid"),
  silu: (e, _, [x]) => e.op("Mul", [x, e.op("Sigmoid", [x])]),
  // σ·(1 + x·(1 − σ)) = σ + y·(1 − σ) with y = x·σ
  siluGrad: (e, _, [x, dy]) => {
    const s = e.op("Sigmoid", [x]);
    const y = e.op("Mul", [x, s]);
    const slope = e.op("Add", [s, e.op("Mul", [y, e.op("Sub", [e.scalar(1), s])])]);
    return e.op("Mul", [dy, slope]);
  },

  reshape: (e, value, [x]) =>
    e.op("Reshape", [x, e.int64(target(value.shape, value.node.inputs[0].shape))]),
  transpose: (e, value, [x]) =>
    e.op("Transpose", [x], { perm: attributesOf<{ perm: number[] }>(value.node).perm }),
  concat: (e, value, inputs) =>
    e.op("Concat", inputs, { axis: attributesOf<{ axis: number }>(value.node).axis }),
  slice: (e, value, [x]) => {
    const { axis, start, end } = attributesOf<Record<string, number>>(value.node);
    return e.op("Slice", [x, e.int64([start]), e.int64([end]), e.int64([axis])]);
  },
  pad: (e, value, [x]) => {
    const { axis, before, after } = attributesOf<Record<string, number>>(value.node);
    return e.op("Pad", [x, e.int64([before, after]), "", e.int64([axis])]);
  },
  expand: (e, value, [x]) =>
    e.op("Expand", [x, e.int64(value.shape.map((d) => typeof d === "number" ? d : 1))]),
  reduceSum: (e, value, [x]) => {
    const { axes, keepDims } = attributesOf<{ axes: number[]; keepDims: boolean }>(value.node);
    return e.op("ReduceSum", [x, e.int64(axes)], { keepdims: keepDims ? 1 : 0 });
  },
  reduceMean: (e, value, [x]) => {
    const { axes, keepDims } = attributesOf<{ axes: number[]; keepDims: boolean }>(value.node);
    return e.op("ReduceMean", [x, e.int64(axes)], { keepdims: keepDims ? 1 : 0 });
  },
  gather: (e, _, [table, indices]) => e.op("Gather", [table, indices], { axis: 0 }),
  gatherGrad: (e, value, [dy, indices]) => {
    const { rows } = attributesOf<{ rows: number }>(value.node);
    const onOff = e.constant(new Float32Array([0, 1]));
    const wide = e.cast(indices, "int64");
    const oneHot = e.op("OneHot", [wide, e.int64([rows]), onOff], { axis: 0 });
    return e.op("MatMul", [oneHot, dy]);
  },

  matmul: (e, value, [a, b]) => {
    const { transposeA, transposeB } = attributesOf<Record<string, boolean>>(value.node);
    const [left, right] = value.node.inputs;
    return e.op("MatMul", [
      transposeA ? swapLast(e, left, a) : a,
      transposeB ? swapLast(e, right, b) : b,
    ]);
  },
  conv2d: (e, value, inputs) => {
    const { stride, padding } = attributesOf<ConvGeometry>(value.node);
    const kernel = value.node.inputs[1].shape.slice(2) as number[];
    return e.op("Conv", inputs, {
      kernel_shape: kernel,
      strides: [stride, stride],
      pads: padding,
    });
  },
  conv2dInputGrad,
  conv2dWeightGrad,

  groupNorm,
  groupNormInputGrad,
  groupNormWeightGrad,
  softmax: (e, _, [x]) => e.op("Softmax", [x], { axis: -1 }),
  logSoftmax: (e, _, [x]) => e.op("LogSoftmax", [x], { axis: -1 }),
  dropoutMask,
  upsampleNearest: (e, value, [x]) =>
    resize(e, x, attributesOf<{ factor: number }>(value.node).factor),
  avgPool: (e, value, [x]) => {
    const { factor } = attributesOf<{ factor: number }>(value.node);
    return e.op("AveragePool", [x], { kernel_shape: [factor, factor], strides: [factor, factor] });
  },
};

export const portable: Lowering = { name: "portable", ops };
