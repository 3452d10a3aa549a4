/** The pictures that the commands draw of a process: schedules as curves, a run as a film. */
import { assert, assertEquals } from "@std/assert";
import { curvesSvg } from "../src/cli/drawing/curves.ts";
import { Film } from "../src/cli/drawing/film.ts";
import { stepsToShow } from "../src/sampling/making.ts";
import { linearBetas, makeSchedule, parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import type { SampleFrame } from "../src/sampling/sample.ts";
import { planRun } from "../src/sampling/plan.ts";

/** The axes of a panel: 340 × 230, ᾱ from 0 to 1 and ln(ᾱ/(1−ᾱ)) from −15 to 15. */
const WIDTH = 340, HEIGHT = 230;

Deno.test("the curves go through ᾱ and the log signal-to-noise ratio of the schedule", () => {
  // ᾱ = 0.9, 0.72, 0.36: log SNR ln 9, ln(0.72/0.28), ln(0.36/0.64).
  const schedule = makeSchedule([0.1, 0.2, 0.5]);
  const svg = curvesSvg(new Map([["mine", schedule]]));
  const lines = [...svg.matchAll(/<polyline points="([^"]+)"/g)].map(([, points]) =>
    points.split(" ").map((point) => point.split(",").map(Number))
  );
  assertEquals(lines.length, 2);
  const alpha_bars = [0.9, 0.72, 0.36];
  const [shares, ratios] = lines;
  for (const [t, alpha_bar] of alpha_bars.entries()) {
    const x = t / 2 * WIDTH;
    const at = (line: number[][]) => line.find(([px]) => Math.abs(px - x) < 0.06)![1];
    assert(Math.abs(at(shares) - HEIGHT * (1 - alpha_bar)) < 0.06, `ᾱ of ${t}`);
    const ratio = Math.log(alpha_bar / (1 - alpha_bar));
    assert(Math.abs(at(ratios) - HEIGHT * (1 - (ratio + 15) / 30)) < 0.06, `log SNR of ${t}`);
  }
});

Deno.test("a film shows x_t on the left and the estimate of the picture on the right", () => {
  const config = parseSchedulerConfig({});
  const plan = planRun(config, { scheduler: schedulers.ddim, steps: 2 });
  const film = new Film(plan, [1, 4, 4], 1);
  const grey = (value: number) => new Float32Array(16).fill(value);
  const recipe = {} as SampleFrame["recipe"];
  const common = { seed: 1, index: 0, steps: 2, recipe };
  film.add({ ...common, step: 1, t: 500, x: grey(-0.5), x_0: grey(0.5), done: false });
  film.add({ ...common, step: 2, t: 0, x: grey(0.25), x_0: grey(0.25), done: true });
  const { frames, delay } = film.develop();
  assertEquals(frames.length, 2);
  assert(delay[1] > delay[0], "the picture stays longer than the steps");
  const [{ pixels, width, height, channels }] = frames;
  const row = Math.floor(height * 0.75);
  const levels = Array.from({ length: width }, (_, x) => pixels[(row * width + x) * channels]);
  // −0.5 is level 64, 0.5 is 191.
  const left = levels.indexOf(64), right = levels.indexOf(191);
  assert(left >= 0 && right > left, `x_t begins at ${left}, x_0 at ${right}`);
  assertEquals(levels.slice(right).includes(64), false);
});

Deno.test("a film's steps are even in log-SNR, and the last is always shown", () => {
  const schedule = makeSchedule(linearBetas(1000));
  const timesteps = Array.from({ length: 1000 }, (_, i) => 999 - i);
  const steps = stepsToShow({ timesteps, schedule }, 11);
  assertEquals([steps[0], steps.at(-1)], [1, 1000]);
  const lambdas = steps.slice(0, -1).map((step) => schedule.lambda(timesteps[step - 1]));
  const gaps = lambdas.slice(1).map((lambda, i) => lambda - lambdas[i]);
  const even = (schedule.lambda(0) - schedule.lambda(999)) / 10;
  // Beside t = 0 the timesteps themselves lie further apart than that.
  for (const gap of gaps.slice(0, 6)) assert(Math.abs(gap - even) < 0.1 * even, `${gaps}`);
});
