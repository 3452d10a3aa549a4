/** Pictures and masks of any size as measurements, and the noise that is assumed of them. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { operators } from "../src/restoration/operators/mod.ts";
import { masked } from "../src/restoration/operators/inpainting.ts";
import { denoising } from "../src/restoration/operators/denoising.ts";
import { FieldError, InputError } from "../src/errors.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { fit, givenShape, hasTransparency, measured, readMask } from "../src/restoration/fit.ts";
import { defaultNoise, given, simulated } from "../src/restoration/measure.ts";
import { randomMask } from "./restoration_operators.ts";

/** A grey picture from rows of levels. */
function grey(...rows: readonly (readonly number[])[]): Pixels {
  const pixels = Uint8Array.from(rows.flat());
  return { pixels, width: rows[0].length, height: rows.length, channels: 1 };
}

/** A mask of text, a row a line: "#" is a hole. */
function hole(...rows: readonly string[]): Pixels {
  return grey(...rows.map((row) => [...row].map((sign) => sign === "#" ? 255 : 0)));
}

/** What is kept, as {@link hole} writes it. */
function shown({ kept, width }: { kept: Uint8Array; width: number }): string[] {
  const signs = Array.from(kept, (keep) => keep ? "." : "#").join("");
  return signs.match(new RegExp(`.{${width}}`, "g"))!;
}

const grown = (mask: Pixels, grow: number) =>
  shown(readMask("mask", mask, mask, [1, mask.height, mask.width], grow));

Deno.test("a hole is where a mask is white, from the middle of the range on", () => {
  const mask = grey([0, 127, 128, 255]);
  assertEquals(grown(mask, 0), ["..##"]);
});

Deno.test("a hole is where a mask is transparent, from the middle of the range on", () => {
  const mask: Pixels = {
    pixels: Uint8Array.from([255, 255, 255, 128, 255, 127, 255, 0]),
    width: 4,
    height: 1,
    channels: 2,
  };
  assertEquals(grown(mask, 0), ["..##"]);
  assertEquals(hasTransparency(mask), true);
  assertEquals(
    hasTransparency({ ...mask, pixels: mask.pixels.map((x) => Math.max(x, 128)) }),
    false,
  );
  assertEquals(hasTransparency(grey([0, 0])), false);
});

Deno.test("--grow widens a hole by so many pixels up, down, left and right", () => {
  const mask = hole(".......", ".......", "...#...", ".......", ".......");
  assertEquals(grown(mask, 1), [".......", "...#...", "..###..", "...#...", "......."]);
  assertEquals(grown(mask, 2), ["...#...", "..###..", ".#####.", "..###..", "...#..."]);
});

Deno.test("a hole at an edge does not grow in from the other side", () => {
  const edges: [Pixels, string[]][] = [
    [hole("#....", ".....", "....."), ["##...", "#....", "....."]],
    [hole("....#", ".....", "....."), ["...##", "....#", "....."]],
    [hole(".....", ".....", "#...."), [".....", "#....", "##..."]],
    [hole(".....", ".....", "....#"), [".....", "....#", "...##"]],
    [hole(".....", "#....", "....."), ["#....", "##...", "#...."]],
    [hole(".....", "....#", "....."), ["....#", "...##", "....#"]],
  ];
  for (const [mask, expected] of edges) assertEquals(grown(mask, 1), expected);
});

Deno.test("a mask is of the picture's size, or of the size that is drawn", () => {
  const picture = grey([0, 0, 0, 0], [0, 0, 0, 0]);
  const shape = [1, 1, 2] as const;
  assertEquals(shown(readMask("m", hole("##..", "##.."), picture, shape, 0)), ["#."]);
  assertEquals(shown(readMask("m", hole("#."), picture, shape, 0)), ["#."]);
  for (const odd of [hole("#.."), hole("#", "."), hole("##..")]) {
    const error = assertThrows(() => readMask("m", odd, picture, shape, 0), FieldError);
    assert(error.message.includes("4×2 or 2×1 pixels"), error.message);
  }
  assertThrows(() => readMask("m", hole(".."), picture, shape, 0), InputError, "a hole of ");
  const same = () => readMask("m", hole("#."), picture, [1, 2, 4], 0);
  assertThrows(same, FieldError, "expected 4×2 pixels as the picture has");
});

Deno.test("what is given is smaller by the scale, and of one channel without its colours", () => {
  const shape = [3, 12, 8] as const;
  const scale = (factor: number) => ({ scale: { factor, kernel: "mean" as const } });
  assertEquals(givenShape({}, shape), [3, 12, 8]);
  assertEquals(givenShape(scale(4), shape), [3, 3, 2]);
  assertEquals(givenShape({ ...scale(2), colour: true }, shape), [1, 6, 4]);
  for (const factor of [3, 8]) {
    assertThrows(() => givenShape(scale(factor), shape), FieldError, "divides 8×12");
  }
});

Deno.test("a picture of another size is cropped and resized, and a word says so", () => {
  const picture = grey([10, 10, 20, 20], [10, 10, 20, 20]);
  assertEquals(fit("a.png", picture, [1, 2, 4]), { picture });
  const small = fit("a.png", picture, [1, 1, 2]);
  assertEquals([small.picture.width, small.picture.height], [2, 1]);
  assertEquals(small.notice, "a.png: cropped and resized from 4×2 to 2×1");
  assertEquals(fit("a.png", picture, [3, 2, 4]).picture.channels, 3);
  assertThrows(() => fit("a.png", picture, [4, 2, 4]), InputError, "draw 4 channels");
  const y = measured(grey([0, 255]), denoising([1, 1, 2]));
  assertEquals(y, Float32Array.of(-1, 1));
  assertThrows(() => measured(grey([0, 255, 0]), denoising([1, 1, 2])), InputError, "no picture");
});

const shape = [3, 16, 16] as const;
const of = (name: string, options: Record<string, number | string> = {}) => {
  const { options: schemas = {}, create } = operators[name];
  const defaults = Object.entries(schemas).map(([key, schema]) => [key, schema.default]);
  return create({ shape, options: { ...Object.fromEntries(defaults), ...options } });
};

Deno.test("noise is assumed only where small singular values would enlarge the rounding of 8 bits", () => {
  const exact = {
    denoising: of("denoising"),
    "a mask": masked(denoising(shape), randomMask(16, 16, 0.5).kept),
    mean: of("mean"),
    grey: of("grey"),
    sensing: of("sensing"),
    "nothing seen": { ...denoising(shape), s: new Float64Array(3 * 256) },
  };
  for (const [name, operator] of Object.entries(exact)) {
    assertEquals(defaultNoise(operator), 0, name);
  }
  const rounded = { blur: of("blur"), bicubic: of("bicubic"), motion: of("motion") };
  for (const [name, operator] of Object.entries(rounded)) {
    assertEquals(defaultNoise(operator), 0.003, name);
  }
});

Deno.test("a measurement has the noise that is said, assumed, or told from itself", () => {
  const operator = of("denoising"), blur = of("blur");
  const flat = new Float32Array(3 * 256);
  assertEquals(given(operator, flat).sigma_y, 0);
  assertEquals(given(blur, flat).sigma_y, 0.003);
  assertEquals(given(blur, flat, 0).sigma_y, 0);
  assertEquals(given(operator, flat, 0.2).sigma_y, 0.2);
  const noisy = simulated(operator, flat, 1, 0.2);
  assertEquals(noisy.sigma_y, 0.2);
  assertAlmostEquals(given(operator, noisy.y, "auto").sigma_y, 0.2, 0.03);
});

Deno.test("what is tried on a good picture is H x, with the seed's noise of the strength asked for", () => {
  const operator = of("mean");
  const x = Float32Array.from({ length: 3 * 256 }, (_, i) => (i % 16) / 8 - 1);
  const clean = Float32Array.from(operator.apply(x));
  assertEquals(simulated(operator, x, 7).y, clean);
  const [a, b, twice] = [[7, 0.1], [8, 0.1], [7, 0.2]].map(([seed, noise]) =>
    simulated(operator, x, seed, noise).y
  );
  assert(a.some((v, i) => v !== b[i]), "each seed has its own noise");
  a.forEach((v, i) => assertAlmostEquals(2 * (v - clean[i]), twice[i] - clean[i], 1e-6));
});
