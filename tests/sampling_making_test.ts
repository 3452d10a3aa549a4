/** The making of a picture as an animation: which steps are shown, and for how long. */
import { assert, assertEquals } from "@std/assert";
import { parseSchedulerConfig, scheduleFor } from "../src/diffusion/mod.ts";
import { MAX_FRAMES, showTimes, stepsToShow } from "../src/sampling/making.ts";

Deno.test("an animation's steps are evenly spaced in log-SNR and end with the last", () => {
  const schedule = scheduleFor(parseSchedulerConfig({}));
  const timesteps = Array.from({ length: 1000 }, (_, i) => 999 - i);
  const shown = stepsToShow({ timesteps, schedule }, 10);
  assertEquals([shown.length, shown[0], shown[9]], [10, 1, 1000]);
  const lambdas = shown.map((step) => schedule.lambda(timesteps[step - 1]));
  const even = (lambdas[9] - lambdas[0]) / 9;
  for (let i = 1; i < 8; i++) {
    assert(Math.abs(lambdas[i] - lambdas[i - 1] - even) < 0.1 * even, `${lambdas}`);
  }
  assertEquals(stepsToShow({ timesteps: [500, 2, 0], schedule }), [1, 2, 3]);
  // Few steps are all shown, however their noise levels lie.
  assertEquals(stepsToShow({ timesteps: [999, 3, 2, 1, 0], schedule }), [1, 2, 3, 4, 5]);
  assertEquals([showTimes(48)[0], showTimes(5), showTimes(1)], [80, [400, 400, 400, 400, 2000], [
    2000,
  ]]);
});

const stepsDown = (n: number) =>
  Array.from({ length: n }, (_, i) => 999 - i * Math.floor(1000 / n));

Deno.test("up to twelve steps are all shown, more are at most 48, and never more than are asked for", () => {
  const schedule = scheduleFor(parseSchedulerConfig({}));
  const shown = (n: number, most?: number) =>
    stepsToShow({ timesteps: stepsDown(n), schedule }, most);
  const all = (n: number) => Array.from({ length: n }, (_, i) => i + 1);
  assertEquals([shown(1), shown(12)], [[1], all(12)]);
  for (const [n, most] of [[13, undefined], [1000, undefined], [12, 5], [5, 3], [40, 2]] as const) {
    const steps = shown(n, most);
    assert(steps.length <= Math.min(n, most ?? 48), `${steps.length} of ${n}`);
    assertEquals([steps[0], steps.at(-1)], [1, n], `${n}, ${most}`);
    assert(steps.every((step, i) => i === 0 || step > steps[i - 1]), `${steps}`);
  }
  assertEquals(shown(40, 1), [40], "the finished picture at least");
  // Of thirteen those are left out beside which another one is nearer to an even place.
  assertEquals(shown(13), [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13]);
  assertEquals(shown(20).length, 18, "as many places as there are steps, not as frames");
  assertEquals([MAX_FRAMES, shown(1000)], [48, shown(1000, 48)]);
});

Deno.test("a run from pure noise shows its first step and its last", () => {
  const schedule = scheduleFor(parseSchedulerConfig({ rescale_betas_zero_snr: true }));
  const steps = stepsToShow({ timesteps: stepsDown(100), schedule }, 10);
  // λ goes from −20 in its place to 3: one frame for the way down to the schedule's own −7.
  assertEquals(steps, [1, 2, 11, 39, 85, 100]);
});

Deno.test("all frames but the last share 1.6 seconds, each within 80 and 400 ms", () => {
  const each = (frames: number) => [showTimes(frames)[0], showTimes(frames).at(-1)];
  assertEquals([each(2), each(5), each(6)], [[400, 2000], [400, 2000], [320, 2000]]);
  assertEquals([each(11), each(21), each(22)], [[160, 2000], [80, 2000], [80, 2000]]);
  assertEquals(showTimes(11).length, 11);
});
