/** RePaint (Lugmayr et al. 2022): DDPM whose known part is drawn from the data at every level. */
import {
  fromSpectrum,
  logVariance,
  measurementOf,
  project,
  q_posterior,
  q_posterior_mean,
  type Scheduler,
  sigmaOf,
  spacedTimesteps,
  timeTravel,
  toSpectrum,
} from "../../src/diffusion/mod.ts";
import { InputError } from "../../src/errors.ts";
import { spectrum } from "./ddrm.ts";

const repaint: Scheduler = {
  name: "repaint",
  api: 1,
  description: "RePaint: fills holes by going back and forth; measurements without noise",
  needs: ["measurement"],
  options: {
    travel: {
      type: "integer",
      description: "how many steps back it travels",
      default: 5,
      minimum: 1,
      maximum: 1000,
    },
    repeats: {
      type: "integer",
      description: "how often it passes each stretch",
      default: 4,
      minimum: 1,
      maximum: 100,
    },
  },
  timesteps: (n, { T }) => spacedTimesteps(n, T, "trailing"),
  async *sampler(run) {
    const { timesteps, schedule, options, config } = run;
    const measurement = measurementOf(run, "repaint");
    if (measurement.sigma_y > 0) {
      throw new InputError(
        'scheduler "repaint": takes measurements without noise; ddrm, ddnm, diffpir and others take them with it',
      );
    }
    const { operator, y_bar, noise } = spectrum(measurement);
    const { travel, repeats } = options;
    let x = run.x;
    for (const move of timeTravel(timesteps.length, Number(travel), Number(repeats))) {
      const t = timesteps[move.at];
      const alpha_bar = schedule.alpha_bar(t);
      if (move.kind === "back") {
        const ratio = schedule.alpha_bar(timesteps[move.to]) / alpha_bar;
        const z = run.noise();
        x = x.map((v, i) => Math.sqrt(ratio) * v + Math.sqrt(1 - ratio) * z[i]);
        continue;
      }
      const alpha_bar_s = schedule.alpha_bar(timesteps[move.at + 1] ?? -1);
      const { x_0: raw, variance } = await run.denoise(x, t);
      const x_0 = run.clip(raw);
      const q = q_posterior(alpha_bar, alpha_bar_s);
      let unknown = q_posterior_mean(q, x_0, x);
      let known = y_bar;
      if (alpha_bar_s < 1) {
        // Both parts at the same level; one draw serves them, as they have no component in common.
        const z = run.noise(), z_bar = operator.Vt(z);
        const log_variance = logVariance(config.variance_type, q, variance);
        const deviation = (i: number) =>
          Math.exp(0.5 * (typeof log_variance === "number" ? log_variance : log_variance[i]));
        unknown = unknown.map((v, i) => v + deviation(i) * z[i]);
        known = y_bar.map((v, i) => v + sigmaOf(alpha_bar_s) * z_bar[i]);
      }
      const x_bar = toSpectrum(operator, unknown, alpha_bar_s)
        .map((c, i) => noise[i] === Infinity ? c : known[i]);
      x = fromSpectrum(operator, x_bar, alpha_bar_s);
      if (move.last) yield { t, x, x_0: project(measurement, x_0) };
    }
    return x;
  },
};
export default repaint;
