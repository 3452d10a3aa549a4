/** Products: matrices, linear layers, convolutions. Weights lie as PyTorch's do. */
import { broadcast, formatShape, known, type Shape, type Value } from "../value.ts";
import { add } from "./elementwise.ts";

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** a·b over the last two axes, the leading ones broadcast. */
export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
  const { transposeA = false, transposeB = false } = options;
  const rows = a.shape.at(transposeA ? -1 : -2)!;
  const inner = a.shape.at(transposeA ? -2 : -1)!;
  const columns = b.shape.at(transposeB ? -2 : -1)!;
  if (a.shape.length < 2 || b.shape.length < 2 || inner !== b.shape.at(transposeB ? -1 : -2)) {
    const t = (yes: boolean) => yes ? "ᵀ" : "";
    throw new Error(
      `cannot multiply ${formatShape(a.shape)}${t(transposeA)} by ${formatShape(b.shape)}${
        t(transposeB)
      }`,
    );
  }
  const lead = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return a.graph.add("matmul", [a, b], [...lead, rows, columns], { transposeA, transposeB });
}

/** x·wᵀ + b with x […, in], w [out, in], b [out]. */
export function linear(x: Value, weight: Value, bias?: Value): Value {
  const y = matmul(x, weight, { transposeB: true });
  return bias ? add(y, bias) : y;
}

/** Rows and columns of zeros around a picture: top, left, bottom, right. */
export type Padding = readonly [number, number, number, number];

export interface ConvGeometry {
  readonly stride: number;
  readonly padding: Padding;
}

/** Cross-correlation of x [N, I, H, W] with weight [O, I, k, k], plus bias [O]. */
export function conv2d(
  x: Value,
  weight: Value,
  bias: Value | undefined,
  { stride, padding }: ConvGeometry,
): Value {
  const [n, channels, height, width] = x.shape;
  const [out, weightChannels, kh, kw] = weight.shape;
  if (channels !== weightChannels) {
    throw new Error(
      `a convolution with weight ${formatShape(weight.shape)} cannot take ${formatShape(x.shape)}`,
    );
  }
  const [top, left, bottom, right] = padding;
  const after = (size: number, kernel: number, pads: number) =>
    Math.floor((size + pads - kernel) / stride) + 1;
  const shape: Shape = [
    n,
    out,
    after(known(height, x.shape), kh as number, top + bottom),
    after(known(width, x.shape), kw as number, left + right),
  ];
  const inputs = bias ? [x, weight, bias] : [x, weight];
  return x.graph.add("conv2d", inputs, shape, { stride, padding });
}

/** dx of `conv2d`, of shape `shape`. */
export function conv2dInputGrad(
  dy: Value,
  weight: Value,
  shape: Shape,
  { stride, padding }: ConvGeometry,
): Value {
  return dy.graph.add("conv2dInputGrad", [dy, weight], shape, { stride, padding });
}

/** dweight of `conv2d`, of shape `shape` [O, I, k, k]. */
export function conv2dWeightGrad(
  x: Value,
  dy: Value,
  shape: Shape,
  { stride, padding }: ConvGeometry,
): Value {
  return dy.graph.add("conv2dWeightGrad", [x, dy], shape, { stride, padding });
}
