/** What a classifier is shown, by an engine that keeps what it is fed; and what the last bin costs. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import type { Backend, Tensors } from "../src/backends/backend.ts";
import { backendByName } from "../src/backends/select.ts";
import { createGenerator, parseSchedulerConfig, scheduleFor } from "../src/diffusion/mod.ts";
import { bitsPerDim, decoderBits } from "../src/evaluation/bits.ts";
import {
  Classifier,
  classifierLayout,
  trainClassifier,
  withDefaults,
} from "../src/evaluation/classifier.ts";
import {
  add,
  conv2d,
  Graph,
  groupNorm,
  linear,
  reshape,
  silu,
  type Value,
} from "../src/graph/mod.ts";
import { type ParamLayout, unpackParams } from "../src/training/optimiser/layout.ts";
import { classifierNetwork } from "../src/evaluation/classifier_network.ts";
import { initialTheta } from "../src/training/optimiser/init.ts";
import { adamScalars, emaDecay, learningRate } from "../src/training/optimiser/update_rule.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { fakeNetwork } from "./sampling_network.ts";
import { recordingEngine } from "./training_engine.ts";

const side = 6;
/** Two pictures of two channels whose pixels are all different. */
const data = bytesDataSet(
  Uint8Array.from({ length: 2 * 2 * side * side }, (_, i) => i),
  [2, side, side],
  { labels: Int32Array.of(1, 0), labelNames: ["a", "b"] },
);

/** Picture i moved by so much, what lies beyond its edges being the edge. */
function moved(i: number, dy: number, dx: number): string {
  const picture = new Float32Array(2 * side * side);
  data.picture(i, picture);
  const inside = (v: number) => Math.min(side - 1, Math.max(0, v));
  return picture.map((_, p) => {
    const x = p % side, y = Math.floor(p / side) % side;
    return picture[p - p % (side * side) + inside(y + dy) * side + inside(x + dx)];
  }).join();
}

Deno.test("pictures that come again come moved by up to two pixels each way, with their own label", async () => {
  const places = new Map<string, { i: number; shift: string }>();
  const shifts = [-2, -1, 0, 1, 2];
  for (const i of [0, 1]) {
    for (const dy of shifts) {
      for (const dx of shifts) places.set(moved(i, dy, dx), { i, shift: `${dy},${dx}` });
    }
  }
  const engine = recordingEngine();
  await trainClassifier(engine, data, { steps: 20, batch: 20 });
  const seen = new Set<string>();
  for (const { feeds: { pictures, wanted } } of engine.runs) {
    for (let n = 0; n < 20; n++) {
      const place = places.get(
        pictures.data.slice(n * 2 * side * side, (n + 1) * 2 * side * side).join(),
      );
      assert(place, "no picture of the set, moved");
      seen.add(place.shift);
      assertEquals([...wanted.data.slice(2 * n, 2 * n + 2)], place.i === 0 ? [0, 1] : [1, 0]);
    }
  }
  assertEquals(seen.size, 25);
  assertEquals(engine.open, 0);
});

Deno.test("the last bin is that of the posterior's first variance that is not 0", async () => {
  const scheduler = parseSchedulerConfig({
    num_train_timesteps: 5,
    beta_start: 0.05,
    beta_end: 0.5,
    prediction_type: "sample",
  });
  const network = {
    ...fakeNetwork({ scheduler }),
    predict: (x: Float32Array) => Promise.resolve(x.map(() => Math.fround(0.2))),
  };
  const pictures = bytesDataSet(new Uint8Array(32).fill(153), [1, 4, 4]);
  const { decoder } = await bitsPerDim(network, pictures, { pictures: 2 });
  const { betas, alphas_cumprod: [first, second] } = scheduleFor(scheduler);
  const beta_tilde = betas[1] * (1 - first) / (1 - second);
  const expected = decoderBits(Float32Array.of(0.2), Float64Array.of(0.2), Math.log(beta_tilde));
  assertAlmostEquals(decoder, expected, 1e-4);
});

Deno.test("a classifier's training ends with the update in which it is stopped", async () => {
  const engine = recordingEngine();
  const stop = new AbortController();
  const training = trainClassifier(engine, data, {
    steps: 20,
    batch: 2,
    signal: stop.signal,
    onProgress: (done) => done === 3 && stop.abort(new Error("stopped here")),
  });
  await assertRejects(() => training, Error, "stopped here");
  assertEquals([engine.runs.length, engine.open], [3, 0]);
});

Deno.test("what nobody says of a classifier's training depends on whether its pictures have colours", () => {
  assertEquals(withDefaults([1, 28, 28], {}), { steps: 2000, batch: 64, seed: 0 });
  assertEquals(withDefaults([3, 28, 28], {}), { steps: 1600, batch: 32, seed: 0 });
  const said = { steps: 3, batch: 4, seed: 5, session: { threads: 1 } };
  for (const channels of [1, 3]) assertEquals(withDefaults([channels, 28, 28], said), said);
});

Deno.test("a classifier is the running mean of its updates, each by its own rate and on its own pictures", async () => {
  const small = bytesDataSet(Uint8Array.from({ length: 2 * 16 }, (_, i) => 8 * i), [1, 4, 4], {
    labels: Int32Array.of(1, 0),
    labelNames: ["a", "b"],
  });
  const trained = async (seed?: number) => {
    const engine = recordingEngine();
    const theta = await trainClassifier(engine, small, { steps: 52, batch: 4, seed });
    const runs = engine.runs.map(({ feeds }) => feeds);
    return { theta, runs, pictures: runs.map(({ pictures }) => pictures.data.join()) };
  };
  const { theta, runs, pictures } = await trained(5);
  const start = initialTheta(classifierLayout(small.shape, 2), 5);
  let mean = start;
  for (let k = 1; k <= 52; k++) {
    mean = mean.map((x) => x + 2);
    const lr = learningRate(k, { lr: 2e-3, warmup: 50, horizon: 52 });
    const { stepSize, invSqrtCorrection2, decay } = adamScalars(k, lr, { weightDecay: 0.01 });
    const { step_size, inv_sqrt_correction2, ema_decay, decay: fed } = runs[k - 1];
    assertEquals(
      [step_size, inv_sqrt_correction2, fed, ema_decay].map(({ data }) => data[0]),
      [stepSize, invSqrtCorrection2, decay, emaDecay(4, 4 * (k - 1), 5000)].map(Math.fround),
    );
  }
  assertEquals(theta, mean);
  assertEquals(runs[0].theta.data, start);
  assertEquals(new Set(pictures).size, 52);
  assertEquals((await trained(5)).pictures, pictures);
  const other = await trained();
  assertEquals(other.runs[0].theta.data, initialTheta(classifierLayout(small.shape, 2), 0));
  assert(!pictures.includes(other.pictures[0]), "another seed, other pictures");
});

Deno.test("a classifier halves grey pictures down to 8 pixels a side, and colours in two residual blocks", () => {
  const weights = (...shape: number[]) =>
    classifierLayout(shape, 10).params.flatMap(({ name, shape }) =>
      shape.length > 1 ? [`${name.replace(".weight", "")} ${shape.slice(0, 2)}`] : []
    ).toSorted();
  const expected = (...names: string[]) => names.toSorted();
  const head = (pixels: number) => [`features 64,${pixels}`, "logits 10,64"];
  assertEquals(weights(1, 8, 8), expected("layers.0 16,1", ...head(16 * 64)));
  assertEquals(weights(1, 9, 8), expected("layers.0 16,1", ...head(16 * 72)));
  const grey = ["layers.0 16,1", "layers.1 32,16", "layers.2 64,32"];
  assertEquals(weights(1, 28, 28), expected(...grey, ...head(64 * 49)));
  assertEquals(weights(1, 64, 64), expected(...grey, "layers.3 64,64", ...head(64 * 64)));
  const block = (i: number, n: number) => [1, 2].map((conv) => `blocks.${i}.conv${conv} ${n},${n}`);
  const blocks = [...block(0, 48), "down 96,48", ...block(1, 96)];
  assertEquals(weights(3, 8, 8), expected("stem.0 48,3", ...blocks, ...head(96 * 64)));
  assertEquals(weights(3, 16, 16), expected("stem.0 48,3", ...blocks, ...head(96 * 64)));
  assertEquals(weights(3, 32, 32), expected("stem.0 48,3", ...blocks, ...head(96 * 64)));
  assertEquals(
    weights(3, 64, 64),
    expected("stem.0 48,3", "stem.1 48,48", ...blocks, ...head(96 * 64)),
  );
});

/** A classifier's features and logits, written out: of 12×12 grey pictures, and of 34×36 colours. */
function writtenOut(graph: Graph, x: Value, kind: "plain" | "residual", classes: number) {
  const param = (name: string, ...shape: number[]) => graph.param(name, shape);
  const conv = (x: Value, name: string, from: number, to: number, stride: 1 | 2) =>
    conv2d(x, param(`${name}.weight`, to, from, 3, 3), param(`${name}.bias`, to), {
      stride,
      padding: [1, 1, 1, 1],
    });
  const norm = (x: Value, name: string, n: number) =>
    groupNorm(x, param(`${name}.weight`, n), param(`${name}.bias`, n), { groups: 8, eps: 1e-5 });
  const block = (x: Value, name: string, n: number) => {
    const h = conv(silu(norm(x, `${name}.norm1`, n)), `${name}.conv1`, n, n, 1);
    return add(x, conv(silu(norm(h, `${name}.norm2`, n)), `${name}.conv2`, n, n, 1));
  };
  let maps: Value, size: number;
  if (kind === "plain") {
    maps = silu(conv(x, "layers.0", 1, 16, 1));
    maps = silu(conv(maps, "layers.1", 16, 32, 2));
    size = 32 * 6 * 6;
  } else {
    // 34×36 to 17×18, and once more, as that is above 16; then below 8.
    maps = conv(x, "stem.0", 3, 48, 2);
    maps = conv(silu(maps), "stem.1", 48, 48, 2);
    maps = conv(block(maps, "blocks.0", 48), "down", 48, 96, 2);
    maps = silu(norm(block(maps, "blocks.1", 96), "norm", 96));
    size = 96 * 5 * 5;
  }
  const flat = reshape(maps, [x.shape[0], size]);
  const features = silu(
    linear(flat, param("features.weight", 64, size), param("features.bias", 64)),
  );
  return {
    features,
    logits: linear(features, param("logits.weight", classes, 64), param("logits.bias", classes)),
  };
}

const namedParams = (layout: ParamLayout, theta: Float32Array) =>
  new Map([...unpackParams(layout, theta)].map(([name, { data }]) => [name, data]));

/** Parameters none of which is 0 or 1. */
const someTheta = ({ size }: ParamLayout) => createGenerator(3).randn(size).map((x) => 0.3 * x);

for (const [kind, shape] of [["plain", [1, 12, 12]], ["residual", [3, 34, 36]]] as const) {
  Deno.test(`the ${kind} classifier is this network, and reads what its logits say`, async () => {
    const backend = await backendByName("native");
    const layout = classifierLayout(shape, 3);
    const theta = someTheta(layout);
    const bytes = createGenerator(4).randn(3 * shape[0] * shape[1] * shape[2]);
    const pictures = bytesDataSet(Uint8Array.from(bytes, (z) => 128 + 50 * z), shape);
    await using classifier = await Classifier.open(backend, theta, shape, 3, { threads: 1 });
    const read = await classifier.read(pictures);

    const graph = new Graph();
    const { features, logits } = writtenOut(
      graph,
      graph.input("pictures", ["N", ...shape]),
      kind,
      3,
    );
    graph.output("features", features);
    graph.output("logits", logits);
    const weights = namedParams(layout, theta);
    const session = await backend.createSession(graph, weights, { threads: 1 });
    const size = shape[0] * shape[1] * shape[2];
    for (let i = 0; i < 3; i++) {
      const data = new Float32Array(size);
      pictures.picture(i, data);
      const out = await session.run({ pictures: { data, dims: [1, ...shape] } });
      const scale = Math.max(...(out.features.data as Float32Array).map(Math.abs));
      (out.features.data as Float32Array).forEach((x, k) =>
        assertAlmostEquals(read.features[i][k], x, 1e-5 * scale)
      );
      const said = [...out.logits.data as Float32Array];
      assertEquals(read.labels[i], said.indexOf(Math.max(...said)));
    }
    await session.close();
  });
}

Deno.test("an update follows the mean cross-entropy, its gradient cut to a norm of 1", async () => {
  const backend = await backendByName("native");
  const outputs: Tensors[] = [], fed: Tensors[] = [];
  const watched: Backend = {
    ...backend,
    async createSession(graph, weights, options) {
      const session = await backend.createSession(graph, weights, options);
      return {
        ...{ inputNames: session.inputNames, outputNames: session.outputNames },
        run: async (feeds) => {
          const out = await session.run(feeds);
          fed.push(feeds);
          outputs.push(out);
          return out;
        },
        close: () => session.close(),
      };
    },
  };
  const bytes = Uint8Array.from({ length: 4 * 16 }, (_, i) => 53 * i % 256);
  const small = bytesDataSet(bytes, [1, 4, 4], {
    labels: Int32Array.of(0, 1, 2, 1),
    labelNames: ["a", "b", "c"],
  });
  await trainClassifier(watched, small, { steps: 1, batch: 4, session: { threads: 1 } });
  const [{ pictures, wanted }] = fed, [{ loss, grad_norm, new_m }] = outputs;
  const layout = classifierLayout([1, 4, 4], 3);
  const graph = new Graph();
  const input = graph.input("pictures", [4, 1, 4, 4]);
  graph.output("logits", classifierNetwork(graph, input, 3).logits);
  const weights = namedParams(layout, initialTheta(layout, 0));
  const session = await backend.createSession(graph, weights, { threads: 1 });
  const logits = (await session.run({ pictures })).logits.data as Float32Array;
  await session.close();
  const entropies = Array.from({ length: 4 }, (_, i) => {
    const row = logits.subarray(3 * i, 3 * i + 3);
    const label = (wanted.data as Float32Array).indexOf(1, 3 * i) - 3 * i;
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[label];
  });
  const mean = entropies.reduce((a, b) => a + b) / 4;
  assertAlmostEquals((loss.data as Float32Array)[0], mean, 1e-5);
  assert((grad_norm.data as Float32Array)[0] > 1.02, `${grad_norm.data} is cut`);
  // The first m is a tenth of the gradient.
  assertAlmostEquals(Math.hypot(...new_m.data as Float32Array), 0.1, 1e-5);
});
