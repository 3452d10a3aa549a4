/** What is measured at its edges: whom a model can be measured on, what it is asked. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Backend, Session } from "../src/backends/backend.ts";
import { backendByName } from "../src/backends/select.ts";
import {
  createGenerator,
  parseSchedulerConfig,
  q_sample,
  scheduleFor,
} from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { askedLabels, askedTogether, labelMeaning } from "../src/evaluation/asked_labels.ts";
import { bitsPerDim, decoderBits } from "../src/evaluation/bits.ts";
import { Classifier, classifierLayout } from "../src/evaluation/classifier.ts";
import { FEATURES } from "../src/evaluation/classifier_network.ts";
import { epsLossByBand } from "../src/evaluation/eps_loss.ts";
import { atMost, type EvalOptions, evaluate, type Evaluation } from "../src/evaluation/evaluate.ts";
import { frechetDistance } from "../src/evaluation/frechet.ts";
import { kernelDistanceTo } from "../src/evaluation/kernel_distance.ts";
import { nearestPictures } from "../src/evaluation/nearest.ts";
import { pixelScores } from "../src/evaluation/pixel_scores.ts";
import { pictureOf, spread } from "../src/evaluation/predict.ts";
import { sampleSet } from "../src/evaluation/samples.ts";
import { fromPixels } from "../src/image/pixels.ts";
import type { Model } from "../src/model/model.ts";
import { bytesDataSet, type DataSet } from "../src/training/data/data_set.ts";
import { initialTheta } from "../src/training/optimiser/init.ts";
import { fakeNetwork, type FakeOptions } from "./sampling_network.ts";

const shape = [1, 4, 4] as const;
/** Pictures of one level each. */
function levels(bytes: readonly number[], rest: Partial<DataSet> = {}): DataSet {
  const data = Uint8Array.from(bytes.flatMap((byte) => Array(16).fill(byte)));
  return bytesDataSet(data, shape, rest);
}
const classes = (...labels: number[]) => ({
  labels: Int32Array.from(labels),
  labelNames: ["a", "b"],
});

const modelOf = (facts: FakeOptions = {}) => {
  const network = fakeNetwork(facts);
  const model = { ...network, source: "mine", hash: "ab", backend: "fake" };
  return { network, model: model as unknown as Model };
};

async function measured(
  facts: FakeOptions,
  heldOut: DataSet,
  rest: Partial<EvalOptions> = {},
): Promise<Evaluation> {
  return await evaluate(modelOf(facts).model, {
    train: heldOut,
    heldOut,
    backend: await backendByName("native"),
    lossPictures: 0,
    bitsPictures: 0,
    samples: 0,
    samplers: [{ guidance: 1 }],
    ...rest,
  });
}

Deno.test("a model is measured on pictures of its shape, with classes that it knows", async () => {
  const known = { labels: ["a", "b"] };
  const refused: [FakeOptions, DataSet, string][] = [
    [{ shape: [1, 4, 5] }, levels([1, 2]), "makes pictures [1,4,5], the data has [1,4,4]"],
    [known, levels([1, 2]), "needs labels, and the data has none"],
    [{ labels: ["x"] }, levels([1, 2], classes(0, 1)), "knows 1 classes, the data has 2"],
  ];
  for (const [facts, data, says] of refused) {
    await assertRejects(() => measured(facts, data), InputError, `mine: the network ${says}`);
  }
  const { region, heldOutPictures, samples } = await measured(known, levels([1, 2], classes(0, 1)));
  assertEquals([region, heldOutPictures, samples], ["the whole picture, 4×4×1", 2, []]);
  await measured({ ...known, nullLabel: 2 }, levels([1, 2]));
  await measured({ labels: ["x", "y"] }, levels([1, 2], classes(0, 1)));
  await measured({}, levels([1, 2], classes(0, 1)));
});

Deno.test("few-step weights are asked neither for loss nor for bits, which want every timestep", async () => {
  const scheduler = parseSchedulerConfig({ num_train_timesteps: 10 });
  const asked = async (distilled?: Model["distilled"]) => {
    const { epsLoss, bits } = await measured({ scheduler, distilled }, levels([1, 2]), {
      lossPictures: 2,
      bitsPictures: 1,
    });
    return [epsLoss?.bands.length, bits?.pictures];
  };
  const teacher = { teacher: "t", guidance: 2 };
  assertEquals(await asked(), [10, 1]);
  assertEquals(await asked(teacher), [10, 1], "guidance alone was folded in");
  assertEquals(await asked({ ...teacher, steps: 2 }), [undefined, undefined]);
});

Deno.test("a picture is asked about under its own label, or the null label where it has none", () => {
  const { model } = modelOf({ labels: ["a", "b"], nullLabel: 2 });
  assertEquals(pictureOf(levels([9, 8], classes(1, 0)), model, 0).label, 1);
  assertEquals(pictureOf(levels([9]), model, 0).label, 2);
  assertEquals(pictureOf(levels([9], classes(1)), modelOf().model, 0).label, undefined);
});

Deno.test("so many of a set are spread over the whole of it", () => {
  assertEquals(spread(10, 4), [0, 2, 5, 7]);
  assertEquals(spread(3, 9), [0, 1, 2]);
  assertEquals([spread(0, 3), spread(5, 0)], [[], []]);
  const data = levels([0, 10, 20, 30, 40, 50], classes(0, 1, 0, 1, 0, 1));
  const few = atMost(data, 3);
  const picture = new Float32Array(16);
  const found = Array.from({ length: few.length }, (_, i) => {
    few.picture(i, picture);
    return Math.round((picture[0] + 1) * 127.5);
  });
  assertEquals([found, [...few.labels!]], [[0, 20, 40], [0, 0, 0]]);
  assertEquals([atMost(data, 6), atMost(data, 7)], [data, data]);
});

Deno.test("labels are asked for only where they mean every class of the data", () => {
  assertEquals(
    askedLabels(["orc", "orc-wizard", "elf"], ["orc", "wizard"]),
    [
      { ask: 0, expect: 0 },
      { ask: 1, expect: 0 },
    ].map((_, i) => ({ ask: i, expect: i })),
    "no label is the wizard: by index",
  );
  assertEquals(askedLabels(["orc", "x-wizard"], ["orc", "x-wizard"]), [
    { ask: 0, expect: 0 },
    { ask: 1, expect: 1 },
  ]);
  assertEquals(
    askedLabels(["x-ray"], ["ray", "x-ray"]).length,
    2,
    "a whole name goes before its parts",
  );
  assertEquals(askedLabels(["x-ray", "ray"], ["ray", "x-ray"]), [
    { ask: 0, expect: 1 },
    { ask: 1, expect: 0 },
  ]);
  const common = () => askedTogether(["orc-wizard", "elf"], [["orc", "elf"], ["wizard", "elf"]]);
  assertEquals(common(), [
    [{ ask: 0, expect: 0 }, { ask: 1, expect: 1 }],
    [{ ask: 0, expect: 0 }, { ask: 1, expect: 1 }],
  ]);
});

Deno.test("the one label that means a class is its name, else the only one that has it for a part", () => {
  const network = ["elf", "orc-wizard", "elf-wizard", "dwarf-king"];
  const data = ["elf", "dwarf", "wizard"];
  assertEquals(labelMeaning(network, data, 0), 0, "by name, though elf-wizard is one too");
  assertEquals(labelMeaning(network, data, 1), 3);
  const several = ["dwarf-wizard", "elf-wizard", "orc"];
  assertThrows(
    () => labelMeaning(several, ["wizard", "orc"], 0),
    InputError,
    `class "wizard" is several of these weights' labels`,
  );
  assertEquals(labelMeaning(["0", "1"], ["cat", "dog"], 1), 1);
  assertThrows(
    () => labelMeaning(["0"], ["cat", "dog"], 1),
    InputError,
    `class "dog" is no label of these weights`,
  );
});

Deno.test("there are no more bands than timesteps, and no two see the same noise", async () => {
  const { network, model } = modelOf({
    scheduler: parseSchedulerConfig({ num_train_timesteps: 3, beta_start: 0.99, beta_end: 0.999 }),
  });
  const bands = await epsLossByBand(model, levels([128]), { pictures: 1, bands: 10 });
  assertEquals(bands.map(({ from, to, pictures }) => [from, to, pictures]), [
    [0, 0, 1],
    [1, 1, 1],
    [2, 2, 1],
  ]);
  // Nearly all of x_t is noise.
  const [one, other] = network.asked.map(({ x }) => x[0]);
  assert(Math.abs(one - other) > 0.01, `${one} and ${other}`);
});

Deno.test("a band's noise and timesteps are those of its seed, 0 where nobody says", async () => {
  const asked = async (seed?: number, bands = 2) => {
    const { network, model } = modelOf({ scheduler: parseSchedulerConfig({}) });
    await epsLossByBand(model, levels([90]), { pictures: 1, bands, seed });
    return network.asked.map(({ x, t }) => `${t} ${x}`);
  };
  assertEquals(await asked(), await asked(0));
  // The first band's are those of the seed, the next one's of the seed after it.
  const generator = createGenerator(8);
  const t = 500 + Math.floor(generator.uint32() / 2 ** 32 * 500);
  const { model } = modelOf();
  const { x_0 } = pictureOf(levels([90]), model, 0);
  const x_t = q_sample(x_0, t, scheduleFor(model.scheduler), generator.randn(16));
  assertEquals((await asked(7))[1], `${t} ${x_t}`);
});

Deno.test("each picture of the bound has noise of its own, as its seed says", async () => {
  const scheduler = parseSchedulerConfig({
    num_train_timesteps: 2,
    beta_start: 0.99,
    beta_end: 0.999,
  });
  const first = async (seed?: number) => {
    const { network, model } = modelOf({ scheduler });
    await bitsPerDim(model, levels([128, 128]), { pictures: 2, seed });
    const { x } = network.asked[0];
    return [x[0], x[16]];
  };
  const [a, b] = await first();
  assert(Math.abs(a - b) > 0.01, `${a} and ${b}`);
  assertEquals(await first(0), [a, b]);
  assertEquals((await first(1))[0], b);
});

Deno.test("the bound is taken at one timestep, too, and of a learned variance", async () => {
  const bits = async (keys: Record<string, unknown>, outChannels = 1) => {
    const scheduler = parseSchedulerConfig(keys);
    const { model } = modelOf({ scheduler, outChannels });
    return await bitsPerDim(model, levels([100, 200]), { pictures: 2 });
  };
  const single = await bits({ num_train_timesteps: 1, beta_start: 0.5 });
  assertEquals(single.kl, 0);
  const learned = await bits({
    num_train_timesteps: 5,
    beta_end: 0.5,
    variance_type: "learned_range",
  }, 2);
  for (const value of [learned.total, learned.kl, learned.decoder]) assert(Number.isFinite(value));
});

Deno.test("the darkest byte's bin is open below, the lightest's above", () => {
  const far = decoderBits(Float32Array.of(-1), Float64Array.of(-3), Math.log(0.01));
  assertAlmostEquals(far, 0, 1e-6, "all of the mass lies below");
  assertAlmostEquals(decoderBits(Float32Array.of(1), Float64Array.of(3), Math.log(0.01)), 0, 1e-6);
  const variances = Float64Array.of(Math.log(0.01), Math.log(1));
  const both = decoderBits(Float32Array.of(0, 0), Float64Array.of(0, 0), variances);
  const each = [...variances].map((log) =>
    decoderBits(Float32Array.of(0), Float64Array.of(0), log)
  );
  assertAlmostEquals(both, (each[0] + each[1]) / 2, 1e-9, "a variance a pixel");
});

Deno.test("distances of sets of fewer than two rows are refused", () => {
  const rows = (...values: number[]) => values.map((value) => Float32Array.of(value, 1));
  assertThrows(() => frechetDistance(rows(1), rows(1, 2)), Error, "at least two rows, found 1");
  // Equal variances, means 3 apart.
  assertAlmostEquals(frechetDistance(rows(1, 2), rows(4, 5)), 9, 1e-6);
});

Deno.test("the kernel distance is the unbiased estimate: pairs of a row with itself do not count", () => {
  const rows = (...values: number[]) => values.map((value) => Float32Array.of(value, 0));
  // k(x, y) = (xy/2 + 1)³ on {0, 2, 4} and {2, 6}.
  const k = (x: number, y: number) => (x * y / 2 + 1) ** 3;
  const within = (k(0, 2) + k(0, 4) + k(2, 4)) / 3 + k(2, 6);
  const between = [0, 2, 4].flatMap((x) => [k(x, 2), k(x, 6)]).reduce((a, b) => a + b) / 6;
  assertAlmostEquals(kernelDistanceTo(rows(0, 2, 4))(rows(2, 6)), within - 2 * between, 1e-9);
});

Deno.test("samples are put beside the pictures nearest to them, and held-out ones measured as well", async () => {
  const { model } = modelOf();
  const among = levels([0, 60, 120, 180, 240]);
  const heldOut = levels([70, 121]);
  const progress: number[] = [];
  const { scores, pairs } = await nearestPictures(model, {
    among,
    heldOut,
    choice: { guidance: 1, steps: 2 },
    onProgress: (done) => progress.push(done),
  });
  assertEquals([scores.pictures, scores.among, progress], [2, 5, [0, 2]]);
  assertAlmostEquals(scores.heldOut.least, 1, 1e-3);
  assertAlmostEquals(scores.heldOut.median, 10, 1e-3);
  assertEquals(pairs.map(({ seed }) => seed), [0, 1]);
  const distances: number[] = [];
  for (const { sample, nearest, distance } of pairs) {
    const [made, found] = [fromPixels(sample), fromPixels(nearest)];
    const square = made.reduce((sum, x, p) => sum + (x - found[p]) ** 2, 0) / 16;
    assertAlmostEquals(distance, 127.5 * Math.sqrt(square), 1e-3);
    assert(
      [0, 60, 120, 180, 240].includes(nearest.pixels[0]) && new Set(nearest.pixels).size === 1,
    );
    distances.push(distance);
  }
  assertAlmostEquals(scores.samples.least, Math.min(...distances), 1e-9);
});

Deno.test("of distances of one digit and of two the median is the middle one, of 64 pictures at most", async () => {
  const { model, network } = modelOf();
  const near = async (...bytes: number[]) => {
    const choice = { guidance: 1, steps: 1 };
    const among = levels([0, 100, 200]);
    const { scores, pairs } = await nearestPictures(model, {
      among,
      heldOut: levels(bytes),
      choice,
    });
    const sorted = pairs.map(({ distance }) => distance).toSorted((a, b) => a - b);
    assertEquals(scores.samples.median, sorted[Math.floor(sorted.length / 2)]);
    const { least, median } = scores.heldOut;
    return [pairs.length, Math.round(least), Math.round(median)];
  };
  assertEquals(await near(9, 110, 175), [3, 9, 10]);
  assertEquals(await near(130, 2, 111), [3, 2, 11]);
  assertEquals(await near(8, 120), [2, 8, 20]);
  network.asked.length = 0;
  assertEquals(await near(...Array(65).fill(7)), [64, 7, 7]);
  const drawn = await sampleSet(model, {
    count: 33,
    guidance: 1,
    steps: 1,
    labels: [{ expect: 0 }],
  });
  assertEquals([drawn.length, network.asked.slice(-2).map(({ t }) => t.length)], [33, [32, 1]]);
});

Deno.test("midtones lie within eight tenths of the middle; a ground is flat in every colour", () => {
  const scores = (bytes: number[], shape: [number, number, number]) =>
    pixelScores(bytesDataSet(Uint8Array.from(bytes), shape));
  // ±0.8 of 127.5 about the middle: 26 … 229.
  assertEquals(scores([25, 26, 229, 230], [1, 2, 2]).midtones, 0.5);
  const flat = [100, 100, 100, 100];
  const corner = (at: number) => flat.with(at, 200);
  assertEquals(scores([...flat, ...flat, ...flat], [3, 2, 2]).flatGround, 1);
  for (const at of [0, 1, 2, 3]) {
    assertEquals(scores(corner(at), [1, 2, 2]).flatGround, 0, `corner ${at}`);
    assertEquals(scores([...flat, ...flat, ...corner(at)], [3, 2, 2]).flatGround, 0);
  }
  assertEquals(scores([...flat, ...corner(2)], [1, 2, 2]).flatGround, 0.5);
});

Deno.test("samples are asked for label by label in turn, and are to read as what those mean", async () => {
  const { network, model } = modelOf({ labels: ["x", "y", "z"], nullLabel: 3 });
  const done: string[] = [];
  const set = await sampleSet(model, {
    count: 5,
    guidance: 2,
    steps: 1,
    labels: [{ ask: 2, expect: 0 }, { ask: 0, expect: 1 }],
    onProgress: (now, total) => done.push(`${now}/${total}`),
  });
  assertEquals([...set.labels!], [0, 1, 0, 1, 0]);
  const asked = network.asked.flatMap(({ labels }) => labels!.filter((label) => label !== 3));
  assertEquals(asked, [2, 0, 2, 0, 2]);
  assertEquals(done, ["1/5", "2/5", "3/5", "4/5", "5/5"]);
  const unconditional = modelOf();
  const plain = await sampleSet(unconditional.model, {
    count: 2,
    guidance: 2,
    steps: 2,
    scheduler: "ddim",
    options: { eta: 1 },
    labels: [{ expect: 0 }],
  });
  assertEquals([plain.labels, plain.length], [undefined, 2]);
  const without = await sampleSet(unconditional.model, {
    count: 2,
    guidance: 1,
    steps: 2,
    scheduler: "ddim",
    labels: [{ expect: 0 }],
  });
  const first = (set: DataSet) => {
    const out = new Float32Array(16);
    set.picture(0, out);
    return [...out];
  };
  assert(first(plain).some((x, p) => x !== first(without)[p]), "the sampler's option counts");
});

Deno.test("a classifier's readings are each picture's own, however they are batched", async () => {
  const backend = await backendByName("native");
  const theta = initialTheta(classifierLayout([1, 4, 4], 2), 3);
  const sizes: number[] = [];
  const watched: Backend = {
    ...backend,
    async createSession(graph, weights, options) {
      const session = await backend.createSession(graph, weights, options);
      const run: Session["run"] = (feeds) => {
        sizes.push(feeds.pictures.dims[0]);
        return session.run(feeds);
      };
      const { inputNames, outputNames } = session;
      return { inputNames, outputNames, run, close: () => session.close() };
    },
  };
  await using classifier = await Classifier.open(watched, theta, [1, 4, 4], 2, { threads: 1 });
  const data = levels([0, 255, 40, 200, 90]);
  const whole = await classifier.read(data);
  const parts = await classifier.read(data, 2);
  assertEquals(parts.labels, whole.labels);
  assertEquals(parts.features.map(({ length }) => length), Array(5).fill(FEATURES));
  parts.features.forEach((row, i) =>
    row.forEach((x, k) => assertAlmostEquals(x, whole.features[i][k], 1e-5))
  );
  assert(whole.features[0].some((x, k) => Math.abs(x - whole.features[1][k]) > 1e-3));
  assertEquals(sizes.splice(0), [5, 2, 2, 1]);
  const many = await classifier.read(levels(Array(101).fill(7)));
  assertEquals([many.labels.length, many.features.length, sizes], [101, 101, [100, 1]]);
});
