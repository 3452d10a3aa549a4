/** DDIM (Song et al. 2021a): few steps, deterministic at η = 0. */
import {
  combine,
  configTimesteps,
  epsOf,
  q_posterior,
  type Run,
  type Scheduler,
} from "../src/diffusion/mod.ts";

/** The ᾱ each step leads to. The last is 1, or ᾱ_0 where the config says `set_alpha_to_one: false`. */
function alphaBarsAfter({ timesteps, schedule, config }: Run): number[] {
  const stride = Math.floor(schedule.T / timesteps.length);
  const next = followsConfig(timesteps, schedule.T, config)
    // diffusers steps by the stride, also where rounding kept a neighbouring timestep.
    ? timesteps.map((t) => t - stride)
    : [...timesteps.slice(1), -1];
  const final = config.set_alpha_to_one ? 1 : schedule.alpha_bar(0);
  return next.map((t) => t < 0 ? final : schedule.alpha_bar(t));
}

function followsConfig(timesteps: readonly number[], T: number, config: Run["config"]): boolean {
  try {
    return configTimesteps(timesteps.length, T, config).every((t, i) => t === timesteps[i]);
  } catch {
    return false; // An offset leads past T: the config has no list of so many.
  }
}

const ddim: Scheduler = {
  name: "ddim",
  api: 1,
  description: "DDIM: good pictures in 20-50 steps, deterministic unless eta > 0",
  options: {
    eta: {
      type: "number",
      description: "fresh noise a step: 0 is deterministic, 1 has DDPM's variance",
      default: 0,
      minimum: 0,
      maximum: 1,
    },
    clipped_eps: {
      type: "string",
      description: "when to take eps from the clipped estimate, as guided pictures want it; " +
        "never is diffusers' default, always its use_clipped_model_output",
      enum: ["never", "guided", "always"],
      default: "never",
    },
  },
  async *sampler(run) {
    const eta = Number(run.options.eta);
    const { clipped_eps } = run.options;
    const clippedEps = clipped_eps === "always" || clipped_eps === "guided" && run.guided;
    const alpha_bars_after = alphaBarsAfter(run);
    let x = run.x;
    for (const [i, t] of run.timesteps.entries()) {
      const { eps: raw_eps, x_0: raw } = await run.denoise(x, t);
      const x_0 = run.clip(raw);
      const eps = clippedEps ? epsOf(x_0, x, run.schedule.alpha_bar(t)) : raw_eps;
      const alpha_bar_s = alpha_bars_after[i];
      // eq. 16
      const sigma = eta * Math.sqrt(q_posterior(run.schedule.alpha_bar(t), alpha_bar_s).beta_tilde);
      // eq. 12
      x = combine(
        [Math.sqrt(alpha_bar_s), x_0],
        [Math.sqrt(Math.max(0, 1 - alpha_bar_s - sigma ** 2)), eps],
      );
      if (eta > 0) x = combine([1, x], [sigma, run.noise()]);
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default ddim;
