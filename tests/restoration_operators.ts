/** One operator of every kind and of every combination, on pictures that are not square where that is possible. */
import { createGenerator, type LinearOperator } from "../src/diffusion/mod.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { matrix } from "../src/restoration/linear/matrix.ts";
import { compressedSensing } from "../src/restoration/operators/compressed_sensing.ts";
import { dense } from "../src/restoration/operators/dense.ts";

/** A mask that keeps about a share of the pixels. */
export function randomMask(width: number, height: number, share: number, seed = 0) {
  const generator = createGenerator(seed);
  const kept = Uint8Array.from(
    { length: width * height },
    () => generator.uint32() / 2 ** 32 < share ? 1 : 0,
  );
  return { kept, width, height };
}

/** Operators by name. */
export function restorationOperators(): [string, LinearOperator][] {
  const grey = [1, 12, 20] as const, colour = [3, 12, 20] as const;
  const rows = createGenerator(5).randn(30 * 48);
  const mean = (factor: number) => ({ factor, kernel: "mean" as const });
  const bicubic = (factor: number) => ({ factor, kernel: "bicubic" as const });
  return [
    ["denoising", operatorOf({}, colour)],
    ["inpainting", operatorOf({ mask: randomMask(20, 12, 0.4) }, colour)],
    ["inpainting, nothing hidden", operatorOf({ mask: randomMask(20, 12, 2) }, grey)],
    ["inpainting, all hidden", operatorOf({ mask: randomMask(20, 12, -1) }, grey)],
    ["mean of 2×2", operatorOf({ scale: mean(2) }, colour)],
    ["mean of 4×4", operatorOf({ scale: mean(4) }, grey)],
    [
      "mean of 4×4, inpainting",
      operatorOf({ scale: mean(4), mask: randomMask(5, 3, 0.5) }, colour),
    ],
    ["bicubic 1/2", operatorOf({ scale: bicubic(2) }, colour)],
    ["bicubic 1/4", operatorOf({ scale: bicubic(4) }, grey)],
    ["Gaussian blur", operatorOf({ blur: { kind: "gaussian", size: 2 } }, colour)],
    [
      "Gaussian blur, zero border",
      operatorOf({ blur: { kind: "gaussian", size: 1, border: "zero" } }, grey),
    ],
    ["uniform blur 9", operatorOf({ blur: { kind: "uniform", size: 9 } }, grey)],
    ["uniform blur 4", operatorOf({ blur: { kind: "uniform", size: 4 } }, grey)],
    ["motion blur", operatorOf({ blur: { kind: "motion", length: 7, angle: 30 } }, colour)],
    [
      "Gaussian blur, mean of 4×4",
      operatorOf({ blur: { kind: "gaussian", size: 1 }, scale: mean(4) }, grey),
    ],
    ["grey", operatorOf({ colour: true }, colour)],
    ["grey, inpainting", operatorOf({ colour: true, mask: randomMask(20, 12, 0.4) }, colour)],
    ["grey, mean of 4×4", operatorOf({ colour: true, scale: mean(4) }, colour)],
    [
      "grey, uniform blur, bicubic 1/2",
      operatorOf(
        { colour: true, blur: { kind: "uniform", size: 3 }, scale: bicubic(2) },
        colour,
      ),
    ],
    ["Walsh–Hadamard coefficients", compressedSensing([3, 8, 16], 0.25, 0)],
    ["cosine coefficients", compressedSensing(colour, 0.25, 1)],
    ["a matrix, wide", dense([1, 6, 8], matrix(30, 48, (i, j) => rows[i * 48 + j] / 12))],
    [
      "a matrix, square, singular",
      dense([1, 4, 4], matrix(16, 16, (i, j) => i === j ? i / 15 : 0)),
    ],
    ["a matrix, tall", dense([1, 2, 3], matrix(20, 6, (i, j) => rows[i * 6 + j] / 6))],
  ];
}
