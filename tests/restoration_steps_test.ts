/**
 * One step of every restoring sampler against its paper's equations, written out for one number: the
 * network is exact for x ~ N(μ, τ²), and some components are seen, others not.
 */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  makeSchedule,
  type Measurement,
  pseudoInverse,
  residualRms,
  type Schedule,
  sigmaOf,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { spectralStep } from "../schedulers/restoration/ddrm.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import {
  assertLaw,
  diagonalMeasurement,
  DRAWS,
  mu,
  restoring,
  SEEN,
  tau,
  unclipped,
  X_SEEN,
} from "./restoration_gaussian.ts";
import { randomMask } from "./restoration_operators.ts";
import { makeRun } from "./scheduler_contract.ts";

type Name = keyof typeof restorers;

/** The same draws as a run of `restoring` with the same seed: x_T, then the noise of the first step. */
function draws(name: Name, seed: number) {
  const { run } = makeRun(restorers[name], { seed, size: SEEN.length * DRAWS, config: unclipped });
  return { x: run.x, z: run.noise(), schedule: run.schedule };
}

/** The exact network for one number: E[x_0 | x_t] and its derivative. */
function estimate(x_t: number, alpha_bar: number) {
  const signal = Math.sqrt(alpha_bar);
  const slope = signal * tau ** 2 / (alpha_bar * tau ** 2 + 1 - alpha_bar);
  return { x_0: mu + slope * (x_t - signal * mu), slope };
}

/** One component of every kind. */
const places = SEEN.map((s, k) => ({ s, i: k * DRAWS + 7 }));

/** DDPM's step in one number (Ho et al. 2020, eq. 7). */
function ancestral(x_0: number, x_t: number, z: number, alpha_bar: number, alpha_bar_s: number) {
  const alpha = alpha_bar / alpha_bar_s, beta = 1 - alpha;
  const mean = (Math.sqrt(alpha_bar_s) * beta * x_0 + Math.sqrt(alpha) * (1 - alpha_bar_s) * x_t) /
    (1 - alpha_bar);
  return mean + Math.sqrt(beta * (1 - alpha_bar_s) / (1 - alpha_bar)) * z;
}

const levels = (schedule: Schedule, timesteps: readonly number[]) =>
  timesteps.map((t) => schedule.alpha_bar(t));

Deno.test("dps: DDPM's step, and ζ along the gradient of ‖y − H x̂_0‖ (algorithm 1)", async () => {
  const timesteps = [500, 200], zeta = 3;
  const measurement = diagonalMeasurement(0.2);
  const setting = { timesteps, options: { zeta }, seed: 5 };
  const { frames } = await restoring(restorers.dps, measurement, setting);
  const { x, z, schedule } = draws("dps", 5);
  const [alpha_bar, alpha_bar_s] = levels(schedule, timesteps);
  const { s } = measurement.operator;
  const residual = x.map((v, i) => s[i] * (X_SEEN - estimate(v, alpha_bar).x_0));
  const length = Math.sqrt(residual.reduce((sum, r) => sum + r * r, 0));
  // ζ in units of √m/(n s_1): three kinds of component are seen, two steps taken, s_1 is 2.
  for (const { s, i } of places) {
    const { x_0, slope } = estimate(x[i], alpha_bar);
    const downhill = slope * s * residual[i] / length;
    const expected = ancestral(x_0, x[i], z[i], alpha_bar, alpha_bar_s) +
      zeta * Math.sqrt(3 * DRAWS) / (2 * 2) * downhill;
    assertAlmostEquals(frames[0].x[i], expected, 1e-5, `s = ${s}`);
  }
});

Deno.test("dps and pigdm take no gradient where ᾱ is below `from`, and one where it is not", async () => {
  for (const name of ["dps", "pigdm"] as const) {
    const timesteps = [900, 500, 100];
    const first = async (from: number, y: number) => {
      const { operator } = diagonalMeasurement(0);
      const measurement = {
        operator,
        y: Float32Array.from(operator.s, (s) => s * y),
        sigma_y: 0.5,
      };
      const { frames } = await restoring(restorers[name], measurement, {
        timesteps,
        options: { from },
      });
      return frames.map((frame) => frame.x[2 * DRAWS]);
    };
    const { alpha_bar } = makeRun(restorers[name]).run.schedule;
    const from = (alpha_bar(900) + alpha_bar(500)) / 2;
    const [one, other] = [await first(from, 0), await first(from, 1)];
    assertEquals(one[0], other[0], `${name}: before`);
    assert(one[1] !== other[1], `${name}: behind`);
    const [at, atOther] = [await first(alpha_bar(900), 0), await first(alpha_bar(900), 1)];
    assert(at[0] !== atOther[0], `${name}: at the level itself`);
  }
});

Deno.test("sdedit goes from strength·T to nothing in equal steps", () => {
  const { run: { schedule, config } } = makeRun(restorers.sdedit);
  const of = (n: number, strength: number) =>
    restorers.sdedit.timesteps!(n, schedule, config, { strength, eta: 1 });
  assertEquals(of(4, 0.5), [499, 374.25, 249.5, 124.75]);
  assertEquals(of(2, 1), [999, 499.5]);
  assertEquals(of(1, 0.01), [9]);
  // Less than a step is the first one.
  const few = { ...schedule, T: 10 };
  assertEquals(restorers.sdedit.timesteps!(1, few, config, { strength: 0.01, eta: 1 }), [0]);
});

Deno.test("sdedit starts from what was given with the level's noise, and steps with DDIM's η", async () => {
  const timesteps = [500, 200], eta = 0.6;
  const measurement = diagonalMeasurement(0.1);
  const setting = { timesteps, options: { eta }, seed: 5 };
  const { frames, asked } = await restoring(restorers.sdedit, measurement, setting);
  const { x: noise, z, schedule } = draws("sdedit", 5);
  const [alpha_bar, alpha_bar_s] = levels(schedule, timesteps);
  const guide = pseudoInverse(measurement);
  for (const { s, i } of places) {
    assertAlmostEquals(guide[i], s > 0 ? X_SEEN : 0, 1e-6);
    const x_t = Math.sqrt(alpha_bar) * guide[i] + Math.sqrt(1 - alpha_bar) * noise[i];
    assertAlmostEquals(asked[0].x_t[i], x_t, 1e-6);
    const { x_0 } = estimate(x_t, alpha_bar);
    const eps = (x_t - Math.sqrt(alpha_bar) * x_0) / Math.sqrt(1 - alpha_bar);
    // Song et al. 2021, eqs. 12 and 16.
    const sigma = eta * Math.sqrt((1 - alpha_bar_s) / (1 - alpha_bar)) *
      Math.sqrt(1 - alpha_bar / alpha_bar_s);
    const expected = Math.sqrt(alpha_bar_s) * x_0 +
      Math.sqrt(1 - alpha_bar_s - sigma ** 2) * eps + sigma * z[i];
    assertAlmostEquals(frames[0].x[i], expected, 1e-5, `s = ${s}`);
  }
});

Deno.test("diffpir: the estimate nearest to data and network, ρ = λ σ_y²/σ_t² (eqs. 12 and 13)", async () => {
  const timesteps = [500, 200], zeta = 0.4, lambda = 3, sigma_y = 0.5;
  const setting = { timesteps, options: { zeta, lambda }, seed: 5 };
  const { frames } = await restoring(restorers.diffpir, diagonalMeasurement(sigma_y), setting);
  const { x, z, schedule } = draws("diffpir", 5);
  const [alpha_bar, alpha_bar_s] = levels(schedule, timesteps);
  for (const { s, i } of places) {
    const rho = lambda * sigma_y ** 2 / sigmaOf(alpha_bar) ** 2;
    // Where (s x − y)² + ρ (x − x̂_0)² has no slope.
    const x_0 = (s * s * X_SEEN + rho * estimate(x[i], alpha_bar).x_0) / (s * s + rho);
    const eps = (x[i] - Math.sqrt(alpha_bar) * x_0) / Math.sqrt(1 - alpha_bar);
    const expected = Math.sqrt(alpha_bar_s) * x_0 +
      Math.sqrt(1 - alpha_bar_s) * (Math.sqrt(1 - zeta) * eps + Math.sqrt(zeta) * z[i]);
    assertAlmostEquals(frames[0].x[i], expected, 1e-5, `s = ${s}`);
    assertAlmostEquals(frames[0].x_0[i], x_0, 1e-5);
  }
  // The last step has the network's word alone.
  const before = frames[0].x, last = frames[1].x;
  for (const { i } of places) {
    assertAlmostEquals(last[i], estimate(before[i], alpha_bar_s).x_0, 1e-5);
  }
});

Deno.test("diffpir: data without noise count as data with 0.001 of it, until the last step takes them as they are", async () => {
  const timesteps = [100, 50], zeta = 0.4, lambda = 1000;
  const setting = { timesteps, options: { zeta, lambda }, seed: 5 };
  const { frames } = await restoring(restorers.diffpir, diagonalMeasurement(0), setting);
  const { x, schedule } = draws("diffpir", 5);
  const [alpha_bar] = levels(schedule, timesteps);
  for (const { s, i } of places) {
    const rho = lambda * 0.001 ** 2 / sigmaOf(alpha_bar) ** 2;
    const x_0 = (s * s * X_SEEN + rho * estimate(x[i], alpha_bar).x_0) / (s * s + rho);
    assertAlmostEquals(frames[0].x_0[i], x_0, 1e-5, `s = ${s}`);
    if (s > 0) assertAlmostEquals(frames[1].x[i], X_SEEN, 1e-6, `s = ${s}`);
  }
});

Deno.test("daps: levels by EDM's ρ = 7 from 100 to 0.1, an ODE of 5 evaluations at each", async () => {
  const edm = (i: number, n: number, first: number, last: number) =>
    (first ** (1 / 7) + i / (n - 1) * (last ** (1 / 7) - first ** (1 / 7))) ** 7;
  const { run: { timesteps, schedule } } = makeRun(restorers.daps, { steps: 5 });
  timesteps.forEach((t, i) => {
    const sigma = sigmaOf(schedule.alpha_bar(t));
    assertAlmostEquals(sigma / edm(i, 5, 100, 0.1), 1, 1e-3, `level ${i}`);
  });
  // Where the schedule itself ends higher, and begins lower, its own levels are the ends.
  const steep = makeSchedule(Array.from({ length: 10 }, () => 0.3));
  const { config, options } = makeRun(restorers.daps).run;
  const ends = [sigmaOf(steep.alpha_bar(9)), sigmaOf(steep.alpha_bar(0))];
  restorers.daps.timesteps!(4, steep, config, options).forEach((t, i) => {
    const sigma = sigmaOf(steep.alpha_bar(t));
    assertAlmostEquals(sigma / edm(i, 4, ends[0], ends[1]), 1, 1e-3, `level ${i} of its own`);
  });
  const { asked } = await restoring(restorers.daps, diagonalMeasurement(0.1), { steps: 2 });
  assertEquals(asked.length, 10);
  asked.slice(0, 5).forEach(({ alpha_bar }, j) => {
    assertAlmostEquals(sigmaOf(alpha_bar) / edm(j, 5, 100, 0.02), 1, 1e-3, `evaluation ${j}`);
  });
});

Deno.test("daps ends with the mean of its last level's law, or with a draw from it", async () => {
  const setting = { timesteps: [60], seed: 3 };
  const sigma_y = 0.2, r = sigmaOf(makeRun(restorers.daps).run.schedule.alpha_bar(60));
  for (const sample_last of [false, true]) {
    const options = { ode: 1, deviation: 1000, sample_last };
    const { x, frames } = await restoring(restorers.daps, diagonalMeasurement(sigma_y), {
      ...setting,
      options,
    });
    const [{ x_0 }] = frames;
    for (const [k, s] of SEEN.entries()) {
      const precision = s ** 2 / sigma_y ** 2 + 1 / r ** 2;
      const place = (i: number) => k * DRAWS + i;
      const off = Float64Array.from({ length: DRAWS }, (_, i) => {
        const mean = (s ** 2 * X_SEEN / sigma_y ** 2 + x_0[place(i)] / r ** 2) / precision;
        return x[place(i)] - mean;
      });
      assertLaw(off, { mean: 0, variance: sample_last ? 1 / precision : 0 }, `s = ${s}`);
    }
  }
});

Deno.test("repaint and ddnm travel back to the level's own noise, in what is missing as in what is seen", async () => {
  const timesteps = [300, 100], options = { travel: 1, repeats: 2 };
  for (const name of ["repaint", "ddnm"] as const) {
    const { asked } = await restoring(restorers[name], diagonalMeasurement(0), {
      timesteps,
      options,
    });
    const { schedule } = makeRun(restorers[name]).run;
    const [top, next] = levels(schedule, timesteps);
    // The first timestep, once more after the journey, and the second.
    assertEquals(asked.map(({ alpha_bar }) => alpha_bar).slice(0, 2), [top, top]);
    const again = asked[1].x_t;
    const seen = again.subarray(2 * DRAWS, 3 * DRAWS);
    const law = { mean: Math.sqrt(top) * X_SEEN, variance: 1 - top };
    assertLaw(seen, law, `${name}: seen`);
    // At the start x_t is pure noise: N(0, 1 − ᾱ) in DDRM's start, N(0, 1) in RePaint's.
    const start = name === "ddnm" ? 1 - top : 1;
    const { slope } = estimate(0, top);
    const x_0 = { mean: estimate(0, top).x_0, variance: slope ** 2 * start };
    let expected;
    if (name === "ddnm") {
      // Noise on the last estimate (DDNM's algorithm 4) …
      expected = {
        mean: Math.sqrt(top) * x_0.mean,
        variance: top * x_0.variance + 1 - top,
      };
    } else {
      // … or on x_t, which a step of DDPM had brought there (RePaint's algorithm 1).
      const alpha = top / next, beta = 1 - alpha;
      const a = Math.sqrt(next) * beta / (1 - top), b = Math.sqrt(alpha) * (1 - next) / (1 - top);
      const spread = (a * slope + b) ** 2 * start + beta * (1 - next) / (1 - top);
      expected = {
        mean: Math.sqrt(alpha) * a * x_0.mean,
        variance: alpha * spread + 1 - alpha,
      };
    }
    assertLaw(again.subarray(0, DRAWS), expected, `${name}: missing`);
  }
});

Deno.test("ddrm and ddnm begin and end where they are told, in equal steps", () => {
  for (const name of ["ddrm", "ddnm"] as const) {
    const { run: { schedule, config, options } } = makeRun(restorers[name]);
    const of = (n: number, start: number, end: number) =>
      restorers[name].timesteps!(n, schedule, config, { ...options, start, end })
        .map((t) => Math.round(t * 1e6) / 1e6);
    assertEquals(of(5, 0.5, 0.1), [499.5, 399.6, 299.7, 199.8, 99.9]);
    assertEquals(of(1, 0.5, 0.1), [499.5]);
    assertEquals(of(4, 1, 0), [750, 500, 250, 0]);
    for (const end of [0.3, 0.4]) {
      const says = `option end: expected less than start, 0.3, found ${end}`;
      assertThrows(() => of(5, 0.3, end), InputError, says);
    }
  }
});

const exactly = ["ddrm", "ddnm", "pigdm", "dps", "diffpir", "daps", "repaint"] as const;

Deno.test("without noise every sampler but sdedit ends with H x = y, and with the network's word elsewhere", async () => {
  const shape = [1, 8, 12] as const;
  const operators = [
    operatorOf({ mask: randomMask(12, 8, 0.4) }, shape),
    operatorOf({ scale: { factor: 2, kernel: "mean" } }, shape),
    operatorOf({ scale: { factor: 2, kernel: "bicubic" } }, shape),
  ];
  for (const operator of operators) {
    const truth = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i));
    const y = Float32Array.from(operator.apply(truth));
    for (const name of exactly) {
      const { x } = await restoring(restorers[name], { operator, y, sigma_y: 0 }, { steps: 5 });
      const off = residualRms({ operator, y, sigma_y: 0 }, x);
      assert(off < 1e-3, `${name}, ${operator.name}: ${off} off y`);
      const missing = operator.Vt(x).filter((_, i) => operator.s[i] === 0);
      assert(missing.some((v) => Math.abs(v) > 1e-3), `${name}: something is there that y has not`);
    }
  }
});

Deno.test("with noise no sampler puts y itself into its answer", async () => {
  const operator = operatorOf({ mask: randomMask(12, 8, 0.4) }, [1, 8, 12]);
  const truth = Float32Array.from({ length: 96 }, (_, i) => Math.sin(i));
  const measurement: Measurement = {
    operator,
    y: Float32Array.from(operator.apply(truth)),
    sigma_y: 0.3,
  };
  for (const name of exactly.filter((name) => name !== "repaint")) {
    const { x } = await restoring(restorers[name], measurement, { steps: 5 });
    assert(residualRms(measurement, x) > 0.01, name);
  }
});

Deno.test("a level a hair from the data's noise leaves no number out", () => {
  const seen = { y_bar: Float64Array.of(0.5), noise: Float64Array.of(0.3) };
  const at = (sigma_t: number, weight: number) =>
    spectralStep(seen, Float64Array.of(1), Float64Array.of(0), Float64Array.of(0), {
      eta: 0.85,
      eta_b: () => weight,
      sigma_from: 1,
      sigma_t,
    })[0];
  for (let k = 0; k < 200; k++) {
    const sigma_t = 0.3 * (1 + k * 1e-10);
    const weight = 2 * sigma_t ** 2 / (sigma_t ** 2 + 0.3 ** 2);
    assertAlmostEquals(at(sigma_t, weight), 0.5, 1e-6, `${k}`);
  }
});
