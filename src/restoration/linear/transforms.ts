/** Orthonormal transforms that spread a picture over all its coefficients. */
import { type Matrix, matrix } from "./matrix.ts";

/** The Walsh–Hadamard transform of 2^k numbers, in place, scaled by 1/√n: its own inverse. */
export function hadamard(x: Float64Array): Float64Array {
  const n = x.length;
  for (let half = 1; half < n; half *= 2) {
    for (let start = 0; start < n; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const a = x[i], b = x[i + half];
        x[i] = (a + b) * Math.SQRT1_2;
        x[i + half] = (a - b) * Math.SQRT1_2;
      }
    }
  }
  return x;
}

/** The discrete cosine transform II of n numbers as an orthonormal matrix, a row a frequency. */
export function cosineMatrix(n: number): Matrix {
  return matrix(
    n,
    n,
    (k, j) => Math.sqrt((k === 0 ? 1 : 2) / n) * Math.cos(Math.PI * (j + 0.5) * k / n),
  );
}
