/** Matrices and transforms by hand, and what operators do to the arrays they are given: nothing. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { createGenerator, type LinearOperator } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { fourier2d, mirrored, packReal, unpackReal } from "../src/restoration/linear/fourier.ts";
import {
  identity,
  matrix,
  multiply,
  sandwich,
  transpose,
} from "../src/restoration/linear/matrix.ts";
import { svd } from "../src/restoration/linear/svd.ts";
import { cosineMatrix, hadamard } from "../src/restoration/linear/transforms.ts";
import { compressedSensing } from "../src/restoration/operators/compressed_sensing.ts";
import { dense } from "../src/restoration/operators/dense.ts";
import { grey } from "../src/restoration/operators/grey.ts";
import { masked } from "../src/restoration/operators/inpainting.ts";
import { restorationOperators } from "./restoration_operators.ts";

Deno.test("matrices: products, transposes, and A X Bᵀ of every channel", () => {
  const a = matrix(2, 3, (i, j) => i * 3 + j), b = matrix(3, 2, (i, j) => i - j);
  assertEquals([...multiply(a, b).data], [5, 2, 14, 2]);
  assertEquals([...transpose(a).data], [0, 3, 1, 4, 2, 5]);
  assertEquals(multiply(a, identity(3)), a);
  for (const wrong of [matrix(2, 2), matrix(4, 2)]) {
    const says = `a matrix of 3 columns times one of ${wrong.rows} rows`;
    assertThrows(() => multiply(a, wrong), Error, says);
  }
  const twice = matrix(1, 2, () => 2), thrice = matrix(1, 2, (_, j) => j);
  assertEquals([...sandwich(twice, Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8), thrice)], [12, 28]);
});

Deno.test("svd: orthonormal factors of any matrix, rank-deficient, wide, tall, zero", () => {
  const generator = createGenerator(9);
  const random = (rows: number, columns: number) => {
    const data = generator.randn(rows * columns);
    return matrix(rows, columns, (i, j) => data[i * columns + j]);
  };
  const rankOne = matrix(6, 9, (i, j) => (i + 1) * (j - 3));
  const hilbert = matrix(10, 10, (i, j) => 1 / (i + j + 1));
  for (
    const a of [random(7, 7), random(4, 9), random(9, 4), rankOne, matrix(3, 5), hilbert]
  ) {
    const { U, s, V } = svd(a);
    assertEquals(s.length, Math.min(a.rows, a.columns));
    assert(s.every((value, i) => i === 0 || value <= s[i - 1]), "descending");
    for (const q of [U, V]) {
      for (let i = 0; i < q.columns; i++) {
        for (let j = 0; j < q.columns; j++) {
          let sum = 0;
          for (let k = 0; k < q.rows; k++) {
            sum += q.data[k * q.columns + i] * q.data[k * q.columns + j];
          }
          assertAlmostEquals(sum, i === j ? 1 : 0, 1e-9);
        }
      }
    }
    for (let i = 0; i < a.rows; i++) {
      for (let j = 0; j < a.columns; j++) {
        let sum = 0;
        s.forEach((value, k) =>
          sum += U.data[i * U.columns + k] * value * V.data[j * V.columns + k]
        );
        assertAlmostEquals(sum, a.data[i * a.columns + j], 1e-10);
      }
    }
  }
});

Deno.test("singular values of a matrix of low rank are exactly as many as its rank", () => {
  const rankTwo = matrix(5, 4, (i, j) => (i + 1) * (j + 1) + (i % 2) * (j % 3));
  assertEquals(svd(rankTwo).s.filter((s) => s > 0).length, 2);
  assertEquals(svd(transpose(rankTwo)).s.filter((s) => s > 0).length, 2);
  assertEquals([...svd(matrix(2, 2)).s], [0, 0]);
});

Deno.test("transforms keep lengths, and come back", () => {
  const x = Float64Array.from(createGenerator(2).randn(8));
  hadamard(hadamard(x.slice())).forEach((v, i) => assertAlmostEquals(v, x[i], 1e-12));
  const c = cosineMatrix(6);
  multiply(c, transpose(c)).data.forEach((v, i) =>
    assertAlmostEquals(v, i % 7 === 0 ? 1 : 0, 1e-12)
  );
  for (const [height, width] of [[4, 6], [3, 5], [1, 7], [8, 1], [9, 9]]) {
    const n = height * width;
    const picture = Float64Array.from(createGenerator(n).randn(n));
    const spectrum = fourier2d({ re: picture, im: new Float64Array(n) }, height, width);
    assertEquals([mirrored(0, height, width), mirrored(n - 1, height, width)], [
      0,
      (height > 1 ? width : 0) + (width > 1 ? 1 : 0),
    ]);
    const packed = packReal(spectrum, height, width);
    const length = (v: Float64Array) => Math.hypot(...v);
    assertAlmostEquals(length(packed), length(picture), 1e-9, `${height}×${width}`);
    const back = fourier2d(unpackReal(packed, height, width), height, width, true);
    back.re.forEach((v, i) => assertAlmostEquals(v, picture[i], 1e-9));
    back.im.forEach((v) => assertAlmostEquals(v, 0, 1e-9));
  }
});

for (const [name, operator] of restorationOperators()) {
  Deno.test(`${name}: what it is given stays as it is, and what comes out is its caller's own`, () => {
    const { shape, measured, s } = operator;
    const [n, m] = [shape, measured].map(([c, h, w]) => c * h * w);
    const singular = s.slice();
    const maps: [keyof LinearOperator & ("apply" | "Vt" | "V" | "Ut" | "U"), number][] = [
      ["apply", n],
      ["Vt", n],
      ["V", n],
      ["Ut", m],
      ["U", n],
    ];
    for (const [map, length] of maps) {
      const given = Float64Array.from(createGenerator(length).randn(length));
      const before = given.slice();
      const made = operator[map](given);
      assertEquals(given, before, map);
      const kept = made.slice();
      assertEquals(operator[map](before), kept, `${map}, once more`);
      assertEquals(made, kept, `${map}: the first answer`);
      made.fill(9);
      assertEquals(given, before, `${map}: the answer is no part of it`);
      assertEquals(operator[map](given), kept, `${map}, after its answer was written to`);
    }
    assertEquals(s, singular);
  });
}

Deno.test("an operator made of another leaves that one as it is", () => {
  const inner = operatorOf({ scale: { factor: 4, kernel: "mean" } }, [1, 12, 20]);
  const [c, height, width] = inner.measured;
  const before = { ...inner, s: inner.s.slice() };
  const none = masked(inner, new Uint8Array(c * height * width));
  assert(none.s.every((s) => s === 0));
  const [, h, w] = inner.shape;
  assert(grey([3, h, w], inner).s[0] < inner.s[0]);
  assertEquals(inner, before);
});

Deno.test("compressed sensing knows a wave across a picture by one coefficient, a wave down it by another", () => {
  const [height, width] = [3, 5];
  const { Vt } = compressedSensing([1, height, width], 1, 0);
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const [down, across] = [cosineMatrix(height).data, cosineMatrix(width).data];
      const wave = Float64Array.from(
        { length: height * width },
        (_, p) => down[i * height + Math.floor(p / width)] * across[j * width + p % width],
      );
      Vt(wave).forEach((c, at) => assertAlmostEquals(c, at === i * width + j ? 1 : 0, 1e-12));
    }
  }
});

Deno.test("a matrix of one's own is refused where it does not fit, with what was expected", () => {
  const refused = (shape: [number, number, number], rows: number, columns: number, says: string) =>
    assertThrows(
      () => dense(shape, matrix(rows, columns)),
      InputError,
      `matrix: expected ${says}, found `,
    ).message.split("found ")[1];
  for (const columns of [3, 5]) {
    const found = refused([1, 2, 2], 7, columns, "4 columns, one for each number of [1,2,2]");
    assertEquals(found, `${columns}`);
  }
  const most = "at most 4096 rows and columns";
  assertEquals(refused([1, 1, 1], 4097, 1, most), "4097×1");
  assertEquals(refused([1, 1, 4097], 1, 4097, most), "1×4097");
  assertEquals(dense([1, 1, 1], matrix(4096, 1, () => 1)).measured, [4096, 1, 1]);
  for (const value of [NaN, Infinity, -Infinity]) {
    const wrong = matrix(1, 4, (_, j) => j === 3 ? value : 0);
    assertThrows(() => dense([1, 2, 2], wrong), InputError, "expected finite numbers");
  }
});
