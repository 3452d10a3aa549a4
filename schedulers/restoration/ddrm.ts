/** DDRM (Kawar, Elad, Ermon & Song 2022): restores any linear measurement in some twenty evaluations. */
import {
  fromSpectrum,
  type LinearOperator,
  type Measurement,
  measurementOf,
  type Observation,
  observe,
  type OptionSchema,
  type Scheduler,
  sigmaOf,
  spacedTimesteps,
} from "../../src/diffusion/mod.ts";
import { InputError } from "../../src/errors.ts";

/** How much of a step's noise is fresh. */
export interface Etas {
  /** η, of missing components and of those that are cleaner than their data. */
  readonly eta: number;
  /** η_b, the weight of the data at levels noisier than they are. */
  eta_b(sigma_t: number, noise: number): number;
}

/** Where a run begins and ends: high levels decide little where y says much, low ones sharpen alone. */
export const rangeOptions: Record<"start" | "end", OptionSchema> = {
  start: {
    type: "number",
    description: "the first timestep as a share of all; 1 is the paper's",
    default: 1,
    minimum: 0.05,
    maximum: 1,
  },
  end: {
    type: "number",
    description: "the last timestep as a share of all; 0 is the paper's",
    default: 0,
    minimum: 0,
    maximum: 0.5,
  },
};

/** n timesteps with leading spacing, as published, or evenly over a part of them. */
export function timestepsWithin(n: number, T: number, start: number, end: number): number[] {
  if (start === 1 && end === 0) return spacedTimesteps(n, T, "leading");
  if (!(end < start)) {
    throw new InputError(`option end: expected less than start, ${start}, found ${end}`);
  }
  const [first, last] = [start * (T - 1), end * (T - 1)];
  return Array.from({ length: n }, (_, i) => first - (first - last) * (n === 1 ? 0 : i / (n - 1)));
}

/** Everything of one step that is the same for all its components. */
export interface Step extends Etas {
  /** The level that x̄ is at. */
  readonly sigma_from: number;
  /** σ_t, the level to which the step goes; 0 at last. */
  readonly sigma_t: number;
}

/** x̄_T: the data with noise up to the first level, noise alone where they are noisier (eq. 7). */
export function spectralStart(
  { y_bar, noise }: Observation,
  sigma_T: number,
  z: Float64Array,
): Float64Array {
  return z.map((z, i) =>
    sigma_T >= noise[i] ? y_bar[i] + Math.sqrt(sigma_T ** 2 - noise[i] ** 2) * z : sigma_T * z
  );
}

/**
 * One step of every component (eq. 8): DDIM with churn η where nothing was measured; a pull towards
 * ȳ at levels cleaner than the data; the data, noised to the level, at others.
 * @param x_bar x̄ at the level the step comes from
 * @param x_theta x̄_θ = Vᵀ x̂_0
 * @param z a draw of N(0, I)
 */
export function spectralStep(
  { y_bar, noise }: Observation,
  x_bar: Float64Array,
  x_theta: Float64Array,
  z: Float64Array,
  { eta, eta_b, sigma_from, sigma_t }: Step,
): Float64Array {
  const kept = Math.sqrt(1 - eta ** 2);
  return x_bar.map((x, i) => {
    const mean = x_theta[i];
    if (noise[i] === Infinity) {
      return mean + kept * sigma_t * (x - mean) / sigma_from + eta * sigma_t * z[i];
    }
    if (sigma_t < noise[i]) {
      return mean + kept * sigma_t * (y_bar[i] - mean) / noise[i] + eta * sigma_t * z[i];
    }
    const weight = eta_b(sigma_t, noise[i]);
    const variance = sigma_t ** 2 - weight ** 2 * noise[i] ** 2;
    return (1 - weight) * mean + weight * y_bar[i] + Math.sqrt(Math.max(0, variance)) * z[i];
  });
}

/** An observation, and the change of basis it is in. */
export function spectrum(measurement: Measurement): Observation & { operator: LinearOperator } {
  return { ...observe(measurement), operator: measurement.operator };
}

const ddrm: Scheduler = {
  name: "ddrm",
  api: 1,
  description: "DDRM: fast, exact about what was measured, nothing to tune",
  needs: ["measurement"],
  options: {
    eta: {
      type: "number",
      description: "fresh noise a step in what is missing",
      default: 0.85,
      minimum: 0,
      maximum: 1,
    },
    eta_b: {
      type: "number",
      description: "the weight of the data at levels noisier than they are",
      default: 1,
      minimum: 0,
      maximum: 1,
    },
    ...rangeOptions,
    theorem: {
      type: "boolean",
      description: "eta_b by theorem 3.2, 2 sigma_t^2/(sigma_t^2 + sigma_y^2/s^2), in place of it",
      default: false,
    },
  },
  timesteps: (n, { T }, _config, { start, end }) =>
    timestepsWithin(n, T, Number(start), Number(end)),
  async *sampler(run) {
    const { timesteps, schedule, options } = run;
    const seen = spectrum(measurementOf(run, "ddrm"));
    const { operator } = seen;
    const etas: Etas = {
      eta: Number(options.eta),
      eta_b: options.theorem
        ? (sigma_t, noise) => sigma_t === 0 ? 1 : 2 * sigma_t ** 2 / (sigma_t ** 2 + noise ** 2)
        : () => Number(options.eta_b),
    };
    let sigma_from = sigmaOf(schedule.alpha_bar(timesteps[0]));
    let x_bar = spectralStart(seen, sigma_from, operator.Vt(run.x));
    let x = run.x;
    for (const [i, t] of timesteps.entries()) {
      const x_t = fromSpectrum(operator, x_bar, schedule.alpha_bar(t));
      const x_0 = run.clip((await run.denoise(x_t, t)).x_0);
      const alpha_bar = schedule.alpha_bar(timesteps[i + 1] ?? -1);
      const sigma_t = sigmaOf(alpha_bar);
      const z = sigma_t > 0 ? operator.Vt(run.noise()) : new Float64Array(x_bar.length);
      x_bar = spectralStep(seen, x_bar, operator.Vt(x_0), z, { ...etas, sigma_from, sigma_t });
      sigma_from = sigma_t;
      x = fromSpectrum(operator, x_bar, alpha_bar);
      yield { t, x, x_0 };
    }
    return x;
  },
};
export default ddrm;
