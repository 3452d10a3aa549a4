import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  combine,
  denoisedFrom,
  epsOf,
  linearBetas,
  logVariance,
  makeClip,
  makeSchedule,
  parseSchedulerConfig,
  predictionTarget,
  type PredictionType,
  q_posterior,
  q_posterior_mean,
  q_sample,
  q_step,
  scaleNoise,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { assertNear, randn } from "./diffusion_golden.ts";

const schedule = makeSchedule(linearBetas(1000));
const types: PredictionType[] = ["epsilon", "sample", "v_prediction"];

Deno.test("the posterior's mean and β̃ are those of x_{t-1} given x_t and x_0", () => {
  // Regress x_s on x_t over draws with one x_0: the line is the posterior's mean, its residual β̃.
  const n = 100000, t = 300;
  const small = makeSchedule(linearBetas(1000, 1e-4, 0.2));
  const x_0 = new Float32Array(n).fill(0.5);
  const x_s = q_sample(x_0, t - 1, small, randn(1, n));
  const x_t = q_step(x_s, t, small, randn(2, n));
  const average = (v: Float32Array) => v.reduce((a, b) => a + b, 0) / n;
  const [ms, mt] = [average(x_s), average(x_t)];
  const cov = x_s.reduce((sum, s, i) => sum + (s - ms) * (x_t[i] - mt), 0) / n;
  const vart = x_t.reduce((sum, x) => sum + (x - mt) ** 2, 0) / n;
  const vars = x_s.reduce((sum, s) => sum + (s - ms) ** 2, 0) / n;
  const q = q_posterior(small.alpha_bar(t), small.alpha_bar(t - 1));
  assertAlmostEquals(q.coef_x_t, cov / vart, 0.01);
  assertAlmostEquals(q.beta_tilde, vars - cov ** 2 / vart, 0.002);
  const mean = q_posterior_mean(q, Float32Array.of(0.5), Float32Array.of(mt))[0];
  assertAlmostEquals(mean, ms, 0.01);
});

Deno.test("the last step's posterior is x_0 itself", () => {
  const q = q_posterior(schedule.alpha_bar(0), 1);
  assertAlmostEquals(q.coef_x_0, 1, 1e-12);
  assertEquals(q.coef_x_t, 0);
  assertEquals(q.beta_tilde, 0);
});

Deno.test("one skipping step's variance is the β of what it skips", () => {
  const q = q_posterior(schedule.alpha_bar(500), schedule.alpha_bar(480));
  const kept = schedule.betas.subarray(481, 501).reduce((product, beta) => product * (1 - beta), 1);
  assertAlmostEquals(q.beta, 1 - kept, 1e-6);
});

Deno.test("learned_range goes from β̃ at -1 to β at 1, element by element", () => {
  const q = q_posterior(schedule.alpha_bar(500), schedule.alpha_bar(480));
  const v = Float32Array.of(-1, 0, 1);
  const [low, middle, high] = logVariance("learned_range", q, v) as Float64Array;
  assertAlmostEquals(low, logVariance("fixed_small", q) as number, 1e-12);
  assertAlmostEquals(high, logVariance("fixed_large", q) as number, 1e-12);
  assertAlmostEquals(middle, (low + high) / 2, 1e-12);
  const noise = Float32Array.of(2, 2, 2);
  assertNear(
    scaleNoise(Float64Array.of(low, middle, high), noise),
    [low, middle, high].map((log) => 2 * Math.exp(log / 2)),
    1e-6,
    "σ·noise",
  );
  assertNear(
    scaleNoise(Math.log(q.beta), noise),
    noise.map((z) => Math.sqrt(q.beta) * z),
    1e-6,
    "σ",
  );
  assertThrows(() => logVariance("learned_range", q, undefined), InputError, "variance_type");
});

Deno.test("ε, x_0 and v say the same: every prediction round-trips", () => {
  const x_0 = randn(1, 64), eps = randn(2, 64);
  for (const t of [0, 1, 250.5, 999]) {
    const alpha_bar = schedule.alpha_bar(t);
    const x_t = q_sample(x_0, t, schedule, eps);
    for (const type of types) {
      const denoised = denoisedFrom(
        type,
        predictionTarget(type, x_0, eps, alpha_bar),
        x_t,
        alpha_bar,
      );
      const scale = Math.sqrt(alpha_bar), sigma = Math.sqrt(1 - alpha_bar);
      assertNear(denoised.x_0, x_0, 1e-6 / scale, `${type} at ${t}: x_0`);
      assertNear(denoised.eps, eps, 1e-6 / sigma, `${type} at ${t}: eps`);
      assertNear(combine([scale, denoised.x_0], [sigma, denoised.eps]), x_t, 1e-5, `${type}: x_t`);
      assertEquals(denoised.variance, undefined);
    }
    assertNear(epsOf(x_0, x_t, alpha_bar), eps, 1e-6 / Math.sqrt(1 - alpha_bar), "epsOf");
  }
});

Deno.test("a target is the network's to keep: it shares no memory with its inputs", () => {
  const x_0 = randn(1, 4), eps = randn(2, 4);
  for (const type of types) {
    const target = predictionTarget(type, x_0, eps, 0.5);
    assert(target.buffer !== x_0.buffer && target.buffer !== eps.buffer);
    const denoised = denoisedFrom(type, target, randn(3, 4), 0.5);
    assert(denoised.eps.buffer !== target.buffer && denoised.x_0.buffer !== target.buffer);
  }
});

Deno.test("an output of twice the channels splits into prediction and variance", () => {
  const output = Float32Array.of(1, 2, 3, 4);
  const { eps, variance } = denoisedFrom("epsilon", output, Float32Array.of(0, 0), 0.5);
  assertEquals(eps, Float32Array.of(1, 2));
  assertEquals(variance, Float32Array.of(3, 4));
  output.fill(9);
  assertEquals(variance, Float32Array.of(3, 4), "an array of its own");
  // Half a variance, or two of them, is none.
  for (const length of [2, 3, 6]) {
    const odd = denoisedFrom("epsilon", new Float32Array(length), Float32Array.of(0, 0), 0.5);
    assertEquals([odd.eps.length, odd.variance], [2, undefined]);
  }
});

Deno.test("an ε-model at ᾱ = 0 is refused; v and x_0 are not", () => {
  const x = randn(1, 4);
  assertThrows(() => denoisedFrom("epsilon", x, x, 0), InputError, "zero terminal");
  assertNear(denoisedFrom("v_prediction", x, x, 0).x_0, x.map((v) => -v), 1e-7, "v");
  assertEquals(denoisedFrom("sample", x, x, 0).x_0, x);
  assertThrows(() => denoisedFrom("sample", x, x, 1), InputError, "ᾱ = 1");
  // At their very ends alone: the cosine schedule's last ᾱ is 2.4e-9.
  const [one, two] = [Float32Array.of(1), Float32Array.of(2)];
  for (const alpha_bar of [2.4e-9, 2 ** -60]) {
    const expected = (2 - Math.sqrt(1 - alpha_bar)) / Math.sqrt(alpha_bar);
    const { x_0 } = denoisedFrom("epsilon", one, two, alpha_bar);
    assertAlmostEquals(x_0[0] / expected, 1, 1e-6);
  }
  const { eps } = denoisedFrom("sample", one, two, 1 - 2 ** -50);
  assertAlmostEquals(eps[0] / 2 ** 25, 1, 1e-6);
  assertThrows(() => denoisedFrom("flow" as PredictionType, x, x, 0.5), InputError, '"flow"');
});

Deno.test("clip keeps its argument and follows the config", () => {
  const x_0 = Float32Array.of(-2, -0.25, 0.75, 3);
  const clip = (json: Record<string, unknown>) => makeClip(parseSchedulerConfig(json))(x_0);
  assertEquals(clip({}), Float32Array.of(-1, -0.25, 0.75, 1));
  assertEquals(clip({ clip_sample_range: 0.5 }), Float32Array.of(-0.5, -0.25, 0.5, 0.5));
  const untouched = clip({ clip_sample: false });
  assertEquals(untouched, x_0);
  assert(untouched !== x_0, "a copy");
  assertEquals(x_0, Float32Array.of(-2, -0.25, 0.75, 3));
});

Deno.test("the dynamic threshold divides by a quantile between 1 and its maximum", () => {
  const x_0 = Float32Array.of(-2, -0.5, 1, 4);
  const threshold = (json: Record<string, unknown>) =>
    makeClip(parseSchedulerConfig({ thresholding: true, ...json }))(x_0);
  const half = { dynamic_thresholding_ratio: 0.5, sample_max_value: 10 };
  assertNear(threshold(half), [-1, -1 / 3, 2 / 3, 1], 1e-6, "the median of |x_0| is 1.5");
  assertNear(threshold({ sample_max_value: 1 }), [-1, -0.5, 1, 1], 1e-6, "plain clip");
  assertNear(threshold({ ...half, dynamic_thresholding_ratio: 0 }), [-1, -0.5, 1, 1], 1e-6, "≥ 1");
});

Deno.test("combine sums in float64 and refuses unequal lengths", () => {
  assertEquals(
    combine([0.5, Float32Array.of(2, 4)], [0, Float32Array.of(NaN, 1)]),
    Float32Array.of(1, 2),
  );
  assertThrows(() => combine([1, new Float32Array(2)], [1, new Float32Array(3)]), RangeError, "3");
});

Deno.test("β of a step is torch's float32 number, and the mean's weights follow from it", () => {
  for (const [t, s] of [[999, 998], [500, 480], [3, 0], [0, -1]]) {
    const [a_t, a_s] = [schedule.alpha_bar(t), schedule.alpha_bar(s)];
    const { beta, beta_tilde, coef_x_0, coef_x_t } = q_posterior(a_t, a_s);
    const alpha = Math.fround(a_t / a_s);
    assertEquals(beta, Math.fround(1 - alpha));
    assertAlmostEquals(beta_tilde, (1 - a_s) / (1 - a_t) * beta, 1e-15);
    assertAlmostEquals(coef_x_0, Math.sqrt(a_s) * beta / (1 - a_t), 1e-15);
    assertAlmostEquals(coef_x_t, Math.sqrt(alpha) * (1 - a_s) / (1 - a_t), 1e-15);
  }
});

Deno.test("a variance of 0 has the logarithm of 1e-20, so that a learned one stays a number", () => {
  const last = q_posterior(schedule.alpha_bar(0), 1), floor = Math.log(1e-20);
  assertEquals(logVariance("fixed_small", last), floor);
  assertEquals(logVariance("fixed_large", last), Math.log(last.beta));
  assertEquals(logVariance("fixed_large", q_posterior(0.5, 0.5)), floor);
  const learned = logVariance("learned_range", last, Float32Array.of(-1, 1)) as Float64Array;
  assertEquals([...learned], [floor, Math.log(last.beta)]);
});
