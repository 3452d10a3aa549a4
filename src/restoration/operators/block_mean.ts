/** Super-resolution from the means of blocks. */
import type { LinearOperator, Vector } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import type { OperatorPlugin, PictureShape } from "../operator.ts";

/**
 * y is the mean of each f × f block of each channel. H's row for a block is (1, …, 1)/f², s = 1/f and
 * v = (1, …, 1)/f; the reflection that takes v to the block's first pixel (Householder 1958) is V for
 * that block, and its own inverse.
 */
export function blockMean(shape: PictureShape, f: number): LinearOperator {
  const [channels, height, width] = shape;
  if (!Number.isInteger(f) || f < 2 || height % f !== 0 || width % f !== 0) {
    throw new InputError(
      `scale: expected a whole number from 2 that divides ${width}×${height}, found ${f}`,
    );
  }
  const [h, w] = [height / f, width / f];
  const n = channels * height * width, m = channels * h * w;
  // The first pixel of each block, where its observed component is put.
  const corner = (b: number) => {
    const c = Math.floor(b / (h * w)), i = Math.floor(b / w) % h, j = b % w;
    return (c * height + i * f) * width + j * f;
  };
  const corners = Array.from({ length: m }, (_, b) => corner(b));
  const blockSum = (x: Vector, at: number) => {
    let sum = 0;
    for (let i = 0; i < f; i++) for (let j = 0; j < f; j++) sum += x[at + i * width + j];
    return sum;
  };
  /** x − 2w(wᵀx)/(wᵀw) for w = v − e_1, block by block. */
  const reflect = (x: Vector) => {
    const out = Float64Array.from(x);
    for (const at of corners) {
      const share = (blockSum(x, at) / f - x[at]) / (1 - 1 / f);
      for (let i = 0; i < f; i++) for (let j = 0; j < f; j++) out[at + i * width + j] -= share / f;
      out[at] += share;
    }
    return out;
  };
  const s = new Float64Array(n);
  for (const at of corners) s[at] = 1 / f;
  return {
    name: `mean of ${f}×${f}`,
    shape,
    measured: [channels, h, w],
    s,
    apply: (x) => Float64Array.from(corners, (at) => blockSum(x, at) / f ** 2),
    Vt: reflect,
    V: reflect,
    Ut(y) {
      const c = new Float64Array(n);
      corners.forEach((at, b) => c[at] = y[b]);
      return c;
    },
    U: (c) => Float64Array.from(corners, (at) => c[at]),
  };
}

const plugin: OperatorPlugin = {
  name: "mean",
  api: 1,
  description: "a smaller picture of block means",
  options: {
    scale: {
      type: "integer",
      description: "how many times smaller, each way",
      default: 4,
      minimum: 2,
      maximum: 64,
    },
  },
  create: ({ shape, options }) => blockMean(shape, Number(options.scale)),
};
export default plugin;
