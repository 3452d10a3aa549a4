/** DDPM's reverse process, the sampler of every plug-in that brings none. */
import { combine } from "./combine.ts";
import { logVariance, q_posterior, q_posterior_mean, scaleNoise } from "./posterior.ts";
import type { Frame, Run } from "./scheduler.ts";

/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2), over all timesteps or a part of them:
 * x_s ~ N(μ(x_t, clip(x̂_0)), σ²·I), where s is the next timestep kept and μ the posterior's mean.
 * σ² follows the config's `variance_type`. One draw of noise a step where t > 0, none at t = 0.
 */
export async function* ancestral(run: Run): AsyncGenerator<Frame, Float32Array> {
  const { timesteps, schedule, config } = run;
  let x = run.x;
  for (const [i, t] of timesteps.entries()) {
    const { x_0: raw, variance } = await run.denoise(x, t);
    const x_0 = run.clip(raw);
    const q = q_posterior(schedule.alpha_bar(t), schedule.alpha_bar(timesteps[i + 1] ?? -1));
    x = q_posterior_mean(q, x_0, x);
    if (t > 0) {
      const log_variance = logVariance(config.variance_type, q, variance);
      x = combine([1, x], [1, scaleNoise(log_variance, run.noise())]);
    }
    yield { t, x, x_0 };
  }
  return x;
}
