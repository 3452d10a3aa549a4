/** The README's picture of restorations: one hero, everything that it can lose, two answers each. */
import { restorers } from "../schedulers/restoration/mod.ts";
import { pictureOfMeasurement, strip } from "../src/cli/restoration/strip.ts";
import { createGenerator, type LinearOperator } from "../src/diffusion/mod.ts";
import { grid } from "../src/image/grid.ts";
import { fromPixels, type Pixels, toPixels } from "../src/image/pixels.ts";
import type { Model } from "../src/model/model.ts";
import { type Mask, operatorOf } from "../src/restoration/degradation.ts";
import { MEASUREMENT, measurementInput } from "../src/restoration/input.ts";
import { defaultNoise, simulated } from "../src/restoration/measure.ts";
import { compressedSensing } from "../src/restoration/operators/compressed_sensing.ts";
import { recommendedRestorer } from "../src/restoration/recommended.ts";
import { sample } from "../src/sampling/sample.ts";

interface Loss {
  readonly operator: LinearOperator;
  readonly mask?: Mask;
  /** σ_y; what the operator is given by default if left out. */
  readonly noise?: number;
}

function losses([channels, height, width]: Model["shape"]): Loss[] {
  const shape = [channels, height, width] as const;
  const masked = (keep: (x: number, y: number) => boolean): Loss => {
    const kept = Uint8Array.from(
      { length: height * width },
      (_, p) => keep(p % width, Math.floor(p / width)) ? 1 : 0,
    );
    const mask = { kept, width, height };
    return { operator: operatorOf({ mask }, shape), mask };
  };
  const generator = createGenerator(0);
  const scattered = () => generator.uint32() / 2 ** 32 < 0.15;
  const inside = (v: number, size: number) => v >= 0.3 * size && v < 0.7 * size;
  const scale = (factor: number, kernel: "mean" | "bicubic") => ({ scale: { factor, kernel } });
  return [
    masked((x, y) => !(inside(x, width) && inside(y, height))),
    masked(scattered),
    { operator: operatorOf(scale(4, "mean"), shape) },
    { operator: operatorOf(scale(2, "bicubic"), shape), noise: 0.05 },
    { operator: operatorOf({ blur: { kind: "gaussian", size: 2 } }, shape), noise: 0.02 },
    { operator: operatorOf({ blur: { kind: "motion", length: 9, angle: 30 } }, shape) },
    { operator: operatorOf({ colour: true }, shape) },
    { operator: operatorOf({ colour: true, ...scale(2, "mean") }, shape) },
    { operator: operatorOf({}, shape), noise: 0.5 },
    { operator: compressedSensing(shape, 0.35, 0) },
  ];
}

/** Each loss as a strip (given, two answers, truth), two strips beside each other. */
export async function restorations(model: Model, picture: Pixels): Promise<Pixels> {
  const truth = fromPixels(picture);
  const strips: Pixels[] = [];
  for (const { operator, mask, noise = defaultNoise(operator) } of losses(model.shape)) {
    const measurement = simulated(operator, truth, 0, noise);
    const { sampler, steps, options } = recommendedRestorer(measurement);
    const answers: Pixels[] = [];
    const request = {
      seeds: [0, 1],
      scheduler: restorers[sampler],
      steps,
      options,
      labels: model.labels && [model.nullLabel!, model.nullLabel!],
      guidance: 1,
      inputs: { [MEASUREMENT]: await measurementInput(measurement) },
    };
    for await (const frame of sample(model, request)) {
      if (frame.done) answers[frame.index] = toPixels(frame.x, model.shape);
    }
    strips.push(strip(pictureOfMeasurement(measurement, mask), answers, picture));
  }
  return grid(strips, { columns: 2, gap: 4, background: 255 });
}
