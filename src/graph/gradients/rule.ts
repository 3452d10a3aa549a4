/** What a gradient rule is, and the sums that rules share. */
import { reduceSum, reshape } from "../ops/shape.ts";
import { known, sameShape, type Shape, type Value } from "../value.ts";

/**
 * How dy becomes the gradients of an operation's inputs: for each input a function that adds the
 * operations for it, called only where that gradient is wanted. undefined: no gradient flows there.
 */
export type GradientRule = (y: Value, dy: Value) => readonly ((() => Value) | undefined)[];

export type GradientRules = Readonly<Record<string, GradientRule>>;

/** Undoes numpy's broadcasting: sums dy over the axes along which an input of `shape` was repeated. */
export function sumTo(dy: Value, shape: Shape): Value {
  if (sameShape(dy.shape, shape)) return dy;
  const extra = dy.shape.length - shape.length;
  const repeated = dy.shape.flatMap((d, i) => i < extra || shape[i - extra] !== d ? [i] : []);
  return reshape(reduceSum(dy, repeated, true), shape);
}

/**
 * dy [N, C, …] summed to [C]. Pixels first: normalisation and embeddings ask for the same sums, and
 * adding up neighbours in memory is what engines do fastest.
 */
export function sumPerChannel(dy: Value): Value {
  const spatial = dy.shape.map((_, i) => i).slice(2);
  return reduceSum(reduceSum(dy, spatial), [0]);
}

/** Elements that a reduction over `axes` adds up. */
export function countOver(shape: Shape, axes: readonly number[]): number {
  return axes.reduce((n, axis) => n * known(shape[axis], shape), 1);
}
