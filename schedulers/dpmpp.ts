/** DPM-Solver++ 2M (Lu et al. 2022b, algorithm 2): second order in λ, one evaluation a step. */
import {
  clipOption,
  combine,
  type Scheduler,
  solverClip,
  solverTimesteps,
} from "../src/diffusion/mod.ts";

const dpmpp: Scheduler = {
  name: "dpmpp",
  api: 1,
  description: "DPM-Solver++ 2M: good pictures in 10-20 steps",
  options: { clip: clipOption },
  timesteps: solverTimesteps,
  async *sampler(run) {
    const { timesteps, schedule } = run;
    const clip = solverClip(run);
    let x = run.x;
    let D_before: Float32Array | undefined, h_before = NaN;
    for (const [i, t] of timesteps.entries()) {
      const s = timesteps[i + 1] ?? -1;
      const D_0 = clip((await run.denoise(x, t)).x_0);
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
