/** Adam and AdamW over one flat vector, as graph operations. */
import {
  add,
  concat,
  div,
  expand,
  type Graph,
  mul,
  neg,
  scale,
  shift,
  sqrt,
  square,
  sub,
  type Value,
} from "../../graph/mod.ts";
import type { ParamLayout } from "./layout.ts";

/** PyTorch's defaults where left out. */
export interface AdamOptions {
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly eps?: number;
  /**
   * AdamW's decoupled decay (Loshchilov & Hutter 2019); default 0. Parameters with fewer than two
   * axes, which are biases and norms, do not decay.
   */
  readonly weightDecay?: number;
}

const withDefaults = (options: AdamOptions): Required<AdamOptions> => ({
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0,
  ...options,
});

/** Inputs of the graph that change from step to step; each is one number. */
export interface AdamScalars<T> {
  /** lr / (1 − β₁ᵏ) */
  readonly stepSize: T;
  /** 1 / √(1 − β₂ᵏ) */
  readonly invSqrtCorrection2: T;
  /** lr · weightDecay */
  readonly decay: T;
}

/** The scalars of update k (1 for the first). */
export function adamScalars(k: number, lr: number, options: AdamOptions): AdamScalars<number> {
  const { beta1, beta2, weightDecay } = withDefaults(options);
  return {
    stepSize: lr / (1 - beta1 ** k),
    invSqrtCorrection2: 1 / Math.sqrt(1 - beta2 ** k),
    decay: lr * weightDecay,
  };
}

export interface AdamVectors {
  readonly theta: Value;
  readonly m: Value;
  readonly v: Value;
}

/** One update of every parameter by the gradient g (Kingma & Ba 2015, alg. 1). */
export function adamUpdate(
  { theta, m, v }: AdamVectors,
  g: Value,
  scalars: AdamScalars<Value>,
  layout: ParamLayout,
  options: AdamOptions,
): AdamVectors {
  const { beta1, beta2, eps, weightDecay } = withDefaults(options);
  const newM = add(scale(m, beta1), scale(g, 1 - beta1));
  const newV = add(scale(v, beta2), scale(square(g), 1 - beta2));
  const denominator = shift(mul(sqrt(newV), scalars.invSqrtCorrection2), eps);
  const update = div(mul(newM, scalars.stepSize), denominator);
  const decayed = weightDecay === 0
    ? theta
    : mul(theta, shift(neg(mul(decayMask(theta.graph, layout), scalars.decay)), 1));
  return { theta: sub(decayed, update), m: newM, v: newV };
}

/** 1 for elements of parameters that decay, 0 for the others. */
function decayMask(graph: Graph, layout: ParamLayout): Value {
  return concat(
    layout.params.map(({ shape, size }) => expand(graph.scalar(shape.length < 2 ? 0 : 1), [size])),
    0,
  );
}
