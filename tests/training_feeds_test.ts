/** What reaches the engine in training: every choice of a recipe, for each picture its own numbers. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { type PredictionType, scheduleFor } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { batchOf, dropoutKeys } from "../src/training/objective/batch.ts";
import { lossWeight } from "../src/training/objective/loss.ts";
import { networkLayout, TrainStep, type TrainStepOptions } from "../src/training/objective/step.ts";
import { initialState, layoutOf } from "../src/training/optimiser/layout.ts";
import {
  adamScalars,
  adamUpdate,
  clipByNorm,
  globalNorm,
  learningRate,
} from "../src/training/optimiser/update_rule.ts";
import { Graph } from "../src/graph/mod.ts";
import { interpret } from "./graph_reference.ts";
import { networkFor, schedulerOf } from "../src/training/network.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { recordingEngine } from "./training_engine.ts";
import { tinyRecipe } from "./training_pictures.ts";

const recipe = parseTrainingRecipe(tinyRecipe, {
  data: "here",
  size: 4,
  block_out_channels: [8],
  attention: [false],
});
const network = networkFor(recipe, 2);
const schedule = scheduleFor(schedulerOf(recipe));
const size = 16;

const base: TrainStepOptions = {
  network,
  schedule,
  prediction: "epsilon",
  batch: 2,
  accumulate: 3,
};
const batch = {
  x_0: Float32Array.from({ length: 6 * size }, (_, i) => i),
  eps: Float32Array.from({ length: 6 * size }, (_, i) => -i),
  t: Float32Array.of(0, 3, 7, 12, 15, 19),
  labels: Int32Array.of(0, 1, 2, 0, 1, 2),
};
const settings = { step: 4, lr: 0.1, emaDecay: 0.75, seed: 9 };

async function stepOf(options: Partial<TrainStepOptions> = {}) {
  const engine = recordingEngine();
  const { size } = networkLayout(options.network ?? network);
  const state = initialState(new Float32Array(size).fill(10));
  const step = await TrainStep.create(engine, { ...base, ...options }, state);
  return { engine, step, size };
}
const numbers = (data: ArrayLike<number | bigint>) => Array.from(data, Number);

Deno.test("each evaluation has its own pictures, noise, times, classes and levels", async () => {
  const { engine, step } = await stepOf();
  await step.run(batch, settings);
  assertEquals(engine.runs.length, 3);
  for (const [i, { feeds }] of engine.runs.entries()) {
    const own = <T extends { slice(from: number, to: number): T }>(all: T, each = 1) =>
      all.slice(2 * i * each, 2 * (i + 1) * each);
    assertEquals([feeds.x_0.data, feeds.eps.data], [own(batch.x_0, size), own(batch.eps, size)]);
    assertEquals(feeds.x_0.dims, [2, 1, 4, 4]);
    assertEquals([feeds.timestep.data, feeds.class_labels.data], [own(batch.t), own(batch.labels)]);
    const levels = Array.from(own(batch.t), schedule.alpha_bar);
    numbers(feeds.sqrt_alpha_bar.data).forEach((x, k) =>
      assertAlmostEquals(x, Math.sqrt(levels[k]), 1e-6)
    );
    numbers(feeds.sqrt_one_minus_alpha_bar.data)
      .forEach((x, k) => assertAlmostEquals(x, Math.sqrt(1 - levels[k]), 1e-6));
    assertEquals(numbers(feeds.weight.data), [1, 1]);
    assertEquals("dropout_keys" in feeds, false);
  }
});

Deno.test("gradients add up from one evaluation to the next; the last makes the update", async () => {
  const { engine, step, size } = await stepOf();
  engine.losses.push(1, 2, 6);
  engine.norms.push(7);
  const { loss, losses, gradNorm } = await step.run(batch, settings);
  assertEquals([loss, gradNorm, [...losses]], [3, 7, [...batch.t]], "the mean over evaluations");
  const sums = engine.runs.map(({ feeds }) => (feeds.grad_sum.data as Float32Array)[0]);
  assertEquals(sums, [0, 5, 10]);
  assertEquals(engine.runs.map(({ graph }) => graph.outputs.has("new_theta")), [
    false,
    false,
    true,
  ]);
  const { theta, ema, m, v } = step.state;
  assertEquals([theta[0], ema[0], m[0], v[0], theta.length], [11, 12, 3, 4, size]);
  const { feeds } = engine.runs[2];
  assertAlmostEquals(Number(feeds.step_size.data[0]), 0.1 / (1 - 0.9 ** 4), 1e-6);
  assertAlmostEquals(
    Number(feeds.inv_sqrt_correction2.data[0]),
    1 / Math.sqrt(1 - 0.999 ** 4),
    1e-4,
  );
  assertEquals([Number(feeds.ema_decay.data[0]), "decay" in feeds], [0.75, false]);
  await step.close();
  assertEquals(engine.open, 0);
});

Deno.test("an update of one evaluation sums nothing; decay is fed where there is any", async () => {
  const { engine, step } = await stepOf({ accumulate: 1, batch: 6, adam: { weightDecay: 0.5 } });
  await step.run(batch, settings);
  assertEquals(engine.runs.length, 1);
  assertEquals("grad_sum" in engine.runs[0].feeds, false);
  assertAlmostEquals(Number(engine.runs[0].feeds.decay.data[0]), 0.05, 1e-7);
  await step.close();
  assertEquals(engine.open, 0);
});

Deno.test("gradients are cut only where a largest norm is named", async () => {
  const operations = async (maxGradNorm?: number) => {
    const { engine, step } = await stepOf({ maxGradNorm });
    await step.run(batch, settings);
    return engine.runs[2].graph.values.filter(({ node }) => node.op === "min").length;
  };
  assertEquals([await operations(), await operations(1)], [0, 1]);
});

Deno.test("dropout's keys are fed where the network, or the caller, asks for dropout", async () => {
  const keys = async (networks: number, dropout?: number) => {
    const { engine, step } = await stepOf({ network: { ...network, dropout: networks }, dropout });
    await step.run(batch, settings);
    return engine.runs.flatMap(({ feeds }) => numbers(feeds.dropout_keys?.data ?? []));
  };
  const expected = [...dropoutKeys(9, 4, 6)];
  assertEquals(await keys(0.1), expected);
  assertEquals(await keys(0, 0.2), expected);
  assertEquals([await keys(0), await keys(0.1, 0)], [[], []]);
  assertEquals(new Set(expected).size, 6, "each picture its own");
  assert([...dropoutKeys(9, 5, 6)].every((key, i) => key !== expected[i]), "each step its own");
  assert([...dropoutKeys(8, 4, 6)].every((key, i) => key !== expected[i]), "each seed its own");
});

Deno.test("each layer drops units of its own", async () => {
  const { engine, step } = await stepOf({ dropout: 0.5 });
  await step.run(batch, settings);
  const layers = engine.runs[0].graph.values.filter(({ node }) => node.op === "dropoutMask")
    .map(({ node }) => node.attributes.layer);
  assert(layers.length > 2, `${layers}`);
  assertEquals(new Set(layers).size, layers.length);
});

Deno.test("a batch that does not fit is refused by what is short", async () => {
  const { step } = await stepOf();
  const wrong = {
    x_0: batch.x_0.subarray(1),
    eps: batch.eps.subarray(size),
    t: batch.t.subarray(1),
    labels: batch.labels.subarray(1),
  };
  const counts = {
    x_0: "96 numbers, found 95",
    eps: "96 numbers, found 80",
    t: "6 numbers, found 5",
    labels: "6 numbers, found 5",
  };
  for (const [name, count] of Object.entries(counts)) {
    await assertRejects(
      () => step.run({ ...batch, [name]: wrong[name as keyof typeof wrong] }, settings),
      Error,
      `${name}: 6 images need ${count}`,
    );
  }
  await assertRejects(
    () => step.run({ ...batch, labels: undefined }, settings),
    Error,
    "labels: 6 images need",
  );
});

Deno.test("a gradient that is not finite leaves the state as it was", async () => {
  for (const norm of [NaN, Infinity]) {
    const { engine, step } = await stepOf();
    engine.norms.push(norm);
    await assertRejects(
      () => step.run(batch, settings),
      InputError,
      `step 4: the loss is 0.5 and the gradient's norm ${norm}; a lower learning rate, a longer warm-up or gradient clipping keeps them finite`,
    );
    assertEquals([step.state.theta[0], step.state.ema[0]], [10, 10]);
    await step.run(batch, settings);
    assertEquals(step.state.theta[0], 11);
  }
});

Deno.test("states of another network, and parts of an evaluation, are refused", async () => {
  const { step, size } = await stepOf();
  const state = initialState(new Float32Array(size));
  for (const name of ["theta", "m", "v", "ema"] as const) {
    const short = { ...state, [name]: new Float32Array(size - 1) };
    assertThrows(
      () => step.state = short,
      Error,
      `state.${name}: expected ${size} numbers, found ${size - 1}`,
    );
    await assertRejects(
      () => TrainStep.create(recordingEngine(), base, short),
      Error,
      `state.${name}`,
    );
  }
  for (const accumulate of [0, 1.5, -1]) {
    await assertRejects(
      () => stepOf({ accumulate }),
      InputError,
      `accumulate: expected a whole number from 1, found ${accumulate}`,
    );
  }
  const { feeds } = (await stepOf()).engine.runs[0] ?? { feeds: {} };
  for (const count of [1, 2, 4]) {
    const evaluations = Array.from({ length: count }, () => feeds);
    await assertRejects(
      () => step.trainer.run(evaluations, settings),
      Error,
      `expected 3 batches, found ${count}`,
    );
  }
  const twice = { ...network, outChannels: 2 };
  await assertRejects(
    () => TrainStep.create(recordingEngine(), { ...base, network: twice }, state),
    Error,
    "as many output as input channels, found 2 and 1",
  );
});

Deno.test("a state that does not fit is refused before the engine is asked for anything", async () => {
  const engine = recordingEngine();
  const { size } = networkLayout(network);
  const short = initialState(new Float32Array(size - 1));
  await assertRejects(() => TrainStep.create(engine, base, short), Error, "state.theta");
  assertEquals(engine.open, 0);
  {
    await using step = await TrainStep.create(
      engine,
      base,
      initialState(new Float32Array(size)),
    );
    assertEquals([engine.open, step.layout.size], [2, size]);
  }
  assertEquals(engine.open, 0);
  // Of two sessions the second one may find no memory.
  const small: Backend = {
    ...engine,
    createSession(...args) {
      if (engine.open === 1) return Promise.reject(new Error("no memory"));
      return engine.createSession(...args);
    },
  };
  const state = initialState(new Float32Array(size));
  await assertRejects(() => TrainStep.create(small, base, state), Error, "no memory");
  assertEquals(engine.open, 0, "nor is the first one left open");
});

Deno.test("min-SNR weights, worked out at SNR 9 and 1/9, and none without γ", () => {
  const weights = (type: PredictionType, gamma?: number) =>
    [0.9, 0.1].map((alpha_bar) => lossWeight(type, alpha_bar, gamma));
  const close = (found: number[], expected: number[]) =>
    found.forEach((x, i) => assertAlmostEquals(x, expected[i], 1e-12));
  close(weights("epsilon", 3), [1 / 3, 1]);
  close(weights("sample", 3), [3, 1 / 9]);
  close(weights("v_prediction", 3), [0.3, 0.1]);
  for (const type of ["epsilon", "sample", "v_prediction"] as const) close(weights(type), [1, 1]);
});

Deno.test("each picture's weight is that of its own level", async () => {
  const { engine, step } = await stepOf({ minSnrGamma: 2, prediction: "v_prediction" });
  await step.run(batch, settings);
  const found = engine.runs.flatMap(({ feeds }) => numbers(feeds.weight.data));
  found.forEach((x, i) =>
    assertAlmostEquals(x, lossWeight("v_prediction", schedule.alpha_bar(batch.t[i]), 2), 1e-6)
  );
});

Deno.test("the rate rises to its height at the end of the warm-up, and falls to its end at the horizon", () => {
  const rate = (k: number, keys: Record<string, number | null> = {}) =>
    learningRate(k, { lr: 8, warmup: 4, horizon: 12, ...keys });
  assertEquals([1, 2, 3, 4].map((k) => rate(k)), [2, 4, 6, 8]);
  assertAlmostEquals(rate(8), 4, 1e-12);
  assertEquals([rate(12), rate(13), rate(20), rate(1000)], [0, 0, 0, 0], "it does not rise again");
  assertAlmostEquals(rate(30, { final: 0.25 }), 2, 1e-12);
  assertEquals([rate(30, { horizon: null }), rate(1, { warmup: 0, horizon: null })], [8, 8]);
  assertEquals(rate(4, { horizon: 4 }), 8);
});

/** Pictures whose first pixel is their number, the last one its opposite. */
const counted = bytesDataSet(
  Uint8Array.from(
    { length: 4 * 10 },
    (_, i) => i % 4 === 0 ? Math.floor(i / 4) : i % 4 === 1 ? 200 : 100,
  ),
  [1, 2, 2],
  { labels: Int32Array.from({ length: 10 }, (_, i) => i % 2), labelNames: ["a", "b"] },
);

Deno.test("half of the pictures are mirrored, row by row, where that is asked for", () => {
  const options = { seed: 3, images: 400, T: 10 };
  const rows = (flip: boolean) => {
    const { x_0 } = batchOf(counted, 1, { ...options, flip });
    return Array.from(
      { length: 400 },
      (_, i) => [...x_0.slice(4 * i, 4 * i + 4)].map((x) => Math.round((x + 1) * 127.5)),
    );
  };
  assert(rows(false).every(([, right]) => right === 200));
  const mirrored = rows(true).filter(([left]) => left === 200);
  assert(mirrored.length > 150 && mirrored.length < 250, `${mirrored.length}`);
  for (const [, right, below, beside] of mirrored) {
    assert(right < 10 && below === 100 && beside === 100);
  }
});

Deno.test("pictures without end come one after another from the first, each with its label", () => {
  const asked: number[] = [];
  const endless = {
    ...counted,
    length: Infinity,
    labels: { at: (i: number) => i % 2 },
    picture: (i: number, out: Float32Array) => {
      asked.push(i);
      out.fill(0);
    },
  };
  const options = { seed: 0, images: 3, T: 10 };
  const labels = [1, 2].flatMap((k) => [...batchOf(endless, k, options).labels!]);
  assertEquals([asked, labels], [[0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 0, 1]]);
});

Deno.test("an update's small numbers are PyTorch's: ε of Adam 1e-8, of clipping 1e-6", () => {
  const graph = new Graph();
  const [theta, m, v, g] = ["theta", "m", "v", "g"].map((name) => graph.input(name, [1]));
  const names = ["stepSize", "invSqrtCorrection2", "decay"] as const;
  const [stepSize, invSqrtCorrection2, decay] = names.map((name) => graph.input(name, []));
  const layout = layoutOf(new Map([["w", [1]]]));
  const scalars = { stepSize, invSqrtCorrection2, decay };
  const updated = adamUpdate({ theta, m, v }, g, scalars, layout, {});
  const clipped = clipByNorm(g, globalNorm(g), 3e-6);
  const numbers = adamScalars(1, 0.5, {});
  const at = (slope: number) => ({
    ...{ theta: [2], m: [0], v: [0], g: [slope] },
    ...Object.fromEntries(names.map((name) => [name, [numbers[name]]])),
  });
  const moved = (slope: number) => interpret(graph, updated.theta, at(slope)).data[0];
  // lr·g/(|g| + ε)
  assertAlmostEquals(moved(1e-8), 2 - 0.5 / 2, 1e-7);
  assertAlmostEquals(moved(-3e-8), 2 + 0.5 * 3 / 4, 1e-7);
  const cut = (slope: number) => interpret(graph, clipped, at(slope)).data[0];
  assertAlmostEquals(cut(5e-6), 2.5e-6, 1e-12);
  assertAlmostEquals(cut(1e-6), 1e-6, 1e-12, "short ones are left as they are");
});
