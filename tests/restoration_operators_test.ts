/** Operators: each is the matrix it says it is, and its decomposition is one. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import {
  applyBySvd,
  createGenerator,
  type LinearOperator,
  missingShare,
  observe,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { type Degradation, operatorOf } from "../src/restoration/degradation.ts";
import { matrix } from "../src/restoration/linear/matrix.ts";
import { estimateNoise } from "../src/restoration/noise_level.ts";
import type { PictureShape } from "../src/restoration/operator.ts";
import { dense } from "../src/restoration/operators/dense.ts";
import {
  blurKernel,
  gaussianKernel,
  reflected,
  uniformKernel,
} from "../src/restoration/operators/blur.ts";
import { operators } from "../src/restoration/operators/mod.ts";
import { recommendedRestorer } from "../src/restoration/recommended.ts";
import { randomMask, restorationOperators } from "./restoration_operators.ts";

const size = (shape: PictureShape) => shape[0] * shape[1] * shape[2];
const length = (x: ArrayLike<number>) => Math.sqrt(Array.from(x).reduce((s, v) => s + v * v, 0));
const most = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0);

function checkIdentities(operator: LinearOperator, seed: number) {
  const { shape, measured, s } = operator;
  const n = size(shape);
  const generator = createGenerator(seed);
  const x = generator.randn(n);
  const x_bar = operator.Vt(x);
  assertEquals(x_bar.length, n);
  assertEquals(s.length, n);
  assert(s.every((value) => value >= 0 && Number.isFinite(value)), "singular values");
  assertAlmostEquals(length(x_bar), length(x), 1e-5 * length(x), "‖Vᵀx‖ = ‖x‖");
  assert(most(operator.V(x_bar), x) < 1e-5, "V Vᵀx = x");
  assert(most(operator.Vt(operator.V(x)), x) < 1e-5, "Vᵀ V x̄ = x̄");
  const y = operator.apply(x);
  assertEquals(y.length, size(measured));
  assert(most(applyBySvd(operator, x), y) < 1e-5, "H by its decomposition is H");
  // Hᵀ's own identity: ⟨c, Uᵀy⟩ = ⟨U c, y⟩ wherever s > 0.
  const c = generator.randn(n).map((v, i) => s[i] > 0 ? v : 0);
  const inner = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((sum, v, i) => sum + v * b[i], 0);
  const z = generator.randn(y.length);
  assertAlmostEquals(inner(c, operator.Ut(z)), inner(operator.U(c), z), 1e-4, "Uᵀ is U's adjoint");
  assertAlmostEquals(length(operator.U(c)), length(c), 1e-5 * length(x), "‖U c‖ = ‖c‖");
  // What is missing counts nowhere: neither has U anything of it, nor Uᵀ.
  const all = generator.randn(n);
  const seen = all.map((v, i) => s[i] > 0 ? v : 0);
  assert(most(operator.U(all), operator.U(seen)) === 0, "U c where s = 0");
  assert(operator.Ut(z).every((v, i) => s[i] > 0 || v === 0), "Uᵀ y where s = 0");
  const inverse = operator.Ut(y).map((v, i) => s[i] > 0 ? v / s[i] : 0);
  assert(most(operator.apply(operator.V(inverse)), y) < 1e-5, "H H⁺ H x = H x");
}

for (const [name, operator] of restorationOperators()) {
  Deno.test(`${name}: V is a basis, U Σ Vᵀ is H, H H⁺ H = H`, () => {
    for (const seed of [1, 2]) checkIdentities(operator, seed);
  });
}

Deno.test("operators do what their names say, by hand", () => {
  const shape = [1, 2, 4] as const;
  const x = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const apply = (
    d: Degradation,
    s: PictureShape = shape,
    of = x,
  ) => [...operatorOf(d, s).apply(of)];
  assertEquals(apply({ scale: { factor: 2, kernel: "mean" } }), [3.5, 5.5]);
  const mask = { kept: Uint8Array.of(1, 0, 0, 1, 1, 1, 0, 0), width: 4, height: 2 };
  assertEquals(apply({ mask }), [1, 0, 0, 4, 5, 6, 0, 0]);
  const small = { kept: Uint8Array.of(0, 1), width: 2, height: 1 };
  assertEquals(apply({ scale: { factor: 2, kernel: "mean" }, mask: small }), [0, 5.5]);
  // A kernel of three taps with mirrored edges: (a, a, b)/3 at the first pixel.
  const [first, second] = apply(
    { blur: { kind: "uniform", size: 3 } },
    [1, 1, 4],
    x.subarray(0, 4),
  );
  assertAlmostEquals(first, (1 + 1 + 2) / 3, 1e-12);
  assertAlmostEquals(second, 2, 1e-12);
  const grey = apply({ colour: true }, [3, 1, 1], Float32Array.of(1, 2, 3));
  assertAlmostEquals(grey[0], 0.299 + 2 * 0.587 + 3 * 0.114, 1e-12);
});

Deno.test("a flat picture stays flat under every blur and scaling", () => {
  const flat = new Float32Array(16 * 16).fill(0.3);
  const degradations: Degradation[] = [
    { blur: { kind: "gaussian", size: 2 } },
    { blur: { kind: "uniform", size: 9 } },
    { blur: { kind: "motion", length: 7, angle: 30 } },
    { scale: { factor: 4, kernel: "bicubic" } },
    { scale: { factor: 4, kernel: "mean" }, blur: { kind: "gaussian", size: 1 } },
  ];
  for (const degradation of degradations) {
    const y = operatorOf(degradation, [1, 16, 16]).apply(flat);
    for (const value of y) assertAlmostEquals(value, 0.3, 1e-7);
  }
});

Deno.test("bicubic scaling has the taps of MATLAB's and PIL's antialiased kernel", () => {
  const impulse = new Float32Array(16 * 16);
  for (let i = 0; i < 16; i++) impulse[i * 16 + 8] = 1; // a column, so that only one way counts
  const y = operatorOf({ scale: { factor: 2, kernel: "bicubic" } }, [1, 16, 16]).apply(impulse);
  // Weights of pixel 8 in new pixels 2 … 5: the cubic at 1.75, 0.75, 0.25 and 1.25 over their sum 2.
  const expected = [-0.01171875, 0.11328125, 0.43359375, -0.03515625];
  expected.forEach((value, i) => assertAlmostEquals(y[3 * 8 + 2 + i], value, 1e-12));
});

Deno.test("circular convolution is the sum over shifted pixels", () => {
  const shape = [1, 5, 6] as const;
  const x = createGenerator(3).randn(30);
  const operator = operatorOf({ blur: { kind: "motion", length: 3, angle: 0 } }, shape);
  const y = operator.apply(x);
  // Twelve points along −1 … 1, shared between their neighbours.
  const taps = [-1, 0, 1].map((at) =>
    Array.from({ length: 12 }, (_, i) => Math.max(0, 1 - Math.abs(i / 5.5 - 1 - at)))
      .reduce((a, b) => a + b, 0) / 12
  );
  for (let i = 0; i < 5; i++) {
    for (let j = 0; j < 6; j++) {
      const sum = taps.reduce((s, tap, q) => s + tap * x[i * 6 + (j - (q - 1) + 6) % 6], 0);
      assertAlmostEquals(y[i * 6 + j], sum, 1e-5);
    }
  }
});

Deno.test("beyond a border of zeros there is nothing, at either end", () => {
  const options = { kind: "uniform", size: 3, border: "zero" };
  const y = operators.blur.create({ shape: [1, 1, 4], options }).apply(Float32Array.of(1, 2, 3, 4));
  // One row high: a third of each column's own sum.
  [1 + 2, 1 + 2 + 3, 2 + 3 + 4, 3 + 4].forEach((sum, i) => assertAlmostEquals(y[i], sum / 9, 1e-6));
});

Deno.test("a motion's angle turns from the horizontal upwards", () => {
  const point = new Float32Array(16 * 16);
  point[8 * 16 + 8] = 1;
  const y = operatorOf({ blur: { kind: "motion", length: 5, angle: 45 } }, [1, 16, 16]).apply(
    point,
  );
  const at = (row: number, column: number) => y[row * 16 + column];
  assert(at(7, 9) > 0.1 && at(9, 7) > 0.1, "the streak rises to the right");
  assert(Math.abs(at(9, 9)) < 0.05 && Math.abs(at(7, 7)) < 0.05, "and not to the left");
});

Deno.test("blur kernels: a Gaussian out to 3σ, n equal taps, the sum 1", () => {
  const kernel = gaussianKernel(1.5);
  assertEquals(kernel.length, 11);
  assertAlmostEquals(kernel.reduce((a, b) => a + b), 1, 1e-12);
  // exp(−x²/2σ²) of neighbours: e^(−1/4.5) beside the middle.
  assertAlmostEquals(kernel[6] / kernel[5], Math.exp(-1 / 4.5), 1e-12);
  assertAlmostEquals(kernel[10] / kernel[5], Math.exp(-25 / 4.5), 1e-12);
  const lengths = [["gaussian", 0.1], ["gaussian", 50], ["uniform", 2], ["uniform", 101]] as const;
  assertEquals(lengths.map(([kind, size]) => blurKernel(kind, size).length), [3, 301, 2, 101]);
  assertEquals(gaussianKernel(0.1).length, 3);
  assertEquals(uniformKernel(4), [0.25, 0.25, 0.25, 0.25]);
  for (const [kind, size] of [["gaussian", 0.09], ["gaussian", 51], ["gaussian", NaN]] as const) {
    assertThrows(() => blurKernel(kind, size), InputError, `from 0.1 to 50 pixels, found ${size}`);
  }
  for (const size of [1, 102, 2.5, NaN]) {
    assertThrows(
      () => blurKernel("uniform", size),
      InputError,
      `from 2 to 101 pixels, found ${size}`,
    );
  }
});

Deno.test("an even number of taps reaches one pixel further to the right", () => {
  const step = Float32Array.of(0, 0, 0, 8, 0, 0, 0, 0);
  const y = operatorOf({ blur: { kind: "uniform", size: 4 } }, [1, 1, 8]).apply(step);
  // y_i is the mean of x_(i−1) … x_(i+2); mirrored edges see nothing of it.
  assertEquals([...y].map((v) => Math.round(v * 1e9) / 1e9), [0, 2, 2, 2, 2, 0, 0, 0]);
});

Deno.test("beyond mirrored edges the picture comes again, however far a kernel reaches", () => {
  assertEquals([-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6].map((i) => reflected(i, 3)), [
    ...[2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0],
  ]);
});

Deno.test("scaling by 1, by a part, or into blocks that do not fill the picture is refused", () => {
  for (const plugin of [operators.mean, operators.bicubic]) {
    for (
      const [shape, scale] of [
        [[1, 4, 4], 1],
        [[1, 4, 4], 0],
        [[1, 4, 4], 1.5],
        [[1, 4, 6], 4],
        [[1, 6, 4], 4],
      ] as const
    ) {
      const create = () => plugin.create({ shape, options: { scale } });
      assertThrows(
        create,
        InputError,
        `from 2 that divides ${shape[2]}×${shape[1]}, found ${scale}`,
      );
    }
  }
});

Deno.test("compressed sensing: the share of coefficients, from all over the transform, by the seed", () => {
  const of = (share: number, seed: number) =>
    operators.sensing.create({ shape: [2, 16, 32], options: { share, seed } });
  const { measured, s } = of(0.25, 3);
  assertEquals(measured, [256, 1, 1]);
  const channels = [s.subarray(0, 512), s.subarray(512)];
  assertEquals(channels[0], channels[1]);
  assertEquals(channels[0].reduce((a, b) => a + b), 128);
  // A quarter of each eighth of the transform, as far as chance goes.
  for (let part = 0; part < 8; part++) {
    const known = channels[0].subarray(part * 64, (part + 1) * 64).reduce((a, b) => a + b);
    assert(known >= 6 && known <= 28, `${known} of 64 in part ${part}`);
  }
  assertEquals(of(0.25, 3).s, s);
  const chosen = [...channels[0].entries()].filter(([, s]) => s > 0).map(([at]) => at);
  assertEquals(`${chosen.slice(0, 8)}`, "0,1,9,12,14,15,17,19", "for ever, as seeds are");
  assert(of(0.25, 4).s.some((v, i) => v !== s[i]));
  assertEquals(of(0.0001, 0).measured, [2, 1, 1]);
  assertEquals(missingShare(of(1, 0)), 0);
});

Deno.test("compressed sensing knows the mean, whichever other coefficients it is given", () => {
  for (const [height, width] of [[8, 8], [6, 10]]) {
    const flat = new Float32Array(height * width).fill(0.5);
    for (let seed = 0; seed < 8; seed++) {
      const options = { share: 0.05, seed };
      const y = operators.sensing.create({ shape: [1, height, width], options }).apply(flat);
      assertAlmostEquals(y[0], 0.5 * Math.sqrt(height * width), 1e-5, `seed ${seed}`);
    }
  }
});

Deno.test("what cannot be combined exactly is refused with what can", () => {
  const mask = { kept: new Uint8Array(256).fill(1), width: 16, height: 16 };
  const refused: [Degradation, RegExp][] = [
    [{ mask, blur: { kind: "gaussian", size: 2 } }, /a mask and a blur/],
    [{ mask, scale: { factor: 4, kernel: "bicubic" } }, /a mask and bicubic/],
    [
      { scale: { factor: 2, kernel: "mean" }, blur: { kind: "motion", length: 5, angle: 0 } },
      /motion/,
    ],
    [{ scale: { factor: 3, kernel: "mean" } }, /divides 16×16, found 3/],
    [{ scale: { factor: 3, kernel: "bicubic" } }, /divides 16×16, found 3/],
    [{ mask, scale: { factor: 4, kernel: "mean" } }, /expected 4×4 pixels.* found 16×16/],
    [{ colour: true }, /1 channel/],
    [{ blur: { kind: "gaussian", size: 0 } }, /sigma/],
    [{ blur: { kind: "uniform", size: 2.5 } }, /width/],
    [{ blur: { kind: "motion", length: 40, angle: 0 } }, /16 pixels/],
    [{ mask, operator: { plugin: operators.grey, options: {} } }, /takes no mask/],
    [{ colour: true, operator: { plugin: operators.grey, options: {} } }, /cannot be combined/],
  ];
  for (const [degradation, message] of refused) {
    const error = assertThrows(() => operatorOf(degradation, [1, 16, 16]), InputError);
    assert(message.test(error.message), error.message);
  }
});

Deno.test("the share that is missing", () => {
  const mask = { kept: Uint8Array.of(1, 0, 0, 0), width: 2, height: 2 };
  assertEquals(missingShare(operatorOf({ mask }, [1, 2, 2])), 0.75);
  assertEquals(missingShare(operatorOf({ scale: { factor: 2, kernel: "mean" } }, [1, 4, 4])), 0.75);
  assertAlmostEquals(missingShare(operatorOf({ colour: true }, [3, 2, 2])), 2 / 3, 1e-12);
  assertEquals(missingShare(operatorOf({}, [1, 2, 2])), 0);
  // What is seen ten thousand times worse than the rest is not seen.
  const uneven = dense([1, 1, 4], matrix(4, 4, (i, j) => i === j ? [1, 2e-4, 5e-5, 0][i] : 0));
  assertEquals(missingShare(uneven), 0.5);
});

Deno.test("an observation's noise is σ_y/s, infinite where nothing is seen", () => {
  const operator = operatorOf({ scale: { factor: 2, kernel: "mean" } }, [1, 2, 2]);
  const { y_bar, noise } = observe({ operator, y: Float32Array.of(0.5), sigma_y: 0.1 });
  assertEquals([...noise].map((v) => Math.round(v * 1e9) / 1e9), [
    0.2,
    Infinity,
    Infinity,
    Infinity,
  ]);
  assertAlmostEquals(y_bar[0], 1, 1e-9);
  // What is seen a thousand times worse than the rest is seen; a million times is rounding.
  const uneven = dense([1, 1, 3], matrix(3, 3, (i, j) => i === j ? [1, 1e-3, 1e-6][i] : 0));
  const { noise: levels } = observe({ operator: uneven, y: new Float32Array(3), sigma_y: 0.1 });
  assertEquals([...levels].map((v) => Math.round(v * 1e6) / 1e6), [0.1, 100, Infinity]);
});

Deno.test("every built-in operator goes by its own name and makes itself with its defaults", () => {
  for (const [name, plugin] of Object.entries(operators)) {
    assertEquals(plugin.name, name);
    assertEquals(plugin.api, 1);
    const options = Object.fromEntries(
      Object.entries(plugin.options ?? {}).map(([key, o]) => [key, o.default]),
    );
    const mask = plugin.mask ? new Uint8Array(256).fill(1) : undefined;
    const operator = plugin.create({ shape: [3, 16, 16], options, mask });
    assertEquals(operator.shape, [3, 16, 16]);
  }
});

Deno.test("noise is estimated from the picture alone", () => {
  const noise = createGenerator(4).randn(64 * 64);
  const picture = Float32Array.from(noise, (z, p) => {
    const inside = Math.hypot(p % 64 - 32, Math.floor(p / 64) - 32) < 20;
    return (inside ? 0.8 : -0.8) + 0.2 * z;
  });
  assertAlmostEquals(estimateNoise(picture, [1, 64, 64]), 0.2, 0.02);
});

Deno.test("the sampler that is taken depends on what is missing, and whether it is a hole", () => {
  const shape = [1, 16, 16] as const;
  const chosen = (degradation: Degradation, sigma_y = 0) => {
    const operator = operatorOf(degradation, shape);
    const { sampler, steps, options } = recommendedRestorer({
      operator,
      y: new Float32Array(0),
      sigma_y,
    });
    return [sampler, steps, options?.start ?? 1];
  };
  const half = {
    kept: Uint8Array.from({ length: 256 }, (_, p) => p % 16 < 8 ? 1 : 0),
    width: 16,
    height: 16,
  };
  assertEquals(chosen({}, 0.5), ["ddrm", 20, 1]);
  assertEquals(chosen({ mask: half }), ["ddnm", 100, 1]);
  assertEquals(chosen({ mask: randomMask(16, 16, 0.25) }), ["ddnm", 100, 0.5]);
  assertEquals(chosen({ scale: { factor: 4, kernel: "mean" } }), ["ddnm", 100, 0.5]);
  assertEquals(chosen({ scale: { factor: 4, kernel: "mean" } }, 0.1), ["ddrm", 100, 0.5]);
  // Half missing is much; a part of the picture of which one pixel in sixteen is known is seen, but
  // one of which nothing is known is a hole.
  const kept = (keep: (x: number, y: number) => boolean) => ({
    mask: {
      kept: Uint8Array.from({ length: 256 }, (_, p) => keep(p % 16, p >> 4) ? 1 : 0),
      width: 16,
      height: 16,
    },
  });
  assertEquals(chosen(kept((x, y) => y < 8 || x < 1)), ["ddrm", 20, 1]);
  assertEquals(chosen(kept((x, y) => x % 4 === 0 && y % 4 === 0)), ["ddnm", 100, 0.5]);
  // One pixel in thirty-two of a part says next to nothing of it.
  const sparse = kept((x, y) => x % 8 === 0 && y % 4 === 0).mask;
  const large = {
    kept: Uint8Array.from({ length: 1024 }, (_, p) => sparse.kept[(p % 16) + 16 * ((p >> 5) % 16)]),
    width: 32,
    height: 32,
  };
  const { options } = recommendedRestorer({
    operator: operatorOf({ mask: large }, [1, 32, 32]),
    y: new Float32Array(0),
    sigma_y: 0,
  });
  assertEquals(options, undefined);
  const corner = (x: number, y: number) => x < 4 && y < 4;
  assertEquals(chosen(kept((x, y) => !corner(x, y) && (x + y) % 3 === 0)), ["ddnm", 100, 1]);
});
