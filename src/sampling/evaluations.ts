/** Counts a run's network evaluations by running its sampler without a network. */
import type { Measurement, Vector } from "../diffusion/mod.ts";
import { type Asked, evaluationsAt } from "../recipe/conditioning.ts";
import type { Denoiser } from "./denoiser.ts";
import { sampleImage } from "./image.ts";
import type { Plan } from "./plan.ts";

const same = (x: Vector) => Float64Array.from(x);
/** A single pixel as it is. */
const ONE_PIXEL: Measurement = {
  operator: {
    name: "one pixel",
    shape: [1, 1, 1],
    measured: [1, 1, 1],
    s: Float64Array.of(1),
    apply: same,
    Vt: same,
    V: same,
    Ut: same,
    U: same,
  },
  y: Float32Array.of(0.5),
  sigma_y: 0,
};

/** Evaluations that a step may ask for when the count has passed its end: who asks for more has no end. */
const REST_OF_A_STEP = 1000;

/** More has been asked than is counted. */
class Enough extends Error {}

/**
 * The network's evaluations for one image of a run, found by running its sampler on a single pixel of
 * which nothing is known. A gradient costs about two.
 * @param asked guidance and a second class each take an evaluation more
 * @param atMost the count ends with the step that passes it, or in a step that does not end
 * @param sigma_y the noise of what a restoring sampler is given
 */
export async function countEvaluations(
  plan: Plan,
  asked: Asked = { guidance: 1 },
  atMost = Infinity,
  sigma_y = 0,
): Promise<number> {
  const each = (t: number, alpha_bar?: number) =>
    evaluationsAt(asked, plan.modelTime(t, alpha_bar));
  let count = 0;
  const ask = (evaluations: number) => {
    count += evaluations;
    if (count > atMost + REST_OF_A_STEP) throw new Enough();
  };
  const blind: Denoiser = {
    size: 1,
    guided: asked.guidance !== 1,
    // deno-lint-ignore require-await
    denoise: async (x_t, t, alpha_bar) => {
      ask(each(t, alpha_bar));
      return { eps: x_t.slice(), x_0: x_t.slice(), variance: x_t.slice() };
    },
    // deno-lint-ignore require-await
    vjp: async (_x_t, t, u, alpha_bar) => {
      ask(2 * each(t, alpha_bar));
      return u.slice();
    },
  };
  const restores = plan.scheduler.needs?.includes("measurement");
  const inputs = restores ? { measurement: { ...ONE_PIXEL, sigma_y } } : {};
  const frames = sampleImage(blind, { seed: 0, plan, inputs });
  try {
    while (count <= atMost && !(await frames.next()).done);
    await frames.return(new Float32Array());
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return count;
}
