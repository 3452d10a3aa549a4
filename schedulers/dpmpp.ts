/** DPM-Solver++ 2M (Lu et al. 2022b, algorithm 2): second order in λ, one evaluation a step. */
import { combine, type Scheduler, solverTimesteps } from "../src/diffusion/mod.ts";

const dpmpp: Scheduler = {
  name: "dpmpp",
  api: 1,
  description: "DPM-Solver++ 2M: good pictures in 10-20 steps",
  options: {
    clip: {
      type: "boolean",
      description: "keep each estimate in the pixels' range; false is diffusers' behaviour, " +
        "which leaves speckle in pixel models",
      default: true,
    },
  },
  timesteps: solverTimesteps,
  async *sampler({ timesteps, schedule, config, options, ...run }) {
    const clips = options.clip || config.thresholding;
    let x = run.x;
    let D_before: Float32Array | undefined, h_before = NaN;
    for (const [i, t] of timesteps.entries()) {
      const s = timesteps[i + 1] ?? -1;
      const { x_0 } = await run.denoise(x, t);
      const D_0 = clips ? run.clip(x_0) : x_0;
      const h = schedule.lambda(s) - schedule.lambda(t);
      const r = h_before / h;
      // The last step, h = ∞, is of first order, as is the first.
      const D = D_before && h < Infinity
        ? combine([1 + 1 / (2 * r), D_0], [-1 / (2 * r), D_before])
        : D_0;
      const alpha_bar_t = schedule.alpha_bar(t), alpha_bar_s = schedule.alpha_bar(s);
      x = combine(
        [Math.sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)), x],
        [-Math.sqrt(alpha_bar_s) * Math.expm1(-h), D],
      );
      [D_before, h_before] = [D_0, h];
      yield { t, x, x_0: D_0 };
    }
    return x;
  },
};
export default dpmpp;
