/** What an evaluation asks for, and what it reads from pixels alone. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { agreement, Classifier, trainClassifier } from "../src/evaluation/classifier.ts";
import { biasedKernelDistance } from "../src/evaluation/kernel_distance.ts";
import { nearestOf } from "../src/evaluation/nearest.ts";
import { nearestSheet } from "../src/evaluation/nearest_sheet.ts";
import { askedLabels, askedTogether } from "../src/evaluation/asked_labels.ts";
import { meanPsnr, pixelScores } from "../src/evaluation/pixel_scores.ts";
import { labelledGrid } from "../src/image/labelled_grid.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { decodePng } from "../src/image/png.ts";
import { enlarge } from "../src/image/resize.ts";
import { bytesDataSet, type PictureSource } from "../src/training/data/data_set.ts";
import { type DataPlugin, drawnDataSet, generatedPictures } from "../src/training/data/plugin.ts";
import { InputError } from "../src/errors.ts";
import { distill } from "../src/training/distill/distill.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { train } from "../src/training/run/train.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

Deno.test("labels are asked for by name, those that name several things by each of them", () => {
  const network = ["elf", "elf-wizard", "orc", "orc-wizard", "wizard"];
  assertEquals(askedLabels(network, ["orc", "elf"]), [
    { ask: 0, expect: 1 },
    { ask: 1, expect: 1 },
    { ask: 2, expect: 0 },
    { ask: 3, expect: 0 },
  ]);
  assertEquals(askedLabels(["0", "1"], ["0", "1"]), [{ ask: 0, expect: 0 }, { ask: 1, expect: 1 }]);
});

Deno.test("of several sets, those labels are asked for that name a class of each", () => {
  const network = ["elf", "elf-wizard", "orc", "orc-wizard", "wizard"];
  assertEquals(askedTogether(network, [["orc", "elf"], ["wizard"]]), [
    [{ ask: 1, expect: 1 }, { ask: 3, expect: 0 }],
    [{ ask: 1, expect: 0 }, { ask: 3, expect: 0 }],
  ]);
  assertEquals(askedTogether(network, [["wizard"]]), [askedLabels(network, ["wizard"])]);
  const apart = () => askedTogether(["elf", "orc-wizard"], [["orc", "elf"], ["wizard"]]);
  assertThrows(apart, InputError, "leave out some of orc, elf");
});

Deno.test("where names do not fit, the indices are the same", () => {
  assertEquals(askedLabels(["0", "1"], ["cat", "dog"]), [
    { ask: 0, expect: 0 },
    { ask: 1, expect: 1 },
  ]);
  assertEquals(askedLabels(undefined, ["cat"]), [{ ask: undefined, expect: 0 }]);
});

Deno.test("a ground is flat where the corners are of one colour, but for 8 levels", () => {
  const [flat, rough] = [new Uint8Array(12).fill(100), new Uint8Array(12).fill(100)];
  flat[3] = 116;
  rough[3] = 118;
  const scores = (bytes: Uint8Array) => pixelScores(bytesDataSet(bytes, [3, 2, 2]));
  assertEquals(scores(flat).flatGround, 1);
  assertEquals(scores(rough).flatGround, 0);
  assertEquals(scores(flat).midtones, 1);
  const black = new Uint8Array(12);
  black.fill(255, 6);
  assertEquals(scores(black).midtones, 0);
});

Deno.test("the PSNR of pictures a level apart is that of one level", () => {
  const [a, b] = [new Uint8Array(8).fill(90), new Uint8Array(8).fill(91)];
  const set = (bytes: Uint8Array) => bytesDataSet(bytes, [1, 2, 2]);
  assertAlmostEquals(meanPsnr(set(a), set(b)), 20 * Math.log10(255), 1e-3);
  // Of equal ones it is that of half a level; of several pictures, the mean.
  const equal = 20 * Math.log10(2 * 255);
  assertAlmostEquals(meanPsnr(set(a), set(a)), equal, 1e-9);
  a.fill(91, 4);
  assertAlmostEquals(meanPsnr(set(a), set(b)), (equal + 20 * Math.log10(255)) / 2, 1e-3);
});

Deno.test("the nearest picture is found, and how far it is", () => {
  const bytes = Uint8Array.from({ length: 5 * 300 }, (_, p) => (p * 7919) % 251);
  const among = bytesDataSet(bytes, [3, 10, 10]);
  const picture = (i: number) => {
    const out = new Float32Array(300);
    among.picture(i, out);
    return out;
  };
  const near = picture(3).map((x, p) => x + (p % 2 === 0 ? 1 : -1) * 4 / 127.5);
  const [copy, close] = nearestOf([picture(1), near], among);
  assertEquals(copy, { index: 1, distance: 0 });
  assertEquals(close.index, 3);
  assertAlmostEquals(close.distance, 4, 1e-4);
});

Deno.test("the sheet has the first seeds, and the closest pairs below them", () => {
  const level = (value: number): Pixels => ({
    pixels: new Uint8Array(24 * 24).fill(value),
    width: 24,
    height: 24,
    channels: 1,
  });
  // Each next seed comes nearer.
  const pairs = Array.from({ length: 20 }, (_, seed) => ({
    seed,
    sample: level(seed),
    nearest: level(100 + seed),
    distance: 20 - seed,
  }));
  const { pixels, width, height } = nearestSheet(pairs);
  const shown = Array.from(
    { length: height },
    (_, y) => [...pixels.subarray(y * width, (y + 1) * width)],
  )
    .map((row) => [...new Set(row)].filter((x) => x > 0 && x < 120))
    .filter((row) => row.length > 5);
  const rows = [...new Set(shown.map(String))].map((row) => row.split(",").map(Number));
  const up = (from: number) => Array.from({ length: 16 }, (_, i) => from + i);
  assertEquals(rows, [up(0).slice(1), up(100), up(4).reverse(), up(104).reverse()]);
});

Deno.test("the sheet's bands say what they are, and small pictures are enlarged to 64 pixels or near it", () => {
  const square = (side: number, value: number): Pixels => ({
    pixels: new Uint8Array(side * side).fill(value),
    width: side,
    height: side,
    channels: 1,
  });
  for (const [side, factor] of [[2, 32], [24, 2], [33, 1], [65, 1]]) {
    const [far, near] = [9, 4].map((distance, seed) => ({
      seed,
      sample: square(side, seed),
      nearest: square(side, 100 + seed),
      distance,
    }));
    const rows = [[far, near], [near, far]].flatMap((pairs) => [
      pairs.map(({ sample }) => sample),
      pairs.map(({ nearest }) => nearest),
    ]);
    const names = ["first seeds", "nearest", "closest", "nearest"];
    const plain = labelledGrid(rows, { rows: names, columns: ["", ""], gap: 2 });
    const sheet = nearestSheet([far, near]);
    assertEquals([sheet.width, sheet.height], [factor * plain.width, factor * plain.height]);
    assertEquals(sheet.pixels, enlarge(plain, factor).pixels);
  }
});

Deno.test("the biased kernel distance is 0 for a set and itself, and above 0 for others", () => {
  const rows = (...values: number[]) => values.map((value) => Float32Array.of(value, 0));
  assertAlmostEquals(biasedKernelDistance(rows(0, 2, 3), rows(0, 2, 3)), 0, 1e-9);
  // k(x, y) = (xy/2 + 1)³ on {0, 2} and {2, 4}.
  const [xx, yy, xy] = [(1 + 1 + 1 + 27) / 4, (27 + 125 + 125 + 729) / 4, (1 + 1 + 27 + 125) / 4];
  assertAlmostEquals(biasedKernelDistance(rows(0, 2), rows(2, 4)), xx + yy - 2 * xy, 1e-9);
});

Deno.test("a classifier of colours learns from pictures without end, none of them twice", async () => {
  const plugin: DataPlugin = {
    name: "lights",
    api: 1,
    classes: ["left", "right"],
    picture({ random }) {
      const pixels = Uint8Array.from({ length: 8 * 8 * 3 }, () => 256 * random());
      const right = random() < 0.5 ? 1 : 0;
      for (let y = 0; y < 8; y++) {
        pixels.fill(255, (8 * y + 4 * right) * 3, (8 * y + 4 * right + 4) * 3);
      }
      return { pixels, width: 8, height: 8, channels: 3, label: plugin.classes![right] };
    },
  };
  const asked: number[] = [];
  const endless = generatedPictures(plugin, 7, { size: [8, 8], channels: 3 });
  const source: PictureSource = {
    ...endless,
    picture: (k, out) => {
      asked.push(k);
      endless.picture(k, out);
    },
  };
  const backend = await backendByName("native");
  const session = { threads: 1 };
  const theta = await trainClassifier(backend, source, { steps: 30, batch: 16, session });
  assertEquals(asked, Array.from({ length: 30 * 16 }, (_, k) => k));
  const test = drawnDataSet(plugin, 8, 100, { size: [8, 8], channels: 3 });
  await using classifier = await Classifier.open(backend, theta, [3, 8, 8], 2, session);
  const read = await classifier.read(test);
  assert(agreement(read.labels, test.labels!) > 0.95);
});

Deno.test("eval puts a student beside its teachers, on the same seeds, and looks for copies", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["a", "b"], 20);
  const backend = await backendByName("native");
  const run = { data, steps: 2, sample_every: 0, holdout: 0.25 };
  const teacher = await train({
    recipe: parseTrainingRecipe(tinyRecipe, run),
    folder: `${folder.path}/run`,
    backend,
  });
  const few = { distill: teacher.weights, data, guide_updates: 1, students: [2], batch: 4 };
  const { students } = await distill({
    recipe: parseDistillRecipe(few, { student_updates: [1], sample_every: 0, holdout: 0.25 }),
    folder: `${folder.path}/few`,
    backend,
  });
  Deno.env.set("DENOISE_CACHE", `${folder.path}/cache`);
  const picture = `${folder.path}/both.png`;
  const sheet = `${folder.path}/nearest.png`;
  const names = `${teacher.weights!},${students[0]}`;
  const args = ["eval", students[1], "--teacher", names, "--side-by-side", picture];
  const small = ["--data", data, "--samples", "6", "--classifier-steps", "5", "--holdout", "0.25"];
  const { code, out, err } = await cli([
    ...args,
    ...small,
    "--also",
    data,
    "--nearest",
    sheet,
    "--json",
    "-",
  ]);
  assertEquals(code, 0, err);
  const { samples, epsLoss, realPixels, nearest, classifier, also } = JSON.parse(out);
  assertEquals(also, [{ data, ...classifier }]);
  for (const { readAsLabel, readAsLabel95, readAsLabelByClass, also } of samples) {
    const own = { data, readAsLabel, readAsLabel95, readAsLabelByClass };
    assertEquals(also, [own], "the same classes, read once more");
    const shares: number[] = Object.values(readAsLabelByClass);
    assertAlmostEquals(shares.reduce((a, b) => a + b) / shares.length, readAsLabel, 1e-9);
  }
  assertEquals(
    samples.map((s: Record<string, unknown>) => [s.of, s.guidance, s.scheduler, s.steps]),
    [["teacher", 2, "dpmpp", 19], ["teacher", 1, "ddim", 4], ["weights", 1, "ddim", 2]],
  );
  assertEquals(
    samples.map((s: Record<string, unknown>) => s.teacher),
    [teacher.weights, students[0], undefined],
  );
  assert(samples[2].psnrToTeacher > 0 && samples[0].psnrToTeacher === undefined);
  assert(samples[0].kernelToReal > 0);
  assert(realPixels.flatGround >= 0);
  assertEquals(epsLoss, undefined, "few-step weights know few times");
  const { width, height } = decodePng(await Deno.readFile(picture));
  assertEquals([width, height], [16 * 8, 3 * 8], "teacher, guided student, student of 2 steps");
  // A quarter of 40 pictures is held out.
  assertEquals([nearest.pictures, nearest.among], [10, 30]);
  assert(nearest.samples.least > 0 && nearest.samples.least <= nearest.samples.median);
  assertEquals(nearest.heldOut.least, 0, "squares come again in these pictures");
  assertEquals(decodePng(await Deno.readFile(sheet)).channels, 1);

  const named = await cli(["eval", students[1], "--teacher", "--json", "-", ...small]);
  assertEquals(named.code, 0, named.err);
  const [first] = JSON.parse(named.out).samples;
  assertEquals([first.of, first.teacher], ["teacher", teacher.weights], "as the card says");
  const none = await cli(["eval", teacher.weights!, "--teacher", ...small]);
  assertEquals(none.code, 2);
  assertStringIncludes(none.err, "was not distilled");

  const alone = await cli(["eval", students[1], "--side-by-side", picture, ...small]);
  assertEquals(alone.code, 2);
  assertStringIncludes(alone.err, "--side-by-side: expected --teacher WEIGHTS with it");
});
