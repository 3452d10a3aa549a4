/** Super-resolution from a picture made smaller by antialiased bicubic interpolation. */
import { InputError } from "../../errors.ts";
import { type Matrix, matrix } from "../linear/matrix.ts";
import type { OperatorPlugin } from "../operator.ts";
import { reflected } from "./blur.ts";
import { separable } from "./separable.ts";

/** The cubic kernel with a = −½ (Keys 1981, eq. 4). */
function cubic(x: number): number {
  const a = -0.5, d = Math.abs(x);
  if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  if (d < 2) return a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a;
  return 0;
}

/** n pixels to n/f, as MATLAB's and PIL's bicubic: 4f taps around each new pixel's centre. */
export function bicubicMatrix(n: number, f: number): Matrix {
  const out = matrix(n / f, n);
  for (let i = 0; i < n / f; i++) {
    const first = f * i + Math.floor(f / 2) - 2 * f;
    const centre = f * i + f / 2 - 0.5;
    const taps = Array.from({ length: 4 * f + 1 }, (_, q) => cubic((first + q - centre) / f));
    const sum = taps.reduce((a, b) => a + b, 0);
    taps.forEach((tap, q) => out.data[i * n + reflected(first + q, n)] += tap / sum);
  }
  return out;
}

/** n pixels to the means of n/f blocks. */
export function meanMatrix(n: number, f: number): Matrix {
  return matrix(n / f, n, (i, j) => Math.floor(j / f) === i ? 1 / f : 0);
}

const plugin: OperatorPlugin = {
  name: "bicubic",
  api: 1,
  description: "a smaller picture, made by bicubic interpolation",
  options: {
    scale: {
      type: "integer",
      description: "how many times smaller, each way",
      default: 4,
      minimum: 2,
      maximum: 64,
    },
  },
  create({ shape, options }) {
    const f = Number(options.scale);
    const [, height, width] = shape;
    if (!Number.isInteger(f) || f < 2 || height % f !== 0 || width % f !== 0) {
      throw new InputError(
        `scale: expected a whole number from 2 that divides ${width}×${height}, found ${f}`,
      );
    }
    return separable(`bicubic 1/${f}`, shape, bicubicMatrix(height, f), bicubicMatrix(width, f));
  },
};
export default plugin;
