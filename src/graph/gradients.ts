/** Reverse-mode differentiation: the gradient of a graph as more of the same graph. */
import { elementwise } from "./gradients/elementwise.ts";
import { linear } from "./gradients/linear.ts";
import { nn } from "./gradients/nn.ts";
import type { GradientRules } from "./gradients/rule.ts";
import { shape } from "./gradients/shape.ts";
import { add } from "./ops/elementwise.ts";
import { formatShape, sameShape, sizeOf, type Value } from "./value.ts";

/** How each differentiable operation passes a gradient on. */
export const gradientRules: GradientRules = { ...elementwise, ...linear, ...nn, ...shape };

/** Operations through which no gradient is taken: sources, steps, and gradients themselves. */
export const nonDifferentiable: ReadonlySet<string> = new Set([
  "input",
  "param",
  "constant",
  "lessOrEqual",
  "dropoutMask",
  "siluGrad",
  "gatherGrad",
  "conv2dInputGrad",
  "conv2dWeightGrad",
  "groupNormInputGrad",
  "groupNormWeightGrad",
]);

/**
 * dloss/dx for every x of `of`, in their order and shapes. Adds only operations on the way from
 * `loss` to one of them. An x that the loss does not depend on has a gradient of zeros.
 * @param loss one number
 * @throws Error naming the operation, where the way leads through one without a rule
 */
export function gradients(loss: Value, of: readonly Value[]): Value[] {
  if (sizeOf(loss.shape) !== 1) {
    throw new Error(`expected a loss of one number, found shape ${formatShape(loss.shape)}`);
  }
  return vjp(loss, loss.graph.constant(new Float32Array([1]), loss.shape as number[]), of);
}

/**
 * Vector–Jacobian products (∂y/∂x)ᵀ u for every x of `of`, in their order and shapes: the gradients of
 * Σ u·y, for a y of any shape and dimensions that are known only at run time.
 * @param u of y's shape
 * @throws Error naming the operation, where the way leads through one without a rule
 */
export function vjp(y: Value, u: Value, of: readonly Value[]): Value[] {
  const { graph } = y;
  if (!sameShape(u.shape, y.shape)) {
    throw new Error(`expected u of shape ${formatShape(y.shape)}, found ${formatShape(u.shape)}`);
  }
  const onTheWay = dependents(of);
  const found = new Map<Value, Value>([[y, u]]);
  for (let id = y.id; id >= 0; id--) {
    const value = graph.values[id];
    const dy = found.get(value);
    const { op, inputs } = value.node;
    if (!dy || !inputs.some((x) => onTheWay.has(x))) continue;
    const rule = gradientRules[op];
    if (!rule) throw new Error(`operation "${op}" cannot be differentiated`);
    rule(value, dy).forEach((gradient, i) => {
      const x = inputs[i];
      if (!onTheWay.has(x)) return;
      if (!gradient) throw new Error(`operation "${op}" has no gradient for its input ${i}`);
      const dx = gradient();
      const others = found.get(x);
      found.set(x, others ? add(others, dx) : dx);
    });
  }
  return of.map((x) =>
    found.get(x) ?? graph.constant(new Float32Array(sizeOf(x.shape)), x.shape as number[])
  );
}

/** Every value that depends on one of `sources`, these included. */
function dependents(sources: readonly Value[]): Set<Value> {
  const found = new Set(sources);
  if (sources.length === 0) return found;
  for (const value of sources[0].graph.values) {
    if (value.node.inputs.some((input) => found.has(input))) found.add(value);
  }
  return found;
}
