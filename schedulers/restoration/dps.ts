/** DPS (Chung et al. 2023): ancestral sampling, each step corrected along the residual's gradient. */
import {
  combine,
  logVariance,
  type Measurement,
  measurementOf,
  observe,
  project,
  q_posterior,
  q_posterior_mean,
  residualOf,
  scaleNoise,
  type Scheduler,
  spacedTimesteps,
} from "../../src/diffusion/mod.ts";
import { estimateVjp } from "./gradient.ts";

/**
 * √m/(n s_1) for m numbers measured, n steps and the largest singular value. The paper tunes ζ for each
 * task at 1000 steps; in this unit one value serves them all: y is m numbers off together, about √m,
 * and a correction, Hᵀr/‖r‖ long, takes s_1 of it away.
 */
function stepLength(measurement: Measurement, n: number): number {
  const { s } = measurement.operator;
  const m = observe(measurement).noise.filter((noise) => noise < Infinity).length;
  return m === 0 ? 0 : Math.sqrt(m) / (n * s.reduce((a, b) => Math.max(a, b), 0));
}

const dps: Scheduler = {
  name: "dps",
  api: 1,
  description: "DPS: gradients of the residual through the network, good at holes; a step costs 3",
  needs: ["measurement", "vjp"],
  options: {
    zeta: {
      type: "number",
      description: "the length of all corrections together, for each number that was measured",
      default: 20,
      minimum: 0,
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
    const { timesteps, schedule, config, options } = run;
    const from = Number(options.from);
    const measurement = measurementOf(run, "dps");
    const { operator, sigma_y } = measurement;
    const zeta = stepLength(measurement, timesteps.length) * Number(options.zeta);
    const vjp = estimateVjp(run, "dps");
    let x = run.x;
    for (const [i, t] of timesteps.entries()) {
      const alpha_bar = schedule.alpha_bar(t);
      const alpha_bar_s = schedule.alpha_bar(timesteps[i + 1] ?? -1);
      const { x_0: raw, variance } = await run.denoise(x, t);
      const x_0 = run.clip(raw);
      const q = q_posterior(alpha_bar, alpha_bar_s);
      let next = q_posterior_mean(q, x_0, x);
      if (alpha_bar_s < 1) {
        const log_variance = logVariance(config.variance_type, q, variance);
        next = combine([1, next], [1, scaleNoise(log_variance, run.noise())]);
      }
      const r = residualOf(measurement, raw);
      const length = Math.sqrt(r.reduce((sum, v) => sum + v * v, 0));
      if (length > 0 && alpha_bar >= from) {
        // −∇‖y − H x̂_0‖ = (∂x̂_0/∂x_t)ᵀ Hᵀ r/‖r‖: the norm, not its square (algorithm 1).
        const u = operator.V(operator.Ut(r).map((c, i) => c * operator.s[i] / length));
        next = combine([1, next], [zeta, await vjp(x, t, Float32Array.from(u))]);
      }
      x = alpha_bar_s === 1 && sigma_y === 0 ? project(measurement, next) : next;
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default dps;
