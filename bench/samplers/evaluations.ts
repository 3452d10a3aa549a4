/** How often a sampler asks the network: counted where it is asked, not taken from its steps. */
import type { Network } from "../../src/model/network.ts";
import { sample } from "../../src/sampling/sample.ts";

/** A network and how many pictures it was asked about; a batch of n counts n. */
export interface Counted<N extends Network> {
  readonly network: N;
  readonly count: () => number;
}

/** The same network, counting. Of a class instance only the properties are kept, and `predict`. */
export function counted<N extends Network>(network: N): Counted<N> {
  let asked = 0;
  const predict: Network["predict"] = (x, t, labels) => {
    asked += t.length;
    return network.predict(x, t, labels);
  };
  return { network: { ...network, predict }, count: () => asked };
}

/** Steps of a sampler and the evaluations of one picture that they take. */
export interface Effort {
  readonly steps: number;
  readonly evaluations: number;
}

/**
 * The most steps whose evaluations of one picture are at most `most`, found by running the sampler on
 * a network that answers 0; undefined where even one step takes more.
 */
export async function stepsWithin(
  network: Network,
  scheduler: string,
  guidance: number,
  most: number,
): Promise<Effort | undefined> {
  for (let steps = most; steps >= 1; steps--) {
    const evaluations = await evaluationsOf(network, scheduler, guidance, steps);
    if (evaluations <= most) return { steps, evaluations };
  }
}

async function evaluationsOf(
  network: Network,
  scheduler: string,
  guidance: number,
  steps: number,
): Promise<number> {
  const { shape: [, height, width], outChannels } = network;
  const blind = counted({
    ...network,
    predict: (_x, t) => Promise.resolve(new Float32Array(t.length * outChannels * height * width)),
  });
  const request = { seeds: [0], scheduler, steps, guidance };
  for await (const _frame of sample(blind.network, request));
  return blind.count();
}
