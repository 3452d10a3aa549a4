/**
 * Restoring samplers under the exact network of x ~ N(μ, τ²) in each component, for tests: a run, a
 * measurement of four kinds of component, and the comparison of draws with a law.
 */
import { assertAlmostEquals } from "@std/assert";
import {
  type LinearOperator,
  type Measurement,
  parseSchedulerConfig,
  type Run,
  type Scheduler,
  type Vector,
} from "../src/diffusion/mod.ts";
import { drain, makeRun, type Setting } from "./scheduler_contract.ts";

export const mu = 0.3, tau = 0.7;
export const DRAWS = 4000;
export const unclipped = parseSchedulerConfig({ clip_sample: false });

/** What the network was asked. */
export interface Asked {
  readonly x_t: Float32Array;
  readonly alpha_bar: number;
}

/** A run that restores under the exact network of N(μ, τ²): its frames, and what it asked on the way. */
export async function restoring(scheduler: Scheduler, measurement: Measurement, setting: Setting) {
  const size = measurement.operator.s.length;
  const { run } = makeRun(scheduler, { config: unclipped, size, ...setting });
  const { schedule } = run;
  const asked: Asked[] = [];
  /** The variance of x_t. */
  const spread = (alpha_bar: number) => alpha_bar * tau ** 2 + 1 - alpha_bar;
  const exact: Run = {
    ...run,
    inputs: { measurement },
    denoise(x_t, t, alpha_bar = schedule.alpha_bar(t)) {
      asked.push({ x_t, alpha_bar });
      const signal = Math.sqrt(alpha_bar), sigma = Math.sqrt(1 - alpha_bar);
      const centred = x_t.map((x) => x - signal * mu);
      return Promise.resolve({
        eps: centred.map((x) => x * sigma / spread(alpha_bar)),
        x_0: centred.map((x) => mu + x * signal * tau ** 2 / spread(alpha_bar)),
      });
    },
    vjp(_x_t, t, u) {
      const alpha_bar = schedule.alpha_bar(t);
      return Promise.resolve(u.map((v) => v * Math.sqrt(1 - alpha_bar) / spread(alpha_bar)));
    },
  };
  return { ...await drain(scheduler, exact), asked };
}

/** Four kinds of component, `DRAWS` of each: missing, badly, fairly and well seen. */
export const SEEN = [0, 0.3, 1, 2] as const;

function diagonal(): LinearOperator {
  const s = Float64Array.from(
    { length: SEEN.length * DRAWS },
    (_, i) => SEEN[Math.floor(i / DRAWS)],
  );
  const same = (x: Vector) => Float64Array.from(x);
  const seen = (x: Vector) => Float64Array.from(x, (v, i) => s[i] > 0 ? v : 0);
  const shape = [1, SEEN.length, DRAWS] as const;
  return {
    name: "diagonal",
    shape,
    measured: shape,
    s,
    apply: (x) => Float64Array.from(x, (v, i) => v * s[i]),
    Vt: same,
    V: same,
    Ut: seen,
    U: seen,
  };
}

/** The same measurement of every component: y = s·1.2, as if x were 1.2 and the noise 0. */
export const X_SEEN = 1.2;
export function diagonalMeasurement(sigma_y: number): Measurement {
  const operator = diagonal();
  return { operator, y: Float32Array.from(operator.s, (s) => s * X_SEEN), sigma_y };
}

export interface Law {
  readonly mean: number;
  readonly variance: number;
}

export function posterior(s: number, sigma_y: number): Law {
  const precision = s ** 2 / sigma_y ** 2 + 1 / tau ** 2;
  return {
    mean: (s ** 2 * X_SEEN / sigma_y ** 2 + mu / tau ** 2) / precision,
    variance: 1 / precision,
  };
}

/** Mean and variance of the draws against a law, within three standard errors of each. */
export function assertLaw(draws: ArrayLike<number>, { mean, variance }: Law, what: string) {
  const n = draws.length;
  const values = Array.from(draws);
  const found = values.reduce((a, b) => a + b, 0) / n;
  const spread = values.reduce((sum, v) => sum + (v - found) ** 2, 0) / (n - 1);
  assertAlmostEquals(
    found,
    mean,
    3 * Math.sqrt(variance / n) + 1e-6,
    `${what}: mean ${found}, expected ${mean}`,
  );
  assertAlmostEquals(
    spread,
    variance,
    3 * variance * Math.sqrt(2 / (n - 1)) + 1e-9,
    `${what}: variance ${spread}, expected ${variance}`,
  );
}
