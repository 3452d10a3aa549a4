/** Operators at their edges: strangers' plug-ins, pictures that are not square, several channels. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { createGenerator, missingShare, residualRms } from "../src/diffusion/mod.ts";
import { MAX_SEED } from "../src/diffusion/random.ts";
import { InputError } from "../src/errors.ts";
import { type Degradation, operatorOf } from "../src/restoration/degradation.ts";
import { measurementInput } from "../src/restoration/input.ts";
import { identity } from "../src/restoration/linear/matrix.ts";
import { defaultNoise, given } from "../src/restoration/measure.ts";
import type { PictureShape } from "../src/restoration/operator.ts";
import { circular, motionKernel } from "../src/restoration/operators/circular.ts";
import { compressedSensing } from "../src/restoration/operators/compressed_sensing.ts";
import { denoising } from "../src/restoration/operators/denoising.ts";
import { dense } from "../src/restoration/operators/dense.ts";
import { masked } from "../src/restoration/operators/inpainting.ts";
import { operators } from "../src/restoration/operators/mod.ts";
import { checkOperator } from "../src/restoration/plugin.ts";
import { recommendedRestorer } from "../src/restoration/recommended.ts";
import { psnr, ssim } from "../src/restoration/similarity.ts";

Deno.test("an operator of a stranger is checked before it runs, and told what is wrong", () => {
  const good = { name: "mine", api: 1, create: () => denoising([1, 1, 1]) };
  assert(checkOperator({ default: good }, "mine.ts") === good as unknown);
  const every = { ...good, description: "does", options: {}, mask: true };
  assertEquals(checkOperator({ default: every }, "mine.ts").mask, true);
  const wrong: [unknown, string][] = [
    [undefined, "a default export { name, api: 1, create }"],
    [{}, "a default export"],
    [{ default: null }, "a default export"],
    [{ default: () => good }, "a default export"],
    [{ default: { ...good, api: 2 } }, "api: 1 (the contract's version), found 2"],
    [{ default: { ...good, api: undefined } }, "api: 1"],
    [{ default: { ...good, name: "Mine" } }, "name: lower-case letters"],
    [{ default: { ...good, name: "my own" } }, "name: lower-case letters"],
    [{ default: { ...good, name: undefined } }, "name: lower-case letters"],
    [{ default: { name: "mine", api: 1 } }, "create: a function"],
    [
      { default: { ...good, masks: true } },
      "no keys but name, api, description, options, mask, create, found masks",
    ],
  ];
  for (const [module, says] of wrong) {
    assertThrows(() => checkOperator(module, "mine.ts"), InputError, `mine.ts: expected ${says}`);
  }
});

Deno.test("a plug-in's mask has the weights' width and height", () => {
  const plugin = operators.inpainting;
  const of = (width: number, height: number) => {
    const mask = { kept: new Uint8Array(width * height).fill(1), width, height };
    return () => operatorOf({ operator: { plugin, options: {} }, mask }, [1, 2, 4]);
  };
  assertEquals(of(4, 2)().measured, [1, 2, 4]);
  for (const [width, height] of [[2, 4], [4, 4], [8, 1]]) {
    assertThrows(
      of(width, height),
      InputError,
      `mask: expected 4×2 pixels, the size of the picture it belongs to, found ${width}×${height}`,
    );
  }
  const without = () => operatorOf({ operator: { plugin, options: {} } }, [1, 2, 4]);
  assertThrows(without, InputError, "expected a mask, found none");
  for (const count of [7, 9, 16]) {
    assertThrows(
      () => masked(denoising([1, 2, 4]), new Uint8Array(count)),
      InputError,
      `mask: expected 4×2 pixels as the picture has, found ${count} pixels`,
    );
  }
});

Deno.test("a mask belongs to the picture that is left, by its width and height", () => {
  const scale = { factor: 2, kernel: "mean" as const };
  const of = (width: number, height: number) => {
    const mask = { kept: new Uint8Array(width * height).fill(1), width, height };
    return () => operatorOf({ scale, mask }, [1, 4, 8]);
  };
  assertEquals(of(4, 2)().measured, [1, 2, 4]);
  for (const [width, height] of [[2, 4], [8, 4]]) {
    assertThrows(of(width, height), InputError, "expected 4×2 pixels");
  }
});

/** H x of pictures of 2 × 4 blocks or so, by hand. */
const applied = (
  degradation: Degradation,
  shape: PictureShape,
  x: readonly number[],
) => [...operatorOf(degradation, shape).apply(Float32Array.from(x))];
const up = (n: number) => Array.from({ length: n }, (_, i) => i);

Deno.test("blocks lie row by row in each channel, of pictures that are high or wide", () => {
  const scale = { factor: 2, kernel: "mean" as const };
  assertEquals(applied({ scale }, [1, 2, 6], up(12)), [3.5, 5.5, 7.5]);
  assertEquals(applied({ scale }, [1, 6, 2], up(12)), [1.5, 5.5, 9.5]);
  assertEquals(applied({ scale }, [2, 2, 4], up(16)), [2.5, 4.5, 10.5, 12.5]);
});

Deno.test("a mask hides the same pixels of every channel, and what it hides is missing", () => {
  const mask = { kept: Uint8Array.of(1, 0, 0, 1, 1, 1), width: 3, height: 2 };
  assertEquals(applied({ mask }, [2, 2, 3], up(12)), [0, 0, 0, 3, 4, 5, 6, 0, 0, 9, 10, 11]);
  const operator = operatorOf({ mask }, [2, 2, 3]);
  assertEquals([...operator.s], [1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1]);
  const small = { kept: Uint8Array.of(1, 0), width: 2, height: 1 };
  const blocks = operatorOf({ scale: { factor: 2, kernel: "mean" }, mask: small }, [1, 2, 4]);
  assertEquals(missingShare(blocks), 7 / 8);
  assertEquals(blocks.s.filter((s) => s > 0).length, 1);
});

Deno.test("a blur mirrors the picture at its edges where nothing else is said", () => {
  const blur = { kind: "uniform" as const, size: 3 };
  const x = [9, 0, 0, 3];
  const close = (found: number[], expected: number[]) =>
    found.forEach((v, i) => assertAlmostEquals(v, expected[i], 1e-6));
  // One row high: mirrored up and down it is the same row.
  close(applied({ blur }, [1, 1, 4], x), [6, 3, 1, 2]);
  close(applied({ blur: { ...blur, border: "reflect" } }, [1, 1, 4], x), [6, 3, 1, 2]);
  close(applied({ blur: { ...blur, border: "zero" } }, [1, 4, 1], x), [1, 1, 1 / 3, 1 / 3]);
});

Deno.test("a blur and a scale go together where the scale divides each side", () => {
  const blur = { kind: "gaussian" as const, size: 1 };
  for (const kernel of ["mean", "bicubic"] as const) {
    const of = (height: number, width: number) => () =>
      operatorOf({ blur, scale: { factor: 4, kernel } }, [1, height, width]);
    assertEquals(of(8, 12)().measured, [1, 2, 3]);
    for (const [height, width] of [[8, 10], [10, 8]]) {
      assertThrows(
        of(height, width),
        InputError,
        `from 2 that divides ${width}×${height}, found 4`,
      );
    }
  }
  assertThrows(
    () =>
      operatorOf({
        blur: { kind: "motion", length: 3, angle: 0 },
        scale: { factor: 2, kernel: "mean" },
      }, [1, 8, 8]),
    InputError,
    "motion blur and scale",
  );
});

Deno.test("a blur and a scale are the scale of what is blurred", () => {
  const blur = { kind: "gaussian" as const, size: 1 }, shape = [2, 8, 12] as const;
  const x = createGenerator(1).randn(2 * 96);
  const blurred = Float32Array.from(operatorOf({ blur }, shape).apply(x));
  for (const kernel of ["mean", "bicubic"] as const) {
    const scale = { factor: 4, kernel };
    const both = operatorOf({ blur, scale }, shape);
    const expected = operatorOf({ scale }, shape).apply(blurred);
    both.apply(x).forEach((v, i) => assertAlmostEquals(v, expected[i], 1e-6));
    assertEquals(both.name, "gaussian blur 1, 1/4");
    for (const factor of [0, 1, 1.5]) {
      const odd = () => operatorOf({ blur, scale: { factor, kernel } }, shape);
      assertThrows(odd, InputError, `from 2 that divides 12×8, found ${factor}`);
    }
  }
});

Deno.test("a plug-in stands alone: nothing else is done to a picture that it degrades", () => {
  const operator = { plugin: operators.grey, options: {} };
  const others: Degradation[] = [
    { colour: true },
    { blur: { kind: "gaussian", size: 1 } },
    { scale: { factor: 2, kernel: "mean" } },
  ];
  for (const other of others) {
    const says = 'operator "grey": cannot be combined with others';
    assertThrows(() => operatorOf({ ...other, operator }, [3, 4, 4]), InputError, says);
  }
  assertEquals(operatorOf({ operator }, [3, 4, 4]).name, "grey");
});

Deno.test("an operator's name says what it does", () => {
  const colour = true, shape = [3, 4, 4] as const;
  const mean = { factor: 2, kernel: "mean" as const };
  const mask = (side: number) => ({
    kept: new Uint8Array(side * side).fill(1),
    width: side,
    height: side,
  });
  const named: [Degradation, string][] = [
    [{}, "denoising"],
    [{ mask: mask(4) }, "inpainting"],
    [{ scale: mean, mask: mask(2) }, "mean of 2×2, inpainting"],
    [{ blur: { kind: "uniform", size: 3 } }, "uniform blur 3"],
    [{ scale: { factor: 2, kernel: "bicubic" } }, "bicubic 1/2"],
    [
      { blur: { kind: "gaussian", size: 1 }, scale: { factor: 2, kernel: "bicubic" } },
      "gaussian blur 1, 1/2",
    ],
    [{ operator: { plugin: operators.mean, options: { scale: 4 } } }, "mean of 4×4"],
    [
      {
        operator: { plugin: operators.blur, options: { kind: "uniform", size: 3, border: "zero" } },
      },
      "uniform blur 3",
    ],
    [{ operator: { plugin: operators.grey, options: {} } }, "grey"],
    [{ colour }, "grey"],
    [{ colour, scale: mean }, "grey, mean of 2×2"],
    [{ colour, mask: mask(4) }, "grey, inpainting"],
  ];
  for (const [degradation, name] of named) {
    assertEquals(operatorOf(degradation, shape).name, name);
  }
  assertEquals([dense([1, 1, 2], identity(2)).name, dense([1, 1, 2], identity(2), "my").name], [
    "matrix",
    "my",
  ]);
  assertEquals(compressedSensing([1, 1, 7], 0.5, 3).name, "4 of 7 cosine coefficients");
  assertEquals(operators.grey.create({ shape: [3, 2, 5], options: {} }).measured, [1, 2, 5]);
  for (const [side, kind] of [[4, "Walsh–Hadamard"], [6, "cosine"]] as const) {
    const { name, Ut, measured: [kept] } = compressedSensing([1, side, side], 0.5, 3);
    assertEquals(name, `${kept} of ${side * side} ${kind} coefficients`);
    const places = Ut(Float64Array.from({ length: kept }, (_, i) => i + 1)).filter((v) => v > 0);
    assertEquals(places, places.toSorted(), "y has them from the lowest to the highest");
  }
});

Deno.test("what the built-in operators' options may be, and are where nobody says", () => {
  const told = Object.values(operators).flatMap(({ name, options = {} }) =>
    Object.entries(options).map(([key, option]) => {
      const { default: value, minimum, maximum, enum: names } = option as unknown as Record<
        string,
        unknown
      >;
      return `${name}.${key}: ${value} of ${names ?? `${minimum} … ${maximum}`}`;
    })
  );
  assertEquals(told, [
    "mean.scale: 4 of 2 … 64",
    "bicubic.scale: 4 of 2 … 64",
    "blur.kind: gaussian of gaussian,uniform",
    "blur.size: 2 of 0.1 … 101",
    "blur.border: reflect of reflect,zero",
    "motion.length: 7 of 2 … 101",
    "motion.angle: 0 of -360 … 360",
    "sensing.share: 0.25 of 0.001 … 1",
    `sensing.seed: 0 of 0 … ${MAX_SEED}`,
  ]);
});

Deno.test("grey is made of three channels, no more and no fewer", () => {
  for (const channels of [1, 2, 4]) {
    assertThrows(
      () => operatorOf({ colour: true }, [channels, 2, 2]),
      InputError,
      `these weights draw ${channels} channel${channels === 1 ? "" : "s"}, colours need 3`,
    );
  }
  const { s } = operatorOf({ colour: true }, [3, 1, 1]);
  assertAlmostEquals(s[0], Math.hypot(0.299, 0.587, 0.114), 1e-12);
  assertEquals([s[1], s[2]], [0, 0]);
});

Deno.test("a motion is no longer than the picture's longer side, and at least two pixels", () => {
  const of = (length: number) => () =>
    operatorOf({ blur: { kind: "motion", length, angle: 90 } }, [1, 4, 8]);
  assertEquals([of(2)().name, of(8)().measured], ["motion blur 2 at 90°", [1, 4, 8]]);
  // Four points a pixel, or a part of one, shared between their neighbours.
  const kernel = motionKernel(2.5, 0, 1, 8);
  const taps = [-1, 0, 1].map((at) =>
    Array.from({ length: 12 }, (_, i) => Math.max(0, 1 - Math.abs((i / 11 - 0.5) * 1.5 - at)))
      .reduce((a, b) => a + b) / 12
  );
  [taps[1], taps[2], 0, 0, 0, 0, 0, taps[0]].forEach((tap, i) =>
    assertAlmostEquals(kernel[i], tap, 1e-12)
  );
  for (const length of [1.9, 8.1, NaN]) {
    assertThrows(
      of(length),
      InputError,
      `motion: expected a length of 2 to 8 pixels, found ${length}`,
    );
  }
});

Deno.test("frequencies that a blur takes away are missing, and nothing becomes no number", () => {
  const x = Float32Array.of(3, 1);
  for (const [taps, share] of [[[0.5, 0.5], 0.5], [[0, 0], 1]] as const) {
    const operator = circular("taps", [1, 1, 2], Float64Array.from(taps));
    assertEquals(missingShare(operator), share);
    const sum = 3 * taps[0] + taps[1];
    for (const v of operator.apply(x)) assertAlmostEquals(v, sum, 1e-12);
    for (const v of [operator.Vt(x), operator.V(x), operator.Ut(x), operator.U(x)]) {
      assert(v.every(Number.isFinite), `${v}`);
    }
    // What is missing is nothing in Uᵀ y, and counts nothing in U c.
    assert(operator.Ut(x).every((v, i) => operator.s[i] > 0 || v === 0));
    const c = Float64Array.from(operator.s, (s) => s > 0 ? 0 : 3);
    assert(operator.U(c).every((v) => v === 0));
  }
});

Deno.test("what H does, how well it sees, and its noise are in a measurement's hash", async () => {
  const operator = operatorOf({}, [1, 2, 2]), y = new Float32Array(4);
  const hash = async (change: object, sigma_y = 0) =>
    (await measurementInput({ operator: { ...operator, ...change }, y, sigma_y })).sha256;
  const known = await hash({});
  assertEquals(await hash({ Vt: operator.V }), known);
  const others = [
    await hash({ s: operator.s.map((s) => 2 * s) }),
    await hash({ apply: (x: Float32Array) => Float64Array.from(x, (v) => v / 2) }),
    await hash({ name: "other" }),
    await hash({}, 0.1),
  ];
  assertEquals(new Set([known, ...others]).size, 5);
});

Deno.test("where nothing is seen no noise is assumed", () => {
  const nothing = masked(denoising([1, 1, 2]), new Uint8Array(2));
  assertEquals(defaultNoise(nothing), 0);
});

Deno.test("what stands under a mask was not measured: not in y, not in its noise, nowhere", async () => {
  const kept = Uint8Array.from({ length: 256 }, (_, p) => p % 16 < 8 ? 1 : 0);
  const mask = { kept, width: 16, height: 16 };
  for (const channels of [1, 3]) {
    const operator = operatorOf({ mask }, [channels, 16, 16]);
    const x = createGenerator(7).randn(channels * 256).map((z) => 0.2 * z);
    const painted = (level: number) => x.map((v, i) => i % 16 < 8 ? v : level);
    const [white, black] = [1, -1].map((level) => given(operator, painted(level), "auto", mask));
    assertEquals(white.y, Float32Array.from(operator.apply(x)), "as H x has it");
    assertEquals(residualRms(white, x), 0);
    assertEquals((await measurementInput(white)).sha256, (await measurementInput(black)).sha256);
    assertAlmostEquals(white.sigma_y, 0.2, 0.06, "a flat hole is no quiet picture");
    assertEquals(given(operator, x, 0.1).y, x, "without a mask y is as it is given");
  }
});

Deno.test("a hole in colours is a hole, whichever channel is looked at", () => {
  const left = {
    kept: Uint8Array.from({ length: 256 }, (_, p) => p % 16 < 7 ? 1 : 0),
    width: 16,
    height: 16,
  };
  for (const channels of [1, 3]) {
    const operator = operatorOf({ mask: left }, [channels, 16, 16]);
    const { sampler, options } = recommendedRestorer({
      operator,
      y: new Float32Array(0),
      sigma_y: 0,
    });
    assertEquals([sampler, options], ["ddnm", undefined]);
    const even = operatorOf({ scale: { factor: 4, kernel: "mean" } }, [channels, 16, 16]);
    const seen = recommendedRestorer({ operator: even, y: new Float32Array(0), sigma_y: 0 });
    assertEquals(seen.options, { start: 0.5, end: 0.1 });
  }
  const half = {
    kept: Uint8Array.from({ length: 256 }, (_, p) => p % 16 < 8 ? 1 : 0),
    width: 16,
    height: 16,
  };
  const operator = operatorOf({ mask: half }, [1, 16, 16]);
  const chosen = (sigma_y: number) =>
    recommendedRestorer({ operator, y: new Float32Array(0), sigma_y });
  assertEquals(chosen(0), { sampler: "ddnm", steps: 100 }, "half is much");
  assertEquals(chosen(0.1), { sampler: "ddrm", steps: 100 });
});

Deno.test("similarity of pictures narrower or lower than the window takes windows of their size", () => {
  const x = Float32Array.from({ length: 5 * 30 }, (_, i) => Math.sin(i * i));
  const y = x.map((v, i) => i === 149 ? -v : v);
  for (const shape of [[1, 5, 30], [1, 30, 5]] as const) {
    assertAlmostEquals(ssim(x, x, shape), 1, 1e-9);
    const value = ssim(x, y, shape);
    assert(value < 1 && value > 0.5, `the last pixel counts: ${value}`);
  }
  assertNotEquals(psnr(x, y), psnr(x, x));
});
