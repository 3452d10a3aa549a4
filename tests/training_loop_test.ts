/** What a run's numbers are from update to update: the rate, the running mean, the loss. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { train } from "../src/training/run/train.ts";
import { temporaryFolder } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

Deno.test("every update has the rate and the running mean of its recipe", async () => {
  await using folder = await temporaryFolder();
  const [data, run] = [`${folder.path}/pictures`, `${folder.path}/run`];
  await pictureFolder(data, ["cat", "dog"], 4);
  const steps = 8;
  const recipe = parseTrainingRecipe(tinyRecipe, {
    data,
    steps,
    batch: 2,
    accumulate: 3,
    lr: 0.01,
    warmup: 4,
    horizon: 12,
    ema_half_life: 2,
    checkpoint_every: 1,
    keep_checkpoints: steps,
    sample_every: 0,
  });
  const progress: { step: number; loss: number }[] = [];
  await train({
    recipe,
    folder: run,
    backend: await backendByName("native"),
    session: { threads: 1, spin: false },
    onProgress: (now) => progress.push(now),
  });

  const log: { step: number; lr: number; loss: number }[] =
    (await Deno.readTextFile(`${run}/log.jsonl`)).trimEnd().split("\n").map((l) => JSON.parse(l));
  // k/warmup of the rate, then half a cosine to its horizon.
  const cosine = (k: number) => (1 + Math.cos(Math.PI * (k - 4) / 8)) / 2;
  const rates = [1 / 4, 2 / 4, 3 / 4, ...[4, 5, 6, 7, 8].map(cosine)];
  for (const [i, { lr }] of log.entries()) assertAlmostEquals(lr, 0.01 * rates[i], 1e-9);
  assertEquals(progress.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
  for (const [i, { loss }] of progress.entries()) {
    const mean = log.slice(0, i + 1).reduce((sum, line) => sum + line.loss, 0) / (i + 1);
    assertAlmostEquals(loss, mean, 1e-6, "of the updates so far");
  }

  const states = await Promise.all(log.map(async ({ step }) => {
    const path = `${run}/checkpoints/step-0000000${step}.safetensors`;
    const { tensors } = parseSafetensors(await Deno.readFile(path), path);
    return { theta: tensors.get("theta")!.data, ema: tensors.get("ema")!.data };
  }));
  assertEquals(states[0].ema, states[0].theta, "a mean of nothing else");
  for (let i = 1; i < steps; i++) {
    // Six pictures an update; the half-life is at most a twentieth of those before it.
    const halfLife = Math.min(2, 0.05 * 6 * i);
    const kept = 0.5 ** (6 / halfLife);
    const [{ ema: before }, { theta, ema }] = [states[i - 1], states[i]];
    assert(theta.some((x, p) => Math.abs(x - before[p]) > 1e-3), "there is something to keep");
    ema.forEach((x, p) => assertAlmostEquals(x, kept * before[p] + (1 - kept) * theta[p], 1e-6));
  }
});
