/** Gaussian and uniform blur, one kernel for rows and columns. */
import { InputError } from "../../errors.ts";
import { type Matrix, matrix } from "../linear/matrix.ts";
import type { OperatorPlugin } from "../operator.ts";
import { separable } from "./separable.ts";

export type Border = "reflect" | "zero";

/** exp(−x²/2σ²) out to 3σ, its sum 1. */
export function gaussianKernel(sigma: number): number[] {
  const reach = Math.max(1, Math.ceil(3 * sigma));
  return normalised(
    Array.from(
      { length: 2 * reach + 1 },
      (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)),
    ),
  );
}

/** n equal taps. */
export function uniformKernel(n: number): number[] {
  return normalised(Array.from({ length: n }, () => 1));
}

function normalised(kernel: number[]): number[] {
  const sum = kernel.reduce((a, b) => a + b, 0);
  return kernel.map((tap) => tap / sum);
}

/** Where index i beyond the ends of n pixels lies when the picture is mirrored at its edges. */
export function reflected(i: number, n: number): number {
  const period = 2 * n;
  const at = ((i % period) + period) % period;
  return at < n ? at : period - 1 - at;
}

/**
 * The convolution of n pixels with a kernel as a matrix. With an even number of taps the middle lies
 * between two pixels and is taken to be the left one.
 */
export function convolutionMatrix(n: number, kernel: readonly number[], border: Border): Matrix {
  const out = matrix(n, n);
  const middle = Math.floor((kernel.length - 1) / 2);
  for (let i = 0; i < n; i++) {
    kernel.forEach((tap, q) => {
      const j = i + q - middle;
      if (border === "zero" && (j < 0 || j >= n)) return;
      out.data[i * n + reflected(j, n)] += tap;
    });
  }
  return out;
}

/** The kernel of a name and size. @throws InputError for sizes that blur nothing, or everything. */
export function blurKernel(kind: string, size: number): number[] {
  if (kind === "gaussian") {
    if (size >= 0.1 && size <= 50) return gaussianKernel(size);
    throw new InputError(`blur: expected a sigma from 0.1 to 50 pixels, found ${size}`);
  }
  if (Number.isInteger(size) && size >= 2 && size <= 101) return uniformKernel(size);
  throw new InputError(`blur: expected a width from 2 to 101 pixels, found ${size}`);
}

const plugin: OperatorPlugin = {
  name: "blur",
  api: 1,
  description: "a Gaussian or uniform blur",
  options: {
    kind: {
      type: "string",
      description: "the kernel",
      enum: ["gaussian", "uniform"],
      default: "gaussian",
    },
    size: {
      type: "number",
      description: "sigma of the Gaussian, width of the uniform kernel, in pixels",
      default: 2,
      minimum: 0.1,
      maximum: 101,
    },
    border: {
      type: "string",
      description: "what lies beyond the edges: the picture mirrored, or nothing",
      enum: ["reflect", "zero"],
      default: "reflect",
    },
  },
  create({ shape, options: { kind, size, border } }) {
    const kernel = blurKernel(String(kind), Number(size));
    const [a, b] = [shape[1], shape[2]].map((n) => convolutionMatrix(n, kernel, border as Border));
    return separable(`${kind} blur ${size}`, shape, a, b);
  },
};
export default plugin;
