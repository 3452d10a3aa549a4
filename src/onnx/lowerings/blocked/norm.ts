/**
 * Group normalisation and its gradients over blocked pictures. The formulas are those of
 * `../norm_grad.ts`, with x centred first.
 */
import { attributesOf } from "../../../graph/value.ts";
import { type Emitter, type Lowering, type LowerOp } from "../../lowering.ts";
import type { GroupNormOptions } from "../../../graph/ops/nn.ts";
import type { Value } from "../../../graph/value.ts";
import { affine, everywhere } from "./affine.ts";
import { fromBlocked, isBlockable, pixelMeans, toBlocked } from "./layout.ts";

interface Normalised {
  /** x − μ, blocked [N, C, H, W]. */
  readonly centred: string;
  /** 1/√(σ² + eps), [N, groups, 1]. */
  readonly rstd: string;
}

const found = new WeakMap<Emitter, Map<string, Normalised>>();

export function normLowerings(block: number, base: Lowering): Record<string, LowerOp> {
  const guarded = (op: string, lower: LowerOp): LowerOp => (e, value, inputs) =>
    (isBlockable(value.node.inputs[0], block) ? lower : base.ops[op])(e, value, inputs);

  return {
    groupNorm: guarded("groupNorm", (e, value, [x, weight, bias]) => {
      const { groups } = attributesOf<GroupNormOptions>(value.node);
      const shape = value.shape as number[];
      const { centred, rstd } = normalise(e, value.node.inputs[0], x, value);
      const factor = e.op("Mul", [rstd, perGroup(e, weight, groups, shape[1])]);
      const shift = e.op("Expand", [bias, e.int64([shape[0], shape[1]])]);
      return fromBlocked(e, affine(e, centred, shape, { factor, shift }), shape[1]);
    }),

    groupNormWeightGrad: guarded("groupNormWeightGrad", (e, value, [x, dy]) => {
      const { groups } = attributesOf<GroupNormOptions>(value.node);
      const [xValue] = value.node.inputs;
      const [n, c, h, w] = xValue.shape as number[];
      const { centred, rstd } = normalise(e, xValue, x, value);
      const dyCentred = perGroup(e, productMeans(e, centred, toBlocked(e, dy)), groups, c);
      const normed = e.op("Reshape", [
        e.op("Mul", [dyCentred, e.op("Mul", [rstd, e.scalar(h * w)])]),
        e.int64([n, c]),
      ]);
      return e.op("ReduceSum", [normed, e.int64([0])], { keepdims: 0 });
    }),

    groupNormInputGrad: guarded("groupNormInputGrad", (e, value, [x, weight, dy]) => {
      const { groups } = attributesOf<GroupNormOptions>(value.node);
      const shape = value.shape as number[];
      const { centred, rstd } = normalise(e, value.node.inputs[0], x, value);
      const gradient = toBlocked(e, dy);
      const w = perGroup(e, weight, groups, shape[1]);
      const weighted = (means: string) =>
        e.op("ReduceMean", [e.op("Mul", [perGroup(e, means, groups, shape[1]), w]), e.int64([2])]);
      const meanG = weighted(pixelMeans(e, gradient));
      const meanGCentred = weighted(productMeans(e, centred, gradient));

      const width = e.int64([1, 1, shape[1] / groups]);
      const cubed = e.op("Mul", [e.op("Mul", [rstd, rstd]), rstd]);
      const perChannel = (z: string) => e.op("Expand", [e.op("Neg", [z]), width]);
      const fromX = affine(e, centred, shape, {
        factor: perChannel(e.op("Mul", [cubed, meanGCentred])),
        shift: perChannel(e.op("Mul", [rstd, meanG])),
      });
      const dx = affine(e, gradient, shape, { factor: e.op("Mul", [rstd, w]), plus: fromX });
      return fromBlocked(e, dx, shape[1]);
    }),
  };
}

/** [N, C, …] or [C] with one number a channel as [N or 1, groups, C/groups]. */
function perGroup(e: Emitter, numbers: string, groups: number, channels: number): string {
  return e.op("Reshape", [numbers, e.int64([-1, groups, channels / groups])]);
}

/** Means over the pixels of a·b. */
function productMeans(e: Emitter, a: string, b: string): string {
  return pixelMeans(e, e.op("Mul", [a, b]));
}

function normalise(e: Emitter, { shape }: Value, x: string, { node }: Value): Normalised {
  const { groups, eps } = attributesOf<GroupNormOptions>(node);
  let map = found.get(e);
  if (!map) found.set(e, map = new Map());
  const key = `${x} ${groups} ${eps}`;
  const existing = map.get(key);
  if (existing) return existing;

  const [n, c] = shape as number[];
  const grouped = (means: string) =>
    e.op("ReduceMean", [
      e.op("Reshape", [means, e.int64([n, groups, c / groups])]),
      e.int64([2]),
    ]);
  const blocked = toBlocked(e, x);
  const mean = grouped(pixelMeans(e, blocked));
  const shift = e.op("Expand", [e.op("Neg", [mean]), e.int64([1, 1, c / groups])]);
  const centred = affine(e, blocked, shape as number[], {
    factor: everywhere(e, 1, [n, c]),
    shift,
  });
  const variance = grouped(productMeans(e, centred, centred));
  const deviation = e.op("Sqrt", [e.op("Add", [variance, e.scalar(eps)])]);
  const normalised = { centred, rstd: e.op("Reciprocal", [deviation]) };
  map.set(key, normalised);
  return normalised;
}
