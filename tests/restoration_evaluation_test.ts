/** `eval --restore`: what its figures mean, by a network and a classifier whose answers are known. */
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { createGenerator, pseudoInverse, residualRms } from "../src/diffusion/mod.ts";
import type { Classifier } from "../src/evaluation/classifier.ts";
import { wilsonInterval } from "../src/evaluation/interval.ts";
import {
  type RestorationOptions,
  type RestorerChoice,
  scoreBaseline,
  scoreRestoration,
} from "../src/evaluation/restoration.ts";
import { restorationTasks } from "../src/evaluation/restoration_tasks.ts";
import { InputError } from "../src/errors.ts";
import { encodePng } from "../src/image/png.ts";
import type { Model } from "../src/model/model.ts";
import { simulated } from "../src/restoration/measure.ts";
import { compressedSensing } from "../src/restoration/operators/compressed_sensing.ts";
import { psnr, ssim } from "../src/restoration/similarity.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { fakeNetwork } from "./sampling_network.ts";

const shape = [1, 4, 4] as const;
const LABELS = [0, 1, 1, 0, 2, 2, 1, 0];
const heldOut = bytesDataSet(
  Uint8Array.from(createGenerator(1).randn(16 * LABELS.length), (z) => 128 + 60 * z),
  shape,
  { labels: Int32Array.from(LABELS), labelNames: ["a", "b", "c"] },
);
const picture = (i: number) => {
  const out = new Float32Array(16);
  heldOut.picture(i, out);
  return out;
};
const network = () => fakeNetwork({ labels: ["a", "b", "c"], nullLabel: 3 });
const asModel = (network: unknown) => network as Model;

/** A classifier that says what it is told to, and keeps what it saw. */
function reader(answers: readonly number[]) {
  const seen: Float32Array[] = [];
  const classifier = {
    read(set: { length: number; picture(i: number, out: Float32Array): void }) {
      for (let i = 0; i < set.length; i++) {
        const x = new Float32Array(16);
        set.picture(i, x);
        seen.push(x);
      }
      return Promise.resolve({ labels: Int32Array.from(answers.slice(0, set.length)) });
    },
  };
  return { seen, classifier: classifier as unknown as Classifier };
}

const taskOf = (name: string) => restorationTasks(shape).find((task) => task.name === name)!;

/** The figures of four of the eight pictures, every other one, by hand. */
Deno.test("scores are means over pictures spread over the held-out set, with the interval of a mean", async () => {
  const task = taskOf("noise 0.5");
  const { seen, classifier } = reader([0, 1, 0, 1]);
  const score = await scoreRestoration(asModel(network()), task, { sampler: "ddrm", steps: 4 }, {
    heldOut,
    pictures: 4,
    classifier,
  });
  const truths = [0, 2, 4, 6].map(picture);
  const values = truths.map((truth, i) => psnr(seen[i], truth));
  const mean = values.reduce((a, b) => a + b) / 4;
  const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 3);
  assertAlmostEquals(score.psnr.mean, mean, 1e-9);
  assertAlmostEquals(score.psnr.within, 1.96 * deviation / 2, 1e-9);
  const similar = truths.map((truth, i) => ssim(seen[i], truth, shape));
  assertAlmostEquals(score.ssim.mean, similar.reduce((a, b) => a + b) / 4, 1e-9);
  // Labels of the pictures are 0, 1, 2, 1.
  assertEquals(score.read, { share: 0.75, interval: wilsonInterval(0.75, 4) });
  assertEquals(score.majority, undefined);
  const residual = truths.map((truth, i) =>
    residualRms(simulated(task.operator(i), truth, 1_000_000 + i, 0.5), seen[i]) / 0.5
  );
  assertAlmostEquals(score.residual, residual.reduce((a, b) => a + b) / 4, 1e-6);
  assertEquals([score.cost, score.pictures, score.labelled], [4, 4, false]);
});

Deno.test("without noise the residual is that of y itself, 0 for what keeps known pixels", async () => {
  const score = await scoreRestoration(
    asModel(network()),
    taskOf("right half missing"),
    { sampler: "ddnm", steps: 3 },
    { heldOut, pictures: 2 },
  );
  assert(score.residual < 1e-6);
  assertEquals(score.read, undefined);
});

Deno.test("the majority of several answers is read, of equals the first; a share counts first answers", async () => {
  // Three pictures, four answers each: all the first answers, then all the second, …
  const { seen, classifier } = reader([
    ...[0, 0, 0], // first answers; labels are 0, 1, 2 (pictures 0, 2 and 5)
    ...[1, 1, 2],
    ...[1, 1, 0],
    ...[0, 2, 0],
  ]);
  const score = await scoreRestoration(
    asModel(network()),
    taskOf("right half missing"),
    { sampler: "ddnm", steps: 2 },
    { heldOut, pictures: 3, answers: 4, classifier },
  );
  assertEquals(seen.length, 12);
  // Votes: 0 and 1 twice each, the first came first; 1 twice; 0 three times.
  assertEquals(score.majority, { answers: 4, share: 2 / 3, interval: wilsonInterval(2 / 3, 3) });
  assertEquals(score.read?.share, 1 / 3);
  // Answers of one picture are of several seeds, of one truth.
  assert(seen[0].some((v, p) => v !== seen[3][p]));
  for (const p of [0, 1, 4, 5]) {
    assertAlmostEquals(seen[0][p], seen[3][p], 1e-6);
    assertAlmostEquals(seen[0][p], Math.max(-1, Math.min(1, picture(0)[p])), 1e-6);
  }
});

Deno.test("of answers that are read as often, the one counts that was read first", async () => {
  const task = taskOf("right half missing");
  const majorityIs0 = async (answers: number[]) => {
    const { classifier } = reader(answers);
    const options = { heldOut, pictures: 1, answers: answers.length, classifier };
    const choice = { sampler: "ddrm", steps: 1 };
    // The picture's label is 0.
    return (await scoreRestoration(asModel(network()), task, choice, options)).majority!.share;
  };
  const cases: [number[], number][] = [
    [[0, 1], 1],
    [[1, 0], 0],
    [[0, 1, 1, 0], 1],
    [[1, 0, 0, 1], 0],
    [[0, 1, 2], 1],
    [[2, 1, 0], 0],
    [[1, 0, 0], 1],
    [[0, 1, 1], 0],
    [[2, 1, 1, 0, 0], 0],
    [[2, 0, 0, 1, 1], 1],
  ];
  for (const [answers, share] of cases) {
    assertEquals(await majorityIs0(answers), share, `${answers}`);
  }
});

Deno.test("a sampler has its steps and its options; batch, progress and signal are the run's", async () => {
  const task = taskOf("noise 0.5");
  const of = async (choice: RestorerChoice, more: Partial<RestorationOptions> = {}) => {
    const asked = network();
    const options = { heldOut, pictures: 4, ...more };
    const score = await scoreRestoration(asModel(asked), task, choice, options);
    return { score, batches: asked.asked.map(({ t }) => t.length) };
  };
  const plain = await of({ sampler: "daps", steps: 2 });
  const options = { ode: 1 };
  const short = await of({ sampler: "daps", steps: 2, options });
  assert(short.score.cost < plain.score.cost, "an option's work is counted");
  assertEquals(short.batches, Array(short.score.cost).fill(4), "as much is done");
  assertEquals([short.score.sampler, short.score.steps, short.score.options], ["daps", 2, options]);

  const done: string[] = [];
  const onProgress = (now: number, total: number) => done.push(`${now}/${total}`);
  const small = await of({ sampler: "ddrm", steps: 1 }, { answers: 2, batch: 3, onProgress });
  assertEquals(done, Array.from({ length: 8 }, (_, i) => `${i + 1}/8`));
  assertEquals(small.batches, [3, 3, 2]);
  const whole = await of({ sampler: "ddrm", steps: 1 }, { answers: 10 });
  assertEquals(whole.batches, [32, 8], "32 unless another number is asked for");
  assertEquals([whole.score.read, whole.score.majority], [undefined, undefined]);

  const signal = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => of({ sampler: "ddrm", steps: 1 }, { signal }), Error, "enough");
});

Deno.test("one picture has a mean, and no interval to speak of", async () => {
  const choice = { sampler: "ddrm", steps: 1 };
  const one = { heldOut, pictures: 1 };
  const score = await scoreRestoration(asModel(network()), taskOf("noise 0.5"), choice, one);
  const baseline = await scoreBaseline(asModel(network()), taskOf("noise 0.5"), one);
  for (const { psnr, ssim } of [score, baseline]) {
    assert(Number.isFinite(psnr.mean) && Number.isFinite(ssim.mean));
    assertEquals([psnr.within, ssim.within], [0, 0]);
  }
});

Deno.test("the network is told what the picture shows if that is asked, else no class", async () => {
  for (const [labelled, expected] of [[true, [0, 1, 2]], [false, [3]]] as const) {
    const asked = network();
    const score = await scoreRestoration(
      asModel(asked),
      taskOf("right half missing"),
      { sampler: "ddrm", steps: 2 },
      { heldOut, pictures: 3, labelled },
    );
    assertEquals(score.labelled, labelled);
    const labels = asked.asked.flatMap(({ labels }) => [...labels ?? []]);
    assertEquals([...new Set(labels)].sort(), [...expected]);
  }
  // One that knows no "no class" is told the class; one without classes, nothing.
  const [task, choice] = [taskOf("noise 0.5"), { sampler: "ddrm", steps: 1 }];
  for (const [labels, told] of [[["a", "b", "c"], [0, 1, 2]], [undefined, undefined]] as const) {
    const asked = fakeNetwork({ labels: labels && [...labels] });
    await scoreRestoration(asModel(asked), task, choice, { heldOut, pictures: 3 });
    assertEquals(asked.asked.map(({ labels }) => labels), [told && [...told]]);
  }
});

Deno.test("the label that is told is the network's own of that name, whatever its place", async () => {
  const told = async (labels: string[]) => {
    const asked = fakeNetwork({ labels, nullLabel: labels.length });
    const request = { heldOut, pictures: 8, labelled: true };
    const task = taskOf("right half missing");
    await scoreRestoration(asModel(asked), task, { sampler: "ddrm", steps: 1 }, request);
    return asked.asked.flatMap(({ labels }) => [...labels ?? []]).join();
  };
  // The pictures' classes are a, b, b, a, c, c, b, a.
  assertEquals(await told(["c", "b", "a"]), "2,1,1,2,0,0,1,2");
  assertEquals(await told(["x-c", "b", "a"]), "2,1,1,2,0,0,1,2");
  assertEquals(await told(["zero", "one", "two"]), "0,1,1,0,2,2,1,0");
  await assertRejects(() => told(["x-a", "y-a", "b", "c"]), InputError, "several");
  await assertRejects(
    () =>
      scoreRestoration(
        asModel(network()),
        taskOf("noise 0.5"),
        { sampler: "ddrm", steps: 1 },
        {
          heldOut: { ...heldOut, labels: undefined, labelNames: undefined },
          pictures: 1,
          labelled: true,
        },
      ),
    InputError,
    "no classes",
  );
});

Deno.test("the baseline is H⁺y laid over black", async () => {
  const { classifier } = reader([0]);
  const half = await scoreBaseline(asModel(network()), taskOf("right half missing"), {
    heldOut,
    pictures: 1,
    classifier,
  });
  const truth = picture(0);
  const black = truth.map((v, p) => p % 4 < 2 ? v : -1);
  assertAlmostEquals(half.psnr.mean, psnr(black, truth), 1e-6);
  assertEquals(half.read?.share, 1);
  const small = await scoreBaseline(asModel(network()), taskOf("SR × 4"), { heldOut, pictures: 1 });
  const { operator } = taskOf("SR × 4");
  const means = pseudoInverse(simulated(operator(0), truth, 1_000_000, 0));
  assertAlmostEquals(small.psnr.mean, psnr(means, truth), 1e-6);
  // A classifier is shown pictures: what lies beyond black and white is not.
  const noisy = reader([0, 1, 2, 1]), noise = taskOf("noise 0.5");
  await scoreBaseline(asModel(network()), noise, {
    heldOut,
    pictures: 4,
    classifier: noisy.classifier,
  });
  const measured = [0, 2, 4, 6].map((at, i) =>
    simulated(noise.operator(i), picture(at), 1_000_000 + i, 0.5).y
  );
  const all = measured.flatMap((y) => [...y]);
  assert(Math.min(...all) < -1 && Math.max(...all) > 1);
  measured.forEach((y, i) =>
    y.forEach((v, p) => assertAlmostEquals(noisy.seen[i][p], Math.min(1, Math.max(-1, v)), 1e-6))
  );
});

Deno.test("tasks are those that a shape allows, each picture under a mask of its own", () => {
  const names = (...shape: [number, number, number]) =>
    restorationTasks(shape).map(({ name }) => name);
  assertEquals(names(1, 28, 28).length, 10);
  assertEquals(names(3, 32, 32).length, 11);
  assert(names(3, 32, 32).includes("grey"));
  assert(!names(1, 30, 28).some((name) => name.includes("× 4")));
  assert(!names(1, 8, 8).some((name) => name.startsWith("motion")));
  for (const task of restorationTasks([1, 16, 16])) {
    const [a, b] = [task.operator(0), task.operator(1)];
    assertEquals(a === b, !task.name.startsWith("75 %"), task.name);
  }
  const scattered = restorationTasks([1, 64, 64]).find(({ name }) => name.startsWith("75 %"))!;
  const kept = scattered.operator(0).s;
  assertAlmostEquals(kept.reduce((sum, s) => sum + s, 0) / kept.length, 0.25, 0.03);
  assert(kept.some((s, i) => s !== scattered.operator(1).s[i]));
  const generator = createGenerator(500_003);
  const seeded = Float64Array.from(kept, () => generator.uint32() / 2 ** 32 < 0.25 ? 1 : 0);
  assertEquals(scattered.operator(3).s, seeded);
  assertEquals([...restorationTasks([1, 1, 5])[0].operator(0).s], [1, 1, 1, 0, 0]);
  assertEquals(taskOf("25 % of coefficients").operator(0).s, compressedSensing(shape, 0.25, 0).s);
  assert(names(1, 9, 4).some((name) => name.startsWith("motion")));
  assert(!names(1, 28, 30).some((name) => name.includes("× 4")));
  const each = restorationTasks([3, 32, 32]).map(({ name, sigma_y, operator }) =>
    `${name} | ${sigma_y} | ${operator(0).name}`
  );
  assertEquals(each, [
    "right half missing | 0 | inpainting",
    "75 % of pixels missing | 0 | inpainting",
    "75 % of pixels missing, σ 0.1 | 0.1 | inpainting",
    "SR × 4 | 0 | mean of 4×4",
    "SR × 4, σ 0.1 | 0.1 | mean of 4×4",
    "bicubic × 4 | 0 | bicubic 1/4",
    "Gaussian blur 2, σ 0.05 | 0.05 | gaussian blur 2",
    "motion blur 9, σ 0.05 | 0.05 | motion blur 9 at 30°",
    "25 % of coefficients | 0 | 256 of 1024 Walsh–Hadamard coefficients",
    "noise 0.5 | 0.5 | denoising",
    "grey | 0 | grey",
  ]);
});

Deno.test("eval --restore, as a user runs it: a table, JSON, and wrong uses in a line", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/data`;
  await Deno.mkdir(data);
  for (let i = 0; i < 6; i++) {
    const pixels = new Uint8Array(784).map((_, p) =>
      (p % 28 > 10 + i && p % 28 < 16 + i) ? 230 : 0
    );
    await Deno.writeFile(
      `${data}/${i}.png`,
      encodePng({ pixels, width: 28, height: 28, channels: 1 }),
    );
  }
  const args = ["eval", "digits", "--data", data, "--holdout", "0.5", "--threads", "1"];
  const of = (...more: string[]) => cli([...args, ...more]);
  const json = `${folder.path}/figures.json`;
  const { code, out, err } = await of(
    ...["--restore", "2", "--json", json],
    ...["--restore-samplers", "ddrm:2:eta=1, repaint:2, pigdm:2"],
    ...["--restore-tasks", "noise 0.5; right half missing"],
  );
  assertEquals(code, 0, err);
  const { scores, baselines, backend } = JSON.parse(await Deno.readTextFile(json));
  assertEquals(backend, "native");
  assertEquals(baselines.map(({ task }: { task: string }) => task), [
    "noise 0.5",
    "right half missing",
  ]);
  // RePaint takes no noise, and a gradient costs two evaluations: at the second step, as there is none at the first level.
  assertEquals(
    scores.map((s: Record<string, unknown>) => [s.task, s.sampler, s.cost, s.pictures]),
    [
      ["noise 0.5", "ddrm", 2, 2],
      ["noise 0.5", "pigdm", 4, 2],
      ["right half missing", "ddrm", 2, 2],
      ["right half missing", "repaint", 2, 2],
      ["right half missing", "pigdm", 4, 2],
    ],
  );
  assertMatch(out, /\*\*right half missing\*\*/);
  assertMatch(out, /\| `ddrm` 2 eta=1 \| 2 \| \d+\.\d\d ± /);
  const refused: [string[], RegExp][] = [
    [["--restore", "9"], /--restore: expected a whole number from 1 to 3/],
    [["--restore", "1", "--restore-samplers", "ddim:5"], /NAME:STEPS.* of ddrm, ddnm/],
    [["--restore", "1", "--restore-samplers", "ddrm"], /NAME:STEPS/],
    [["--restore", "1", "--restore-samplers", "ddrm:0"], /whole number from 1 to 100000,/],
    [["--restore", "1", "--restore-samplers", "ddrm:2:theta=1"], /theta/],
    [["--restore", "1", "--restore-samplers", "ddrm:2:eta=7"], /eta: expected a number/],
    // Before any sampler has run.
    [["--restore", "1", "--restore-samplers", "ddrm:2,ddrm:5000"], /5000/],
    [["--restore", "1", "--restore-tasks", "fog"], /"noise 0.5".*found "fog"/],
    ...["0", "101"].map((answers): [string[], RegExp] => [
      ["--restore", "1", "--answers", answers],
      /^denoise: --answers: expected a whole number from 1 to 100, found/,
    ]),
  ];
  for (const [wrong, message] of refused) {
    const { code, err } = await of(...wrong);
    assertEquals(code, 2, err);
    assertMatch(err, message);
    assertEquals(err.split("\n").length, 1, err);
  }
});
