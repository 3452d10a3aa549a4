/**
 * Group normalisation and its gradients over blocked pictures. The formulas are those of
 * `../norm_grad.ts`, and x is shifted by a number near its mean as in `../group_norm.ts`.
 */
import { attributesOf } from "../../../graph/value.ts";
import { type Emitter, type Lowering, type LowerOp, once } from "../../lowering.ts";
import type { GroupNormOptions } from "../../../graph/ops/nn.ts";
import type { Value } from "../../../graph/value.ts";
import { affine, everywhere } from "./affine.ts";
import { fromBlocked, isBlockable, pixelMeans, toBlocked } from "./layout.ts";

interface Normalised {
  /** x less a number near its group's mean, blocked [N, C, H, W]. */
  readonly shifted: string;
  /** The mean μ of that, [N, groups, 1]. */
  readonly mean: string;
  /** 1/√(σ² + eps), [N, groups, 1]. */
  readonly rstd: string;
}

/** How many pixels of a channel a group's shift is the mean of. */
const SAMPLES = 4;

export function normLowerings(block: number, base: Lowering): Record<string, LowerOp> {
  const guarded = (op: string, lower: LowerOp): LowerOp => (e, value, inputs) =>
    (isBlockable(value.node.inputs[0], block) ? lower : base.ops[op])(e, value, inputs);

  return {
    groupNorm: guarded("groupNorm", (e, value, [x, weight, bias]) => {
      const { groups } = attributesOf<GroupNormOptions>(value.node);
      const shape = value.shape as number[];
      const { shifted, mean, rstd } = normalise(e, value.node.inputs[0], x, value, block);
      const factor = e.op("Mul", [rstd, perGroup(e, weight, groups, shape[1])]);
      const shift = e.op("Sub", [
        perGroup(e, bias, groups, shape[1]),
        e.op("Mul", [mean, factor]),
      ]);
      return fromBlocked(e, affine(e, shifted, shape, { factor, shift }), shape[1]);
    }),

    groupNormWeightGrad: guarded("groupNormWeightGrad", (e, value, [x, dy]) => {
      const { groups } = attributesOf<GroupNormOptions>(value.node);
      const [xValue] = value.node.inputs;
      const [n, c, h, w] = xValue.shape as number[];
      const { shifted, mean, rstd } = normalise(e, xValue, x, value, block);
      const { meansCentred } = gradientMeans(e, { shifted, mean }, toBlocked(e, dy), groups, c);
      const normed = e.op("Reshape", [
        e.op("Mul", [meansCentred, e.op("Mul", [rstd, e.scalar(h * w)])]),
        e.int64([n, c]),
      ]);
      return e.op("ReduceSum", [normed, e.int64([0])], { keepdims: 0 });
    }),

    groupNormInputGrad: guarded("groupNormInputGrad", (e, value, [x, weight, dy]) => {
      const { groups } = attributesOf<GroupNormOptions>(value.node);
      const shape = value.shape as number[];
      const { shifted, mean, rstd } = normalise(e, value.node.inputs[0], x, value, block);
      const gradient = toBlocked(e, dy);
      const w = perGroup(e, weight, groups, shape[1]);
      const weighted = (means: string) =>
        e.op("ReduceMean", [e.op("Mul", [means, w]), e.int64([2])]);
      const { means, meansCentred } = gradientMeans(
        e,
        { shifted, mean },
        gradient,
        groups,
        shape[1],
      );

      const width = e.int64([1, 1, shape[1] / groups]);
      const cubed = e.op("Mul", [e.op("Mul", [rstd, rstd]), rstd]);
      const perChannel = (z: string) => e.op("Expand", [z, width]);
      const b = e.op("Neg", [e.op("Mul", [cubed, weighted(meansCentred)])]);
      const c = e.op("Neg", [
        e.op("Add", [e.op("Mul", [rstd, weighted(means)]), e.op("Mul", [b, mean])]),
      ]);
      const fromX = affine(e, shifted, shape, { factor: perChannel(b), shift: perChannel(c) });
      const dx = affine(e, gradient, shape, { factor: e.op("Mul", [rstd, w]), plus: fromX });
      return fromBlocked(e, dx, shape[1]);
    }),
  };
}

/** Each channel's means of dy and of dy·(x − μ), [N, groups, C/groups]. */
function gradientMeans(
  e: Emitter,
  { shifted, mean }: Pick<Normalised, "shifted" | "mean">,
  dy: string,
  groups: number,
  channels: number,
): { readonly means: string; readonly meansCentred: string } {
  const means = perGroup(e, pixelMeans(e, dy), groups, channels);
  const withX = perGroup(e, productMeans(e, shifted, dy), groups, channels);
  return { means, meansCentred: e.op("Sub", [withX, e.op("Mul", [mean, means])]) };
}

/** [N, C, …] or [C] with one number a channel as [N or 1, groups, C/groups]. */
function perGroup(e: Emitter, numbers: string, groups: number, channels: number): string {
  return e.op("Reshape", [numbers, e.int64([-1, groups, channels / groups])]);
}

/** Means over the pixels of a·b. */
function productMeans(e: Emitter, a: string, b: string): string {
  return pixelMeans(e, e.op("Mul", [a, b]));
}

/** A few pixels' mean of every group of a blocked tensor, [N, groups, 1]. */
function sampledMeans(
  e: Emitter,
  blocked: string,
  [n, c, h, w]: readonly number[],
  groups: number,
  block: number,
): string {
  const lines = e.op("Reshape", [blocked, e.int64([n, c / block, h * w, block])]);
  const step = Math.max(1, Math.floor(h * w / SAMPLES));
  const pixels = e.op("Slice", [
    lines,
    e.int64([step >> 1]),
    e.int64([h * w]),
    e.int64([2]),
    e.int64([step]),
  ]);
  const channels = perGroup(e, e.op("ReduceMean", [pixels, e.int64([2])]), groups, c);
  return e.op("ReduceMean", [channels, e.int64([2])]);
}

function normalise(
  e: Emitter,
  { shape }: Value,
  x: string,
  { node }: Value,
  block: number,
): Normalised {
  const { groups, eps } = attributesOf<GroupNormOptions>(node);
  return once(e, `${x} in ${groups} groups, eps ${eps}`, () => {
    const [n, c] = shape as number[];
    const grouped = (means: string) =>
      e.op("ReduceMean", [perGroup(e, means, groups, c), e.int64([2])]);
    const blocked = toBlocked(e, x);
    const near = sampledMeans(e, blocked, shape as number[], groups, block);
    const shifted = affine(e, blocked, shape as number[], {
      factor: everywhere(e, 1, [n, c]),
      shift: e.op("Expand", [e.op("Neg", [near]), e.int64([1, 1, c / groups])]),
    });
    const mean = grouped(pixelMeans(e, shifted));
    const square = grouped(productMeans(e, shifted, shifted));
    const variance = e.op("Sub", [square, e.op("Mul", [mean, mean])]);
    const deviation = e.op("Sqrt", [e.op("Add", [variance, e.scalar(eps)])]);
    return { shifted, mean, rstd: e.op("Reciprocal", [deviation]) };
  });
}
