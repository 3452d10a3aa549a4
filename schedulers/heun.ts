/** Heun's method on the probability-flow ODE (Karras et al. 2022, algorithm 1): 2n − 1 evaluations. */
import {
  clipOption,
  combine,
  epsOf,
  type Scheduler,
  solverClip,
  solverTimesteps,
} from "../src/diffusion/mod.ts";

const heun: Scheduler = {
  name: "heun",
  api: 1,
  description: "Heun: second order, two evaluations a step but the last",
  options: { clip: clipOption },
  timesteps: solverTimesteps,
  async *sampler(run) {
    const { timesteps, schedule } = run;
    const clip = solverClip(run);
    // In x/√ᾱ over σ = √(1/ᾱ − 1) the slope of the ODE is eps.
    let x = run.x;
    for (const [i, t] of timesteps.entries()) {
      const s = timesteps[i + 1] ?? -1;
      const alpha_bar = schedule.alpha_bar(t), alpha_bar_s = schedule.alpha_bar(s);
      const x_0 = clip((await run.denoise(x, t)).x_0);
      const eps = epsOf(x_0, x, alpha_bar);
      const euler = combine([Math.sqrt(alpha_bar_s), x_0], [Math.sqrt(1 - alpha_bar_s), eps]);
      if (s < 0 || alpha_bar === 0) {
        x = euler;
      } else {
        const eps_s = epsOf(clip((await run.denoise(euler, s)).x_0), euler, alpha_bar_s);
        const ratio = Math.sqrt(alpha_bar_s / alpha_bar);
        const step = Math.sqrt(1 - alpha_bar_s) - ratio * Math.sqrt(1 - alpha_bar);
        x = combine([ratio, x], [step / 2, eps], [step / 2, eps_s]);
      }
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default heun;
