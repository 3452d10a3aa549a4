/** DAPS (Zhang et al. 2025): a clean picture is drawn given the data at every level, then noised anew. */
import {
  alphaBarOfSigma,
  combine,
  fromSpectrum,
  logSnr,
  measurementOf,
  observe,
  type Run,
  type Scheduler,
  sigmaOf,
} from "../../src/diffusion/mod.ts";

/** EDM's grid (Karras et al. 2022, eq. 5): n levels from the first to the last. */
function levels(n: number, first: number, last: number): number[] {
  const rho = 7;
  const [a, b] = [first ** (1 / rho), last ** (1 / rho)];
  return Array.from({ length: n }, (_, i) => (a + (n === 1 ? 0 : i / (n - 1)) * (b - a)) ** rho);
}

/** Where the inner ODE ends before it jumps to the picture. */
const LAST_ODE_LEVEL = 0.02;

/** The probability-flow ODE from x_t to a picture in n Euler steps, which are DDIM's. */
async function flow(run: Run, x_t: Float32Array, t: number, n: number): Promise<Float32Array> {
  const { schedule } = run;
  const first = sigmaOf(schedule.alpha_bar(t));
  const grid = n === 1 ? [first] : levels(n, first, Math.min(first, LAST_ODE_LEVEL));
  let x = x_t, x_0 = x_t;
  for (const [j, sigma] of grid.entries()) {
    const alpha_bar = j === 0 ? schedule.alpha_bar(t) : alphaBarOfSigma(sigma);
    const time = j === 0 ? t : schedule.t_of(logSnr(alpha_bar));
    const denoised = await run.denoise(x, time, alpha_bar);
    x_0 = denoised.x_0;
    if (j + 1 < grid.length) {
      const alpha_bar_s = alphaBarOfSigma(grid[j + 1]);
      x = combine([Math.sqrt(alpha_bar_s), x_0], [Math.sqrt(1 - alpha_bar_s), denoised.eps]);
    }
  }
  return run.clip(x_0);
}

const daps: Scheduler = {
  name: "daps",
  api: 1,
  description: "DAPS: forgets the errors of early steps; needs no gradients, a step costs `ode`",
  needs: ["measurement"],
  options: {
    ode: {
      type: "integer",
      description: "evaluations of each step's ODE; 1 takes the network's estimate",
      default: 5,
      minimum: 1,
      maximum: 100,
    },
    deviation: {
      type: "number",
      description:
        "bounds that of x_0 given x_t, which sigma_t alone makes noise; 1000 is the paper's",
      default: 0.3,
      minimum: 0.001,
      maximum: 1000,
    },
    last_sigma: {
      type: "number",
      description: "the last noise level",
      default: 0.1,
      minimum: 0.02,
      maximum: 10,
    },
    sample_last: {
      type: "boolean",
      description: "end with a draw, rather than with the mean of the last level's draws",
      default: false,
    },
  },
  timesteps(n, { T, alpha_bar, t_of }, _config, { last_sigma }) {
    const first = Math.min(100, sigmaOf(alpha_bar(T - 1)));
    const last = Math.max(Number(last_sigma), sigmaOf(alpha_bar(0)));
    return levels(n, first, last).map((sigma) => t_of(logSnr(alphaBarOfSigma(sigma))));
  },
  async *sampler(run) {
    const { timesteps, schedule, options } = run;
    const measurement = measurementOf(run, "daps");
    const { operator } = measurement;
    const { y_bar, noise } = observe(measurement);
    let x = run.x;
    for (const [i, t] of timesteps.entries()) {
      const sigma = sigmaOf(schedule.alpha_bar(t));
      const x_0 = await flow(run, x, t, Number(options.ode));
      // The variance of x_0 given x_t; the paper's r = σ_t is that of data without bounds.
      const r2 = 1 / (1 / sigma ** 2 + 1 / Number(options.deviation) ** 2);
      const alpha_bar_s = schedule.alpha_bar(timesteps[i + 1] ?? -1);
      const last = alpha_bar_s === 1;
      // p(x_0 | x_t, y) ∝ exp(−‖x_0 − x̂‖²/2r² − ‖y − H x_0‖²/2σ_y²): a Gaussian in each component, so
      // that it is drawn from exactly, without the paper's Langevin steps.
      const draw = last && !options.sample_last ? undefined : operator.Vt(run.noise());
      const given = operator.Vt(x_0).map((c, i) => {
        // σ_y²/s² as a share of the whole, so that no noise is no special case.
        const trust = noise[i] === Infinity ? 0 : r2 / (r2 + noise[i] ** 2);
        const deviation = Math.sqrt(r2 * (1 - trust));
        return c + trust * (y_bar[i] - c) + (draw ? deviation * draw[i] : 0);
      });
      const picture = fromSpectrum(operator, given, 1);
      x = last ? picture : combine(
        [Math.sqrt(alpha_bar_s), picture],
        [Math.sqrt(1 - alpha_bar_s), run.noise()],
      );
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default daps;
