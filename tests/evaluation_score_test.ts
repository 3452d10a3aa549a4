/** Samples judged by classifiers: what each is read as, by whom, beside whom, and what is kept of them. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import type { Backend } from "../src/backends/backend.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { classifierFor } from "../src/evaluation/classifier_cache.ts";
import { askedLabels } from "../src/evaluation/asked_labels.ts";
import { frechetDistance } from "../src/evaluation/frechet.ts";
import { wilsonInterval } from "../src/evaluation/interval.ts";
import { biasedKernelDistance, kernelDistanceTo } from "../src/evaluation/kernel_distance.ts";
import { meanPsnr, pixelScores } from "../src/evaluation/pixel_scores.ts";
import { spread } from "../src/evaluation/predict.ts";
import { Reader } from "../src/evaluation/reader.ts";
import { type SamplerChoice, sampleSet } from "../src/evaluation/samples.ts";
import { type SampleScores, type ScoreOptions, scoreSamples } from "../src/evaluation/score.ts";
import { sha256Hex } from "../src/files/hash.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import type { Model } from "../src/model/model.ts";
import { bytesDataSet, type DataSet } from "../src/training/data/data_set.ts";
import { fingerprintOf } from "../src/training/data/fingerprint.ts";
import { temporaryFolder } from "./cli.ts";
import { withEnvironment } from "./hub.ts";

const backend = await backendByName("native");
const session = { threads: 1 };

/** Dark and light pictures in turn, the classes in the order of `names`. */
function shades(
  names: readonly [dark: string, light: string],
  labelNames: readonly string[],
  count = 40,
): DataSet {
  const bytes = new Uint8Array(16 * count);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const light = i % 2;
    for (let p = 0; p < 16; p++) bytes[16 * i + p] = (light ? 190 : 20) + (7 * i + 3 * p) % 40;
    labels[i] = labelNames.indexOf(names[light]);
  }
  return bytesDataSet(bytes, [1, 4, 4], { labels, labelNames });
}

/** Draws dark pictures for its first label and light ones for its second, a little of the noise in them. */
function painter(labels: readonly string[] | undefined, facts: Partial<Model> = {}): Model {
  return {
    shape: [1, 4, 4],
    outChannels: 1,
    scheduler: parseSchedulerConfig({ num_train_timesteps: 10, prediction_type: "sample" }),
    labels,
    nullLabel: labels && labels.length,
    source: "painter",
    hash: "ab",
    backend: "fake",
    predict: (x: Float32Array, t: Float32Array, asked?: Int32Array) =>
      Promise.resolve(x.map((v, i) => {
        const level = asked ? [-0.7, 0.7, 0][asked[Math.floor(i / 16)]] : 0.7;
        return level + 0.05 * Math.sin(v) + 0 * t.length;
      })),
    ...facts,
  } as unknown as Model;
}

async function scores(model: Model, rest: Partial<ScoreOptions> = {}): Promise<SampleScores> {
  const train = shades(["a", "b"], ["a", "b"]);
  let last: SampleScores | undefined;
  const options = {
    train,
    heldOut: shades(["a", "b"], ["a", "b"], 30),
    backend,
    session,
    classifierSteps: 40,
    samples: 8,
    samplers: [{ guidance: 1, steps: 2, scheduler: "ddim" }],
    ...rest,
  };
  for await (const scores of scoreSamples(model, options)) last = scores;
  return last!;
}

Deno.test("samples are read as what they were asked for, by each classifier in its own classes", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const also = {
      name: "others",
      train: shades(["dim", "lit"], ["lit", "dim"]),
      heldOut: shades(["dim", "lit"], ["lit", "dim"], 30),
    };
    const found = await scores(painter(["a-dim", "b-lit"]), { also: [also] });
    assert(found.classifier.heldOutAccuracy > 0.9, `${found.classifier.heldOutAccuracy}`);
    assertEquals(found.also?.map(({ data }) => data), ["others"]);
    const [own] = found.samples;
    assertEquals([own.of, own.teacher, own.samples, own.steps, own.scheduler], [
      "weights",
      undefined,
      8,
      2,
      "ddim",
    ]);
    assertEquals([own.readAsLabel, own.also![0].readAsLabel], [1, 1]);
    assertEquals(own.readAsLabelByClass, { a: 1, b: 1 });
    assertEquals(own.also![0].readAsLabelByClass, { lit: 1, dim: 1 });
    assert(own.readAsLabel95![0] < 1 && own.readAsLabel95![1] <= 1);
    assertEquals(own.psnrToTeacher, undefined);
    // Asked for the other way round, none is what it should be.
    const swapped = await scores(painter(["b-dim", "a-lit"]), {});
    assertEquals(swapped.samples[0].readAsLabel, 0);
  });
});

Deno.test("two halves of real pictures are not one half twice", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const found = await scores(painter(["a", "b"]));
    // Dark ones are the even half, light ones the odd: nothing is farther apart.
    assert(found.frechetOfRealHalves > found.samples[0].frechet, `${found.frechetOfRealHalves}`);
    assert(found.kernelOfRealHalves > 0.01);
    assertEquals(found.realPixels, pixelScores(shades(["a", "b"], ["a", "b"], 30)));
  });
});

Deno.test("teachers are measured first, as they recommend themselves; a student against the first", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const recommended = { scheduler: "heun", steps: 3, guidance: 2 };
    const teachers = [
      { name: "big", network: painter(["a", "b"], { recommended }) },
      {
        name: "small",
        network: painter(["a", "b"], { recommended: { scheduler: "ddim", steps: 2 } }),
      },
    ];
    const { samples } = await scores(painter(["a", "b"]), { teachers });
    assertEquals(samples.map((s) => [s.of, s.teacher, s.scheduler, s.steps, s.guidance]), [
      ["teacher", "big", "heun", 3, 2],
      ["teacher", "small", "ddim", 2, 1],
      ["weights", undefined, "ddim", 2, 1],
    ]);
    assertEquals(samples.map(({ psnrToTeacher }) => psnrToTeacher === undefined), [
      true,
      false,
      false,
    ]);
    assert(samples[2].psnrToTeacher! > samples[1].psnrToTeacher! - 60);
  });
});

Deno.test("samples are guided when it is asked for, else when the weights recommend it", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const guidedAt: number[] = [];
    const recommended = { scheduler: "ddim", steps: 10, guidance: 2, guided: [2, 7] as const };
    const model = painter(["a", "b"], { recommended });
    const predict: Model["predict"] = (x, t, asked) => {
      asked!.forEach((label, i) => label === model.nullLabel && guidedAt.push(t[i]));
      return model.predict(x, t, asked);
    };
    const times = async (choice: Partial<SamplerChoice>) => {
      guidedAt.length = 0;
      const { samples: [own] } = await scores({ ...model, predict }, {
        samples: 4,
        samplers: [{ guidance: 2, steps: 10, scheduler: "ddim", ...choice }],
      });
      return [own.guided, [...new Set(guidedAt)]];
    };
    assertEquals(await times({}), [[2, 7], [7, 6, 5, 4, 3, 2]]);
    assertEquals(await times({ guided: [8, 9] }), [[8, 9], [9, 8]]);
    assertEquals(await times({ guidance: 1 }), [undefined, []]);
    assertEquals(await times({ guidance: 1, guided: [8, 9] }), [undefined, []]);
  });
});

Deno.test("a network without classes is judged by distances alone", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const { samples: [own] } = await scores(painter(undefined), {
      samplers: [{ guidance: 2, steps: 2, scheduler: "ddim" }],
    });
    assertEquals([own.readAsLabel, own.readAsLabel95, own.also], [undefined, undefined, undefined]);
    assert(own.frechet > 0 && own.kernelToReal > 0);
  });
});

Deno.test("a classifier is kept under all that it depends on, and trained anew where the file is not it", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const data = shades(["a", "b"], ["a", "b"]);
    const files = () => [...Deno.readDirSync(`${cache.path}/classifiers`)].map(({ name }) => name);
    const made = async (options: Record<string, number> = {}, of = data) => {
      let steps = 0;
      const onProgress = () => steps++;
      const theta = await classifierFor(backend, of, {
        steps: 3,
        batch: 4,
        session,
        onProgress,
        ...options,
      });
      return { theta, steps };
    };
    const first = await made();
    assertEquals(first.steps, 3);
    const again = await made();
    assertEquals([again.steps, again.theta], [0, first.theta]);
    const others: Record<string, number>[] = [{ steps: 2 }, { batch: 5 }, { seed: 1 }];
    for (const other of others) assert((await made(other)).steps > 0, JSON.stringify(other));
    assertEquals((await made({}, shades(["a", "b"], ["b", "a"]))).steps, 3);
    assertEquals(files().length, 5);
    // As it was kept by the version of its kind that this is, so that it is found.
    const colours = bytesDataSet(new Uint8Array(2 * 48), [3, 4, 4], {
      labels: Int32Array.of(0, 1),
      labelNames: ["a", "b"],
    });
    await made({ steps: 1 }, colours);
    for (const [version, steps, of] of [[2, 3, data], [3, 1, colours]] as const) {
      const about = JSON.stringify([version, { steps, batch: 4, seed: 0 }, fingerprintOf(of)]);
      const hash = await sha256Hex(new TextEncoder().encode(about));
      assert(files().includes(`${hash}.safetensors`), about);
    }
    // A file of another network under this name.
    const [name] = files().filter((name) => {
      const { tensors } = parseSafetensors(Deno.readFileSync(`${cache.path}/classifiers/${name}`));
      return tensors.get("theta")!.data.every((x, i) => x === first.theta[i]);
    });
    const short = new Map([["theta", { shape: [2], data: new Float32Array(2) }]]);
    Deno.writeFileSync(`${cache.path}/classifiers/${name}`, writeSafetensors(short));
    const mended = await made();
    assertEquals([mended.steps, mended.theta], [3, first.theta]);
    assertEquals((await made()).steps, 0);
    // No such file at all, as after a disk has failed.
    Deno.writeTextFileSync(`${cache.path}/classifiers/${name}`, "damaged");
    assertEquals((await made()).steps, 3);
    assertEquals((await made()).steps, 0);
  });
});

Deno.test("without a place to keep it a classifier is trained each time", async () => {
  await using cache = await temporaryFolder();
  const file = `${cache.path}/file`;
  Deno.writeTextFileSync(file, "in the way");
  await withEnvironment({ DENOISE_CACHE: file }, async () => {
    const theta = await classifierFor(backend, shades(["a", "b"], ["a", "b"]), {
      steps: 1,
      batch: 2,
      session,
    });
    assert(theta.length > 0);
  });
  // As where the environment names no place at all.
  const unnamed = { DENOISE_CACHE: "", XDG_CACHE_HOME: "", LOCALAPPDATA: "", HOME: "" };
  await withEnvironment(unnamed, async () => {
    const data = shades(["a", "b"], ["a", "b"]);
    const theta = await classifierFor(backend, data, { steps: 1, batch: 2, session });
    assert(theta.length > 0);
  });
  const litter = [...Deno.readDirSync(".")].filter(({ name }) =>
    /undefined|classifiers/.test(name)
  );
  assertEquals(litter, []);
});

Deno.test("a classifier uses the machine as it is told, where it learns as where it reads; scores have their options", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const told: unknown[] = [];
    let open = 0;
    const watched: Backend = {
      ...backend,
      async createSession(graph, weights, options) {
        told.push(options);
        const session = await backend.createSession(graph, weights, options);
        open++;
        return {
          inputNames: session.inputNames,
          outputNames: session.outputNames,
          run: (feeds) => session.run(feeds),
          close: () => (open--, session.close()),
        };
      },
    };
    const session = { threads: 1, spin: false };
    const options = { eta: 1 };
    const samplers = [{ guidance: 1, steps: 2, scheduler: "ddim", options }];
    const rest = { backend: watched, session, samples: 2, classifierSteps: 1, samplers };
    const { samples: [own] } = await scores(painter(["a", "b"]), rest);
    assertEquals([told.splice(0), own.options], [[session, session], options]);
    await scores(painter(["a", "b"]), rest);
    assertEquals(told.splice(0), [session], "it is known, and reads alone");
    const also = { name: "others", train: shades(["a", "b"], ["a", "b"], 20) };
    const both = { ...rest, also: [{ ...also, heldOut: shades(["a", "b"], ["a", "b"], 6) }] };
    await scores(painter(["a", "b"]), both);
    assertEquals([told, open], [[session, session, session], 0], "each is let go");
    const broken = painter(["a", "b"], { predict: () => Promise.reject(new Error("no luck")) });
    await assertRejects(() => scores(broken, both), Error, "no luck");
    assertEquals(open, 0, "where it fails, too");
  });
});

Deno.test("a reader says how many pictures it learned from: no more than there are, or than it was shown", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const train = shades(["a", "b"], ["a", "b"]);
    const heldOut = shades(["a", "b"], ["a", "b"], 6);
    const learned = async (
      data: typeof train | (Omit<typeof train, "length"> & { length: number }),
      classifierSteps: number,
    ) => {
      await using reader = await Reader.open(backend, { train: data, heldOut }, {
        session,
        classifierSteps,
      });
      return reader.facts;
    };
    const { trainedOn, sha256, heldOutAccuracy } = await learned(train, 1);
    assertEquals(trainedOn, 40);
    assert(heldOutAccuracy >= 0);
    // Of the parameters that are kept for the next time.
    const theta = await classifierFor(backend, train, { steps: 1, session });
    assertEquals(sha256, await sha256Hex(new Uint8Array(theta.slice().buffer)));
    const endless = {
      ...train,
      length: Infinity,
      labels: { at: (i: number) => i % 2 },
      picture: (i: number, out: Float32Array) => train.picture(i % 40, out),
    };
    assertAlmostEquals((await learned(endless as unknown as typeof train, 1)).trainedOn, 64, 0);
  });
});

Deno.test("figures are of features: samples against all held-out pictures, even ones against odd ones for chance", async () => {
  await using cache = await temporaryFolder();
  await withEnvironment({ DENOISE_CACHE: cache.path }, async () => {
    const heldOut = shades(["a", "b"], ["a", "b"], 15), train = shades(["a", "b"], ["a", "b"]);
    const recommended = { scheduler: "ddim", steps: 3 };
    const teachers = [{ name: "big", network: painter(["a", "b"], { recommended }) }];
    const mine = painter(["b", "a"]);
    const found = await scores(mine, { heldOut, samples: 9, teachers });
    await using reader = await Reader.open(backend, { train, heldOut }, {
      session,
      classifierSteps: 40,
    });
    const real = reader.heldOut.features;
    const even = real.filter((_, i) => i % 2 === 0), odd = real.filter((_, i) => i % 2 === 1);
    assertAlmostEquals(found.frechetOfRealHalves, frechetDistance(even, odd), 1e-6);
    assertAlmostEquals(found.kernelOfRealHalves, kernelDistanceTo(even)(odd), 1e-6);

    const choice = { count: 9, steps: 2, scheduler: "ddim", guidance: 1 };
    const sets = await Promise.all([teachers[0].network, mine].map((model, i) => {
      const labels = askedLabels(model.labels, ["a", "b"]);
      // A teacher is asked as it recommends itself.
      const { steps, scheduler } = found.samples[i];
      return sampleSet(model, { ...choice, steps, scheduler, labels });
    }));
    // As many pairs as the smaller half has pictures.
    const some = (rows: readonly Float32Array[]) => spread(rows.length, 7).map((i) => rows[i]);
    const ofReal = biasedKernelDistance(some(odd), some(even));
    for (const [i, set] of sets.entries()) {
      const { features } = await reader.classifier.read(set);
      const { frechet, kernel, kernelToReal, pixels } = found.samples[i];
      assertAlmostEquals(frechet, frechetDistance(features, real), 1e-6);
      assertAlmostEquals(kernel, kernelDistanceTo(real)(features), 1e-6);
      const expected = biasedKernelDistance(some(features), some(even)) / ofReal;
      assertAlmostEquals(kernelToReal, expected, 1e-6 * expected);
      assertEquals(pixels, pixelScores(set));
    }
    assertAlmostEquals(found.samples[1].psnrToTeacher!, meanPsnr(sets[1], sets[0]), 1e-9);
    const { readAsLabel, readAsLabel95, readAsLabelByClass } = found.samples[1];
    assertEquals(readAsLabel95, wilsonInterval(readAsLabel!, 9));
    assertEquals(Object.keys(readAsLabelByClass!), ["a", "b"]);
  });
});
