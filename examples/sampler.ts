/**
 * A scheduler plug-in: Euler's method on the probability-flow ODE (Song et al. 2021b, eq. 13) in
 * σ = √((1 − ᾱ)/ᾱ), with an option for the noise that is put back (Karras et al. 2022, algorithm 2).
 * `deno run -A mod.ts sample --scheduler ./examples/sampler.ts --option churn=0.2`
 */
import { combine, type Scheduler } from "../src/diffusion/mod.ts";

const euler: Scheduler = {
  name: "euler",
  api: 1,
  description: "Euler's method in σ, with noise put back on the way",
  options: {
    churn: {
      type: "number",
      description: "share of σ that is put back as noise before a step",
      default: 0,
      minimum: 0,
      maximum: 1,
    },
  },
  async *sampler({ x, timesteps, schedule, options, denoise, clip, noise }) {
    const sigma = (t: number) => Math.sqrt((1 - schedule.alpha_bar(t)) / schedule.alpha_bar(t));
    const churn = options.churn as number;
    for (const [i, t] of timesteps.entries()) {
      const alpha_bar = schedule.alpha_bar(t);
      const x_0 = clip((await denoise(x, t)).x_0);
      // In the paper's scaling z = x/√ᾱ = x_0 + σ·ε, a step keeps x_0 and shrinks σ.
      const z = combine([1 / Math.sqrt(alpha_bar), x]);
      const s = timesteps[i + 1] ?? -1;
      const put = churn * sigma(s), kept = Math.sqrt(sigma(s) ** 2 - put ** 2);
      const next = combine([1 - kept / sigma(t), x_0], [kept / sigma(t), z]);
      const z_s = put > 0 ? combine([1, next], [put, noise()]) : next;
      x = combine([Math.sqrt(schedule.alpha_bar(s)), z_s]);
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default euler;
