/** How often a run asks the network, counted where it is asked and not taken from its steps. */
import type { Denoiser } from "./denoiser.ts";
import { sampleImage } from "./image.ts";
import type { Plan } from "./plan.ts";

/**
 * The network's evaluations for one image of a run, found by running its sampler on a single pixel of
 * which nothing is known. Guidance takes two for each call, a gradient costs about two.
 * @param atMost the count ends where it is passed
 */
export async function countEvaluations(
  plan: Plan,
  guided: boolean,
  atMost = Infinity,
): Promise<number> {
  const each = guided ? 2 : 1;
  let count = 0;
  const blind: Denoiser = {
    size: 1,
    guided,
    denoise: (x_t) => {
      count += each;
      return Promise.resolve({ eps: x_t.slice(), x_0: x_t.slice(), variance: x_t.slice() });
    },
    vjp: (_x_t, _t, u) => {
      count += 2 * each;
      return Promise.resolve(u.slice());
    },
  };
  const frames = sampleImage(blind, { seed: 0, plan });
  while (count <= atMost && !(await frames.next()).done);
  await frames.return(new Float32Array());
  return count;
}
