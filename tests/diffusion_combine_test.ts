/** Sums of vectors, and whether their numbers are finite. */
import { assertEquals, assertThrows } from "@std/assert";
import { allFinite, combine } from "../src/diffusion/mod.ts";

const of = (...numbers: number[]) => Float32Array.from(numbers);

Deno.test("a sum has one term, two or more, each times its coefficient", () => {
  assertEquals(combine([2, of(1, -3)]), of(2, -6));
  assertEquals(combine([2, of(1, -3)], [-1, of(4, 5)]), of(-2, -11));
  assertEquals(combine([2, of(1, -3)], [-1, of(4, 5)], [0.5, of(8, 2)]), of(2, -10));
  assertEquals(combine([1, of(1)], [1, of(2)], [1, of(3)], [1, of(4)]), of(10));
  assertEquals(combine([3, of()], [1, of()]), of());
});

Deno.test("a term of coefficient 0 is left out, whatever its numbers", () => {
  const nothing = of(NaN, Infinity);
  assertEquals(combine([0, nothing]), of(0, 0));
  assertEquals(combine([0, nothing], [-0, nothing]), of(0, 0));
  assertEquals(combine([0, nothing], [1, of(1, 2)]), of(1, 2));
  assertEquals(combine([1, of(1, 2)], [0, nothing], [1, of(3, 4)], [2, of(1, 1)]), of(6, 8));
  assertEquals(combine([1, nothing], [0, of(1, 1)]), nothing);
});

Deno.test("it is rounded once, and is an array of its own", () => {
  // 2²⁴ + 1 is no float32: rounded on the way, the one would be lost.
  for (const more of [[], [[1, of(0)] as const]]) {
    assertEquals(combine([1, of(2 ** 24)], [1, of(1)], ...more), of(2 ** 24));
    assertEquals(combine([1, of(2 ** 24)], [1, of(1)], [-1, of(2 ** 24)], ...more), of(1));
  }
  const x = of(1, 2);
  const same = combine([1, x]);
  same[0] = 9;
  assertEquals(x, of(1, 2));
});

Deno.test("vectors of other lengths are refused, shorter and longer, in every place", () => {
  for (const [a, b] of [[2, 3], [3, 2], [0, 1]]) {
    const [one, other] = [new Float32Array(a), new Float32Array(b)];
    const says = `expected vectors of equal length, found ${a} and ${b}`;
    assertThrows(() => combine([1, one], [1, other]), RangeError, says);
    assertThrows(() => combine([1, one], [1, one], [0, other]), RangeError, says);
  }
});

Deno.test("finite is what is neither NaN nor infinite, in every place", () => {
  assertEquals([allFinite(of()), allFinite(of(0, -0, 3.4e38, -3.4e38, 1e-45))], [true, true]);
  for (const wrong of [NaN, Infinity, -Infinity]) {
    for (const at of [0, 1, 2]) assertEquals(allFinite(of(1, 2, 3).with(at, wrong)), false);
  }
  assertEquals(allFinite(of(Infinity, -Infinity)), false);
});
