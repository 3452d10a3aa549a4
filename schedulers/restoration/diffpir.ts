/** DiffPIR (Zhu et al. 2023): each estimate is brought to the data by a quadratic penalty. */
import {
  combine,
  epsOf,
  measurementOf,
  observe,
  project,
  type Scheduler,
  sigmaOf,
  spacedTimesteps,
} from "../../src/diffusion/mod.ts";

/** What σ_y counts as in the penalty where the data have no noise. */
const LEAST_NOISE = 1e-3;

const diffpir: Scheduler = {
  name: "diffpir",
  api: 1,
  description: "DiffPIR: a balance of data and network at every step, with two knobs",
  needs: ["measurement"],
  options: {
    lambda: {
      type: "number",
      description: "how much the network counts against the data",
      default: 1,
      minimum: 0.001,
      maximum: 1000,
    },
    zeta: {
      type: "number",
      description: "the share of fresh noise",
      default: 1,
      minimum: 0,
      maximum: 1,
    },
  },
  timesteps: (n, { T }) => spacedTimesteps(n, T, "trailing"),
  async *sampler(run) {
    const { timesteps, schedule, options } = run;
    const [lambda, zeta] = [Number(options.lambda), Number(options.zeta)];
    const measurement = measurementOf(run, "diffpir");
    const { operator, sigma_y } = measurement;
    const { y_bar, noise } = observe({ ...measurement, sigma_y: Math.max(sigma_y, LEAST_NOISE) });
    let x = run.x;
    for (const [i, t] of timesteps.entries()) {
      const alpha_bar = schedule.alpha_bar(t);
      const last = i === timesteps.length - 1;
      let x_0 = run.clip((await run.denoise(x, t)).x_0);
      if (!last) {
        // argmin ‖y − H x‖² + ρ_t ‖x − x̂_0‖², ρ_t = λ σ_y²/σ_t² (eq. 12), by component.
        const sigma_t = sigmaOf(alpha_bar);
        x_0 = Float32Array.from(operator.V(
          operator.Vt(x_0).map((c, i) => {
            if (noise[i] === Infinity) return c;
            const rho = lambda * (noise[i] / sigma_t) ** 2; // ρ_t/s²
            return (y_bar[i] + rho * c) / (1 + rho);
          }),
        ));
      } else if (sigma_y === 0) x_0 = project(measurement, x_0);
      const eps = epsOf(x_0, x, alpha_bar);
      const alpha_bar_s = schedule.alpha_bar(timesteps[i + 1] ?? -1);
      const scale = Math.sqrt(1 - alpha_bar_s);
      x = last ? x_0 : combine(
        [Math.sqrt(alpha_bar_s), x_0],
        [scale * Math.sqrt(1 - zeta), eps],
        [scale * Math.sqrt(zeta), run.noise()],
      );
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default diffpir;
