/** Gradient rules of reshaping, slicing, reductions and gather. */
import { attributesOf } from "../value.ts";
import { scale } from "../ops/elementwise.ts";
import { expand, gatherGrad, pad, reshape, slice, transpose } from "../ops/shape.ts";
import { type Dim, known, type Value } from "../value.ts";
import { countOver, type GradientRules, sumTo } from "./rule.ts";

/** dy of a sum over `axes`, repeated along them. */
function spread(x: Value, dy: Value, axes: readonly number[]): Value {
  const kept = x.shape.map((d, i): Dim => axes.includes(i) ? 1 : d);
  return expand(reshape(dy, kept), x.shape);
}

export const shape: GradientRules = {
  reshape: (y, dy) => [() => reshape(dy, y.node.inputs[0].shape)],
  transpose: (y, dy) => {
    const { perm } = attributesOf<{ perm: readonly number[] }>(y.node);
    return [() => transpose(dy, perm.map((_, i) => perm.indexOf(i)))];
  },
  concat: (y, dy) => {
    const { axis } = attributesOf<{ axis: number }>(y.node);
    let end = 0;
    return y.node.inputs.map((input) => {
      const start = end;
      const to = end += known(input.shape[axis], input.shape);
      return () => slice(dy, axis, start, to);
    });
  },
  slice: (y, dy) => {
    const { axis, start, end } = attributesOf<Record<"axis" | "start" | "end", number>>(y.node);
    const [x] = y.node.inputs;
    return [() => pad(dy, axis, start, known(x.shape[axis], x.shape) - end)];
  },
  pad: (y, dy) => {
    const { axis, before } = attributesOf<Record<"axis" | "before", number>>(y.node);
    const [x] = y.node.inputs;
    return [() => slice(dy, axis, before, before + known(x.shape[axis], x.shape))];
  },
  expand: (y, dy) => [() => sumTo(dy, y.node.inputs[0].shape)],

  reduceSum: (y, dy) => {
    const { axes } = attributesOf<{ axes: readonly number[] }>(y.node);
    return [() => {
      countOver(y.node.inputs[0].shape, axes); // expand cannot repeat a size it does not know
      return spread(y.node.inputs[0], dy, axes);
    }];
  },
  reduceMean: (y, dy) => {
    const { axes } = attributesOf<{ axes: readonly number[] }>(y.node);
    const [x] = y.node.inputs;
    return [() => spread(x, scale(dy, 1 / countOver(x.shape, axes)), axes)];
  },

  gather: (y, dy) => {
    const [table, indices] = y.node.inputs;
    return [() => gatherGrad(dy, indices, known(table.shape[0], table.shape)), undefined];
  },
};
