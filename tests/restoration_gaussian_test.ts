/**
 * Restoring samplers against closed forms. For x ~ N(μ, τ²) in each component and an exact network the
 * posterior given y is Gaussian, and so is what every sampler draws from.
 */
import { assert, assertAlmostEquals } from "@std/assert";
import { createGenerator, residualRms, sigmaOf } from "../src/diffusion/mod.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import {
  assertLaw,
  diagonalMeasurement,
  DRAWS,
  type Law,
  mu,
  posterior,
  restoring,
  SEEN,
  tau,
  unclipped,
  X_SEEN,
} from "./restoration_gaussian.ts";
import { restorationOperators } from "./restoration_operators.ts";
import { drain, makeRun } from "./scheduler_contract.ts";

function assertPosterior(x: Float32Array, sigma_y: number, what: string) {
  SEEN.forEach((s, k) => {
    const draws = x.subarray(k * DRAWS, (k + 1) * DRAWS);
    assertLaw(draws, posterior(s, sigma_y), `${what}, s = ${s}`);
  });
}

/** Small steps in log-SNR all the way, so that what is left is the sampler's own law. */
function fineTimesteps(n: number): number[] {
  const { lambda, t_of, T } = makeRun(restorers.pigdm).run.schedule;
  const [first, last] = [lambda(T - 1), lambda(0)];
  return Array.from({ length: n }, (_, i) => t_of(first + (last - first) * i / (n - 1)));
}

for (
  const [name, options, setting] of [
    ["daps", { ode: 1, deviation: tau, sample_last: true, last_sigma: 0.05 }, { steps: 40 }],
    ["pigdm", { weight: "posterior", deviation: tau, from: 0 }, { timesteps: fineTimesteps(1000) }],
    [
      "pigdm",
      { weight: "posterior", deviation: tau, from: 0, eta: 0 },
      { timesteps: fineTimesteps(400) },
    ],
  ] as const
) {
  const title = `${name} ${JSON.stringify(options)}`;
  Deno.test(`${title}: ${DRAWS} draws have the posterior's mean and variance`, async () => {
    for (const sigma_y of [0.1, 0.5]) {
      const measurement = diagonalMeasurement(sigma_y);
      const { x } = await restoring(restorers[name], measurement, { options, seed: 1, ...setting });
      assertPosterior(x, sigma_y, `sigma_y ${sigma_y}`);
    }
  });
}

Deno.test("daps and pigdm have the posterior also through an operator's own basis", async () => {
  const operator = operatorOf({ scale: { factor: 2, kernel: "mean" } }, [1, 2, 2 * DRAWS]);
  const sigma_y = 0.2;
  // Block means of 0.9; ȳ = y/s = 1.8, and the prior of that component has the mean 2μ.
  const y = new Float32Array(DRAWS).fill(0.9);
  const precision = 0.25 / sigma_y ** 2 + 1 / tau ** 2;
  const law = {
    mean: (0.25 * 1.8 / sigma_y ** 2 + 2 * mu / tau ** 2) / precision,
    variance: 1 / precision,
  };
  for (
    const [name, options, steps] of [
      ["daps", { ode: 1, deviation: tau, sample_last: true, last_sigma: 0.05 }, 40],
      ["pigdm", { weight: "posterior", deviation: tau, from: 0 }, 500],
    ] as const
  ) {
    const { x } = await restoring(restorers[name], { operator, y, sigma_y }, { options, steps });
    const x_bar = operator.Vt(x);
    assertLaw(x_bar.filter((_, i) => operator.s[i] > 0), law, `${name}: block means`);
    const rest = x_bar.filter((_, i) => operator.s[i] === 0).subarray(0, DRAWS);
    assertLaw(rest, { mean: 0, variance: tau ** 2 }, `${name}: what is missing`);
  }
});

/**
 * What DDRM draws from under the exact network (eqs. 7 and 8): its steps are linear in x̄, so mean and
 * variance follow a recursion.
 */
function ddrmLaw(
  sigmas: readonly number[],
  noise: number,
  eta: number,
  eta_b: (sigma_t: number) => number,
): Law {
  const [sigma_T] = sigmas;
  let law: Law = sigma_T >= noise
    ? { mean: X_SEEN, variance: sigma_T ** 2 - noise ** 2 }
    : { mean: 0, variance: sigma_T ** 2 };
  for (let i = 1; i < sigmas.length; i++) {
    const [sigma_from, sigma_t] = [sigmas[i - 1], sigmas[i]];
    const k = tau ** 2 / (tau ** 2 + sigma_from ** 2);
    const theta = mu + k * (law.mean - mu);
    const kept = Math.sqrt(1 - eta ** 2);
    if (noise === Infinity) {
      const a = k + kept * sigma_t / sigma_from * (1 - k);
      law = {
        mean: theta + kept * sigma_t / sigma_from * (law.mean - theta),
        variance: a ** 2 * law.variance + eta ** 2 * sigma_t ** 2,
      };
    } else if (sigma_t < noise) {
      const a = k * (1 - kept * sigma_t / noise);
      law = {
        mean: theta + kept * sigma_t * (X_SEEN - theta) / noise,
        variance: a ** 2 * law.variance + eta ** 2 * sigma_t ** 2,
      };
    } else {
      const w = eta_b(sigma_t);
      law = {
        mean: (1 - w) * theta + w * X_SEEN,
        variance: ((1 - w) * k) ** 2 * law.variance + sigma_t ** 2 - w ** 2 * noise ** 2,
      };
    }
  }
  return law;
}

const ddrmSettings = [
  { name: "the paper's settings", options: {}, steps: 20 },
  { name: "eta 1 and eta_b of theorem 3.2", options: { eta: 1, theorem: true }, steps: 50 },
  { name: "eta 0.5, eta_b 0.3", options: { eta: 0.5, eta_b: 0.3 }, steps: 10 },
] as const;

for (const { name, options, steps } of ddrmSettings) {
  Deno.test(`ddrm with ${name}: ${DRAWS} draws have the mean and variance of eqs. 7 and 8`, async () => {
    for (const sigma_y of [0.1, 0.5]) {
      const measurement = diagonalMeasurement(sigma_y);
      const { frames, x } = await restoring(restorers.ddrm, measurement, { options, steps });
      const { schedule } = makeRun(restorers.ddrm).run;
      const sigmas = [...frames.map(({ t }) => t), -1].map((t) => sigmaOf(schedule.alpha_bar(t)));
      const { eta = 0.85, eta_b = 1, theorem = false } = options as Record<
        string,
        number | boolean
      >;
      SEEN.forEach((s, k) => {
        const noise = s > 0 ? sigma_y / s : Infinity;
        const law = ddrmLaw(
          sigmas,
          noise,
          Number(eta),
          (sigma) => theorem ? 2 * sigma ** 2 / (sigma ** 2 + noise ** 2) : Number(eta_b),
        );
        assertLaw(x.subarray(k * DRAWS, (k + 1) * DRAWS), law, `sigma_y ${sigma_y}, s = ${s}`);
      });
    }
  });
}

Deno.test("ddrm where its law is the posterior: eta to 0 in what is missing, exact data, sigma_y at a level", async () => {
  const exact = diagonalMeasurement(0);
  const { x } = await restoring(restorers.ddrm, exact, { options: { eta: 0 }, steps: 500 });
  assertLaw(x.subarray(0, DRAWS), { mean: mu, variance: tau ** 2 }, "missing");
  for (const value of x.subarray(DRAWS)) assertAlmostEquals(value, X_SEEN, 1e-5);
  // One evaluation at the level of the data's noise is E[x | y], the posterior's mean.
  const { schedule } = makeRun(restorers.ddrm).run;
  const t = 300, sigma_y = sigmaOf(schedule.alpha_bar(t));
  const { x: mean } = await restoring(restorers.ddrm, diagonalMeasurement(sigma_y), {
    timesteps: [t],
  });
  for (const value of mean.subarray(2 * DRAWS, 3 * DRAWS)) {
    assertAlmostEquals(value, posterior(1, sigma_y).mean, 1e-5);
  }
});

Deno.test("ddrm with all hidden and eta 0 is DDIM, draw for draw", async () => {
  const { schedulers } = await import("../schedulers/mod.ts");
  const size = 64, mask = { kept: new Uint8Array(size), width: 8, height: 8 };
  const measurement = {
    operator: operatorOf({ mask }, [1, 8, 8]),
    y: new Float32Array(size),
    sigma_y: 0,
  };
  const setting = { steps: 20, size, config: unclipped, seed: 3 };
  const { run } = makeRun(restorers.ddrm, { ...setting, options: { eta: 0 } });
  const restored = await drain(restorers.ddrm, { ...run, inputs: { measurement } });
  const plain = await drain(schedulers.ddim, makeRun(schedulers.ddim, setting).run);
  // DDRM starts at σ_T·z, without the √ of what is left of the picture's own variance.
  restored.x.forEach((value, i) => assertAlmostEquals(value, plain.x[i], 0.02));
});

Deno.test("ddnm travels back to where a run begins, in what was seen with noise", async () => {
  const timesteps = [170, 5], sigma_y = 0.5, eta = 0.85;
  const { x } = await restoring(restorers.ddnm, diagonalMeasurement(sigma_y), {
    timesteps,
    options: { eta, travel: 1, repeats: 2 },
  });
  const { schedule } = makeRun(restorers.ddnm).run;
  const sigmas = [...timesteps, -1].map((t) => sigmaOf(schedule.alpha_bar(t)));
  for (const s of [1, 2]) {
    const k = SEEN.indexOf(s as 1);
    const law = ddrmLaw(sigmas, sigma_y / s, eta, () => 1);
    assertLaw(x.subarray(k * DRAWS, (k + 1) * DRAWS), law, `s = ${s}`);
  }
});

Deno.test("ddnm keeps √(1 − η²) of the old noise in what was seen exactly (eq. 13 into DDIM)", async () => {
  const timesteps = [500, 200], eta = 0.6;
  const setting = { timesteps, options: { eta } };
  const { frames } = await restoring(restorers.ddnm, diagonalMeasurement(0), setting);
  const { schedule } = makeRun(restorers.ddnm).run;
  const [sigma_from, sigma_t] = timesteps.map((t) => sigmaOf(schedule.alpha_bar(t)));
  // ε̂ = (x̄ − E[x_0 | x̄])/σ of x̄ = y + σ z.
  const share = sigma_from ** 2 / (tau ** 2 + sigma_from ** 2);
  const kept = Math.sqrt(1 - eta ** 2) * share;
  const law = {
    mean: X_SEEN + sigma_t * kept * (X_SEEN - mu) / sigma_from,
    variance: sigma_t ** 2 * (eta ** 2 + kept ** 2),
  };
  const root = Math.sqrt(schedule.alpha_bar(timesteps[1]));
  assertLaw(frames[0].x.subarray(2 * DRAWS, 3 * DRAWS).map((x) => x / root), law, "after step 1");
});

Deno.test("pigdm adds the gradient by the paper's weight, √ᾱ_t (algorithm 1)", async () => {
  const timesteps = [500, 200], sigma_y = 0.5, s = 1;
  const setting = { timesteps, options: { eta: 0 }, seed: 5 };
  const { frames } = await restoring(restorers.pigdm, diagonalMeasurement(sigma_y), setting);
  const { run } = makeRun(restorers.pigdm, { ...setting, size: SEEN.length * DRAWS });
  const [alpha_bar, alpha_bar_s] = timesteps.map((t) => run.schedule.alpha_bar(t));
  const signal = Math.sqrt(alpha_bar), spread = alpha_bar * tau ** 2 + 1 - alpha_bar;
  const slope = signal * tau ** 2 / spread;
  const r2 = 1 - alpha_bar;
  for (const i of [2 * DRAWS, 2 * DRAWS + 1, 2 * DRAWS + 2]) {
    const x_0 = mu + slope * (run.x[i] - signal * mu);
    const eps = (run.x[i] - signal * x_0) / Math.sqrt(1 - alpha_bar);
    const g = slope * (X_SEEN - x_0) * r2 / (r2 + (sigma_y / s) ** 2);
    const expected = Math.sqrt(alpha_bar_s) * x_0 + Math.sqrt(1 - alpha_bar_s) * eps + signal * g;
    assertAlmostEquals(frames[0].x[i], expected, 1e-5);
  }
});

Deno.test("repaint puts what was seen at the level that its step goes to", async () => {
  const timesteps = [800, 400, 100];
  const { frames } = await restoring(restorers.repaint, diagonalMeasurement(0), {
    timesteps,
    options: { repeats: 1 },
  });
  const { schedule } = makeRun(restorers.repaint).run;
  for (const [i, { x }] of frames.entries()) {
    const alpha_bar = schedule.alpha_bar(timesteps[i + 1] ?? -1);
    const law = { mean: Math.sqrt(alpha_bar) * X_SEEN, variance: 1 - alpha_bar };
    assertLaw(x.subarray(2 * DRAWS, 3 * DRAWS), law, `after step ${i + 1}`);
  }
});

for (const [name, operator] of restorationOperators()) {
  Deno.test(`${name}: ddrm and ddnm keep H x = y where nothing is noisy, and the noise where it is`, async () => {
    const n = operator.s.length;
    const generator = createGenerator(11);
    const truth = generator.randn(n).map((z) => mu + tau * z);
    const clean = operator.apply(truth);
    const nothing = operator.s.every((s) => s === 0);
    for (const sampler of ["ddrm", "ddnm"]) {
      const scheduler = restorers[sampler];
      const y = Float32Array.from(clean);
      const { x } = await restoring(scheduler, { operator, y, sigma_y: 0 }, { steps: 20 });
      const off = operator.apply(x).reduce((m, h, i) => Math.max(m, Math.abs(h - y[i])), 0);
      assert(off < 1e-3, `${sampler}: H x is ${off} off y`);
      if (nothing) continue;
      const sigma_y = 0.1;
      const z = generator.randn(y.length);
      const noisy = { operator, y: y.map((v, i) => v + sigma_y * z[i]), sigma_y };
      const { x: restored } = await restoring(scheduler, noisy, { steps: 20 });
      const ratio = residualRms(noisy, restored) / sigma_y;
      // Pixels that know nothing of each other let noise pass both ways; pictures are nearer to 1.
      assert(ratio > 0.5 && ratio < 1.5, `${sampler}: the residual is ${ratio} sigma_y`);
    }
  });
}
