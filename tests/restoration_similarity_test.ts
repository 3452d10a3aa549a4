/** How near one picture is to another, by hand. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { psnr, ssim } from "../src/restoration/similarity.ts";

const flat = (value: number, size = 64) => new Float32Array(size).fill(value);
const shape = [1, 8, 8] as const;

Deno.test("PSNR is 10·log10(range²/mse) over a range of 2", () => {
  assertAlmostEquals(psnr(flat(0.2), flat(0)), 20, 1e-5);
  assertAlmostEquals(psnr(flat(-1), flat(1)), 0, 1e-9);
  // Half of the pixels right: half of the error.
  const half = flat(0).map((_, i) => i % 2 === 0 ? 0.2 : 0);
  assertAlmostEquals(psnr(half, flat(0)), 20 + 10 * Math.log10(2), 1e-5);
});

Deno.test("equal pictures count as half a level apart", () => {
  assertAlmostEquals(psnr(flat(0.3), flat(0.3)), 20 * Math.log10(2 * 255), 1e-9);
  assertEquals(psnr(flat(0.3 + 1e-4), flat(0.3)), psnr(flat(0.3), flat(0.3)));
});

Deno.test("what leaves −1 … 1 counts as the white and black it is drawn as", () => {
  for (const end of [-1, 1]) {
    assertEquals(psnr(flat(3 * end), flat(end)), psnr(flat(end), flat(end)));
    assertAlmostEquals(psnr(flat(3 * end), flat(0.8 * end)), 20, 1e-5);
    assertAlmostEquals(ssim(flat(3 * end), flat(end), shape), 1, 1e-9);
  }
});

Deno.test("SSIM is 1 for equal pictures, and of flat ones the luminance term alone (eq. 6)", () => {
  const ramp = Float32Array.from({ length: 64 }, (_, i) => i / 32 - 1);
  assertAlmostEquals(ssim(ramp, ramp, shape), 1, 1e-9);
  const c1 = 0.02 ** 2;
  const [a, b] = [0.5, -0.25].map(Math.fround);
  assertAlmostEquals(
    ssim(flat(a), flat(b), shape),
    (2 * a * b + c1) / (a * a + b * b + c1),
    1e-6,
  );
});

Deno.test("SSIM of a picture and its negative is near −1, and each channel counts alike", () => {
  // A chessboard: mean 0, so that the structure alone decides.
  const board = Float32Array.from({ length: 256 }, (_, i) => (i + (i >> 4)) % 2 ? 0.5 : -0.5);
  const negative = board.map((x) => -x);
  const opposed = ssim(board, negative, [1, 16, 16]);
  assert(opposed < -0.95, `${opposed}`);
  const both = (x: Float32Array) => Float32Array.from([...board, ...x]);
  assertAlmostEquals(
    ssim(both(negative), both(board), [2, 16, 16]),
    (1 + opposed) / 2,
    1e-6,
  );
});

Deno.test("SSIM is the mean over windows of 11 × 11, weighted by a Gaussian of σ 1.5", () => {
  const [height, width] = [13, 12];
  const wave = (k: number) =>
    Float32Array.from({ length: height * width }, (_, i) => Math.sin(i * i * k) * 0.8);
  const [x, y] = [wave(0.1), wave(0.13)];
  const offsets = Array.from({ length: 121 }, (_, i) => [Math.floor(i / 11), i % 11]);
  const weights = offsets.map(([i, j]) =>
    Math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5 ** 2))
  );
  const all = weights.reduce((a, b) => a + b);
  const of: number[] = [];
  for (const [top, left] of [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]) {
    const mean = (f: (p: number) => number) =>
      offsets.reduce((sum, [i, j], k) => sum + weights[k] * f((top + i) * width + left + j), 0) /
      all;
    const [a, b] = [mean((p) => x[p]), mean((p) => y[p])];
    const variance = (u: Float32Array, m: number) => mean((p) => (u[p] - m) ** 2);
    const covariance = mean((p) => (x[p] - a) * (y[p] - b));
    const [c1, c2] = [0.02 ** 2, 0.06 ** 2];
    of.push(
      (2 * a * b + c1) * (2 * covariance + c2) /
        ((a * a + b * b + c1) * (variance(x, a) + variance(y, b) + c2)),
    );
  }
  const expected = of.reduce((a, b) => a + b) / of.length;
  assertAlmostEquals(ssim(x, y, [1, height, width]), expected, 1e-9);
});
