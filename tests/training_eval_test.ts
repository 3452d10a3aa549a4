import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { createGenerator, parseSchedulerConfig, scheduleFor } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import type { Network } from "../src/model/network.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { bitsPerDim, decoderBits, normalKl } from "../src/evaluation/bits.ts";
import {
  agreement,
  agreementByClass,
  Classifier,
  trainClassifier,
} from "../src/evaluation/classifier.ts";
import { FEATURES } from "../src/evaluation/classifier_network.ts";
import { epsLossByBand } from "../src/evaluation/eps_loss.ts";
import { frechetDistance } from "../src/evaluation/frechet.ts";
import { wilsonInterval } from "../src/evaluation/interval.ts";

const scheduler = parseSchedulerConfig({ num_train_timesteps: 50, beta_end: 0.2 });
const schedule = scheduleFor(scheduler);

/** A network that answers every question with `answer(x, t)`. */
function network(answer: (x: number, t: number) => number, over: Partial<Network> = {}): Network {
  return {
    shape: [1, 2, 2],
    outChannels: 1,
    scheduler,
    predict: (x, t) => Promise.resolve(x.map((x, i) => answer(x, t[Math.floor(i / 4)]))),
    ...over,
  };
}

/** Knows that every pixel is `level`, and so tells the noise exactly. */
const knowing = (level: number) =>
  network((x, t) => {
    const alpha_bar = schedule.alpha_bar(t);
    return (x - Math.sqrt(alpha_bar) * level) / Math.sqrt(1 - alpha_bar);
  });

const levels = (byte: number) => bytesDataSet(new Uint8Array(4 * 6).fill(byte), [1, 2, 2]);

Deno.test("the ε-loss of one who knows the pictures is 0, of one who says 0 it is 1", async () => {
  const options = { pictures: 6, bands: 5 };
  for (const { loss } of await epsLossByBand(knowing(0.2), levels(153), options)) {
    assertAlmostEquals(loss, 0, 1e-6);
  }
  const many = bytesDataSet(new Uint8Array(4 * 2000).fill(9), [1, 2, 2]);
  const bands = await epsLossByBand(network(() => 0), many, { pictures: 2000, bands: 5 });
  assertEquals(bands.map(({ from, to }) => [from, to]), [
    [0, 9],
    [10, 19],
    [20, 29],
    [30, 39],
    [40, 49],
  ]);
  for (const { loss } of bands) assertAlmostEquals(loss, 1, 0.05);
});

Deno.test("bands cover every timestep once, and their pictures are spread over all of a band's", async () => {
  for (const count of [1, 5, 7]) {
    const bands = await epsLossByBand(network(() => 0), levels(1), { pictures: 1, bands: count });
    assertEquals([bands[0].from, bands.at(-1)!.to], [0, 49]);
    bands.slice(1).forEach(({ from }, i) => assertEquals(from, bands[i].to + 1));
  }
  // As many pictures as timesteps: each timestep has one, in batches of any size.
  const asked: number[] = [];
  const listening = network(() => 0, {
    predict(x, t) {
      asked.push(...t);
      return Promise.resolve(new Float32Array(x.length));
    },
  });
  const ten = bytesDataSet(new Uint8Array(4 * 10).fill(9), [1, 2, 2]);
  await epsLossByBand(listening, ten, { pictures: 10, bands: 5, batch: 3 });
  assertEquals(asked, Array.from({ length: 50 }, (_, t) => t));
});

Deno.test("one who knows the pictures pays no KL, only the prior and the last bin", async () => {
  const bits = await bitsPerDim(knowing(0.2), levels(153), { pictures: 6 });
  assertAlmostEquals(bits.kl, 0, 1e-6);
  const last = schedule.alpha_bar(49);
  const prior = normalKl(Math.sqrt(last) * 0.2, Math.log(1 - last), 0, 0) / Math.LN2;
  assertAlmostEquals(bits.prior, prior, 1e-6);
  assertAlmostEquals(bits.total, bits.prior + bits.decoder, 1e-9);
});

Deno.test("each channel, row and column of a picture is noised, and counts", async () => {
  // As many numbers as one channel would have noise for are not enough.
  for (const shape of [[3, 2, 2], [3, 1, 2], [1, 4, 3]] as const) {
    const size = shape[0] * shape[1] * shape[2];
    const asked: number[] = [];
    const wide = network(() => 0, {
      shape,
      outChannels: shape[0],
      predict(x, t) {
        asked.push(...x);
        return Promise.resolve(x.map((x, i) => {
          const alpha_bar = schedule.alpha_bar(t[Math.floor(i / size)]);
          return (x - Math.sqrt(alpha_bar) * 0.2) / Math.sqrt(1 - alpha_bar);
        }));
      },
    });
    const data = bytesDataSet(new Uint8Array(size * 6).fill(153), shape);
    const bits = await bitsPerDim(wide, data, { pictures: 6 });
    assertEquals([asked.length, new Set(asked).size], [50 * 6 * size, 50 * 6 * size]);
    assertAlmostEquals(bits.kl, 0, 1e-6);
    asked.length = 0;
    for (const { loss } of await epsLossByBand(wide, data, { pictures: 6, bands: 5 })) {
      assertAlmostEquals(loss, 0, 1e-6);
    }
    assertEquals(new Set(asked).size, asked.length);
    assert(asked.length >= 6 * size && asked.length % size === 0);
  }
});

Deno.test("a wrong x̂₀ costs what the closed form says, after clipping", async () => {
  // Says x_0 = ±3 everywhere, which is clipped to ±1; the pictures are at 0.2.
  for (const said of [3, -3]) {
    const bits = await bitsPerDim(knowing(said), levels(153), { pictures: 6 });
    let kl = 0, alpha_bar_prev = 1;
    schedule.betas.forEach((beta, t) => {
      const alpha_bar = alpha_bar_prev * (1 - beta);
      const coef = Math.sqrt(alpha_bar_prev) * beta / (1 - alpha_bar);
      const beta_tilde = beta * (1 - alpha_bar_prev) / (1 - alpha_bar);
      if (t > 0) kl += (coef * (Math.sign(said) - 0.2)) ** 2 / (2 * beta_tilde) / Math.LN2;
      alpha_bar_prev = alpha_bar;
    });
    assertAlmostEquals(bits.kl / kl, 1, 1e-4);
  }
});

Deno.test("a fixed_large model pays for its wider steps, but not at t = 0", async () => {
  const large = { ...scheduler, variance_type: "fixed_large" as const };
  const small = await bitsPerDim(knowing(0.2), levels(153), { pictures: 2 });
  const wide = await bitsPerDim({ ...knowing(0.2), scheduler: large }, levels(153), {
    pictures: 2,
  });
  assert(wide.kl > small.kl + 1e-3);
  assertAlmostEquals(wide.decoder, small.decoder, 1e-9);
});

Deno.test("a learned variance is each pixel's own, in the KL as in the last bin", async () => {
  const said = Float32Array.of(0.1, -0.3, 0.5, 2), v = [-1, -0.5, 0.25, 1];
  const learned = parseSchedulerConfig({
    ...{ num_train_timesteps: 2, beta_start: 0.1, beta_end: 0.4 },
    ...{ variance_type: "learned_range", prediction_type: "sample" },
  });
  const net = network(() => 0, {
    scheduler: learned,
    outChannels: 2,
    predict: (_, t) => Promise.resolve(Float32Array.from([...t].flatMap(() => [...said, ...v]))),
  });
  const bits = await bitsPerDim(net, levels(153), { pictures: 3 });
  const { betas: [beta_0, beta_1] } = scheduleFor(learned);
  const alpha_bar_1 = (1 - beta_0) * (1 - beta_1);
  const coef = Math.sqrt(1 - beta_0) * beta_1 / (1 - alpha_bar_1);
  const small = Math.log(beta_1 * beta_0 / (1 - alpha_bar_1));
  const between = (beta: number, p: number) =>
    (v[p] + 1) / 2 * Math.log(beta) + (1 - v[p]) / 2 * small;
  const clipped = said.map((x) => Math.min(1, x));
  const kl = [...clipped].map((x, p) => normalKl(coef * 0.2, small, coef * x, between(beta_1, p)));
  assertAlmostEquals(bits.kl, kl.reduce((a, b) => a + b) / 4 / Math.LN2, 1e-6);
  const last = [...clipped].map((x, p) =>
    decoderBits(Float32Array.of(0.2), Float64Array.of(x), between(beta_0, p))
  );
  assertAlmostEquals(bits.decoder / (last.reduce((a, b) => a + b) / 4), 1, 1e-4);
});

Deno.test("figures do not depend on how many pictures are asked about at once: 32, where nobody says", async () => {
  const bytes = Uint8Array.from({ length: 4 * 33 }, (_, i) => 7 * i % 256);
  const many = bytesDataSet(bytes, [1, 2, 2]);
  const short = parseSchedulerConfig({ num_train_timesteps: 2, beta_end: 0.2 });
  const sizes: number[] = [];
  const net = network(() => 0, {
    scheduler: short,
    predict(x, t) {
      sizes.push(t.length);
      return Promise.resolve(x.map((x) => x / 3));
    },
  });
  const asked = async (batch?: number) => {
    const { total } = await bitsPerDim(net, many, { pictures: 33, batch });
    const bound = sizes.splice(0);
    const [band] = await epsLossByBand(net, many, { pictures: 33, bands: 1, batch });
    return { total, loss: band.loss, bound, bands: sizes.splice(0) };
  };
  const { total, loss, bound, bands } = await asked();
  assertEquals([bound, bands], [[32, 1, 32, 1], [32, 1]]);
  for (const batch of [1, 10, 40]) {
    const other = await asked(batch);
    assertAlmostEquals(other.total, total, 1e-6, `${batch}`);
    assertAlmostEquals(other.loss, loss, 1e-6, `${batch}`);
    assertEquals(other.bands.length, Math.ceil(33 / batch));
  }
});

Deno.test("the bins of all 256 bytes hold all of the distribution", () => {
  const bytes = Float32Array.from({ length: 256 }, (_, i) => i / 127.5 - 1);
  for (const mean of [-1, 0.3, 0.99]) {
    const masses = Array.from(
      bytes,
      (x) => 2 ** -decoderBits(Float32Array.of(x), Float64Array.of(mean), Math.log(0.01)),
    );
    assertAlmostEquals(masses.reduce((a, b) => a + b), 1, 1e-6);
  }
});

Deno.test("a byte's mass is the normal distribution's over its bin, and never less than 1e-12", () => {
  const bits = (x: number, mean: number, logVariance = 0) =>
    decoderBits(Float32Array.of(x), Float64Array.of(mean), logVariance);
  // Φ of a table, which the approximation meets to 2e-4.
  for (
    const [z, phi] of [[-2, 0.02275], [-1, 0.158655], [0, 0.5], [0.5, 0.691462], [1.5, 0.933193]]
  ) {
    assertAlmostEquals(2 ** -bits(-1, -1 + 1 / 255 - z), phi, 2e-4, `below ${z}`);
    assertAlmostEquals(2 ** -bits(1, 1 - 1 / 255 + z), phi, 2e-4, `above ${-z}`);
  }
  // A bin reaches 1/255 to each side: one deviation, two.
  for (const [n, phi] of [[1, 0.682689], [2, 0.9545]]) {
    assertAlmostEquals(2 ** -bits(0, 0, -2 * Math.log(255 * n)), phi, 5e-4);
  }
  const farthest = -Math.log2(1e-12);
  for (const [x, mean] of [[-1, 1], [1, -1], [0, 1]]) {
    assertAlmostEquals(bits(x, mean, Math.log(1e-4)), farthest, 1e-9);
  }
});

Deno.test("KL of normal distributions: 0 for equal ones, the closed form otherwise", () => {
  assertEquals(normalKl(0.3, -1, 0.3, -1), 0);
  assertAlmostEquals(normalKl(1, 0, 0, 0), 0.5);
  assertAlmostEquals(normalKl(0, 0, 0, Math.log(4)), 0.5 * (Math.log(4) + 0.25 - 1));
});

function normals(
  count: number,
  seed: number,
  transform: (x: number, y: number) => [number, number],
) {
  const generator = createGenerator(seed);
  return Array.from({ length: count }, () => {
    const [x, y] = generator.randn(2);
    return Float32Array.from(transform(x, y));
  });
}

Deno.test("the Fréchet distance of two normal distributions is the closed form", () => {
  // Σ₁ = I and Σ₂ = diag(4, 9) turned by 45°: 5² + (2−1)² + (3−1)² = 30, however it is turned.
  const r = Math.SQRT1_2;
  const a = normals(40_000, 1, (x, y) => [x, y]);
  const b = normals(40_000, 2, (x, y) => [3 + r * (2 * x - 3 * y), 4 + r * (2 * x + 3 * y)]);
  assertAlmostEquals(frechetDistance(a, b), 30, 0.6);
  assertAlmostEquals(frechetDistance(b, a), frechetDistance(a, b), 1e-6);
  assertAlmostEquals(frechetDistance(a, a), 0, 1e-6);
});

Deno.test("covariances that do not commute: the trace of the matrix root", () => {
  // Exact moments: ±√2·columns of a root of Σ, so that Σ₁ = diag(1, 4) and Σ₂ = [[2, 1], [1, 2]].
  const rows = (columns: number[][]) => {
    const points = columns.flatMap((c) => [c, c.map((x) => -x)]);
    const factor = Math.sqrt((points.length - 1) / 2);
    return points.map((point) => Float32Array.from(point, (x) => x * factor));
  };
  const a = rows([[1, 0], [0, 2]]);
  const b = rows([[Math.SQRT2, Math.SQRT1_2], [0, Math.sqrt(1.5)]]);
  // tr (Σ₁Σ₂)^½ of a 2×2 matrix is √(tr + 2√det) = √(10 + 2√12).
  const expected = 5 + 4 - 2 * Math.sqrt(10 + 2 * Math.sqrt(12));
  assertAlmostEquals(frechetDistance(a, b), expected, 1e-5);
});

Deno.test("the classifier learns to tell classes apart and gives features", async () => {
  const backend = await backendByName("native");
  const generator = createGenerator(5);
  // Three classes by where the light is; the noise is as strong as the light.
  const make = (count: number) => {
    const labels = new Int32Array(count).map((_, i) => i % 3);
    const bytes = new Uint8Array(count * 64);
    labels.forEach((label, i) => {
      for (let p = 0; p < 64; p++) {
        const lit = Math.floor(p / 8 / 3) === label ? 90 : 0;
        bytes[i * 64 + p] = 60 + lit + generator.uint32() % 90;
      }
    });
    return bytesDataSet(bytes, [1, 8, 8], { labels, labelNames: ["a", "b", "c"] });
  };
  const session = { threads: 1 };
  const train = make(300), heldOut = make(60);
  const theta = await trainClassifier(backend, train, { steps: 80, batch: 32, session });
  await using classifier = await Classifier.open(backend, theta, [1, 8, 8], 3, session);
  const read = await classifier.read(heldOut, 25);
  assert(agreement(read.labels, heldOut.labels!) > 0.95);
  assertEquals([read.features.length, read.features[59].length], [60, FEATURES]);
  const shuffled = heldOut.labels!.map((label) => (label + 1) % 3);
  assert(agreement(read.labels, shuffled) < 0.1);
});

Deno.test("a network that fails is not given a figure", async () => {
  const broken = network(() => 0, { predict: () => Promise.reject(new InputError("no engine")) });
  await assertRejects(() => epsLossByBand(broken, levels(1), { pictures: 2 }), InputError);
});

Deno.test("a share's 95 % interval is Wilson's", () => {
  const [low, high] = wilsonInterval(0.9, 100);
  assertAlmostEquals(low, 0.82563, 1e-5);
  assertAlmostEquals(high, 0.94477, 1e-5);
  assertEquals(wilsonInterval(0, 10)[0], 0);
  assertAlmostEquals(wilsonInterval(1, 10)[0], 0.72247, 1e-5);
});

Deno.test("how many of each class are read as it, of those that there are", () => {
  const read = Int32Array.of(0, 0, 1, 1, 2), expected = [0, 0, 0, 1, 1];
  assertEquals(agreementByClass(read, expected, ["a", "b", "c"]), { a: 2 / 3, b: 0.5 });
  assertEquals(agreement(read, expected), 0.6);
});
