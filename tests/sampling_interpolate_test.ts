/** The arc between two noises, and the way back from a picture to its noise. */
import { assert, assertEquals } from "@std/assert";
import { schedulers } from "../schedulers/mod.ts";
import { createGenerator } from "../src/diffusion/mod.ts";
import { invert, slerp } from "../src/sampling/interpolate.ts";
import { fakeNetwork } from "./sampling_network.ts";

const length = (x: Float32Array) => Math.hypot(...x);
const angle = (a: Float32Array, b: Float32Array) =>
  Math.acos(a.reduce((sum, x, i) => sum + x * b[i], 0) / length(a) / length(b));

Deno.test("slerp goes along the arc at an even pace and keeps the length", () => {
  const a = Float32Array.of(3, 0, 0), b = Float32Array.of(0, 3, 0);
  for (const share of [0, 0.25, 0.5, 0.9, 1]) {
    const between = slerp(a, b, share);
    assert(Math.abs(length(between) - 3) < 1e-6, `length ${length(between)} at ${share}`);
    const [x, y] = [Math.cos(share * Math.PI / 2), Math.sin(share * Math.PI / 2)];
    assert(Math.hypot(between[0] - 3 * x, between[1] - 3 * y) < 1e-6, `${between} at ${share}`);
  }
});

Deno.test("slerp of two seeds' noise turns by its share of the angle between them", () => {
  const [a, other] = [1, 2].map((seed) => createGenerator(seed).randn(256));
  const b = other.map((x) => x * length(a) / length(other));
  const whole = angle(a, b);
  for (const share of [0.1, 0.3, 0.7]) {
    assert(Math.abs(angle(a, slerp(a, b, share)) - share * whole) < 1e-5, `at ${share}`);
  }
  assertEquals(slerp(a, b, 0), a);
  assertEquals(slerp(a, b, 1), b);
});

Deno.test("slerp between equal vectors, and of a vector with its opposite, has no NaN", () => {
  const a = createGenerator(3).randn(16);
  assertEquals(slerp(a, a, 0.4), a);
  assert(slerp(a, a.map((x) => -x), 0.5).every(Number.isFinite));
  // Rounding takes some cosines of parallel vectors past 1.
  for (let k = 1; k <= 50; k++) {
    const along = a.map((x) => x * k / 7);
    assert(slerp(a, along, 0.5).every(Number.isFinite), `${k}`);
    assert(slerp(a, along.map((x) => -x), 0.5).every(Number.isFinite), `${-k}`);
  }
});

Deno.test("inverting a picture gives noise from which as many steps draw it again", async () => {
  // A network that always says the same noise: DDIM's steps are then exactly reversible.
  const eps = createGenerator(5).randn(16);
  const network = { ...fakeNetwork(), predict: () => Promise.resolve(eps.slice()) };
  const x_0 = Float32Array.from({ length: 16 }, (_, i) => i / 8 - 1);
  const request = { scheduler: schedulers.ddim, steps: 20, guidance: 1 };
  const x_T = await invert(network, x_0, request);
  // x_t = √ᾱ·x_0 + √(1−ᾱ)·ε at the run's first timestep.
  const last = 950;
  let alpha_bar = 1;
  for (let t = 0; t <= last; t++) alpha_bar *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999);
  x_T.forEach((x, i) => {
    const expected = Math.sqrt(alpha_bar) * x_0[i] + Math.sqrt(1 - alpha_bar) * eps[i];
    assert(Math.abs(x - expected) < 1e-4, `${x} at ${i}, expected ${expected}`);
  });
});
