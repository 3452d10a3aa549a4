/** The training objective of a diffusion model as a graph. */
import type { PredictionType } from "../../diffusion/types.ts";
import { dropout, type Graph, mul, reduceMean, type Value } from "../../graph/mod.ts";
import { type NetworkDefinition, networkInputs } from "../../networks/architecture.ts";
import { errorPerPicture, noised, type Noising, target } from "./loss.ts";
import type { Objective } from "../optimiser/trainer.ts";

export interface DenoisingOptions {
  readonly network: NetworkDefinition;
  readonly prediction: PredictionType;
  readonly batch: number;
  readonly dropout: number;
}

/**
 * The mean over the batch of weight × mean squared error. Inputs: x_0 and eps [N, C, H, W];
 * timestep, sqrt_alpha_bar, sqrt_one_minus_alpha_bar and weight [N]; class_labels [N] int32 for a
 * labelled network; dropout_keys [N] int32 with dropout. Outputs: losses [N], unweighted.
 */
export function denoisingObjective(
  graph: Graph,
  { network, prediction, batch, dropout: rate }: DenoisingOptions,
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
    networkInputs(graph, network, batch, noised(noising)),
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
