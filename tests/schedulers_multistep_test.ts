/** Samplers that look back on earlier estimates: each step against the papers' equations. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  type Frame,
  parseSchedulerConfig,
  type Run,
  type Schedule,
  scheduleFor,
  type Scheduler,
} from "../src/diffusion/mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import { drain, makeRun } from "./scheduler_contract.ts";

/** The frames of a run whose network says the picture x_0(x, t), and the x and t it was asked about. */
async function frames(
  scheduler: Scheduler,
  timesteps: readonly number[],
  x_0: (x: Float32Array, t: number, run: Run) => Float32Array,
  schedule?: Schedule,
) {
  const { run } = makeRun(scheduler, { timesteps, size: 3, options: { clip: false }, schedule });
  const asked: { x: Float32Array; t: number }[] = [];
  const denoise = (x: Float32Array, t: number) => {
    asked.push({ x, t });
    return Promise.resolve({ x_0: x_0(x, t, run), eps: new Float32Array(3) });
  };
  const made: Frame[] = (await drain(scheduler, { ...run, denoise })).frames;
  return { run, asked, made };
}

/** The solution of a system of two equations. */
function solved(R: number[][], b: number[]): number[] {
  const determinant = R[0][0] * R[1][1] - R[0][1] * R[1][0];
  return [
    (b[0] * R[1][1] - R[0][1] * b[1]) / determinant,
    (R[0][0] * b[1] - b[0] * R[1][0]) / determinant,
  ];
}

const curved = (x: Float32Array, t: number) => x.map((v, i) => Math.tanh(v + t / 700 - i));
const fromPureNoise = scheduleFor(parseSchedulerConfig({ rescale_betas_zero_snr: true }));

for (const [first, schedule] of [[950, undefined], [999, fromPureNoise]] as const) {
  Deno.test(`UniPC from ${first}: predictor and corrector of the first step have order 1, then 2; the last order 1`, () =>
    followsUniPC(first, schedule));
}

/** From pure noise, λ = −∞, a step has nothing to correct, and the next nothing to look back on. */
async function followsUniPC(first: number, zero?: Schedule) {
  const timesteps = [first, 800, 640, 350, 90];
  const said = curved;
  const { run, asked, made } = await frames(schedulers.unipc, timesteps, said, zero);
  const { lambda, alpha_bar } = run.schedule;
  const m: number[][] = [];

  /**
   * x at s from x at t by Zhao et al. 2023, algorithms 5 and 7, in B_2(h): with `m_s` the corrector.
   * ρ solves R_q(h)·ρ = φ_q(h)/B(h); with one condition ρ is 1/2.
   */
  const step = (i: number, x: number[], order: number, m_s?: number[]) => {
    const [t, s] = [timesteps[i], timesteps[i + 1] ?? -1];
    const h = lambda(s) - lambda(t);
    const [signal, sigma] = [Math.sqrt(alpha_bar(s)), Math.sqrt(1 - alpha_bar(s))];
    const B = Math.expm1(-h);
    if (h === Infinity) {
      return x.map((v, p) => sigma / Math.sqrt(1 - alpha_bar(t)) * v + signal * m[i][p]);
    }
    const r = order === 2 ? [(lambda(timesteps[i - 1]) - lambda(t)) / h] : [];
    const nodes = [...r, ...(m_s ? [1] : [])];
    const differences = [
      ...r.map((r) => m[i - 1].map((v, p) => (v - m[i][p]) / r)),
      ...(m_s ? [m_s.map((v, p) => v - m[i][p])] : []),
    ];
    const b: number[] = [];
    for (let q = 1, phi = B / -h - 1, factorial = 1; q <= nodes.length; q++) {
      b.push(phi * factorial / B);
      factorial *= q + 1;
      phi = phi / -h - 1 / factorial;
    }
    const rho = nodes.length < 2
      ? nodes.map(() => 1 / 2)
      : solved(nodes.map((_, q) => nodes.map((node) => node ** q)), b);
    return x.map((v, p) => {
      const residual = rho.reduce((sum, w, k) => sum + w * differences[k][p], 0);
      const first = sigma / Math.sqrt(1 - alpha_bar(t)) * v - signal * B * m[i][p];
      return first - signal * B * residual;
    });
  };

  /** Steps behind the i-th that it may look back on, and its own. */
  const order = (i: number) => Math.min(2, zero ? i : i + 1);
  let x = [...run.x];
  let before = x;
  for (const [i, t] of timesteps.entries()) {
    assertEquals(asked[i].t, t);
    x.forEach((v, p) => assertAlmostEquals(asked[i].x[p], v, 1e-5, `predicted for step ${i}`));
    m.push([...said(asked[i].x, t)]);
    if (i > 0) x = step(i - 1, before, order(i - 1), m[i]);
    before = x;
    // The long way to λ = ∞ is of first order: it ends at the estimate.
    x = i === timesteps.length - 1 ? m[i] : step(i, before, order(i));
    x.forEach((v, p) => assertAlmostEquals(made[i].x[p], v, 1e-5, `after step ${i}`));
    assertEquals([...made[i].x_0], m[i]);
  }
  assertEquals(asked.length, timesteps.length);
}

Deno.test("the last step of every solver is the network's last estimate, whatever lies behind it", async () => {
  for (const name of ["ddim", "dpmpp", "heun", "ipndm", "unipc"]) {
    const { made } = await frames(schedulers[name], [950, 800, 640, 350, 90], curved);
    const { x, x_0 } = made.at(-1)!;
    x.forEach((v, p) => assertAlmostEquals(v, x_0[p], 1e-6, name));
  }
});

Deno.test("iPNDM: with k slopes behind it a step is exact for slopes of degree k − 1 in σ", async () => {
  const { run } = makeRun(schedulers.ipndm, { timesteps: [0] });
  const { t_of, alpha_bar } = run.schedule;
  // Evenly spaced in σ = √(1/ᾱ − 1), where Adams and Bashforth's weights hold.
  const sigmas = [4, 3.5, 3, 2.5, 2, 1.5, 1];
  const timesteps = sigmas.map((sigma) => t_of(-Math.log(sigma)));
  for (let degree = 0; degree < 4; degree++) {
    const slope = (sigma: number) => sigma ** degree - 2;
    const integral = (sigma: number) => sigma ** (degree + 1) / (degree + 1) - 2 * sigma;
    const { made, run } = await frames(schedulers.ipndm, timesteps, (x, t) => {
      const a = alpha_bar(t);
      const eps = slope(Math.sqrt(1 / a - 1));
      return x.map((v) => (v - Math.sqrt(1 - a) * eps) / Math.sqrt(a));
    });
    // x/√ᾱ at each level; a step moves it by the slope's integral over its σ.
    const scaled = [run.x, ...made.map(({ x }) => x)].slice(0, -1)
      .map((x, i) => x[0] / Math.sqrt(alpha_bar(timesteps[i])));
    for (let i = degree; i + 1 < sigmas.length; i++) {
      const expected = integral(sigmas[i + 1]) - integral(sigmas[i]);
      assertAlmostEquals(scaled[i + 1] - scaled[i], expected, 1e-4, `degree ${degree}, step ${i}`);
    }
  }
});
