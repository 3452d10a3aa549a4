/** SDEdit (Meng et al. 2022): noise to a level, and back: a variation of what was given. */
import {
  combine,
  epsOf,
  measurementOf,
  pseudoInverse,
  q_posterior,
  q_sample,
  type Scheduler,
} from "../../src/diffusion/mod.ts";

const sdedit: Scheduler = {
  name: "sdedit",
  api: 1,
  description: "SDEdit: a variation; noise to a level and back, not bound to the data",
  needs: ["measurement"],
  options: {
    strength: {
      type: "number",
      description: "how far up the noise goes: near 0 leaves the picture, 1 forgets it",
      default: 0.5,
      minimum: 0.01,
      maximum: 1,
    },
    eta: {
      type: "number",
      description: "fresh noise a step on the way back",
      default: 1,
      minimum: 0,
      maximum: 1,
    },
  },
  timesteps(n, { T }, _config, { strength }) {
    const first = Math.max(0, Number(strength) * T - 1);
    return Array.from({ length: n }, (_, i) => first * (1 - i / n));
  },
  async *sampler(run) {
    const { timesteps, schedule } = run;
    const eta = Number(run.options.eta);
    const guide = pseudoInverse(measurementOf(run, "sdedit"));
    let x = q_sample(guide, timesteps[0], schedule, run.x);
    for (const [i, t] of timesteps.entries()) {
      const alpha_bar = schedule.alpha_bar(t);
      const alpha_bar_s = schedule.alpha_bar(timesteps[i + 1] ?? -1);
      const x_0 = run.clip((await run.denoise(x, t)).x_0);
      const eps = epsOf(x_0, x, alpha_bar);
      const sigma = eta * Math.sqrt(q_posterior(alpha_bar, alpha_bar_s).beta_tilde);
      x = combine(
        [Math.sqrt(alpha_bar_s), x_0],
        [Math.sqrt(Math.max(0, 1 - alpha_bar_s - sigma ** 2)), eps],
      );
      if (eta > 0 && alpha_bar_s < 1) x = combine([1, x], [sigma, run.noise()]);
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default sdedit;
