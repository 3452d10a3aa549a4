/** How often a sampler asks the network: counted where it is asked, not taken from its steps. */
import { schedulers } from "../../schedulers/mod.ts";
import type { Network } from "../../src/model/network.ts";
import { countEvaluations } from "../../src/sampling/evaluations.ts";
import { planRun } from "../../src/sampling/plan.ts";

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
 * The most steps whose evaluations of one picture are at most `most`, found by running the sampler;
 * undefined where even one step takes more.
 */
export async function stepsWithin(
  network: Network,
  scheduler: string,
  guidance: number,
  most: number,
): Promise<Effort | undefined> {
  for (let steps = most; steps >= 1; steps--) {
    const plan = planRun(network.scheduler, { scheduler: schedulers[scheduler], steps });
    const evaluations = await countEvaluations(plan, { guidance });
    if (evaluations <= most) return { steps, evaluations };
  }
}
