/** Which timesteps a run of n steps visits. */
import { FieldError, InputError } from "../errors.ts";
import { whole } from "../schema.ts";
import type { Schedule, SchedulerConfig, TimestepSpacing } from "./scheduler.ts";

/** Rounds halves to the even neighbour, as NumPy and torch do. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Throws `InputError` unless n is a whole number from 1 to `most`, by default the model's T. */
export function requireSteps(n: number, T: number, most = T) {
  const { expected, accepts } = whole(1, most);
  if (!accepts(n)) throw new FieldError("steps", `${expected} (the model has ${T} timesteps)`, n);
}

/**
 * n descending timesteps among 0 … T − 1 (Lin et al. 2024, table 2), as diffusers' DDPM and DDIM
 * schedulers place them, without their spurious −1.
 *
 * leading: multiples of ⌊T/n⌋ from 0, plus the offset; linspace: evenly from 0 to T − 1; trailing:
 * every T/n-th counted down from T − 1.
 *
 * Throws `InputError` for n outside 1 … T, or an offset that leads outside 0 … T − 1.
 *
 * @example
 * ```ts
 * import { spacedTimesteps } from "@denoise/denoise/diffusion";
 * spacedTimesteps(4, 1000, "trailing"); // 999, 749, 499, 249
 * ```
 */
export function spacedTimesteps(
  n: number,
  T: number,
  spacing: TimestepSpacing = "leading",
  steps_offset = 0,
): number[] {
  requireSteps(n, T);
  return Array.from({ length: n }, (_, i) => {
    const left = n - 1 - i;
    switch (spacing) {
      case "leading":
        return inRange(left * Math.floor(T / n) + steps_offset, T, steps_offset);
      case "linspace":
        return n === 1 ? 0 : roundHalfEven(left * ((T - 1) / (n - 1)));
      case "trailing":
        return roundHalfEven(T - i * (T / n)) - 1;
    }
  });
}

function inRange(t: number, T: number, steps_offset: number): number {
  if (t >= 0 && t < T) return t;
  throw new InputError(
    `steps_offset: ${steps_offset} puts timestep ${t} outside 0 … ${T - 1}; take fewer steps, or ` +
      "another timestep_spacing",
  );
}

/** The timesteps of a plug-in that brings none: `spacedTimesteps` by the model's config. */
export function configTimesteps(n: number, T: number, config: SchedulerConfig): number[] {
  return spacedTimesteps(n, T, config.timestep_spacing ?? "leading", config.steps_offset);
}

/**
 * Checks a list of timesteps given by hand or by a plug-in and returns it as an array. Throws
 * `InputError`, naming the first culprit, unless it is strictly descending within 0 … T − 1 and not
 * empty. Fractions are fine.
 */
export function requireTimesteps(timesteps: ArrayLike<number>, T: number): number[] {
  const list = Array.from(timesteps);
  if (list.length === 0) throw new InputError("timesteps: expected at least one, found none");
  if (list.length > T) {
    throw new InputError(
      `timesteps: expected at most ${T}, as many as there are, found ${list.length}`,
    );
  }
  for (const [i, t] of list.entries()) {
    if (!(t >= 0 && t <= T - 1)) {
      throw new InputError(`timesteps[${i}]: expected a number from 0 to ${T - 1}, found ${t}`);
    }
    if (i > 0 && !(t < list[i - 1])) {
      throw new InputError(
        `timesteps[${i}]: expected less than the one before (${list[i - 1]}), found ${t}`,
      );
    }
  }
  return list;
}

/**
 * n timesteps for a solver that jumps from its last one straight to the finished picture, as diffusers
 * places them for DPM-Solver++ and UniPC: n + 1 points as in `spacedTimesteps`, the lowest left out.
 * Points start where λ rises above the config's `lambda_min_clipped`; without a spacing in the config
 * they are linspace.
 *
 * Throws `InputError` if that many do not fit.
 */
export function solverTimesteps(n: number, schedule: Schedule, config: SchedulerConfig): number[] {
  const { T } = schedule;
  requireSteps(n, T);
  const { timestep_spacing = null, steps_offset, lambda_min_clipped = -Infinity } = config;
  const below = Array.from({ length: T }, (_, t) => schedule.lambda(t))
    .filter((lambda) => lambda < lambda_min_clipped).length;
  const last = T - below;
  if (timestep_spacing === "trailing") {
    return Array.from({ length: n }, (_, i) => roundHalfEven(last - i * (T / n)) - 1)
      .filter((t) => t >= 0);
  }
  requireSteps(n, T, last - 1);
  return Array.from({ length: n }, (_, i) => {
    const left = n - i;
    return timestep_spacing === "leading"
      ? inRange(left * Math.floor(last / (n + 1)) + steps_offset, T, steps_offset)
      : roundHalfEven(left * ((last - 1) / n));
  });
}
