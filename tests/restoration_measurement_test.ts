/** From a picture and a mask to a measurement, and how near an answer is to the truth. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { createGenerator, type Measurement } from "../src/diffusion/mod.ts";
import { FieldError, InputError } from "../src/errors.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { type Degradation, operatorOf } from "../src/restoration/degradation.ts";
import { fit, givenShape, hasTransparency, measured, readMask } from "../src/restoration/fit.ts";
import { measurementInput } from "../src/restoration/input.ts";
import { defaultNoise, given, simulated } from "../src/restoration/measure.ts";
import { estimateNoise } from "../src/restoration/noise_level.ts";
import { operators } from "../src/restoration/operators/mod.ts";
import { psnr, ssim } from "../src/restoration/similarity.ts";
import { readBlur, readNoise, readScale } from "../src/restoration/spelling.ts";
import { randomMask } from "./restoration_operators.ts";

const pixels = (
  width: number,
  height: number,
  levels: ArrayLike<number>,
  channels = 1,
): Pixels => ({
  pixels: Uint8Array.from(levels),
  width,
  height,
  channels,
});
const flat = (width: number, height: number, level: number, channels = 1) =>
  pixels(width, height, new Uint8Array(width * height * channels).fill(level), channels);

Deno.test("what is given has the weights' size, unless it is smaller or grey", () => {
  const scale = { factor: 4, kernel: "mean" as const };
  assertEquals(givenShape({}, [3, 8, 12]), [3, 8, 12]);
  assertEquals(givenShape({ scale }, [3, 8, 12]), [3, 2, 3]);
  assertEquals(givenShape({ colour: true }, [3, 8, 12]), [1, 8, 12]);
  assertEquals(givenShape({ colour: true, scale }, [3, 8, 12]), [1, 2, 3]);
  for (const shape of [[1, 8, 10], [1, 10, 8]] as const) {
    const says = `divides ${shape[2]}×${shape[1]}, the size these weights draw, found 4`;
    assertThrows(() => givenShape({ scale }, shape), FieldError, says);
  }
});

Deno.test("a picture is fitted with a word, and one that fits already is left as it is", () => {
  const fits = fit("a.png", pixels(2, 1, [3, 9]), [1, 1, 2]);
  assertEquals([...fits.picture.pixels], [3, 9]);
  assertEquals(fits.notice, undefined);
  assertEquals([...fit("a.png", pixels(2, 1, [3, 9]), [3, 1, 2]).picture.pixels], [
    3,
    3,
    3,
    9,
    9,
    9,
  ]);
  for (const [width, height] of [[4, 1], [2, 2]]) {
    const { picture, notice } = fit("a.png", flat(width, height, 7), [1, 1, 2]);
    assertEquals([picture.width, picture.height, ...picture.pixels], [2, 1, 7, 7]);
    assertEquals(notice, `a.png: cropped and resized from ${width}×${height} to 2×1`);
  }
  for (const channels of [2, 4]) {
    const says = `a.png: these weights draw ${channels} channels, pictures have 1 or 3`;
    assertThrows(() => fit("a.png", flat(2, 1, 7), [channels, 1, 2]), InputError, says);
  }
});

Deno.test("a hole is what is nearer to white than to black, or more transparent than not", () => {
  const shape = [1, 1, 4] as const, picture = flat(4, 1, 50);
  const white = readMask("mask", pixels(4, 1, [0, 127, 128, 255]), picture, shape, 0);
  assertEquals([...white.kept], [1, 1, 0, 0]);
  const alpha = pixels(4, 1, [9, 0, 9, 127, 9, 128, 9, 255], 2);
  assertEquals([...readMask("mask", alpha, picture, shape, 0).kept], [0, 0, 1, 1]);
  const coloured = pixels(4, 1, [0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255], 3);
  assertEquals([...readMask("mask", coloured, picture, shape, 0).kept], [1, 0, 1, 0]);
  // A little transparency is no hole, in a picture of which nobody said that it has one.
  assert(!hasTransparency(pixels(2, 1, [9, 128, 9, 255], 2)));
  assert(hasTransparency(pixels(2, 1, [9, 127, 9, 255], 2)));
  assert(hasTransparency(pixels(2, 1, [1, 2, 3, 255, 1, 2, 3, 0], 4)));
  assert(!hasTransparency(pixels(2, 1, [0, 0, 0, 0, 0, 0], 3)));
});

Deno.test("a hole grows by a pixel up, down, left and right, and not round the edge of the picture", () => {
  const grown = (levels: number[], grow: number) =>
    [
      ...readMask("mask", pixels(5, 5, levels), flat(5, 5, 0), [1, 5, 5], grow).kept,
    ].join("").match(/.{5}/g);
  const at = (...places: number[]) =>
    Array.from({ length: 25 }, (_, p) => places.includes(p) ? 255 : 0);
  assertEquals(grown(at(12), 0), ["11111", "11111", "11011", "11111", "11111"]);
  assertEquals(grown(at(12), 1), ["11111", "11011", "10001", "11011", "11111"]);
  assertEquals(grown(at(12), 2), ["11011", "10001", "00000", "10001", "11011"]);
  assertEquals(grown(at(14), 1), ["11111", "11110", "11100", "11110", "11111"]);
  assertEquals(grown(at(10), 1), ["11111", "01111", "00111", "01111", "11111"]);
  assertEquals(grown(at(2, 22), 1), ["10001", "11011", "11111", "11011", "10001"]);
});

Deno.test("a mask has the size of the picture, as it was or as it is fitted", () => {
  const shape = [1, 4, 4] as const, picture = flat(8, 4, 0);
  const half = (width: number) =>
    pixels(width, 4, Array.from({ length: 4 * width }, (_, p) => p % width >= width / 2 ? 255 : 0));
  const kept = [1, 1, 0, 0];
  for (const width of [4, 8]) {
    const mask = readMask("mask", half(width), picture, shape, 0);
    assertEquals([mask.width, mask.height], [4, 4]);
    assertEquals([...mask.kept], [...kept, ...kept, ...kept, ...kept]);
  }
  for (const [width, height] of [[8, 8], [4, 8], [16, 4]]) {
    const found = `${width}×${height}`;
    assertThrows(
      () => readMask("mask", flat(width, height, 255), picture, shape, 0),
      FieldError,
      `8×4 or 4×4 pixels as the picture has, found "${found}"`,
    );
  }
  for (const mask of [flat(4, 4, 0), pixels(4, 4, Array(16).fill([0, 255]).flat(), 2)]) {
    assertThrows(
      () => readMask("m", mask, picture, shape, 0),
      FieldError,
      "transparent or white pixels",
    );
  }
  // Where nothing is transparent, white is the hole also in a file that could be.
  assert(readMask("m", flat(4, 4, 255, 2), picture, shape, 0).kept.every((k) => k === 0));
});

Deno.test("what is measured is the picture's numbers, where the operator measures a picture", () => {
  const picture = pixels(2, 2, [0, 51, 204, 255]);
  assertEquals(
    [...measured(picture, operatorOf({}, [1, 2, 2]))].map((v) => Math.round(v * 10) / 10),
    [-1, -0.6, 0.6, 1],
  );
  const sensing = operators.sensing.create({ shape: [1, 2, 2], options: { share: 0.5, seed: 0 } });
  assertThrows(() => measured(picture, sensing), InputError, "measures 2 numbers");
  const others = [[12, [3, 2, 2]], [30, [1, 5, 6]], [1, [1, 1, 1]]] as const;
  for (const [count, shape] of others) {
    const says = `this operator measures ${count} numbers that are no picture`;
    assertThrows(() => measured(picture, operatorOf({}, shape)), InputError, says);
  }
});

Deno.test("no noise is taken for granted but 8-bit rounding, where small singular values enlarge it", () => {
  const shape = [3, 8, 8] as const;
  const noise = (degradation: Degradation) => defaultNoise(operatorOf(degradation, shape));
  assertEquals(noise({}), 0);
  assertEquals(noise({ mask: randomMask(8, 8, 0.5) }), 0);
  assertEquals(noise({ mask: randomMask(8, 8, -1) }), 0);
  assertEquals(noise({ scale: { factor: 4, kernel: "mean" } }), 0);
  assertEquals(noise({ colour: true }), 0);
  assertEquals(noise({ scale: { factor: 4, kernel: "bicubic" } }), 0.003);
  assertEquals(noise({ blur: { kind: "gaussian", size: 0.5 } }), 0.003);
  assertEquals(noise({ blur: { kind: "motion", length: 3, angle: 0 } }), 0.003);
  // A thousandth less is as well seen, more is not.
  const least = (s: number) =>
    defaultNoise({ ...operatorOf({}, [1, 1, 2]), s: Float64Array.of(1, s) });
  assertEquals([least(0.9991), least(0.9989), least(0.95)], [0, 0.003, 0.003]);
  const blur = operatorOf({ blur: { kind: "gaussian", size: 0.5 } }, shape);
  assertEquals(simulated(blur, new Float32Array(192), 1).sigma_y, 0.003, "of what is tried, too");
});

Deno.test("a simulated measurement is H x with σ_y of noise, its seed's own", () => {
  const operator = operatorOf({ scale: { factor: 2, kernel: "mean" } }, [1, 64, 64]);
  const x = createGenerator(1).randn(64 * 64);
  const clean = operator.apply(x);
  assertEquals(simulated(operator, x, 3, 0).y, Float32Array.from(clean));
  const { y, sigma_y } = simulated(operator, x, 3, 0.2);
  assertEquals(sigma_y, 0.2);
  const off = y.map((v, i) => v - clean[i]);
  assertAlmostEquals(off.reduce((sum, v) => sum + v, 0) / off.length, 0, 0.02);
  assertAlmostEquals(Math.sqrt(off.reduce((sum, v) => sum + v * v, 0) / off.length), 0.2, 0.01);
  assertEquals(simulated(operator, x, 3, 0.2).y, y);
  assert(simulated(operator, x, 4, 0.2).y.some((v, i) => v !== y[i]));
  // Told from the numbers themselves where they are noise on something smooth.
  const noisy = simulated(operatorOf({}, [1, 64, 64]), new Float32Array(64 * 64), 1, 0.3);
  const told = given(noisy.operator, noisy.y, "auto");
  assertEquals(told.sigma_y, estimateNoise(noisy.y, [1, 64, 64]));
  assertAlmostEquals(told.sigma_y, 0.3, 0.02);
  assertEquals(given(operator, y).sigma_y, 0);
  assertEquals(given(operator, y, 0.7).sigma_y, 0.7);
});

Deno.test("a measurement is known by y, its noise and what H does, and by nothing else", async () => {
  const shape = [1, 4, 4] as const;
  const base: Measurement = {
    operator: operatorOf({ mask: randomMask(4, 4, 0.5) }, shape),
    y: new Float32Array(16).fill(0.5),
    sigma_y: 0.1,
  };
  const { operator } = base;
  const minus = (v: ArrayLike<number>) => Float64Array.from(v, (c) => -c);
  const others: Measurement[] = [
    { ...base, y: base.y.map((v, i) => i === 3 ? v + 1e-6 : v) },
    { ...base, sigma_y: 0.1000001 },
    { ...base, operator: operatorOf({ mask: randomMask(4, 4, 0.5, 1) }, shape) },
    { ...base, operator: { ...operator, name: "other" } },
    // The same singular values, another H.
    { ...base, operator: { ...operator, apply: (x) => minus(operator.apply(x)) } },
    { ...base, operator: { ...operator, shape: [1, 2, 8], measured: [1, 2, 8] } },
  ];
  const hash = async (measurement: Measurement) => (await measurementInput(measurement)).sha256;
  const known = await hash(base);
  assertEquals(
    await hash({ ...base, operator: operatorOf({ mask: randomMask(4, 4, 0.5) }, shape) }),
    known,
  );
  // Wherever y lies in memory.
  assertEquals(await hash({ ...base, y: new Float32Array(20).fill(0.5, 4).subarray(4) }), known);
  // For ever: recipes name measurements by it.
  assertEquals(
    known,
    "1b14abe8547d40db5e9585dd91e953a7c69e17b4db1e95a1de8652069af8af66",
  );
  const seen = new Set([known, ...await Promise.all(others.map(hash))]);
  assertEquals(seen.size, 1 + others.length);
});

Deno.test("psnr: 20·log10 of the range over the error, of pixels clipped to it", () => {
  const truth = Float32Array.of(-1, 0, 0.5, 1);
  assertAlmostEquals(psnr(truth.map((v) => v === 1 ? v - 0.2 : v + 0.2), truth), 20, 1e-5);
  assertAlmostEquals(psnr(Float32Array.of(-1, 0, 0.5, 0), truth), 10 * Math.log10(16), 1e-5);
  assertAlmostEquals(psnr(Float32Array.of(-3, 0, 0.5, 9), truth), 20 * Math.log10(510), 1e-9);
});

Deno.test("ssim: 1 of equals, the formula's value of flat pictures and of an opposite", () => {
  const shape = [1, 16, 20] as const, n = 320;
  const x = Float32Array.from({ length: n }, (_, i) => Math.sin(i * i) * 0.9);
  assertAlmostEquals(ssim(x, x, shape), 1, 1e-12);
  const c1 = (0.01 * 2) ** 2, c2 = (0.03 * 2) ** 2;
  // Without variance only the means count.
  const [a, b] = [0.5, -0.2].map((level) => new Float32Array(n).fill(level));
  assertAlmostEquals(ssim(a, b, shape), (2 * 0.5 * -0.2 + c1) / (0.25 + 0.04 + c1), 1e-6);
  // A picture no larger than the window has one: without means, (2 cov + c2)/(var + var + c2).
  const [u, v] = [Float32Array.of(0.5, -0.5), Float32Array.of(0.25, -0.25)];
  const value = (2 * 0.125 + c2) / (0.25 + 0.0625 + c2);
  const pair = [1, 2, 2] as const;
  const square = (p: Float32Array) => Float32Array.of(p[0], p[1], p[1], p[0]);
  assertAlmostEquals(ssim(square(u), square(v), pair), value, 1e-6);
  assertAlmostEquals(
    ssim(square(u), square(v).map((w) => -w), pair),
    (c2 - 0.25) / (0.3125 + c2),
    1e-6,
  );
  // The channels' mean, and what lies outside the range is clipped.
  const both = (p: Float32Array, q: Float32Array) => Float32Array.of(...p, ...q);
  const two = ssim(both(square(u), square(v)), both(square(u), square(u)), [2, 2, 2]);
  assertAlmostEquals(two, (1 + value) / 2, 1e-6);
  assertAlmostEquals(
    ssim(Float32Array.of(5, -5, -5, 5), Float32Array.of(1, -1, -1, 1), pair),
    1,
    1e-9,
  );
});

Deno.test("noise is told from the diagonal differences: none of a ramp, all of a chequer", () => {
  const ramp = Float32Array.from({ length: 64 }, (_, p) => p % 8 * 0.1 + Math.floor(p / 8) * 0.2);
  assertAlmostEquals(estimateNoise(ramp, [1, 8, 8]), 0, 1e-6);
  const chequer = Float32Array.from({ length: 64 }, (_, p) => (p + (p >> 3)) % 2 ? 0.1 : -0.1);
  assertAlmostEquals(estimateNoise(chequer, [1, 8, 8]), 0.2 / 0.6745, 1e-6);
  assertEquals(estimateNoise(Float32Array.of(1, 2, 3), [1, 1, 3]), 0);
  // Of odd sides the last row or column has no block.
  const odd = Float32Array.of(0, 2, 9, 2, 0, -9);
  for (const [height, width] of [[2, 3], [3, 2]]) {
    const block = width === 3 ? [0, 2, 2, 0] : [0, 2, 9, 2];
    const sigma = Math.abs(block[0] - block[1] - block[2] + block[3]) / 2 / 0.6745;
    assertAlmostEquals(estimateNoise(odd, [1, height, width]), sigma, 1e-6);
  }
});

Deno.test("noise is told in the units of the picture, however large, from blocks that were measured whole", () => {
  const noise = createGenerator(4).randn(32 * 32);
  const sigma = estimateNoise(noise, [1, 32, 32]);
  assertAlmostEquals(sigma, 1, 0.2);
  for (const unit of [1e-6, 0.1, 7, 100, 1e4]) {
    const found = estimateNoise(noise.map((z) => unit * z), [1, 32, 32]);
    assertAlmostEquals(found / (unit * sigma), 1, 1e-4, `${unit}`);
  }
  // One of each block of four was not measured, and whatever stands there is loud; the last row of
  // blocks is whole.
  for (const [y, x] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
    const hidden = (p: number) => p < 960 && (p >> 5) % 2 === y && p % 2 === x;
    const kept = Uint8Array.from(noise, (_, p) => hidden(p) ? 0 : 1);
    const first = (p: number) => (p >> 5) % 2 === 0 && p % 2 === 0;
    const loud = Float32Array.from(noise, (_, p) => hidden(p) ? 1e3 : first(p) ? 0.6745 : 0);
    assertAlmostEquals(estimateNoise(loud, [1, 32, 32], kept), 0.5, 1e-6, `${y}, ${x}`);
  }
});

Deno.test("noise is told of every channel alike", () => {
  const noise = createGenerator(5).randn(3 * 32 * 32);
  const only = noise.map((z, i) => i < 32 * 32 ? 0 : 0.4 * z);
  assertAlmostEquals(estimateNoise(only.subarray(32 * 32), [2, 32, 32]), 0.4, 0.03);
  // Two thirds noisy: the median lies in the lower half of them.
  const found = estimateNoise(only, [3, 32, 32]);
  assert(found > 0.1 && found < 0.35, `${found}`);
});

Deno.test("what a picture has lost, in a few letters", () => {
  assertEquals(readScale("4", "scale"), { factor: 4, kernel: "mean" });
  assertEquals(readScale("2:bicubic", "scale"), { factor: 2, kernel: "bicubic" });
  assertEquals(readScale("64:mean", "scale"), { factor: 64, kernel: "mean" });
  for (const text of ["1", "65", "0", "-2", "2.5", "", "4:", "4:cubic", "4:mean:1"]) {
    const whole = /^-?[\d.]*$/.test(text);
    const expected = whole
      ? "a whole number from 2 to 64"
      : "a whole number such as 4, 4:mean or 4:bicubic";
    assertThrows(() => readScale(text, "scale"), FieldError, `scale: expected ${expected}, found `);
  }
  assertEquals(readBlur("gaussian:2.5", "blur"), { kind: "gaussian", size: 2.5 });
  assertEquals(readBlur("uniform:9", "blur"), { kind: "uniform", size: 9 });
  assertEquals(readBlur("motion:7", "blur"), { kind: "motion", length: 7, angle: 0 });
  assertEquals(readBlur("motion:7:-30", "blur"), { kind: "motion", length: 7, angle: -30 });
  for (const text of ["gaussian", "gaussian:2:3", "box:3", "motion:7:30:1", "motion:x", ""]) {
    const says = text === "motion:x"
      ? "a number"
      : "gaussian:SIGMA, uniform:WIDTH or motion:LENGTH:DEGREES";
    assertThrows(() => readBlur(text, "blur"), FieldError, `blur: expected ${says}, found `);
  }
  assertEquals(readNoise("auto", "noise"), "auto");
  assertEquals([readNoise("0", "noise"), readNoise("10", "noise")], [0, 10]);
  for (const text of ["-0.1", "10.1", "much", ""]) {
    const says = `noise: expected a number from 0 to 10, or auto, found "${text}"`;
    assertThrows(() => readNoise(text, "noise"), FieldError, says);
  }
});
