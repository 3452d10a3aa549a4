import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  alphaBarOf,
  cosineBetas,
  linearBetas,
  logSnr,
  makeSchedule,
  parseSchedulerConfig,
  q_sample,
  q_step,
  rescaleZeroTerminalSnr,
  scaledLinearBetas,
  SCHEDULE_NAMES,
  scheduleFor,
  sigmoidBetas,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { assertNear, randn, readGolden } from "./diffusion_golden.ts";

interface Table {
  index: number[];
  betas: number[];
  alphas_cumprod: number[];
}
interface Schedulers {
  schedules: Record<string, Table>;
  add_noise: { schedule: string; t: number; out: number[] }[];
  x_0: number[];
  noise: number[];
}

const defaults = parseSchedulerConfig({});

Deno.test("β and ᾱ are torch's float32 values bit for bit", async () => {
  const { schedules } = await readGolden<Schedulers>("schedulers");
  for (const name of ["linear", "scaled_linear", "squaredcos_cap_v2"]) {
    const { betas, alphas_cumprod } = scheduleFor(defaults, name);
    const golden = schedules[name];
    assertEquals(golden.index.map((t) => betas[t]), golden.betas, `${name} betas`);
    assertEquals(golden.index.map((t) => alphas_cumprod[t]), golden.alphas_cumprod, `${name} ᾱ`);
  }
});

Deno.test("the sigmoid schedule is torch's to the last float32 place", async () => {
  const golden = (await readGolden<Schedulers>("schedulers")).schedules.sigmoid;
  const { betas, alphas_cumprod } = scheduleFor(defaults, "sigmoid");
  assertNear(golden.index.map((t) => betas[t]), golden.betas, 2e-9, "betas");
  assertNear(golden.index.map((t) => alphas_cumprod[t]), golden.alphas_cumprod, 1e-7, "ᾱ");
});

Deno.test("zero terminal SNR: ᾱ ends at exactly 0 and follows diffusers", async () => {
  const { zero_snr } = await readGolden<{ zero_snr: Table }>("more");
  const schedule = scheduleFor({ ...defaults, rescale_betas_zero_snr: true });
  const at = (table: Float64Array) => zero_snr.index.map((t) => table[t]);
  assertNear(at(schedule.betas), zero_snr.betas, 1e-6, "betas");
  assertNear(at(schedule.alphas_cumprod), zero_snr.alphas_cumprod, 1e-6, "ᾱ");
  assertEquals(schedule.alpha_bar(999), 0);
  assertEquals(schedule.lambda(999), -Infinity);
  const between = schedule.alpha_bar(998.5);
  assert(between > 0 && between < schedule.alpha_bar(998));
  assertAlmostEquals(schedule.t_of(schedule.lambda(998.5)), 998.5, 1e-6);
});

Deno.test("q_sample equals diffusers' add_noise", async () => {
  const { add_noise, x_0, noise } = await readGolden<Schedulers>("schedulers");
  for (const { schedule, t, out } of add_noise) {
    const x_t = q_sample(
      Float32Array.from(x_0),
      t,
      scheduleFor(defaults, schedule),
      Float32Array.from(noise),
    );
    assertNear(x_t, out, 1e-6, `${schedule} t ${t}`);
  }
});

Deno.test("q_step taken t times agrees in distribution with q_sample", () => {
  const n = 40000, T = 50;
  for (const betas of [linearBetas(T, 1e-3, 0.2), cosineBetas(T)]) {
    const schedule = makeSchedule(betas);
    let x: Float32Array = new Float32Array(n).fill(0.8);
    for (let t = 0; t < 30; t++) x = q_step(x, t, schedule, randn(t, n));
    const closed = q_sample(new Float32Array(n).fill(0.8), 29, schedule, randn(1000, n));
    const [a, b] = [moments(x), moments(closed)];
    const { alpha_bar } = schedule;
    assertAlmostEquals(a.mean, Math.sqrt(alpha_bar(29)) * 0.8, 0.02);
    assertAlmostEquals(a.variance, 1 - alpha_bar(29), 0.03);
    assertAlmostEquals(a.mean, b.mean, 0.03);
    assertAlmostEquals(a.variance, b.variance, 0.04);
    assertAlmostEquals(a.kurtosis, b.kurtosis, 0.15);
  }
});

function moments(x: Float32Array) {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const central = (k: number) => x.reduce((a, b) => a + (b - mean) ** k, 0) / x.length;
  return { mean, variance: central(2), kurtosis: central(4) / central(2) ** 2 };
}

Deno.test("q_step refuses a timestep outside the schedule or between two", () => {
  const schedule = makeSchedule(linearBetas(10));
  const x = new Float32Array(3);
  for (const t of [-1, 10, 2.5]) {
    const says = `t: expected a whole number from 0 to 9, found ${t}`;
    assertThrows(() => q_step(x, t, schedule, x), RangeError, says);
  }
});

Deno.test("t_of inverts λ on the grid and between its points", () => {
  for (const name of SCHEDULE_NAMES) {
    const schedule = scheduleFor(defaults, name);
    for (const t of [0, 0.25, 1, 17.5, 500, 998.75, 999]) {
      assertAlmostEquals(schedule.t_of(schedule.lambda(t)), t, 1e-6, `${name} t ${t}`);
    }
    assertEquals(schedule.t_of(Infinity), 0);
    assertEquals(schedule.t_of(-Infinity), 999);
  }
});

Deno.test("ᾱ is 1 before the first timestep, and fractional t lies in between", () => {
  const schedule = makeSchedule(linearBetas(1000));
  assertEquals(schedule.alpha_bar(-1), 1);
  assertEquals(schedule.lambda(-0.5), Infinity);
  const middle = schedule.alpha_bar(500.5);
  assert(middle < schedule.alpha_bar(500) && middle > schedule.alpha_bar(501));
  assertThrows(() => schedule.alpha_bar(1000), InputError, "from 0 to 999, found 1000");
  assertThrows(() => schedule.lambda(NaN), InputError, "found NaN");
});

Deno.test("β outside (0, 1) is refused with its place and value", () => {
  for (const bad of [0, -0.1, 1, 1.5, NaN, Infinity, 1e-12]) {
    assertThrows(() => makeSchedule([0.1, bad, 0.2]), InputError, "betas[1]");
  }
  assertThrows(() => makeSchedule([0.1, -0.25]), InputError, "found -0.25");
  assertThrows(() => makeSchedule([1]), InputError, "betas[0]");
  assertEquals(makeSchedule([0.1, 1]).alpha_bar(1), 0); // zero terminal SNR
  assertEquals([...makeSchedule([0.1, 0.3]).betas], [0.1, 0.3].map(Math.fround), "as torch has it");
});

Deno.test("T below 1 is refused", () => {
  assertThrows(() => makeSchedule([]), InputError, "at least one β");
  for (const T of [0, -5, 2.5, NaN]) {
    for (const name of SCHEDULE_NAMES) {
      const config = { ...defaults, num_train_timesteps: T };
      const says = `num_train_timesteps: expected a whole number of at least 1, found ${T}`;
      assertThrows(() => scheduleFor(config, name), InputError, says);
    }
  }
});

Deno.test("T = 1 is a schedule of one step", () => {
  assertEquals(Array.from(linearBetas(1, 0.5)), [0.5]);
  assertEquals(makeSchedule(linearBetas(1, 0.5)).alpha_bar(0), 0.5);
});

Deno.test("an unknown schedule name lists the known ones", () => {
  const says =
    'schedule: expected one of linear, cosine, squaredcos_cap_v2, scaled_linear, sigmoid, found "laplace"';
  assertThrows(() => scheduleFor(defaults, "laplace"), InputError, says);
});

Deno.test("trained betas come before the named schedule; a name asked for comes before both", () => {
  const config = { ...defaults, num_train_timesteps: 3, trained_betas: [0.25, 0.5, 0.5] };
  assertEquals(Array.from(scheduleFor(config).alphas_cumprod), [0.75, 0.375, 0.1875]);
  assertEquals(scheduleFor(config, "linear").betas[2], Math.fround(0.02));
});

Deno.test("the rescaled schedule keeps its first ᾱ", () => {
  const betas = linearBetas(1000);
  const rescaled = makeSchedule(rescaleZeroTerminalSnr(betas));
  assertAlmostEquals(rescaled.alpha_bar(0), makeSchedule(betas).alpha_bar(0), 1e-6);
});

Deno.test("before the first timestep there is no noise yet", () => {
  const schedule = makeSchedule(linearBetas(10));
  const x = Float32Array.of(0.5, -1), noise = Float32Array.of(9, 9);
  for (const t of [-1, -0.5]) assertEquals(q_sample(x, t, schedule, noise), x);
  assert(q_sample(x, 0, schedule, noise)[0] > 0.5);
});

Deno.test("a schedule by name has the model's T and the model's ends", () => {
  const config = { ...defaults, num_train_timesteps: 50, beta_start: 0.01, beta_end: 0.3 };
  for (const name of ["linear", "scaled_linear"]) {
    const { betas, T } = scheduleFor(config, name);
    assertEquals(T, 50);
    assertAlmostEquals(betas[0], 0.01, 1e-7, name);
    assertAlmostEquals(betas[49], 0.3, 1e-7, name);
  }
  const { betas } = scheduleFor(config, "sigmoid");
  assertAlmostEquals(betas[0], 0.01 + 0.29 / (1 + Math.exp(6)), 1e-6);
  assertAlmostEquals(betas[49], 0.3 - 0.29 / (1 + Math.exp(6)), 1e-6);
});

Deno.test("of an odd number of timesteps the one in the middle is torch's, too", () => {
  // torch.linspace(1e-4, 0.02, T)[T // 2], and of the roots, squared.
  for (const T of [3, 5, 333, 501, 1001]) {
    assertEquals(linearBetas(T)[T >> 1], 0.010049999691545963, `${T}`);
    assertEquals(scaledLinearBetas(T)[T >> 1], 0.005732107907533646, `${T}`);
  }
  for (const T of [1, 2, 3]) {
    const { betas, alphas_cumprod } = makeSchedule(linearBetas(T, 0.25, 0.5));
    assertEquals([betas[0], betas[T - 1]], [0.25, T === 1 ? 0.25 : 0.5], `${T}`);
    assertEquals([betas.length, alphas_cumprod.length], [T, T]);
  }
});

Deno.test("a schedule's ends are DDPM's where nobody names them", () => {
  const by = (name: string) => scheduleFor(defaults, name).betas;
  assertEquals(linearBetas(1000), by("linear"));
  assertEquals(scaledLinearBetas(1000), by("scaled_linear"));
  assertEquals(sigmoidBetas(1000), by("sigmoid"));
  assertEquals(cosineBetas(1000), by("cosine"));
});

Deno.test("log-SNR and ᾱ are one and the same, from no signal to no noise", () => {
  assertEquals([logSnr(0), logSnr(0.5), logSnr(1)], [-Infinity, 0, Infinity]);
  assertEquals([-Infinity, 0, Infinity].map(alphaBarOf), [0, 0.5, 1]);
  assertAlmostEquals(logSnr(0.8), Math.log(2), 1e-12);
  for (const alpha_bar of [0.01, 0.3, 0.99]) {
    assertAlmostEquals(alphaBarOf(logSnr(alpha_bar)), alpha_bar, 1e-12);
  }
  const schedule = makeSchedule(linearBetas(10));
  assertThrows(() => schedule.t_of(NaN), InputError, "lambda: expected a number, found NaN");
  const between = (schedule.lambda(3) + schedule.lambda(4)) / 2;
  assertAlmostEquals(schedule.lambda(3.5), between, 1e-12);
  assertAlmostEquals(schedule.t_of(between), 3.5, 1e-9);
});
