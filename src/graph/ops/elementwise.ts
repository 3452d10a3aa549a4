/** Operations on each element, broadcasting as numpy does. */
import { broadcast, type Value } from "../value.ts";

const binary = (op: string) => (a: Value, b: Value): Value =>
  a.graph.add(op, [a, b], broadcast(a.shape, b.shape));
const unary = (op: string) => (x: Value): Value => x.graph.add(op, [x], x.shape);

export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const min = binary("min");
export const max = binary("max");
/** 1 where a ≤ b, 0 elsewhere. */
export const lessOrEqual = binary("lessOrEqual");

export const neg = unary("neg");
export const exp = unary("exp");
export const log = unary("log");
export const sqrt = unary("sqrt");
export const reciprocal = unary("reciprocal");
export const sin = unary("sin");
export const cos = unary("cos");
export const sigmoid = unary("sigmoid");

/** x·σ(x) (Hendrycks & Gimpel 2016). */
export const silu = unary("silu");
/** dx of `silu` at x, times dy. */
export const siluGrad = binary("siluGrad");

/** x·factor for a constant factor. */
export function scale(x: Value, factor: number): Value {
  return factor === 1 ? x : mul(x, x.graph.scalar(factor));
}

/** x + offset for a constant offset. */
export function shift(x: Value, offset: number): Value {
  return offset === 0 ? x : add(x, x.graph.scalar(offset));
}

export function square(x: Value): Value {
  return mul(x, x);
}
