/** What restoration is measured on: operators of every kind, each held-out picture degraded by a seed of its own. */
import { createGenerator, type LinearOperator } from "../diffusion/mod.ts";
import { type Degradation, operatorOf } from "../restoration/degradation.ts";
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

/** How many times smaller pictures are made, each way, and how far a camera moves over them. */
const FACTOR = 4, MOTION = 9;

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
  const task = (name: string, sigma_y: number, degradation: Degradation) => ({
    name,
    sigma_y,
    operator: once(() => operatorOf(degradation, shape)),
  });
  const small = (kernel: "mean" | "bicubic") => ({ scale: { factor: FACTOR, kernel } });
  const motion = { kind: "motion" as const, length: MOTION, angle: 30 };
  const divides = height % FACTOR === 0 && width % FACTOR === 0;
  return [
    {
      name: "right half missing",
      sigma_y: 0,
      operator: once(() => mask((p) => p % width < width / 2)),
    },
    { name: "75 % of pixels missing", sigma_y: 0, operator: scattered },
    { name: "75 % of pixels missing, σ 0.1", sigma_y: 0.1, operator: scattered },
    ...(divides
      ? [
        task("SR × 4", 0, small("mean")),
        task("SR × 4, σ 0.1", 0.1, small("mean")),
        task("bicubic × 4", 0, small("bicubic")),
      ]
      : []),
    task("Gaussian blur 2, σ 0.05", 0.05, { blur: { kind: "gaussian", size: 2 } }),
    ...(Math.max(height, width) >= MOTION
      ? [task("motion blur 9, σ 0.05", 0.05, { blur: motion })]
      : []),
    {
      name: "25 % of coefficients",
      sigma_y: 0,
      operator: once(() => compressedSensing(shape, 0.25, 0)),
    },
    task("noise 0.5", 0.5, {}),
    ...(channels === 3 ? [task("grey", 0, { colour: true })] : []),
  ];
}

/** One operator for every picture, made when it is first asked for. */
function once(make: () => LinearOperator): () => LinearOperator {
  let made: LinearOperator | undefined;
  return () => made ??= make();
}
