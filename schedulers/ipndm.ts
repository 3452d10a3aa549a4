/** iPNDM (Zhang & Chen 2023): Adams-Bashforth over the last four slopes, one evaluation a step. */
import {
  clipOption,
  combine,
  epsOf,
  type Scheduler,
  solverClip,
  solverTimesteps,
} from "../src/diffusion/mod.ts";

/** Weights of the newest slope, the one before … for as many slopes as there are. */
const ADAMS_BASHFORTH = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

const ipndm: Scheduler = {
  name: "ipndm",
  api: 1,
  description: "iPNDM: fourth-order multistep, good pictures in 8-20 steps",
  options: {
    clip: clipOption,
    order: {
      type: "integer",
      description: "how many evaluations a step looks back on",
      default: 4,
      minimum: 1,
      maximum: 4,
    },
  },
  timesteps: solverTimesteps,
  async *sampler(run) {
    const { timesteps, schedule } = run;
    const clip = solverClip(run);
    let x = run.x;
    let slopes: Float32Array[] = [];
    for (const [i, t] of timesteps.entries()) {
      const s = timesteps[i + 1] ?? -1;
      const alpha_bar = schedule.alpha_bar(t), alpha_bar_s = schedule.alpha_bar(s);
      const x_0 = clip((await run.denoise(x, t)).x_0);
      // In x/√ᾱ over σ = √(1/ᾱ − 1) the slope of the ODE is eps.
      slopes = [epsOf(x_0, x, alpha_bar), ...slopes].slice(0, Number(run.options.order));
      if (s < 0) {
        // The long way to σ = 0 is of first order: looking back doubled the error on the digits.
        x = x_0;
      } else if (slopes.length === 1) {
        x = combine([Math.sqrt(alpha_bar_s), x_0], [Math.sqrt(1 - alpha_bar_s), slopes[0]]);
      } else {
        const weights = ADAMS_BASHFORTH[slopes.length - 1];
        const eps = combine(...slopes.map((slope, k) => [weights[k], slope] as const));
        const ratio = Math.sqrt(alpha_bar_s / alpha_bar);
        const step = Math.sqrt(1 - alpha_bar_s) - ratio * Math.sqrt(1 - alpha_bar);
        x = combine([ratio, x], [step, eps]);
      }
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default ipndm;
