import { assert, assertEquals } from "@std/assert";
import { bfloatToFloat, floatToHalf, halfToFloat } from "../src/files/half.ts";

const every = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const isNaNBits = (bits: number) => (bits & 0x7fff) > 0x7c00;

Deno.test("every half is the float32 that the engine's Float16Array gives", () => {
  const expected = Float32Array.from(new Float16Array(every.buffer));
  const found = halfToFloat(every);
  for (let i = 0; i < 65536; i++) assert(Object.is(found[i], expected[i]), `bits ${i}`);
});

Deno.test("every half survives the way to float32 and back", () => {
  const back = floatToHalf(halfToFloat(every));
  for (const bits of every) {
    if (isNaNBits(bits)) assert(isNaNBits(back[bits]), `bits ${bits}`);
    else assertEquals(back[bits], bits);
  }
});

Deno.test("float32 rounds to the nearest half, ties to even, as the engine's Float16Array does", () => {
  // Each half, the middle to the next one, and the float32 on either side of that middle.
  const halves = halfToFloat(every.filter((bits) => bits < 0x7bff));
  const values: number[] = [65504, 65519, 65520, 65536, 3e38, Infinity, 1e-45, 2 ** -25, 3e-8];
  halves.forEach((half, i) => {
    const middle = (half + (halves[i + 1] ?? 65504)) / 2;
    values.push(half, middle, middle * (1 + 2 ** -23), middle * (1 - 2 ** -24));
  });
  const floats = Float32Array.from(values.flatMap((value) => [value, -value]));
  const expected = new Uint16Array(new Float16Array(floats).buffer);
  assertEquals(floatToHalf(floats), expected);
});

Deno.test("bfloat16 is float32's upper half", () => {
  const found = bfloatToFloat(Uint16Array.of(0x3f80, 0xc040, 0x0000, 0x8000, 0x7f80, 0x4049));
  assertEquals([...found], [1, -3, 0, -0, Infinity, 3.140625]);
});
