/** A network as samplers ask it: its gradient against finite differences, on every engine, batched. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import {
  combine,
  createGenerator,
  type PredictionType,
  scheduleFor,
  travelSteps,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { type Model, openModel } from "../src/model/model.ts";
import type { Network } from "../src/model/network.ts";
import { Batcher } from "../src/sampling/batcher.ts";
import { denoiserOf, type Levels } from "../src/sampling/denoiser.ts";
import { countEvaluations } from "../src/sampling/evaluations.ts";
import { planRun } from "../src/sampling/plan.ts";
import { schedulers } from "../schedulers/mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { ortBackendsUnderTest } from "./backends.ts";
import { fakeNetwork } from "./sampling_network.ts";

const randn = (seed: number, n: number) => createGenerator(seed).randn(n);
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);
const norm = (a: Float32Array) => Math.sqrt(dot(a, a));
const golden = (folder: string) =>
  readFolder(filesAt(new URL(`golden/${folder}/`, import.meta.url)));

/** Noise levels as the network was trained under, at its own times. */
function trained(config: Network["scheduler"]): Levels {
  return { schedule: scheduleFor(config), config, modelTime: (t) => t };
}

/**
 * Σ u·(f(x + h·d) − f(x − h·d))/2h for a direction d, which the gradient g of Σ u·f has to give as g·d.
 */
async function slopeAlong(
  f: (x: Float32Array) => Promise<Float32Array>,
  x: Float32Array,
  u: Float32Array,
  d: Float32Array,
  h: number,
): Promise<number> {
  const [above, below] = [await f(combine([1, x], [h, d])), await f(combine([1, x], [-h, d]))];
  return dot(u, combine([1, above], [-1, below])) / (2 * h);
}

async function checkVjp(model: Model, tolerance: number): Promise<void> {
  const { shape, outChannels } = model;
  const size = shape.reduce((a, b) => a * b);
  const outSize = size / shape[0] * outChannels;
  const x = randn(1, size), u = randn(2, outSize);
  const t = Float32Array.of(350);
  const labels = model.labels && Int32Array.of(1);
  const gradient = await model.vjp!(x, t, u, labels);
  assertEquals(gradient.length, size);
  for (let direction = 0; direction < 3; direction++) {
    const d = randn(10 + direction, size);
    const slope = await slopeAlong((x) => model.predict(x, t, labels), x, u, d, 1e-2);
    const scale = norm(gradient) * norm(d);
    assertAlmostEquals(dot(gradient, d) / scale, slope / scale, tolerance, model.source);
  }
}

const backends = (await ortBackendsUnderTest()).map(({ backend }) => backend);
const exact = backends.filter(({ name }) => name !== "webgpu");
const webgpu = backends.find(({ name }) => name === "webgpu");

for (const backend of exact) {
  for (const folder of ["train_unconditional", "class_conditional", "learned_range"]) {
    Deno.test(`${backend.name}: ${folder}'s vjp is the slope of its output in any direction`, async () => {
      await using model = await openModel(await golden(folder), backend);
      await checkVjp(model, 5e-4);
    });
  }

  Deno.test(`${backend.name}: the gradients of three images in one evaluation are those of each alone`, async () => {
    await using model = await openModel(await golden("class_conditional"), backend);
    const size = model.shape.reduce((a, b) => a * b);
    const t = Float32Array.of(10, 500.5, 900);
    const x = randn(1, 3 * size), u = randn(2, 3 * size), labels = Int32Array.of(0, 1, 2);
    const together = await model.vjp!(x, t, u, labels);
    for (let i = 0; i < 3; i++) {
      const of = (v: Float32Array) => v.subarray(i * size, (i + 1) * size);
      const own = (i: number) => [i, i + 1] as const;
      const alone = await model.vjp!(of(x), t.subarray(...own(i)), of(u), labels.slice(...own(i)));
      assertEquals(of(together), alone);
    }
  });
}

Deno.test({
  name: "webgpu: the gradient is native's, as far as its rounding lets it be",
  ignore: webgpu === undefined,
  async fn() {
    const folder = await golden("class_conditional");
    const gradients: Float32Array[] = [];
    for (const backend of [exact[0], webgpu!]) {
      await using model = await openModel(folder, backend);
      const size = model.shape.reduce((a, b) => a * b);
      const [t, label] = [Float32Array.of(350), Int32Array.of(1)];
      gradients.push(await model.vjp!(randn(1, size), t, randn(2, size), label));
    }
    const [expected, found] = gradients;
    const difference = combine([1, found], [-1, expected]);
    assert(norm(difference) < 1e-4 * norm(expected), `${norm(difference) / norm(expected)}`);
  },
});

/** A network of tanh: ∂/∂x tanh(a·x) = a·(1 − tanh²); its output depends on t and label too. */
function curved(prediction_type: PredictionType, outChannels = 1): Network {
  const facts = fakeNetwork({ labels: ["a", "b"], nullLabel: 2, outChannels });
  const rate = (t: number, label: number) => 0.5 + t / 2000 + label / 4;
  const size = 16;
  return {
    ...facts,
    scheduler: { ...facts.scheduler, prediction_type },
    predict(x, t, labels) {
      const output = new Float32Array(t.length * size * outChannels);
      x.forEach((v, p) => {
        const n = Math.floor(p / size);
        output[n * size * outChannels + p % size] = Math.tanh(rate(t[n], labels![n]) * v);
      });
      return Promise.resolve(output);
    },
    vjp: (x, t, u, labels) =>
      Promise.resolve(x.map((v, p) => {
        const n = Math.floor(p / size);
        const a = rate(t[n], labels![n]);
        return u[n * size * outChannels + p % size] * a * (1 - Math.tanh(a * v) ** 2);
      })),
  };
}

Deno.test("vjp is the gradient of Σ u·eps, whatever is predicted, guided or not, at any ᾱ", async () => {
  const x = randn(1, 16), u = randn(2, 16);
  for (const prediction of ["epsilon", "sample", "v_prediction"] as const) {
    for (const guidance of [1, 3]) {
      for (const alpha_bar of [undefined, 0.3]) {
        for (const outChannels of [1, 2]) {
          const network = curved(prediction, outChannels);
          const { denoise, vjp } = denoiserOf(network, trained(network.scheduler), {
            label: 1,
            guidance,
          });
          const gradient = await vjp!(x, 600, u, alpha_bar);
          const eps = async (x: Float32Array) => (await denoise(x, 600, alpha_bar)).eps;
          for (let p = 0; p < 16; p++) {
            const d = new Float32Array(16);
            d[p] = 1;
            const slope = await slopeAlong(eps, x, u, d, 1e-3);
            assertAlmostEquals(gradient[p], slope, 2e-3, `${prediction} ${guidance} ${p}`);
          }
        }
      }
    }
  }
});

Deno.test("gradients of several images are one evaluation, and never mixed with outputs", async () => {
  const network = curved("epsilon");
  const evaluations: string[] = [];
  const watched: Network = {
    ...network,
    predict: (x, t, labels) => (evaluations.push(`${t.length}`), network.predict(x, t, labels)),
    vjp: (x, t, u, labels) => (evaluations.push(`∂${t.length}`), network.vjp!(x, t, u, labels)),
  };
  const batcher = new Batcher(watched, { maxBatch: 4 });
  const conditioning = { label: 0, guidance: 1 };
  const denoiser = denoiserOf(batcher, trained(network.scheduler), conditioning);
  const x = [0, 1, 2, 3, 4].map((seed) => randn(seed, 16));
  const [, gradients] = await Promise.all([
    Promise.all(x.slice(0, 3).map((x) => denoiser.denoise(x, 5))),
    Promise.all(x.map((x) => denoiser.vjp!(x, 5, x))),
  ]);
  assertEquals(evaluations, ["3", "∂4", "∂1"]);
  for (const [i, gradient] of gradients.entries()) {
    assertEquals(gradient, await denoiser.vjp!(x[i], 5, x[i]));
  }
});

Deno.test("an x_t of another size, and an aborted run, are refused where they are asked", async () => {
  const network = curved("epsilon");
  const stop = new AbortController();
  const levels = trained(network.scheduler);
  const { denoise, vjp } = denoiserOf(network, levels, { label: 0, guidance: 1 }, stop.signal);
  await assertRejects(() => denoise(new Float32Array(15), 5), InputError, "x_t: expected 16");
  await assertRejects(() => vjp!(new Float32Array(15), 5, new Float32Array(16)), InputError, "x_t");
  await assertRejects(() => vjp!(new Float32Array(16), 5, new Float32Array(15)), InputError, "u: ");
  stop.abort(new Error("enough"));
  await assertRejects(() => denoise(new Float32Array(16), 5), Error, "enough");
});

Deno.test("an engine that cannot run the gradient says so in a sentence", async () => {
  const [backend] = exact;
  const missing = new Error("no conv2dInputGrad");
  const plain: Backend = {
    name: "plain",
    createSession(graph, weights, options) {
      if (graph.outputs.has("gradient")) return Promise.reject(missing);
      return backend.createSession(graph, weights, options);
    },
  };
  await using model = await openModel(await golden("train_unconditional"), plain);
  const x = new Float32Array(model.shape.reduce((a, b) => a * b));
  await model.predict(x, Float32Array.of(1));
  const refused = await assertRejects(
    () => model.vjp!(x, Float32Array.of(1), x),
    InputError,
    "gradients of the network do not run on plain (no conv2dInputGrad); native and wasm have them",
  );
  assertStrictEquals(refused.cause, missing);
});

Deno.test("evaluations are counted where the network is asked: guidance doubles them, a gradient is two", async () => {
  const { scheduler: config } = fakeNetwork();
  const all = { ...schedulers, ...restorers };
  const cases: [name: string, steps: number, options: Record<string, unknown>, calls: number][] = [
    ["ddim", 7, {}, 7],
    ["ddpm", 5, {}, 5],
    ["heun", 7, {}, 2 * 7 - 1],
    ["unipc", 6, {}, 6],
    ["ddrm", 4, {}, 4],
    ["daps", 4, { ode: 3 }, 4 * 3],
    ["ddnm", 6, { travel: 2, repeats: 3 }, travelSteps(6, 2, 3)],
    ["pigdm", 4, { from: 0 }, 4 * 3],
    ["pigdm", 4, { from: 1 }, 4],
    ["dps", 4, { from: 1 }, 4],
  ];
  for (const [name, steps, options, calls] of cases) {
    const plan = planRun(config, { scheduler: all[name], steps, options });
    const what = `${name} ${JSON.stringify(options)}`;
    assertEquals(await countEvaluations(plan), calls, what);
    assertEquals(await countEvaluations(plan, { guidance: 2 }), 2 * calls, `${what}, guided`);
  }
});

Deno.test("counting ends where there are more evaluations than anybody may ask for", async () => {
  const { scheduler: config } = fakeNetwork();
  const plan = planRun(config, { scheduler: schedulers.ddim, steps: 500 });
  const count = await countEvaluations(plan, { guidance: 2 }, 30);
  assert(count > 30 && count <= 34, `${count}`);
});
