/**
 * One update of the parameters: gradient clipping, Adam, the running mean (EMA), as graph operations over
 * one flat vector; and the learning rate.
 */
import {
  add,
  concat,
  div,
  expand,
  type Graph,
  min,
  mul,
  neg,
  reciprocal,
  reduceSum,
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

/** ‖g‖₂ of a flat vector, as one number. */
export function globalNorm(g: Value): Value {
  return sqrt(reduceSum(square(g), [0]));
}

/** g, shortened to the length `maxNorm` where it is longer (Pascanu et al. 2013; as in PyTorch). */
export function clipByNorm(g: Value, norm: Value, maxNorm: number): Value {
  const factor = scale(reciprocal(shift(norm, 1e-6)), maxNorm);
  return mul(g, min(factor, g.graph.scalar(1)));
}

/**
 * The share of the old mean kept by a step of `images` images: ½^(images/h) with the half-life
 * h = min(halfLife, 0.05·imagesSeen), so that a young run's mean forgets its first steps.
 * Source: Karras et al. 2022, app. F.6 (edm's training loop).
 * @param imagesSeen before this step; at 0 the mean is the parameters themselves
 */
export function emaDecay(images: number, imagesSeen: number, halfLife: number): number {
  const h = Math.min(halfLife, 0.05 * imagesSeen);
  return h === 0 ? 0 : 0.5 ** (images / h);
}

/** The running mean after a step: decay·ema + (1 − decay)·θ. */
export function emaUpdate(ema: Value, theta: Value, decay: Value): Value {
  return add(theta, mul(sub(ema, theta), decay));
}

/** A warm-up and a decay. */
export interface LearningRateOptions {
  /** The highest rate. */
  readonly lr: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** The step at which a half cosine after the warm-up reaches `final`; null keeps `lr`. */
  readonly horizon: number | null;
  /** What the cosine ends at, as a share of `lr`; default 0. */
  readonly final?: number;
}

/**
 * The learning rate of step k (1 for the first): k/warmup of `lr`, then half a cosine down
 * (Loshchilov & Hutter 2017, eq. 5, without restarts). It depends on nothing but k.
 */
export function learningRate(
  k: number,
  { lr, warmup, horizon, final = 0 }: LearningRateOptions,
): number {
  if (k < warmup) return lr * k / warmup;
  if (horizon === null) return lr;
  const progress = Math.min(1, (k - warmup) / Math.max(1, horizon - warmup));
  return lr * (final + (1 - final) * (1 + Math.cos(Math.PI * progress)) / 2);
}
