/**
 * The noise schedules β_1 … β_T. Values are the float32 numbers PyTorch computes, held in float64:
 * each operation is rounded where torch rounds it, so that tables equal diffusers' bit for bit.
 */
import { InputError, shown } from "../errors.ts";

const f32 = Math.fround;

/** The names `scheduleFor` and `scheduler_config.json` know; "cosine" is short for squaredcos_cap_v2. */
export const SCHEDULE_NAMES = [
  "linear",
  "cosine",
  "squaredcos_cap_v2",
  "scaled_linear",
  "sigmoid",
] as const;

/** The name of a built-in noise schedule. */
export type ScheduleName = (typeof SCHEDULE_NAMES)[number];

/** torch.linspace in float32: each half counts from its own end, and one in the middle from the last. */
function linspace(from: number, to: number, n: number): Float64Array {
  const a = f32(from), b = f32(to);
  const step = n === 1 ? 0 : f32(f32(b - a) / (n - 1));
  return Float64Array.from(
    { length: n },
    (_, i) => n === 1 || i < Math.floor(n / 2) ? f32(a + step * i) : f32(b - step * (n - 1 - i)),
  );
}

function requireT(T: number) {
  if (!Number.isInteger(T) || T < 1) {
    throw new InputError(`num_train_timesteps: expected a whole number of at least 1, found ${T}`);
  }
}

/** β evenly spaced from β_1 to β_T (Ho et al. 2020, §4). Throws `InputError` for T < 1. */
export function linearBetas(T: number, beta_start = 1e-4, beta_end = 0.02): Float64Array {
  requireT(T);
  return linspace(beta_start, beta_end, T);
}

/** √β evenly spaced (latent diffusion's schedule). Throws `InputError` for T < 1. */
export function scaledLinearBetas(T: number, beta_start = 1e-4, beta_end = 0.02): Float64Array {
  requireT(T);
  return linspace(Math.sqrt(beta_start), Math.sqrt(beta_end), T).map((root) => f32(root * root));
}

/**
 * ᾱ(t) = cos²((t/T + s)/(1 + s)·π/2) with s = 0.008 and β at most 0.999 (Nichol & Dhariwal 2021,
 * eq. 17). Throws `InputError` for T < 1.
 */
export function cosineBetas(T: number): Float64Array {
  requireT(T);
  const alpha_bar = (t: number) => Math.cos((t + 0.008) / 1.008 * Math.PI / 2) ** 2;
  return Float64Array.from(
    { length: T },
    (_, i) => f32(Math.min(1 - alpha_bar((i + 1) / T) / alpha_bar(i / T), 0.999)),
  );
}

/** β along a logistic curve over −6 … 6 (diffusers' `sigmoid`). Throws `InputError` for T < 1. */
export function sigmoidBetas(T: number, beta_start = 1e-4, beta_end = 0.02): Float64Array {
  requireT(T);
  return linspace(-6, 6, T).map((x) =>
    f32(f32(f32(1 / (1 + Math.exp(-x))) * f32(beta_end - beta_start)) + f32(beta_start))
  );
}

/**
 * The βs of a schedule by name. Throws `InputError` for a name that is not in `SCHEDULE_NAMES`.
 */
export function betasByName(
  name: string,
  T: number,
  beta_start: number,
  beta_end: number,
): Float64Array {
  switch (name as ScheduleName) {
    case "linear":
      return linearBetas(T, beta_start, beta_end);
    case "scaled_linear":
      return scaledLinearBetas(T, beta_start, beta_end);
    case "cosine":
    case "squaredcos_cap_v2":
      return cosineBetas(T);
    case "sigmoid":
      return sigmoidBetas(T, beta_start, beta_end);
    default:
      throw new InputError(
        `schedule: expected one of ${SCHEDULE_NAMES.join(", ")}, found ${shown(name)}`,
      );
  }
}

/**
 * ᾱ_t = Π (1 − β_s) over s ≤ t (Ho et al. 2020, eq. 4), in torch's float32 values: the product runs
 * in float64 over float32 factors and is rounded at each t.
 */
export function cumulativeAlphas(betas: ArrayLike<number>): Float64Array {
  let product = 1;
  return Float64Array.from(betas, (beta) => f32(product *= f32(1 - beta)));
}

/**
 * Shifts and scales √ᾱ so that the last step is pure noise, ᾱ_T = 0 (Lin et al. 2024, algorithm 1).
 * Such a schedule needs a model that predicts v or x_0.
 */
export function rescaleZeroTerminalSnr(betas: ArrayLike<number>): Float64Array {
  const roots = cumulativeAlphas(betas).map((a) => f32(Math.sqrt(a)));
  const first = roots[0], last = roots[roots.length - 1];
  const scale = f32(first / f32(first - last));
  const alphas_cumprod = roots.map((root) => {
    const scaled = f32(f32(root - last) * scale);
    return f32(scaled * scaled);
  });
  return alphas_cumprod.map((a, t) => f32(1 - (t === 0 ? a : f32(a / alphas_cumprod[t - 1]))));
}
