/** DDNM (Wang, Yu & Zhang 2023): DDRM's relation that keeps its noise, with time travel for large holes. */
import {
  fromSpectrum,
  measurementOf,
  type Scheduler,
  sigmaOf,
  timeTravel,
  toSpectrum,
} from "../../src/diffusion/mod.ts";
import { rangeOptions, spectralStart, spectralStep, spectrum, timestepsWithin } from "./ddrm.ts";

const ddnm: Scheduler = {
  name: "ddnm",
  api: 1,
  description: "DDNM: as ddrm, better at holes without noise; travels back in time if asked to",
  needs: ["measurement"],
  options: {
    eta: {
      type: "number",
      description: "fresh noise a step",
      default: 0.85,
      minimum: 0,
      maximum: 1,
    },
    ...rangeOptions,
    travel: {
      type: "integer",
      description: "how many steps back it travels",
      default: 5,
      minimum: 1,
      maximum: 1000,
    },
    repeats: {
      type: "integer",
      description: "how often it passes each stretch; 1 does not travel",
      default: 1,
      minimum: 1,
      maximum: 100,
    },
  },
  timesteps: (n, { T }, _config, { start, end }) =>
    timestepsWithin(n, T, Number(start), Number(end)),
  async *sampler(run) {
    const { timesteps, schedule, options } = run;
    const eta = Number(options.eta);
    const measurement = measurementOf(run, "ddnm");
    const seen = spectrum(measurement);
    const { operator, y_bar, noise } = seen;
    const sigmas = [...timesteps, -1].map((t) => sigmaOf(schedule.alpha_bar(t)));
    let x_bar = spectralStart(seen, sigmas[0], operator.Vt(run.x));
    let x_theta = x_bar;
    let x = run.x;
    for (
      const move of timeTravel(timesteps.length, Number(options.travel), Number(options.repeats))
    ) {
      if (move.kind === "back") {
        // From the estimate, with what was measured in it (algorithm 4).
        const z = operator.Vt(run.noise());
        const sigma = sigmas[move.to];
        x_bar = x_theta.map((x, i) =>
          sigma >= noise[i]
            ? y_bar[i] + Math.sqrt(sigma ** 2 - noise[i] ** 2) * z[i]
            : x + sigma * z[i]
        );
        continue;
      }
      const t = timesteps[move.at];
      const sigma_from = sigmas[move.at], sigma_t = sigmas[move.at + 1];
      const x_t = fromSpectrum(operator, x_bar, schedule.alpha_bar(t));
      const x_0 = run.clip((await run.denoise(x_t, t)).x_0);
      x_theta = toSpectrum(operator, x_0, 1);
      const z = sigma_t > 0 ? operator.Vt(run.noise()) : new Float64Array(x_bar.length);
      const next = spectralStep(seen, x_bar, x_theta, z, {
        eta,
        eta_b: () => 1,
        sigma_from,
        sigma_t,
      });
      // Without noise in the data (eq. 13 into DDIM) their components keep a part of the old noise;
      // with noise DDNM+ (eqs. 17-19) is DDRM.
      for (let i = 0; i < next.length; i++) {
        if (noise[i] !== 0) continue;
        const eps = (x_bar[i] - x_theta[i]) / sigma_from;
        next[i] = y_bar[i] + sigma_t * (eta * z[i] + Math.sqrt(1 - eta ** 2) * eps);
      }
      x_bar = next;
      if (!move.last) continue;
      x = fromSpectrum(operator, x_bar, schedule.alpha_bar(timesteps[move.at + 1] ?? -1));
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default ddnm;
