/** ΠGDM (Song, Vahdat, Mardani & Kautz 2023): guidance by the pseudo-inverse, through the network. */
import {
  combine,
  epsOf,
  measurementOf,
  observe,
  project,
  type Scheduler,
  spacedTimesteps,
} from "../../src/diffusion/mod.ts";
import { estimateVjp } from "./gradient.ts";

const pigdm: Scheduler = {
  name: "pigdm",
  api: 1,
  description: "PiGDM: guidance by the pseudo-inverse, through the network; a step costs 3",
  needs: ["measurement", "vjp"],
  options: {
    eta: {
      type: "number",
      description: "fresh noise a step",
      default: 1,
      minimum: 0,
      maximum: 1,
    },
    weight: {
      type: "string",
      description: "of the gradient: the paper's, or what makes the estimate E[x_0 | x_t, y]",
      enum: ["paper", "posterior"],
      default: "paper",
    },
    deviation: {
      type: "number",
      description: "of the data about their mean",
      default: 1,
      minimum: 0.001,
      maximum: 1000,
    },
    from: {
      type: "number",
      description: "no gradient where alpha_bar is lower: the network's error is multiplied there",
      default: 0.01,
      minimum: 0,
      maximum: 1,
    },
  },
  timesteps: (n, { T }) => spacedTimesteps(n, T, "trailing"),
  async *sampler(run) {
    const { timesteps, schedule, options } = run;
    const [eta, deviation, from] = [options.eta, options.deviation, options.from].map(Number);
    const posterior = options.weight === "posterior";
    const measurement = measurementOf(run, "pigdm");
    const { operator, sigma_y } = measurement;
    const { y_bar, noise } = observe(measurement);
    const vjp = estimateVjp(run, "pigdm");
    let x = run.x;
    for (const [i, t] of timesteps.entries()) {
      const alpha_bar = schedule.alpha_bar(t);
      const alpha_bar_s = schedule.alpha_bar(timesteps[i + 1] ?? -1);
      const { x_0: raw } = await run.denoise(x, t);
      let x_0 = run.clip(raw);
      // r_t², the variance of x_0 given x_t: 1 − ᾱ for data of variance 1 (§3.1).
      const r2 = 1 / (alpha_bar / (1 - alpha_bar) + 1 / deviation ** 2);
      let g: Float32Array | undefined;
      if (alpha_bar >= from) {
        // Hᵀ(HHᵀ + σ_y²/r_t²)⁻¹(y − H x̂_0), by component (eq. 7).
        const u = operator.V(
          operator.Vt(raw).map((c, i) =>
            noise[i] === Infinity ? 0 : (y_bar[i] - c) * r2 / (r2 + noise[i] ** 2)
          ),
        );
        g = await vjp(x, t, Float32Array.from(u));
        if (posterior) {
          // Tweedie's formula given y: x̂_0 + (1−ᾱ)/√ᾱ ∇ log p(y | x_t), and ∇ log p is g/r_t².
          const weight = (1 - alpha_bar) / Math.sqrt(alpha_bar) / r2;
          x_0 = run.clip(combine([1, raw], [weight, g]));
        }
      }
      const eps = epsOf(x_0, x, alpha_bar);
      const c_1 = eta *
        Math.sqrt((1 - alpha_bar / alpha_bar_s) * (1 - alpha_bar_s) / (1 - alpha_bar));
      const c_2 = Math.sqrt(Math.max(0, 1 - alpha_bar_s - c_1 ** 2));
      let next = combine([Math.sqrt(alpha_bar_s), x_0], [c_2, eps]);
      if (eta > 0 && alpha_bar_s < 1) next = combine([1, next], [c_1, run.noise()]);
      if (g && !posterior) next = combine([1, next], [Math.sqrt(alpha_bar), g]);
      x = alpha_bar_s === 1 && sigma_y === 0 ? project(measurement, next) : next;
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default pigdm;
