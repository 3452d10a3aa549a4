/** Group norm, softmax, attention and resampling. */
import { formatShape, known, type Value } from "../value.ts";
import { scale } from "./elementwise.ts";
import { matmul } from "./linear.ts";

export interface GroupNormOptions {
  readonly groups: number;
  /** Added to the variance. */
  readonly eps: number;
}

/**
 * Group normalisation (Wu & He 2018) of x [N, C, …]: each picture's groups of C/groups channels to
 * mean 0 and variance 1, then times weight [C] plus bias [C].
 */
export function groupNorm(
  x: Value,
  weight: Value,
  bias: Value,
  { groups, eps }: GroupNormOptions,
): Value {
  if (known(x.shape[1], x.shape) % groups !== 0) {
    throw new Error(`${x.shape[1]} channels cannot be split into ${groups} equal groups`);
  }
  return x.graph.add("groupNorm", [x, weight, bias], x.shape, { groups, eps });
}

/** dx of `groupNorm` at x, for dy. */
export function groupNormInputGrad(
  x: Value,
  weight: Value,
  dy: Value,
  { groups, eps }: GroupNormOptions,
): Value {
  return x.graph.add("groupNormInputGrad", [x, weight, dy], x.shape, { groups, eps });
}

/** dweight [C] of `groupNorm` at x, for dy: the sum of dy times the normalised x. */
export function groupNormWeightGrad(
  x: Value,
  dy: Value,
  { groups, eps }: GroupNormOptions,
): Value {
  return x.graph.add("groupNormWeightGrad", [x, dy], [x.shape[1]], { groups, eps });
}

/** Softmax over the last axis. */
export function softmax(x: Value): Value {
  return x.graph.add("softmax", [x], x.shape);
}

/** The logarithm of {@link softmax}, without its underflow. */
export function logSoftmax(x: Value): Value {
  return x.graph.add("logSoftmax", [x], x.shape);
}

/** softmax(q·kᵀ·scale)·v over [N, heads, L, d] (Vaswani et al. 2017, eq. 1). */
export function attention(q: Value, k: Value, v: Value, factor: number): Value {
  return matmul(softmax(scale(matmul(q, k, { transposeB: true }), factor)), v);
}

/** Every pixel of x [N, C, H, W] as a square of factor × factor. */
export function upsampleNearest(x: Value, factor = 2): Value {
  const [n, c, h, w] = x.shape;
  const shape = [n, c, known(h, x.shape) * factor, known(w, x.shape) * factor];
  return x.graph.add("upsampleNearest", [x], shape, { factor });
}

/** Means over squares of factor × factor; what does not fill a square is left out, as in torch. */
export function avgPool(x: Value, factor = 2): Value {
  const [n, c, h, w] = x.shape;
  const pooled = [h, w].map((d) => Math.floor(known(d, x.shape) / factor));
  if (pooled.includes(0)) {
    throw new Error(`pictures of ${formatShape(x.shape)} are too small to be halved`);
  }
  return x.graph.add("avgPool", [x], [n, c, ...pooled], { factor });
}
