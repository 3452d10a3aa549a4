/**
 * Group normalisation that holds where a group's mean is many times its deviation.
 *
 * onnxruntime's kernels compute the variance as E[x²] − E[x]² (GroupNormalization everywhere,
 * InstanceNormalization on WebGPU) or the result as x·r − μ·r (InstanceNormalization on CPUs): with
 * |μ| = 300 σ nothing is left of float32's digits. Shifting a group by a number near its mean
 * changes neither its normal form nor its gradients and costs one pass; a few elements' mean is near
 * enough, since what it is off by is of σ's size.
 */
import { attributesOf, known, type Value } from "../../graph/value.ts";
import type { GroupNormOptions } from "../../graph/ops/nn.ts";
import type { Emitter, LowerOp } from "../lowering.ts";

/** How many elements of a group the shift is the mean of, spread over the group. */
const SAMPLES = 16;

/**
 * x less a number near its mean, group by group.
 * @param x [N, C, …]
 * @returns [N, groups, elements of a group]
 */
export function shiftedGroups(e: Emitter, { shape }: Value, x: string, groups: number): string {
  const size = shape.slice(1).reduce<number>((n, d) => n * known(d, shape), 1) / groups;
  const grouped = e.op("Reshape", [x, e.int64([0, groups, -1])]);
  const step = Math.max(1, Math.floor(size / SAMPLES));
  const starts = e.int64([step >> 1]), ends = e.int64([size]), axis = e.int64([2]);
  const sampled = e.op("Slice", [grouped, starts, ends, axis, e.int64([step])]);
  return e.op("Sub", [grouped, e.op("ReduceMean", [sampled, axis])]);
}

/** [N, groups, …] as x [N, C, …] was. */
export function asPictures(e: Emitter, { shape }: Value, grouped: string): string {
  return e.op("Reshape", [grouped, e.int64([-1, ...shape.slice(1) as number[]])]);
}

/** A [C] vector as [C, 1, …] so that it broadcasts over x [N, C, …]. */
function perChannel(e: Emitter, x: Value, vector: string): string {
  const spatial = x.shape.length - 2;
  return e.op("Reshape", [vector, e.int64([-1, ...Array(spatial).fill(1)])]);
}

export const groupNorm: LowerOp = (e, value, [x, weight, bias]) => {
  const { groups, eps } = attributesOf<GroupNormOptions>(value.node);
  const shifted = shiftedGroups(e, value, x, groups);
  const ones = e.constant(new Float32Array(groups).fill(1));
  const zeros = e.constant(new Float32Array(groups));
  const normalised = e.op("InstanceNormalization", [shifted, ones, zeros], {
    epsilon: { float: eps },
  });
  const scaled = e.op("Mul", [asPictures(e, value, normalised), perChannel(e, value, weight)]);
  return e.op("Add", [scaled, perChannel(e, value, bias)]);
};
