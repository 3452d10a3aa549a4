/** The forward process of one picture, seen at some of its timesteps. */
import { type Generator, q_sample, q_step, type Schedule } from "../../diffusion/mod.ts";

/** `count` timesteps from −1 (the picture itself) to T − 1, evenly spaced. */
export function timestepsToShow(T: number, count: number): number[] {
  return Array.from(
    { length: count },
    (_, i) => i === 0 ? -1 : Math.round(i / (count - 1) * T) - 1,
  );
}

/**
 * x_t in closed form, q(x_t | x_0), all with the same ε, so that only the noise level changes from
 * one to the next.
 */
export function* closedForm(
  x_0: Float32Array,
  schedule: Schedule,
  timesteps: readonly number[],
  generator: Generator,
): Iterable<Float32Array> {
  const eps = generator.randn(x_0.length);
  for (const t of timesteps) yield q_sample(x_0, t, schedule, eps);
}

/** x_t step by step, q(x_t | x_{t−1}) with new noise each time: one walk along the chain. */
export function* stepByStep(
  x_0: Float32Array,
  schedule: Schedule,
  timesteps: readonly number[],
  generator: Generator,
): Iterable<Float32Array> {
  let x = x_0, at = -1;
  for (const t of timesteps) {
    while (at < t) x = q_step(x, ++at, schedule, generator.randn(x.length));
    yield x;
  }
}
