/** Gradient rules of normalisation, softmax and resampling. */
import { attributesOf } from "../value.ts";
import { exp, mul, scale, sub } from "../ops/elementwise.ts";
import {
  avgPool,
  groupNormInputGrad,
  type GroupNormOptions,
  groupNormWeightGrad,
  upsampleNearest,
} from "../ops/nn.ts";
import { pad, reduceSum } from "../ops/shape.ts";
import { known } from "../value.ts";
import { type GradientRules, sumPerChannel } from "./rule.ts";

export const nn: GradientRules = {
  groupNorm: (y, dy) => {
    const [x, weight] = y.node.inputs;
    const options = attributesOf<GroupNormOptions>(y.node);
    return [
      () => groupNormInputGrad(x, weight, dy, options),
      () => groupNormWeightGrad(x, dy, options),
      () => sumPerChannel(dy),
    ];
  },

  softmax: (y, dy) => [() => {
    const weighted = mul(dy, y);
    return sub(weighted, mul(y, reduceSum(weighted, [-1], true)));
  }],
  logSoftmax: (y, dy) => [() => sub(dy, mul(exp(y), reduceSum(dy, [-1], true)))],

  upsampleNearest: (y, dy) => {
    const { factor } = attributesOf<{ factor: number }>(y.node);
    return [() => scale(avgPool(dy, factor), factor ** 2)];
  },
  avgPool: (y, dy) => {
    const { factor } = attributesOf<{ factor: number }>(y.node);
    const [x] = y.node.inputs;
    return [() => {
      const spread = upsampleNearest(scale(dy, factor ** -2), factor);
      const leftOver = (axis: number) =>
        known(x.shape[axis], x.shape) - known(spread.shape[axis], spread.shape);
      return pad(pad(spread, 2, 0, leftOver(2)), 3, 0, leftOver(3));
    }];
  },
};
