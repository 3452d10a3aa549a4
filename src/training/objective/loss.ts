/** The loss of a diffusion model as a graph: the target, its weight, the mean over the batch. */
import type { PredictionType } from "../../diffusion/scheduler.ts";
import {
  add,
  dropout,
  type Graph,
  mul,
  reduceMean,
  reshape,
  square,
  sub,
  type Value,
} from "../../graph/mod.ts";
import { type NetworkDefinition, networkInputs } from "../../networks/architecture.ts";
import type { Objective } from "../optimiser/update_graph.ts";

/**
 * The weight of an image at ᾱ in the loss: 1 (L_simple, Ho et al. 2020, eq. 14), or with γ min-SNR
 * weighting, min(SNR, γ) divided by SNR for ε, 1 for x₀ and SNR + 1 for v (Hang et al. 2023, §3.4),
 * where SNR = ᾱ/(1−ᾱ).
 */
export function lossWeight(prediction: PredictionType, alpha_bar: number, gamma?: number): number {
  if (gamma === undefined) return 1;
  const snr = alpha_bar / (1 - alpha_bar);
  switch (prediction) {
    case "epsilon":
      return Math.min(1, gamma / snr);
    case "sample":
      return Math.min(snr, gamma);
    case "v_prediction":
      return Math.min(snr, gamma) / (snr + 1);
  }
}

/** Pictures and noise [N, C, H, W], and each picture's √ᾱ and √(1−ᾱ), [N]. */
export interface Noising {
  readonly x_0: Value;
  readonly eps: Value;
  readonly sqrtAlphaBar: Value;
  readonly sqrtOneMinusAlphaBar: Value;
}

const perPicture = (numbers: Value) => reshape(numbers, [numbers.shape[0], 1, 1, 1]);

/** x_t = √ᾱ·x_0 + √(1−ᾱ)·ε (Ho et al. 2020, eq. 4). */
export function noised({ x_0, eps, sqrtAlphaBar, sqrtOneMinusAlphaBar }: Noising): Value {
  return add(mul(x_0, perPicture(sqrtAlphaBar)), mul(eps, perPicture(sqrtOneMinusAlphaBar)));
}

/** ε, x₀, or v = √ᾱ·ε − √(1−ᾱ)·x₀ (Salimans & Ho 2022, app. D). */
export function target(prediction: PredictionType, noising: Noising): Value {
  const { x_0, eps, sqrtAlphaBar, sqrtOneMinusAlphaBar } = noising;
  switch (prediction) {
    case "epsilon":
      return eps;
    case "sample":
      return x_0;
    case "v_prediction":
      return sub(mul(eps, perPicture(sqrtAlphaBar)), mul(x_0, perPicture(sqrtOneMinusAlphaBar)));
  }
}

/** Each picture's mean squared error, [N]. */
export function errorPerPicture(output: Value, wanted: Value): Value {
  return reduceMean(square(sub(output, wanted)), [1, 2, 3]);
}

export interface DenoisingOptions {
  readonly network: NetworkDefinition;
  readonly prediction: PredictionType;
  readonly batch: number;
  readonly dropout: number;
  /** Whether classes are fed as shares of the table's rows; see `labelParts`. */
  readonly shared?: boolean;
}

/**
 * The mean over the batch of weight × mean squared error. Inputs: x_0 and eps [N, C, H, W];
 * timestep, sqrt_alpha_bar, sqrt_one_minus_alpha_bar and weight [N]; class_labels [N] int32 for a
 * labelled network, or class_weights [N, classes]; dropout_keys [N] int32 with dropout. Outputs: losses [N], unweighted.
 */
export function denoisingObjective(
  graph: Graph,
  { network, prediction, batch, dropout: rate, shared }: DenoisingOptions,
): Objective {
  if (network.outChannels !== network.shape[0]) {
    throw new Error(
      `expected as many output as input channels, found ${network.outChannels} and ${
        network.shape[0]
      }`,
    );
  }
  const shape = [batch, ...network.shape];
  const noising: Noising = {
    x_0: graph.input("x_0", shape),
    eps: graph.input("eps", shape),
    sqrtAlphaBar: graph.input("sqrt_alpha_bar", [batch]),
    sqrtOneMinusAlphaBar: graph.input("sqrt_one_minus_alpha_bar", [batch]),
  };
  const output = network.build(
    graph,
    networkInputs(graph, network, batch, noised(noising), shared),
    rate > 0 ? dropoutBy(graph.input("dropout_keys", [batch], "int32"), rate) : undefined,
  );
  const losses = errorPerPicture(output, target(prediction, noising));
  const loss = reduceMean(mul(losses, graph.input("weight", [batch])), [0]);
  return { loss, outputs: { losses } };
}

/** Dropout for one layer after another. */
function dropoutBy(keys: Value, rate: number): (x: Value) => Value {
  let layer = 0;
  return (x) => dropout(x, keys, { rate, layer: layer++ });
}
