/** Group normalisation far from zero: every engine against float64, where its own kernels cancel. */
import { assert } from "@std/assert";
import { gradients, Graph, groupNorm, mul, reduceSum } from "../src/graph/mod.ts";
import { emit, fused, portable } from "../src/onnx/mod.ts";
import { ortBackendsUnderTest } from "./backends.ts";

const EPS = 1e-5;
/** Means in deviations: near zero, and where float32 has two digits left. */
const MEANS = [0, 30, 300, -3000];
const shapes = [
  { n: 2, channels: 64, pixels: [16, 16], groups: 32 },
  { n: 1, channels: 32, pixels: [32, 32], groups: 1 },
  { n: 3, channels: 32, pixels: [1, 5], groups: 16 },
] as const;
type Shape = typeof shapes[number];

/** Normal numbers from a fixed generator. */
function randn(seed: number): () => number {
  let state = seed;
  return () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      sum += state / 2 ** 32;
    }
    return sum;
  };
}

/** x, weight, bias, and the dy of each number of y. */
function inputsOf({ n, channels, pixels: [h, w] }: Shape, mean: number) {
  const next = randn(channels + mean);
  const size = n * channels * h * w;
  const numbers = (length: number, of: () => number) => Float32Array.from({ length }, of);
  return {
    x: numbers(size, () => mean + next()),
    weight: numbers(channels, () => 1 + 0.3 * next()),
    bias: numbers(channels, next),
    dy: numbers(size, next),
  };
}

/** y = x̂·w + b, and dx = r·(g − mean(g) − x̂·mean(g·x̂)) with g = dy·w, in float64. */
function expectedOf(
  { channels, pixels: [h, w], groups }: Shape,
  inputs: ReturnType<typeof inputsOf>,
) {
  const { x, weight, bias, dy } = inputs;
  const size = channels / groups * h * w;
  const y = new Float64Array(x.length), dx = new Float64Array(x.length);
  const dweight = new Float64Array(channels);
  for (let start = 0; start < x.length; start += size) {
    const mean = (of: (i: number) => number) => {
      let sum = 0;
      for (let i = start; i < start + size; i++) sum += of(i);
      return sum / size;
    };
    const channel = (i: number) => Math.floor(i / (h * w)) % channels;
    const mu = mean((i) => x[i]);
    const r = 1 / Math.sqrt(mean((i) => (x[i] - mu) ** 2) + EPS);
    const normed = (i: number) => (x[i] - mu) * r;
    const g = (i: number) => dy[i] * weight[channel(i)];
    const mean_g = mean(g), mean_gx = mean((i) => g(i) * normed(i));
    for (let i = start; i < start + size; i++) {
      y[i] = normed(i) * weight[channel(i)] + bias[channel(i)];
      dx[i] = r * (g(i) - mean_g - normed(i) * mean_gx);
      dweight[channel(i)] += dy[i] * normed(i);
    }
  }
  return { y, dx, dweight };
}

function graphOf({ n, channels, pixels, groups }: Shape): Graph {
  const graph = new Graph();
  const x = graph.input("x", [n, channels, ...pixels]);
  const weight = graph.input("weight", [channels]), bias = graph.input("bias", [channels]);
  const y = groupNorm(x, weight, bias, { groups, eps: EPS });
  const loss = reduceSum(mul(y, graph.input("dy", y.shape)), [0, 1, 2, 3]);
  const [dx, dweight] = gradients(loss, [x, weight]);
  for (const [name, value] of Object.entries({ y, dx, dweight })) graph.output(name, value);
  return graph;
}

for (const { backend } of await ortBackendsUnderTest()) {
  const lowerings = [portable, fused, backend.lowering, backend.trainingLowering ?? portable];
  for (const lowering of new Set(backend.name === "webgpu" ? [backend.lowering] : lowerings)) {
    Deno.test(`${backend.name}, ${lowering.name}: group norm is within 1e-5 of float64`, async (t) => {
      for (const shape of shapes) {
        const model = emit(graphOf(shape), { lowering });
        const session = await backend.createOnnxSession(model);
        const { n, channels, pixels, groups } = shape;
        const title = `[${[n, channels, ...pixels]}] in ${groups} groups`;
        for (const mean of MEANS) {
          await t.step(`${title}, mean ${mean} σ`, async () => {
            const inputs = inputsOf(shape, mean);
            const dims = [n, channels, ...pixels];
            const found = await session.run({
              x: { data: inputs.x, dims },
              weight: { data: inputs.weight, dims: [channels] },
              bias: { data: inputs.bias, dims: [channels] },
              dy: { data: inputs.dy, dims },
            });
            for (const [name, expected] of Object.entries(expectedOf(shape, inputs))) {
              const data = found[name].data as Float32Array;
              const scale = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
              let most = 0;
              expected.forEach((v, i) => most = Math.max(most, Math.abs(data[i] - v) / scale));
              assert(most <= 1e-5, `${name} is off by ${most.toExponential(1)} of the largest`);
            }
          });
        }
        await session.close();
      }
    });
  }
}
