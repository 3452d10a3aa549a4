/** What restoration is measured on: operators of every kind, each held-out picture degraded by a seed of its own. */
import { createGenerator, type LinearOperator } from "../diffusion/mod.ts";
import { operatorOf } from "../restoration/degradation.ts";
import type { PictureShape } from "../restoration/operator.ts";
import { compressedSensing } from "../restoration/operators/compressed_sensing.ts";

export interface RestorationTask {
  readonly name: string;
  /** σ_y, pixels in −1 … 1. */
  readonly sigma_y: number;
  /** H for picture i; the same object for all where it does not depend on the picture. */
  operator(i: number): LinearOperator;
}

/** Seeds of masks lie away from those of pictures and noise. */
const MASK_SEED = 500_000;

/** Everything that can be measured with pictures of a shape. */
export function restorationTasks(shape: PictureShape): RestorationTask[] {
  const [channels, height, width] = shape;
  const mask = (kept: (p: number) => boolean) =>
    operatorOf({
      mask: {
        kept: Uint8Array.from({ length: height * width }, (_, p) => kept(p) ? 1 : 0),
        width,
        height,
      },
    }, shape);
  const scattered = (i: number) => {
    const generator = createGenerator(MASK_SEED + i);
    return mask(() => generator.uint32() / 2 ** 32 < 0.25);
  };
  const same = (operator: LinearOperator) => () => operator;
  const half = mask((p) => p % width < width / 2);
  const small = operatorOf({ scale: { factor: 4, kernel: "mean" } }, shape);
  const tasks: RestorationTask[] = [
    { name: "right half missing", sigma_y: 0, operator: same(half) },
    { name: "75 % of pixels missing", sigma_y: 0, operator: scattered },
    { name: "SR × 4", sigma_y: 0, operator: same(small) },
    { name: "SR × 4, σ 0.1", sigma_y: 0.1, operator: same(small) },
    {
      name: "bicubic × 4",
      sigma_y: 0,
      operator: same(operatorOf({ scale: { factor: 4, kernel: "bicubic" } }, shape)),
    },
    {
      name: "Gaussian blur 2, σ 0.05",
      sigma_y: 0.05,
      operator: same(operatorOf({ blur: { kind: "gaussian", size: 2 } }, shape)),
    },
    {
      name: "motion blur 9, σ 0.05",
      sigma_y: 0.05,
      operator: same(operatorOf({ blur: { kind: "motion", length: 9, angle: 30 } }, shape)),
    },
    {
      name: "25 % of coefficients",
      sigma_y: 0,
      operator: same(compressedSensing(shape, 0.25, 0)),
    },
    { name: "noise 0.5", sigma_y: 0.5, operator: same(operatorOf({}, shape)) },
  ];
  if (channels !== 3) return tasks;
  return [...tasks, {
    name: "grey",
    sigma_y: 0,
    operator: same(operatorOf({ colour: true }, shape)),
  }];
}
