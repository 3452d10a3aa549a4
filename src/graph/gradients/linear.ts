/** Gradient rules of matrix products and convolutions. */
import { attributesOf } from "../value.ts";
import {
  conv2dInputGrad,
  conv2dWeightGrad,
  type ConvGeometry,
  matmul,
  type MatmulOptions,
} from "../ops/linear.ts";
import { reshape } from "../ops/shape.ts";
import { sizeOf, type Value } from "../value.ts";
import { type GradientRules, sumPerChannel, sumTo } from "./rule.ts";

/** [a, b, …, c] → [a·b·…, c]. */
function asRows(x: Value): Value {
  const columns = x.shape.at(-1) as number;
  return reshape(x, [sizeOf(x.shape) / columns, columns]);
}

/** Whether b is one matrix that meets all of a's: then db is one product, not a sum of products. */
function isSharedMatrix(a: Value, b: Value, { transposeA }: MatmulOptions): boolean {
  return b.shape.length === 2 && a.shape.length > 2 && !transposeA &&
    a.shape.every((d) => typeof d === "number");
}

export const linear: GradientRules = {
  matmul: (y, dy) => {
    const [a, b] = y.node.inputs;
    const options = attributesOf<Required<MatmulOptions>>(y.node);
    const { transposeA, transposeB } = options;
    return [
      () => {
        const da = transposeA
          ? matmul(b, dy, { transposeA: transposeB, transposeB: true })
          : matmul(dy, b, { transposeB: !transposeB });
        return sumTo(da, a.shape);
      },
      () => {
        const [left, right] = isSharedMatrix(a, b, options) ? [asRows(a), asRows(dy)] : [a, dy];
        const db = transposeB
          ? matmul(right, left, { transposeA: true, transposeB: transposeA })
          : matmul(left, right, { transposeA: !transposeA });
        return sumTo(db, b.shape);
      },
    ];
  },

  conv2d: (y, dy) => {
    const [x, weight, bias] = y.node.inputs;
    const geometry = attributesOf<ConvGeometry>(y.node);
    return [
      () => conv2dInputGrad(dy, weight, x.shape, geometry),
      () => conv2dWeightGrad(x, dy, weight.shape, geometry),
      bias && (() => sumPerChannel(dy)),
    ];
  },
};
