/** What nobody asked otherwise, on the shipped digits' network: answers that explain what was measured. */
import { assert, assertEquals } from "@std/assert";
import { generate, load } from "../mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import { type Measurement, residualRms } from "../src/diffusion/mod.ts";
import { fromPixels } from "../src/image/pixels.ts";
import type { Model } from "../src/model/model.ts";
import { type Degradation, operatorOf } from "../src/restoration/degradation.ts";
import { MEASUREMENT, measurementInput } from "../src/restoration/input.ts";
import { simulated } from "../src/restoration/measure.ts";
import compressedSensing from "../src/restoration/operators/compressed_sensing.ts";
import { type Recommended, recommendedRestorer } from "../src/restoration/recommended.ts";
import { sample } from "../src/sampling/sample.ts";
import { randomMask } from "./restoration_operators.ts";

const sensing: Degradation = {
  operator: { plugin: compressedSensing, options: { share: 0.25, seed: 0 } },
};

const cases: [string, Degradation, number][] = [
  ["noise 0.5", {}, 0.5],
  ["noise 0.1", {}, 0.1],
  ["Gaussian blur", { blur: { kind: "gaussian", size: 2 } }, 0.05],
  ["motion blur", { blur: { kind: "motion", length: 9, angle: 30 } }, 0.05],
  ["75 % of pixels missing", { mask: randomMask(28, 28, 0.25) }, 0.1],
  ["means of 4×4", { scale: { factor: 4, kernel: "mean" } }, 0.1],
  ["bicubic 1/4", { scale: { factor: 4, kernel: "bicubic" } }, 0.1],
  ["means of 4×4, little noise", { scale: { factor: 4, kernel: "mean" } }, 0.05],
  ["a quarter of the coefficients", sensing, 0.1],
  ["a quarter of the coefficients, little noise", sensing, 0.05],
];

/** Digits that the network drew, so that they are what its prior knows. */
async function digits(model: Model, count: number): Promise<Float32Array[]> {
  const seeds = Array.from({ length: count }, (_, i) => 900 + i);
  return (await generate(model, { seeds, steps: 10 })).map(fromPixels);
}

async function restored(
  model: Model,
  measurements: readonly Measurement[],
  { sampler, steps, options }: Recommended,
): Promise<Float32Array[]> {
  const inputs = await Promise.all(
    measurements.map(async (m) => ({ [MEASUREMENT]: await measurementInput(m) })),
  );
  const answers: Float32Array[] = [];
  const request = {
    seeds: measurements.map((_, i) => i),
    scheduler: restorers[sampler],
    steps,
    options,
    labels: measurements.map(() => model.nullLabel!),
    guidance: 1,
    inputs,
  };
  for await (const frame of sample(model, request)) {
    if (frame.done) answers[frame.index] = frame.x;
  }
  return answers;
}

Deno.test("digits: of noisy data ddrm's answers are σ_y away, neither the noise itself nor something else", async () => {
  await using model = await load("digits", { backend: "native" });
  const truths = await digits(model, 2);
  const wrong: string[] = [];
  for (const [name, degradation, sigma_y] of cases) {
    const operator = operatorOf(degradation, model.shape);
    const all = truths.map((x, i) => simulated(operator, x, i, sigma_y));
    const choice = recommendedRestorer(all[0]);
    assertEquals(choice.sampler, "ddrm", name);
    // A hundred steps of one digit take as long as twenty of five.
    const measurements = choice.steps > 20 ? all.slice(0, 1) : all;
    const answers = await restored(model, measurements, choice);
    const ratios = answers.map((x, i) => residualRms(measurements[i], x) / sigma_y);
    const mean = ratios.reduce((a, b) => a + b) / ratios.length;
    if (!(mean > 0.9 && mean < 1.4)) wrong.push(`${name}: ${mean} σ_y`);
  }
  assertEquals(wrong, []);
});

Deno.test("digits: of noisy data ddnm's answers are ddrm's, as DDNM+ is the same in another notation", async () => {
  await using model = await load("digits", { backend: "native" });
  const truths = await digits(model, 2);
  const operator = operatorOf({ blur: { kind: "gaussian", size: 2 } }, model.shape);
  const measurements = truths.map((x, i) => simulated(operator, x, i, 0.05));
  const [ddrm, ddnm] = [
    await restored(model, measurements, { sampler: "ddrm", steps: 5 }),
    await restored(model, measurements, { sampler: "ddnm", steps: 5 }),
  ];
  assertEquals(ddnm, ddrm);
  assert(ddrm[0].some((v, p) => v !== ddrm[1][p]));
});
