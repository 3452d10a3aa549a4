/** `eval` from pictures to figures. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { load } from "../src/model/load.ts";
import { openData } from "../src/training/data/open.ts";
import { evaluate, type Evaluation } from "../src/evaluation/evaluate.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { train } from "../src/training/run/train.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

Deno.test("eval measures loss, bits, classes and distance, as a table and as JSON", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["a", "b"], 20);
  const recipe = parseTrainingRecipe(tinyRecipe, {
    data,
    steps: 3,
    sample_every: 0,
    holdout: 0.25,
  });
  const backend = await backendByName("native");
  const { weights } = await train({ recipe, folder: `${folder.path}/run`, backend });
  Deno.env.set("DENOISE_CACHE", `${folder.path}/cache`);
  const json = `${folder.path}/figures.json`;
  const args = ["eval", weights!, "--data", data, "--holdout", "0.25", "--samples", "6"];
  const few = ["--loss-pictures", "4", "--bits-pictures", "2", "--classifier-steps", "10"];
  const sampler = ["--scheduler", "ddim", "--steps", "3,2", "--option", "clipped_eps=always"];
  const { code, out, err } = await cli([...args, ...few, ...sampler, "--json", json]);
  assertEquals(code, 0, err);

  const figures = JSON.parse(await Deno.readTextFile(json));
  assertEquals(figures.heldOutPictures, 10);
  assertEquals(figures.region, "the whole picture, 8×8×1");
  assertEquals(figures.epsLoss.bands.length, 10);
  const { total, prior, kl, decoder, pictures } = figures.bits;
  assert(Math.abs(total - prior - kl - decoder) < 1e-9 && total > 0);
  assertEquals(pictures, 2);
  assert(figures.classifier.heldOutAccuracy >= 0 && figures.classifier.heldOutAccuracy <= 1);
  assertEquals(
    figures.samples.map((s: Record<string, unknown>) => [s.guidance, s.samples, s.steps]),
    [[1, 6, 3], [2, 6, 3], [1, 6, 2], [2, 6, 2]],
  );
  for (const { readAsLabel, readAsLabel95: [low, high], frechet } of figures.samples) {
    assert(0 <= low && low <= readAsLabel && readAsLabel <= high && high <= 1);
    assert(frechet > figures.frechetOfRealHalves);
  }
  assertEquals(figures.classifier.trainedOn, 30);
  assertMatch(figures.heldOutSha256, /^[0-9a-f]{64}$/);
  assertStringIncludes(out, "ddim 3 clipped_eps=always");

  const kept = [...Deno.readDirSync(`${folder.path}/cache/classifiers`)];
  assertEquals(kept.length, 1, "the classifier is kept for the next time");
  const again = await cli([...args, ...few, ...sampler, "--json", "-"]);
  assertEquals(JSON.parse(again.out), figures);
});

Deno.test("an interrupted evaluation shows what it has measured", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["a", "b"], 4);
  const recipe = parseTrainingRecipe(tinyRecipe, { data, steps: 1, sample_every: 0 });
  const backend = await backendByName("native");
  const { weights } = await train({ recipe, folder: `${folder.path}/run`, backend });
  const model = await load(weights!, { backend });
  const set = await openData(data, { size: [8, 8], channels: 1 });
  const stop = new AbortController();
  const parts: Evaluation[] = [];
  await assertRejects(() =>
    evaluate(model, {
      train: set,
      heldOut: set,
      backend,
      lossPictures: 2,
      bitsPictures: 1,
      samples: 4,
      samplers: [{ guidance: 1 }],
      signal: stop.signal,
      onProgress: (part) => part === "bits/dim" && stop.abort(),
      onPart: (part) => parts.push(part),
    }), DOMException);
  assertEquals(parts.map(({ epsLoss, bits }) => [epsLoss?.bands.length, bits]), [[10, undefined]]);
  await model.close();
});

Deno.test("eval refuses data that does not fit the network", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/loose`;
  await pictureFolder(folder.path, ["loose"], 3);
  const weights = new URL("./golden/class_conditional", import.meta.url).pathname;
  const { code, err } = await cli(["eval", weights, "--data", data, "--holdout", "0.5"]);
  assertEquals(code, 2, err);
  assertStringIncludes(err, "needs labels");
});
