/** What an evaluation asks for, and what it reads from pixels alone. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { askedLabels } from "../src/evaluation/asked_labels.ts";
import { meanPsnr, pixelScores } from "../src/evaluation/pixel_scores.ts";
import { decodePng } from "../src/image/png.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
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
});

Deno.test("eval puts a student beside its teacher, on the same seeds", async () => {
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
  const args = ["eval", students[1], "--teacher", teacher.weights!, "--side-by-side", picture];
  const small = ["--data", data, "--samples", "6", "--classifier-steps", "5", "--holdout", "0.25"];
  const { code, out, err } = await cli([...args, ...small, "--json", "-"]);
  assertEquals(code, 0, err);
  const { samples, epsLoss, realPixels } = JSON.parse(out);
  assertEquals(
    samples.map((s: Record<string, unknown>) => [s.of, s.guidance, s.scheduler, s.steps]),
    [["teacher", 2, "dpmpp", 19], ["weights", 1, "ddim", 2]],
  );
  assert(samples[1].psnrToTeacher > 0 && samples[0].psnrToTeacher === undefined);
  assert(realPixels.flatGround >= 0);
  assertEquals(epsLoss, undefined, "few-step weights know few times");
  const { width, height } = decodePng(await Deno.readFile(picture));
  assertEquals([width, height], [16 * 8, 2 * 8]);

  const alone = await cli(["eval", students[1], "--side-by-side", picture, ...small]);
  assertEquals(alone.code, 2);
  assertStringIncludes(alone.err, "--side-by-side: expected --teacher WEIGHTS with it");
});
