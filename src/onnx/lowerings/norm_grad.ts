/**
 * The gradients of group normalisation. With x̂ = (x − μ)·r and g = dy·w, in each picture's group,
 *
 *   dx = r·(g − mean(g) − x̂·mean(g·x̂)),   dw = Σ dy·x̂.
 *
 * Both are made from two sums a channel, Σ dy and Σ dy·x, so that x̂ is never written to memory:
 * dx = (w·r)·dy + b·x + c with b = −r²·mean(g·x̂) and c = −r·mean(g) − b·μ. Here x is shifted by a
 * number near μ first (see `group_norm.ts`), so that no difference of large numbers is left.
 */
import { attributesOf } from "../../graph/value.ts";
import { type Emitter, type LowerOp } from "../lowering.ts";
import type { GroupNormOptions } from "../../graph/ops/nn.ts";
import type { Value } from "../../graph/value.ts";
import { asPictures, shiftedGroups } from "./group_norm.ts";

interface Statistics {
  /** x less a number near its mean, [N, groups, elements of a group]. */
  readonly shifted: string;
  /** Of it: μ and r = 1/√(σ² + eps) of every group, [N, groups, 1]. */
  readonly mean: string;
  readonly rstd: string;
}

/** Lowerings of one x write equal nodes, which engines merge when they load the graph. */
function groupStatistics(
  e: Emitter,
  value: Value,
  x: string,
  { groups, eps }: GroupNormOptions,
): Statistics {
  const shifted = shiftedGroups(e, value, x, groups);
  const last = e.int64([2]);
  const mean = e.op("ReduceMean", [shifted, last]);
  const centred = e.op("Sub", [shifted, mean]);
  const variance = e.op("ReduceMean", [e.op("Mul", [centred, centred]), last]);
  const deviation = e.op("Sqrt", [e.op("Add", [variance, e.scalar(eps)])]);
  return { shifted, mean, rstd: e.op("Reciprocal", [deviation]) };
}

/** Σ dy and Σ dy·x̂ over each channel's pixels, [N, groups, C/groups]. */
function channelSums(
  e: Emitter,
  value: Value,
  dy: string,
  { shifted, mean, rstd }: Statistics,
): { readonly dy: string; readonly dyNormed: string } {
  const { groups } = attributesOf<GroupNormOptions>(value.node);
  const spatial = e.int64(value.node.inputs[0].shape.map((_, i) => i).slice(2));
  const perGroup = (z: string) =>
    e.op("Reshape", [e.op("ReduceSum", [z, spatial], { keepdims: 0 }), e.int64([0, groups, -1])]);
  const sum = perGroup(dy);
  const x = asPictures(e, value.node.inputs[0], shifted);
  const withX = perGroup(e.op("Mul", [dy, x]));
  const centred = e.op("Sub", [withX, e.op("Mul", [mean, sum])]);
  return { dy: sum, dyNormed: e.op("Mul", [centred, rstd]) };
}

export const groupNormWeightGrad: LowerOp = (e, value, [x, dy]) => {
  const options = attributesOf<GroupNormOptions>(value.node);
  const statistics = groupStatistics(e, value.node.inputs[0], x, options);
  const { dyNormed } = channelSums(e, value, dy, statistics);
  const perPicture = e.op("Reshape", [dyNormed, e.int64([0, -1])]);
  return e.op("ReduceSum", [perPicture, e.int64([0])], { keepdims: 0 });
};

export const groupNormInputGrad: LowerOp = (e, value, [x, weight, dy]) => {
  const { groups, eps } = attributesOf<GroupNormOptions>(value.node);
  const statistics = groupStatistics(e, value.node.inputs[0], x, { groups, eps });
  const { shifted, mean, rstd } = statistics;
  const sums = channelSums(e, value, dy, statistics);

  const [channels, ...spatial] = value.shape.slice(1) as number[];
  const count = channels / groups * spatial.reduce((n, d) => n * d, 1);
  const w = e.op("Reshape", [weight, e.int64([1, groups, -1])]);
  const meanOver = (z: string) =>
    e.op("Mul", [
      e.op("ReduceSum", [e.op("Mul", [z, w]), e.int64([2])]),
      e.scalar(1 / count),
    ]);
  const scaleDy = e.op("Mul", [w, rstd]);
  const minusB = e.op("Mul", [e.op("Mul", [rstd, rstd]), meanOver(sums.dyNormed)]);
  const c = e.op("Sub", [e.op("Mul", [minusB, mean]), e.op("Mul", [rstd, meanOver(sums.dy)])]);

  const ones = spatial.map(() => 1);
  const fromDy = e.op("Mul", [
    dy,
    e.op("Reshape", [scaleDy, e.int64([-1, channels, ...ones])]),
  ]);
  const fromX = e.op("Sub", [c, e.op("Mul", [shifted, minusB])]);
  return e.op("Add", [fromDy, e.op("Reshape", [fromX, e.int64([-1, channels, ...spatial])])]);
};
