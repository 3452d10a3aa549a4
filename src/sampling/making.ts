/** The making of a picture as an animation: which steps are shown, and for how long. */
import type { Plan } from "./plan.ts";

/** The most frames: beyond it files grow and nobody sees more. */
export const MAX_FRAMES = 48;

/** All frames but the last together take about so long, each of them no less and no more than this. */
const WAY_MS = 1600, LEAST_MS = 80, MOST_MS = 400;
const LAST_FRAME_MS = 2000;

/** So few steps are all shown. */
const FEW_STEPS = 12;

/**
 * The steps to show, numbered from 1: evenly spaced in log-SNR, where pictures change evenly, and
 * always the last one.
 */
export function stepsToShow(
  { timesteps, schedule }: Pick<Plan, "timesteps" | "schedule">,
  most: number = MAX_FRAMES,
): number[] {
  if (timesteps.length <= Math.min(FEW_STEPS, most)) return timesteps.map((_, i) => i + 1);
  // A zero-terminal-SNR schedule begins at λ = −∞.
  const lambdas = timesteps.map((t) => Math.max(schedule.lambda(t), -20));
  const first = lambdas[0], last = lambdas[lambdas.length - 1];
  const chosen = new Set<number>([timesteps.length]);
  const count = Math.min(most, timesteps.length);
  for (let i = 0; i < count - 1; i++) {
    const wanted = first + (last - first) * i / (count - 1);
    chosen.add(1 + nearest(lambdas, wanted));
  }
  return [...chosen].sort((a, b) => a - b);
}

function nearest(values: readonly number[], wanted: number): number {
  let best = 0;
  values.forEach((value, i) => {
    if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = i;
  });
  return best;
}

/** How long each of some frames is shown, in milliseconds: the finished picture longest. */
export function showTimes(frames: number): number[] {
  const each = Math.round(Math.min(MOST_MS, Math.max(LEAST_MS, WAY_MS / (frames - 1))));
  return Array.from({ length: frames }, (_, i) => i === frames - 1 ? LAST_FRAME_MS : each);
}
