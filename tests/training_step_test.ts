/** The training step against PyTorch's, and against itself in other batches. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { InputError } from "../src/errors.ts";
import { Graph, mul, reduceMean, reduceSum, square, sub } from "../src/graph/mod.ts";
import { denoisingObjective, lossWeight } from "../src/training/objective/loss.ts";
import { emaDecay, learningRate } from "../src/training/optimiser/update_rule.ts";
import {
  initialState,
  packParams,
  type TrainState,
  unpackParams,
} from "../src/training/optimiser/layout.ts";
import { networkLayout, TrainStep, type TrainStepOptions } from "../src/training/objective/step.ts";
import type { TrainBatch } from "../src/training/objective/batch.ts";
import { objectiveLayout, Trainer } from "../src/training/optimiser/trainer.ts";
import { accumulateGraph } from "../src/training/optimiser/update_graph.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { ortBackendsUnderTest } from "./backends.ts";
import { type GoldenTensors, readGolden, readGoldenJson } from "./golden.ts";

const folders = ["ddpm_legacy", "train_unconditional", "class_conditional"];

/** A network of which the golden data has three Adam steps on one batch. */
async function goldenRun(folder: string) {
  const network = parseNetwork(await readGoldenJson(`${folder}/unet/config.json`));
  const layout = networkLayout(network);
  const flat = (tensors: GoldenTensors) =>
    packParams(
      layout,
      new Map(layout.params.map(({ name }) => [name, tensors.floats(name)])),
    );
  const io = await readGolden(`${folder}/io.safetensors`);
  const labels = io.integers("class_labels");
  const batch: TrainBatch = {
    x_0: io.floats("sample"),
    eps: io.floats("target"),
    t: Float32Array.from(io.integers("timestep")!),
    labels: labels && Int32Array.from(labels),
  };
  const weights = await readGolden(`${folder}/unet/diffusion_pytorch_model.safetensors`);
  const options: TrainStepOptions = {
    network,
    // At ᾱ = 1 x_t is x_0: the golden batch is of noised pictures already.
    schedule: { alpha_bar: () => 1 },
    prediction: "epsilon",
    batch: batch.t.length,
  };
  return {
    options,
    batch,
    layout,
    weights,
    theta: flat(weights),
    losses: io.floats("losses"),
    grads: flat(await readGolden(`${folder}/grads.safetensors`)),
    after: flat(await readGolden(`${folder}/after_3_adam_steps.safetensors`)),
  };
}

const norm = (x: Float32Array) => Math.sqrt(x.reduce((sum, e) => sum + e * e, 0));
const difference = (a: Float32Array, b: Float32Array) => a.map((x, i) => x - b[i]);

async function gradientOf(backend: Backend, { options, batch, layout, theta }: Golden) {
  const { network, prediction } = options;
  const n = options.batch;
  const { graph, theta: input } = accumulateGraph({
    objective: (graph) => denoisingObjective(graph, { network, prediction, batch: n, dropout: 0 }),
  });
  const order = layout.params.map(({ name }) => name);
  const session = await backend.createSession(
    graph,
    { input, order },
  );
  const picture = { dims: [n, ...network.shape] };
  const perImage = (x: number) => ({ data: new Float32Array(n).fill(x), dims: [n] });
  const result = await session.run({
    x_0: { data: batch.x_0, ...picture },
    eps: { data: batch.eps, ...picture },
    timestep: { data: batch.t, dims: [n] },
    sqrt_alpha_bar: perImage(1),
    sqrt_one_minus_alpha_bar: perImage(0),
    weight: perImage(1),
    theta: { data: theta, dims: [layout.size] },
    ...(batch.labels ? { class_labels: { data: batch.labels, dims: [n] } } : {}),
  });
  await session.close();
  return result.new_grad_sum.data as Float32Array;
}

type Golden = Awaited<ReturnType<typeof goldenRun>>;

const backends = (await ortBackendsUnderTest()).map(({ backend }) => backend)
  .filter(({ name }) => name !== "webgpu");

for (const backend of backends) {
  for (const folder of folders) {
    Deno.test(`${backend.name}: ${folder} has PyTorch's gradients`, async () => {
      const golden = await goldenRun(folder);
      const found = unpackParams(golden.layout, await gradientOf(backend, golden));
      const all = norm(golden.grads);
      for (const [name, { data: expected }] of unpackParams(golden.layout, golden.grads)) {
        const error = norm(difference(found.get(name)!.data, expected));
        const allowed = 1e-3 * norm(expected) + 1e-6 * all;
        assert(error <= allowed, `${name}: ‖Δg‖ is ${error}, more than ${allowed}`);
      }
    });

    Deno.test(`${backend.name}: ${folder} takes PyTorch's three Adam steps`, async () => {
      const { options, theta, batch, losses, after } = await goldenRun(folder);
      await using step = await TrainStep.create(backend, options, initialState(theta));
      for (const [i, expected] of losses.entries()) {
        const settings = { step: i + 1, lr: 1e-3, emaDecay: 0, seed: 0 };
        const result = await step.run(batch, settings);
        assertAlmostEquals(
          result.loss,
          expected,
          1e-4 * expected,
          `loss ${i}: ${result.loss}, PyTorch ${expected}`,
        );
        const mean = result.losses.reduce((a, b) => a + b) / result.losses.length;
        assertAlmostEquals(mean, result.loss, 1e-6);
      }
      // Adam divides by |g|: where g is nothing but rounding, an update of ±lr has no true sign.
      const moved = norm(difference(after, theta));
      const error = norm(difference(step.state.theta, after));
      assert(error <= 0.003 * moved, `‖Δθ‖ is ${error}; PyTorch's steps moved θ by ${moved}`);
      assertEquals(step.state.ema, step.state.theta, "decay 0 copies the parameters");
    });
  }

  Deno.test(`${backend.name}: accumulated batches give the step of one big batch`, async () => {
    const { options, theta, batch } = await goldenRun("class_conditional");
    const small = { ...options, batch: 1, accumulate: options.batch, dropout: 0.3 };
    const big = { ...options, dropout: 0.3 };
    const results = [];
    for (const each of [big, small]) {
      await using step = await TrainStep.create(backend, each, initialState(theta));
      const result = await step.run(batch, { step: 1, lr: 1e-3, emaDecay: 0.5, seed: 3 });
      results.push({ ...result, state: step.state });
    }
    const [a, b] = results;
    assertAlmostEquals(a.loss, b.loss, 1e-5 * a.loss);
    assertAlmostEquals(a.gradNorm, b.gradNorm, 1e-5 * a.gradNorm);
    a.losses.forEach((loss, i) => assertAlmostEquals(loss, b.losses[i], 1e-5 * loss));
    const apart = norm(difference(a.state.m, b.state.m));
    assert(apart <= 1e-5 * norm(a.state.m), `‖Δm‖ is ${apart} of ${norm(a.state.m)}`);
  });

  Deno.test(`${backend.name}: dropout is a function of seed and step`, async () => {
    const { options, theta, batch } = await goldenRun("class_conditional");
    await using step = await TrainStep.create(
      backend,
      { ...options, dropout: 0.5 },
      initialState(theta),
    );
    const lossAt = async (k: number, seed: number) => {
      step.state = initialState(theta);
      return (await step.run(batch, { step: k, lr: 0, emaDecay: 0, seed })).loss;
    };
    const first = await lossAt(1, 7);
    assertEquals(await lossAt(1, 7), first);
    assert(await lossAt(2, 7) !== first, "the next step leaves out the same units");
    assert(await lossAt(1, 8) !== first, "another seed leaves out the same units");
  });

  Deno.test(`${backend.name}: the loss is of ε, x₀ or v, weighted by min-SNR`, async () => {
    const { options, theta, batch } = await goldenRun("ddpm_legacy");
    const alpha_bar = (t: number) => 1 - (t + 1) / 1002;
    for (const prediction of ["epsilon", "sample", "v_prediction"] as const) {
      const minSnrGamma = 5;
      const here = { ...options, schedule: { alpha_bar }, prediction, minSnrGamma };
      await using step = await TrainStep.create(backend, here, initialState(theta));
      const { loss, losses } = await step.run(batch, { step: 1, lr: 0, emaDecay: 0, seed: 0 });
      const weighted = losses.map((l, i) => l * lossWeight(prediction, alpha_bar(batch.t[i]), 5));
      assertAlmostEquals(loss, weighted.reduce((a, b) => a + b) / losses.length, 1e-5 * loss);
      const output = await outputOf(backend, here, theta, batch);
      const size = batch.x_0.length / losses.length;
      losses.forEach((found, n) => {
        const [a, s] = [alpha_bar(batch.t[n]), 1 - alpha_bar(batch.t[n])].map(Math.sqrt);
        let sum = 0;
        for (let i = n * size; i < (n + 1) * size; i++) {
          const wanted = {
            epsilon: batch.eps[i],
            sample: batch.x_0[i],
            v_prediction: a * batch.eps[i] - s * batch.x_0[i],
          }[prediction];
          sum += (output[i] - wanted) ** 2;
        }
        assertAlmostEquals(found, sum / size, 1e-4 * found);
      });
    }
  });

  Deno.test(`${backend.name}: the update clips, decays matrices only, and averages`, async () => {
    const theta = Float32Array.of(3, -2, 1, 2, 4, -1);
    const slope = Float32Array.of(0.5, -1, 2, 1, -2, 0.25);
    const objective = (graph: Graph) => {
      const bias = graph.param("a.bias", [2]);
      const weight = graph.param("b.weight", [2, 2]);
      const of = (x: typeof bias, numbers: Float32Array) =>
        reduceSum(mul(x, graph.constant(numbers, x.shape as number[])), x.shape.map((_, i) => i));
      const both = [of(bias, slope.slice(0, 2)), of(weight, slope.slice(2))];
      return { loss: sub(both[0], mul(graph.scalar(-1), both[1])) };
    };
    assertEquals(objectiveLayout(objective).params.map(({ name }) => name), ["a.bias", "b.weight"]);
    const adam = { beta1: 0.8, beta2: 0.9, eps: 1e-3, weightDecay: 0.1 };
    await using trainer = await Trainer.create(
      backend,
      { objective, adam, maxGradNorm: 0.5 },
      initialState(theta),
    );
    let expected: TrainState = initialState(theta);
    for (let k = 1; k <= 3; k++) {
      const { gradNorm } = await trainer.run([{}], { step: k, lr: 0.1, emaDecay: 0.75 });
      assertAlmostEquals(gradNorm, norm(slope), 1e-5);
      expected = adamW(expected, slope.map((g) => g * 0.5 / norm(slope)), k, 0.1, adam);
      for (const name of ["theta", "m", "v", "ema"] as const) {
        trainer.state[name].forEach((x, i) =>
          assertAlmostEquals(x, expected[name][i], 1e-5, `step ${k}, ${name}[${i}]`)
        );
      }
    }
  });

  Deno.test(`${backend.name}: a gradient that is not finite is an error, not a state`, async () => {
    const objective = (graph: Graph) => {
      const x = graph.param("x", [1]);
      return { loss: reduceMean(square(mul(x, graph.input("factor", [1]))), [0]) };
    };
    const state = initialState(Float32Array.of(1));
    await using trainer = await Trainer.create(backend, { objective }, state);
    const batch = { factor: { data: Float32Array.of(1e30), dims: [1] } };
    const settings = { step: 12, lr: 1, emaDecay: 0 };
    await assertRejects(() => trainer.run([batch], settings), InputError, "step 12: the loss is");
    assertEquals(trainer.state, state);
  });
}

/** AdamW in float64, PyTorch's order of operations; the first two elements are a bias. */
function adamW(
  { theta, m, v, ema }: TrainState,
  g: Float32Array,
  k: number,
  lr: number,
  { beta1, beta2, eps, weightDecay }: Record<"beta1" | "beta2" | "eps" | "weightDecay", number>,
): TrainState {
  const newM = m.map((x, i) => beta1 * x + (1 - beta1) * g[i]);
  const newV = v.map((x, i) => beta2 * x + (1 - beta2) * g[i] ** 2);
  const newTheta = theta.map((x, i) => {
    const decayed = i < 2 ? x : x * (1 - lr * weightDecay);
    const denominator = Math.sqrt(newV[i] / (1 - beta2 ** k)) + eps;
    return decayed - lr * newM[i] / (1 - beta1 ** k) / denominator;
  });
  const newEma = ema.map((x, i) => 0.75 * x + 0.25 * newTheta[i]);
  return { theta: newTheta, m: newM, v: newV, ema: newEma };
}

/** The network's output for the batch noised as the step noises it. */
async function outputOf(
  backend: Backend,
  { network, schedule }: TrainStepOptions,
  theta: Float32Array,
  { x_0, eps, t }: TrainBatch,
): Promise<Float32Array> {
  const graph = networkGraph(network, t.length);
  const weights = new Map(
    [...unpackParams(networkLayout(network), theta)].map(([name, { data }]) => [name, data]),
  );
  const session = await backend.createSession(graph, weights);
  const size = x_0.length / t.length;
  const x_t = x_0.map((x, i) => {
    const alpha_bar = schedule.alpha_bar(t[Math.floor(i / size)]);
    return Math.sqrt(alpha_bar) * x + Math.sqrt(1 - alpha_bar) * eps[i];
  });
  const { out_sample } = await session.run({
    sample: { data: x_t, dims: [t.length, ...network.shape] },
    timestep: { data: t, dims: [t.length] },
  });
  await session.close();
  return out_sample.data as Float32Array;
}

Deno.test("parameters lie in the flat vector as in PyTorch's safetensors file", async () => {
  for (const folder of folders) {
    const { layout, theta, weights } = await goldenRun(folder);
    const header = 8 + Number(new DataView(weights.bytes.buffer).getBigUint64(0, true));
    assertEquals(layout.size * 4, weights.bytes.length - header);
    assertEquals(new Uint8Array(theta.buffer), weights.bytes.slice(header), folder);
  }
});

Deno.test("min-SNR weights are min(SNR, γ) over SNR, 1 and SNR + 1, at both ends too", () => {
  const snr = 8, alpha_bar = snr / (1 + snr);
  assertAlmostEquals(lossWeight("epsilon", alpha_bar, 5), 5 / 8);
  assertAlmostEquals(lossWeight("sample", alpha_bar, 5), 5);
  assertAlmostEquals(lossWeight("v_prediction", alpha_bar, 5), 5 / 9);
  assertAlmostEquals(lossWeight("epsilon", 0.5, 5), 1);
  assertAlmostEquals(lossWeight("sample", 0.5, 5), 1);
  assertAlmostEquals(lossWeight("v_prediction", 0.5, 5), 0.5);
  for (const prediction of ["epsilon", "sample", "v_prediction"] as const) {
    assertEquals(lossWeight(prediction, alpha_bar), 1);
    assert(Number.isFinite(lossWeight(prediction, 0, 5)));
    assert(Number.isFinite(lossWeight(prediction, 1, 5)));
  }
});

Deno.test("the mean's half-life is min(h, 0.05 · images seen)", () => {
  assertEquals(emaDecay(32, 0, 1000), 0);
  assertAlmostEquals(emaDecay(50, 1000, 1000), 0.5);
  assertAlmostEquals(emaDecay(500, 1e6, 1000), Math.SQRT1_2);
});

Deno.test("the learning rate warms up and then follows half a cosine to the horizon", () => {
  const options = { lr: 2, warmup: 10, horizon: 110, final: 0.1 };
  assertAlmostEquals(learningRate(1, options), 0.2);
  assertEquals(learningRate(10, options), 2);
  assertAlmostEquals(learningRate(60, options), 1.1);
  assertAlmostEquals(learningRate(110, options), 0.2);
  assertAlmostEquals(learningRate(500, options), 0.2);
  assertEquals(learningRate(500, { lr: 2, warmup: 0, horizon: null }), 2);
});
