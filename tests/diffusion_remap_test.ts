import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import {
  configTimesteps,
  linearBetas,
  logSnr,
  makeSchedule,
  parseSchedulerConfig,
  remap,
  scheduleFor,
} from "../src/diffusion/mod.ts";

const config = parseSchedulerConfig({});
const linear = scheduleFor(config), cosine = scheduleFor(config, "cosine");
const all = configTimesteps(1000, 1000, config);

Deno.test("with equal tables t passes through untouched", () => {
  const same = remap(makeSchedule(linearBetas(1000)), linear);
  for (const t of [0, 17, 480.3, 999]) assertEquals(same.modelTime(t), t);
  assertEquals(same.timesteps(all), all);
  assert(same.timesteps(all) !== all, "a copy");
  assertEquals(same.schedule, linear);
});

Deno.test("the model is asked at its own time of equal log-SNR", () => {
  const swapped = remap(cosine, linear);
  for (const t of [50, 300, 500.5, 900]) {
    const time = swapped.modelTime(t);
    assertAlmostEquals(linear.lambda(time), cosine.lambda(t), 1e-9);
    assert(Math.abs(time - t) > 1, "another timestep than the sampler's");
    assertEquals(swapped.schedule.alpha_bar(t), cosine.alpha_bar(t));
  }
});

Deno.test("an ᾱ of the sampler's own goes before its t", () => {
  for (const schedule of [linear, cosine]) {
    const time = remap(schedule, linear).modelTime(3, 0.5);
    assertAlmostEquals(linear.lambda(time), logSnr(0.5), 1e-9);
  }
});

Deno.test("noise levels the model never saw are clamped to its range", () => {
  const { schedule, modelTime } = remap(cosine, linear);
  assertEquals(schedule.alpha_bar(0), linear.alpha_bar(0));
  assertEquals(schedule.alpha_bar(999), linear.alpha_bar(999));
  assertEquals([modelTime(0), modelTime(999)], [0, 999]);
  assertEquals(schedule.alpha_bar(-1), 1);
  // Its βs are those of its own ᾱ: the first few steps, clamped to one level, add nothing.
  let product = 1;
  schedule.betas.forEach((beta, t) => {
    assertAlmostEquals(product *= 1 - beta, schedule.alphas_cumprod[t], 1e-12);
  });
  assertEquals(schedule.betas[1], 0);
});

Deno.test("timesteps made equal by the clamp are dropped; the ends stay", () => {
  const { schedule, timesteps } = remap(cosine, linear);
  const kept = timesteps(all);
  assert(kept.length < 1000 && kept.length > 980);
  assertEquals([kept[0], kept.at(-1)], [999, 0]);
  const alpha_bars = kept.map((t) => schedule.alpha_bar(t));
  assert(alpha_bars.every((a, i) => i === 0 || a > alpha_bars[i - 1]));
});

Deno.test("schedules of different lengths fit each other", () => {
  const short = makeSchedule(linearBetas(100, 1e-3, 0.2));
  const { modelTime } = remap(short, linear);
  for (const t of [5, 50, 95]) {
    assertAlmostEquals(linear.lambda(modelTime(t)), short.lambda(t), 1e-9);
  }
});

Deno.test("zero terminal SNR under an ε-model becomes the noisiest level the model knows", () => {
  const zero = scheduleFor({ ...config, rescale_betas_zero_snr: true });
  const { schedule } = remap(zero, linear);
  assertEquals(schedule.alpha_bar(999), linear.alpha_bar(999));
  assert(schedule.alpha_bar(999) > 0);
});

Deno.test("a schedule that is the beginning of the model's is another", () => {
  const beginning = makeSchedule(linearBetas(1000).subarray(0, 500));
  const { schedule, modelTime } = remap(beginning, linear);
  assertEquals([schedule.T, schedule.alpha_bar(499)], [500, linear.alpha_bar(499)]);
  assertEquals([modelTime(0), modelTime(17), modelTime(499)], [0, 17, 499]);
  const back = remap(linear, beginning);
  assertEquals([back.schedule.T, back.schedule.alpha_bar(999)], [1000, beginning.alpha_bar(499)]);
  assertEquals(back.modelTime(999), 499);
});
