/** UniPC-2 (Zhao et al. 2023, algorithms 5-8, B_2(h)): predictor-corrector, one evaluation a step. */
import {
  clipOption,
  combine,
  type Schedule,
  type Scheduler,
  solverClip,
  solverTimesteps,
} from "../src/diffusion/mod.ts";

/** A step from t to s: x, the estimate m_0 there, and (order 2) the one before it, m_1 at λ_1. */
interface Step {
  t: number;
  s: number;
  x: Float32Array;
  m_0: Float32Array;
  before?: { m_1: Float32Array; t_1: number };
}

/**
 * x_s. Without m_s this predicts (UniP); with the estimate at the predicted x_s it corrects (UniC).
 * Both add divided differences of m to DDIM's exact first-order step.
 */
function solve({ t, s, x, m_0, before }: Step, schedule: Schedule, m_s?: Float32Array) {
  const h = schedule.lambda(s) - schedule.lambda(t);
  const alpha_bar_t = schedule.alpha_bar(t), alpha_bar_s = schedule.alpha_bar(s);
  const B = Math.expm1(-h);
  const scale = -Math.sqrt(alpha_bar_s) * B;
  const terms: [number, Float32Array][] = [
    [Math.sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t)), x],
    [scale, m_0],
  ];
  const difference = (weight: number, m: Float32Array) =>
    terms.push([scale * weight, m], [-scale * weight, m_0]);
  if (h < Infinity) {
    const r = before ? (schedule.lambda(before.t_1) - schedule.lambda(t)) / h : -Infinity;
    const secondOrder = before !== undefined && r > -Infinity;
    // The conditions on ρ, appendix A: ρ_1 + ρ_s = b_1, r·ρ_1 + ρ_s = b_2.
    const phi_1 = B / -h - 1, phi_2 = phi_1 / -h - 1 / 2;
    const b_1 = phi_1 / B, b_2 = 2 * phi_2 / B;
    const rho_1 = m_s ? (b_1 - b_2) / (1 - r) : 1 / 2;
    if (secondOrder) difference(rho_1 / r, before.m_1);
    if (m_s) difference(secondOrder ? b_1 - rho_1 : 1 / 2, m_s);
  }
  return combine(...terms);
}

const unipc: Scheduler = {
  name: "unipc",
  api: 1,
  description: "UniPC-2: good pictures in 8-20 steps",
  options: { clip: clipOption },
  timesteps: solverTimesteps,
  async *sampler(run) {
    const { timesteps, schedule } = run;
    const clip = solverClip(run);
    let x = run.x;
    let last: Step | undefined;
    for (const [i, t] of timesteps.entries()) {
      const m_0 = clip((await run.denoise(x, t)).x_0);
      if (last) x = solve(last, schedule, m_0);
      last = {
        t,
        s: timesteps[i + 1] ?? -1,
        x,
        m_0,
        before: last && { m_1: last.m_0, t_1: last.t },
      };
      x = solve(last, schedule);
      yield { t, x, x_0: m_0 };
    }
    return x;
  },
};
export default unipc;
