/** Gradient clipping. */
import {
  min,
  mul,
  reciprocal,
  reduceSum,
  scale,
  shift,
  sqrt,
  square,
  type Value,
} from "../../graph/mod.ts";

/** ‖g‖₂ of a flat vector, as one number. */
export function globalNorm(g: Value): Value {
  return sqrt(reduceSum(square(g), [0]));
}

/** g, shortened to the length `maxNorm` where it is longer (Pascanu et al. 2013; as in PyTorch). */
export function clipByNorm(g: Value, norm: Value, maxNorm: number): Value {
  const factor = scale(reciprocal(shift(norm, 1e-6)), maxNorm);
  return mul(g, min(factor, g.graph.scalar(1)));
}
