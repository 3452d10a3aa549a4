/** Which weights a compact engine may keep in 16 bits: those that halves hold exactly, and no others. */
import { assertEquals } from "@std/assert";
import { fitsHalf } from "../src/engine/half.ts";
import { halfToFloat } from "../src/files/half.ts";
import { seeded } from "./mutations.ts";

const fits = (...numbers: number[]) => fitsHalf(Float32Array.from(numbers));
const every = halfToFloat(Uint16Array.from({ length: 65536 }, (_, bits) => bits));

Deno.test("every finite half fits, all together and each alone", () => {
  const finite = every.filter(Number.isFinite);
  assertEquals(fitsHalf(finite), true);
  for (let i = 0; i < finite.length; i += 97) assertEquals(fits(finite[i]), true, `${finite[i]}`);
});

Deno.test("what is larger than the largest half does not fit, however round", () => {
  for (const x of [65504, -65504]) assertEquals(fits(x), true, `${x}`);
  for (
    const x of [65505, 65520, 65536, -65536, 2 ** 17, 2 ** 100, 3e38, Infinity, -Infinity, NaN]
  ) {
    assertEquals(fits(1, x), false, `${x}`);
  }
});

Deno.test("what lies between two halves does not fit, among the small ones neither", () => {
  for (const x of [1 + 2 ** -11, 2 ** -14 + 2 ** -25, 2 ** -24 * 1.5, 2 ** -25, 1e-45, 0.1]) {
    assertEquals(fits(x), false, `${x}`);
    assertEquals(fits(-x), false, `${-x}`);
  }
  for (const x of [0, -0, 2 ** -24, 3 * 2 ** -24, 2 ** -14, 1 + 2 ** -10]) {
    assertEquals(fits(x), true, `${x}`);
  }
});

Deno.test("of any bits: a number fits where rounding to a half leaves it", () => {
  const random = seeded(1);
  const bits = Uint32Array.from({ length: 20_000 }, () => Math.floor(random() * 2 ** 32));
  for (const x of new Float32Array(bits.buffer)) {
    assertEquals(fits(x), Number.isFinite(Math.f16round(x)) && Math.f16round(x) === x, `${x}`);
  }
});

Deno.test("numbers of other types do not fit", () => {
  assertEquals(fitsHalf(Float64Array.of(1)), false);
  assertEquals(fitsHalf(Int32Array.of(1)), false);
});

Deno.test("an array is looked through once, and is remembered", () => {
  for (const [before, after, expected] of [[0.5, 0.1, true], [0.1, 0.5, false]]) {
    const numbers = Float32Array.of(Number(before));
    assertEquals(fitsHalf(numbers), expected);
    numbers[0] = Number(after);
    assertEquals(fitsHalf(numbers), expected);
  }
});
