/** Gradient rules of elementwise operations. */
import {
  cos,
  div,
  lessOrEqual,
  mul,
  neg,
  scale,
  shift,
  siluGrad,
  sin,
  square,
  sub,
} from "../ops/elementwise.ts";
import type { Value } from "../value.ts";
import { type GradientRule, type GradientRules, sumTo } from "./rule.ts";

/** dx = dy·slope, where slope is a function of x and y = f(x). */
const unary = (slope: (x: Value, y: Value) => Value): GradientRule => (y, dy) => [
  () => mul(dy, slope(y.node.inputs[0], y)),
];

/** dx of both inputs before broadcasting is undone. */
const binary =
  (da: (a: Value, b: Value, y: Value, dy: Value) => Value, db: typeof da): GradientRule =>
  (y, dy) => {
    const [a, b] = y.node.inputs;
    return [() => sumTo(da(a, b, y, dy), a.shape), () => sumTo(db(a, b, y, dy), b.shape)];
  };

/** Where the inputs are equal, the first one takes the gradient. */
const selection = (firstWins: (a: Value, b: Value) => Value): GradientRule =>
  binary(
    (a, b, _, dy) => mul(dy, firstWins(a, b)),
    (a, b, _, dy) => mul(dy, shift(neg(firstWins(a, b)), 1)),
  );

export const elementwise: GradientRules = {
  add: binary((_a, _b, _y, dy) => dy, (_a, _b, _y, dy) => dy),
  // The sum is taken before the sign: it is the smaller tensor.
  sub: (y, dy) => [
    () => sumTo(dy, y.node.inputs[0].shape),
    () => neg(sumTo(dy, y.node.inputs[1].shape)),
  ],
  mul: (y, dy) => {
    const [a, b] = y.node.inputs;
    return [() => sumTo(mul(dy, b), a.shape), () => sumTo(mul(dy, a), b.shape)];
  },
  div: binary((_a, b, _y, dy) => div(dy, b), (_a, b, y, dy) => neg(mul(dy, div(y, b)))),
  min: selection((a, b) => lessOrEqual(a, b)),
  max: selection((a, b) => lessOrEqual(b, a)),

  neg: (_, dy) => [() => neg(dy)],
  exp: unary((_, y) => y),
  log: (y, dy) => [() => div(dy, y.node.inputs[0])],
  sqrt: (y, dy) => [() => div(scale(dy, 0.5), y)],
  reciprocal: unary((_, y) => neg(square(y))),
  sin: unary((x) => cos(x)),
  cos: unary((x) => neg(sin(x))),
  sigmoid: unary((_, y) => sub(y, square(y))),
  silu: (y, dy) => [() => siluGrad(y.node.inputs[0], dy)],
};
