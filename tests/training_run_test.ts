/** A training run from its recipe to its weights, and every way it can be interrupted. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import type { Backend } from "../src/backends/backend.ts";
import { InputError } from "../src/errors.ts";
import { decodePng } from "../src/image/png.ts";
import { sha256Hex } from "../src/files/hash.ts";
import { load } from "../src/model/load.ts";
import { parseTrainingRecipe, type TrainingRecipe } from "../src/training/recipe.ts";
import { generate } from "../src/sampling/pictures.ts";
import { readRun, type RunOptions, train } from "../src/training/run/train.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

const native = await backendByName("native");

/** Twelve pictures in two classes. */
async function writePictures(folder: string): Promise<string> {
  await pictureFolder(`${folder}/pictures`, ["cat", "dog"], 6);
  return `${folder}/pictures`;
}

/** A network of 8 channels: a step takes milliseconds. */
function tiny(data: string, rest: Partial<TrainingRecipe> = {}): TrainingRecipe {
  const run = { data, steps: 6, checkpoint_every: 2, sample_every: 0 };
  return parseTrainingRecipe(tinyRecipe, run, rest);
}

function runOf(folder: string, recipe: TrainingRecipe, rest: Partial<RunOptions> = {}): RunOptions {
  return { recipe, folder, backend: native, session: { threads: 2, spin: false }, ...rest };
}

async function names(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(folder)) found.push(name);
  return found.sort();
}

async function logOf(folder: string): Promise<Record<string, number>[]> {
  const text = await Deno.readTextFile(`${folder}/log.jsonl`);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("a run that is finished", async (t) => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  const run = `${folder.path}/run`;
  const recipe = tiny(data, { sample_every: 3, sample_steps: 2, keep_checkpoints: 2 });
  const { step, finished, weights } = await train(runOf(run, recipe));
  assertEquals([step, finished, weights], [6, true, `${run}/weights`]);

  await t.step(
    "leaves its recipe, log, loss plot, sample grids, last checkpoints, weights",
    async () => {
      assertEquals(await names(run), [
        "checkpoints",
        "data.sha256",
        "log.jsonl",
        "loss.svg",
        "recipe.json",
        "samples",
        "weights",
      ]);
      assertEquals(await names(`${run}/checkpoints`), [
        "step-00000004.safetensors",
        "step-00000006.safetensors",
      ]);
      assertEquals(await names(`${run}/samples`), ["step-00000003.png", "step-00000006.png"]);
      const grid = decodePng(await Deno.readFile(`${run}/samples/step-00000006.png`));
      assertEquals([grid.width, grid.height], [32, 32], "16 pictures of 8×8");
      const lines = await logOf(run);
      assertEquals(lines.map((line) => line.step), [1, 2, 3, 4, 5, 6]);
      assert(lines.every((line) => line.loss > 0 && line.grad_norm > 0 && line.ms >= 0));
      assert((await Deno.readTextFile(`${run}/loss.svg`)).includes("<polyline"));
      assertEquals((await readRun(run)).recipe, { ...recipe, horizon: 6 });
    },
  );

  await t.step("has weights that sample by class, with guidance", async () => {
    await using model = await load(weights!, { backend: native });
    assertEquals(model.labels, ["cat", "dog"]);
    assertEquals(model.nullLabel, 2);
    assertEquals(model.recommended, { scheduler: "dpmpp", steps: 19, guidance: 2 });
    const [picture] = await generate(model, { seeds: [1], labels: 1, guidance: 2, steps: 2 });
    assertEquals([picture.width, picture.height, picture.channels], [8, 8, 1]);
  });

  await t.step("is not overwritten by another run", async () => {
    await assertRejects(() => train(runOf(run, recipe)), InputError, "go on with --resume");
  });
});

Deno.test("what cannot be trained is refused before the pictures are read, and leaves nothing", async () => {
  await using folder = await temporaryFolder();
  const run = `${folder.path}/run`;
  await assertRejects(
    () => train(runOf(run, tiny(`${folder.path}/none`, { size: 9 }))),
    InputError,
    "sample_size 9×9 cannot be halved",
  );
  await assertRejects(
    () => train(runOf(run, tiny(`${folder.path}/none`))),
    InputError,
    "there is no such file or folder",
  );
  assertEquals(await names(folder.path), []);
  const { code, err } = await cli(["train"]);
  assertEquals(code, 2);
  assert(err.includes("data: expected a folder of PNG or JPEG"), err);
});

Deno.test("a run that is made longer goes on as if it had been planned so, with the same horizon", async () => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  const [whole, parts] = [`${folder.path}/whole`, `${folder.path}/parts`];
  const { hash } = await train(runOf(whole, tiny(data, { steps: 8, horizon: 5, dropout: 0.1 })));
  await train(runOf(parts, tiny(data, { steps: 3, horizon: 5, dropout: 0.1 })));
  const { recipe } = await readRun(parts);
  const resumed = await train(runOf(parts, { ...recipe, steps: 8 }, { resume: true }));
  assertEquals(resumed.hash, hash);
  assertEquals((await logOf(parts)).map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("a run does not go on with other pictures, wherever they lie", async () => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  const run = `${folder.path}/run`;
  await train(runOf(run, tiny(data, { steps: 1 })));
  const moved = `${folder.path}/moved`;
  await Deno.rename(data, moved);
  const { step } = await train(runOf(run, tiny(moved, { steps: 2 }), { resume: true }));
  assertEquals(step, 2);
  await Deno.copyFile(`${moved}/cat/0.png`, `${moved}/dog/0.png`);
  await assertRejects(
    () => train(runOf(run, tiny(moved, { steps: 3 }), { resume: true })),
    InputError,
    "began with other pictures",
  );
});

Deno.test("the signal ends a run after the update under way, with a checkpoint", async () => {
  await using folder = await temporaryFolder();
  const run = `${folder.path}/run`;
  const stop = new AbortController();
  const recipe = tiny(await writePictures(folder.path), { checkpoint_every: 100 });
  const stopped = await train(runOf(run, recipe, {
    signal: stop.signal,
    onProgress: ({ step }) => step === 3 && stop.abort(),
  }));
  assertEquals([stopped.step, stopped.finished, stopped.weights], [3, false, undefined]);
  assertEquals(await names(`${run}/checkpoints`), ["step-00000003.safetensors"]);
});

Deno.test("--init goes on from weights, keeps their network and finds their classes by name", async () => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  const { weights } = await train(runOf(`${folder.path}/first`, tiny(data)));
  await Deno.rename(`${data}/cat`, `${folder.path}/cat`);
  const recipe = parseTrainingRecipe({ data, steps: 1, lr: 0, batch: 4, sample_every: 0 });
  const tuned = await train(runOf(`${folder.path}/tuned`, recipe, { init: weights }));
  const { block_out_channels, size, channels } = (await readRun(`${folder.path}/tuned`)).recipe;
  assertEquals([block_out_channels, size, channels], [[8, 8], 8, 1], "as the network's");
  await using before = await load(weights!, { backend: native });
  await using after = await load(tuned.weights!, { backend: native });
  assertEquals(after.config, before.config);
  assertEquals(after.labels, ["cat", "dog"]);
  const ask = (model: typeof before) =>
    model.predict(new Float32Array(64).fill(0.5), Float32Array.of(10), Int32Array.of(1));
  assertEquals(await ask(after), await ask(before), "a learning rate of 0 changes nothing");

  await Deno.rename(`${data}/dog`, `${data}/purple`);
  await assertRejects(
    () => train(runOf(`${folder.path}/other`, recipe, { init: weights })),
    InputError,
    'found "purple" in the data',
  );
  await assertRejects(
    () => train(runOf(`${folder.path}/other`, { ...recipe, size: 16 }, { init: weights })),
    InputError,
    "size: expected [8,8] as ",
  );
});

Deno.test("a network with learned variances is refused before anything is written", async () => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  const init = new URL("./golden/learned_range/", import.meta.url).pathname;
  const run = `${folder.path}/run`;
  await assertRejects(
    () => train(runOf(run, parseTrainingRecipe({ data }), { init })),
    InputError,
    "also predicts variances",
  );
  assertEquals(await names(folder.path), ["pictures"]);
});

Deno.test("a run says what it read, what it makes of the classes, and what it is about to do", async () => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  await Deno.writeTextFile(`${data}/cat/damaged.png`, "no picture");
  const said = async (run: string, recipe: TrainingRecipe) => {
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    await train(runOf(`${folder.path}/${run}`, recipe, { onNotice }));
    return notices.join("\n");
  };
  const both = await said("both", tiny(data, { steps: 3 }));
  assertMatch(both, /left out: .*damaged.png: expected a PNG or JPEG/);
  assertMatch(both, /12 pictures, brought to 8×8 grey; 1 files left out/);
  assertMatch(both, /2 classes: cat, dog/);
  assertMatch(both, /3 updates of 4 pictures, each picture about 1.0 times/);
  assertMatch(await said("unlabelled", tiny(data, { labels: false })), /classes not learned/);
  await Deno.remove(`${data}/cat`, { recursive: true });
  assertMatch(await said("one", tiny(data)), /one class, dog: nothing to tell apart/);
  await using model = await load(`${folder.path}/one/weights`, { backend: native });
  assertEquals(model.labels, undefined);
});

/** The command as a process of its own, which can be killed. */
function trainProcess(args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("../mod.ts", import.meta.url).pathname, "train", ...args],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Waits until a run has logged so many updates. */
async function updates(child: Deno.ChildProcess, run: string, count: number): Promise<void> {
  let over = false;
  child.status.then(() => over = true);
  while (true) {
    const text = await Deno.readTextFile(`${run}/log.jsonl`).catch(() => "");
    if (text.split("\n").length > count) return;
    if (over) throw new Error(`the run ended before ${count} updates: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** More updates than this are none that were under way when a signal came. */
const DEAF = 300;

/** How a run ends that a signal asked to; one that does not hear it is killed. */
async function ended(child: Deno.ChildProcess, run: string): Promise<Deno.CommandOutput> {
  const output = child.output();
  let over = false;
  output.then(() => over = true);
  const lines = async () => (await Deno.readTextFile(`${run}/log.jsonl`)).split("\n").length;
  const first = await lines();
  while (!over) {
    if (await lines() > first + DEAF) {
      child.kill("SIGKILL");
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return await output;
}

const STEPS = 100;

Deno.test("kill −9 and --resume give the weights and the optimiser's state of an unbroken run", async () => {
  await using folder = await temporaryFolder();
  const data = await writePictures(folder.path);
  const recipe = tiny(data, { steps: STEPS, checkpoint_every: 3, flip: true, dropout: 0.1 });
  const path = `${folder.path}/recipe.json`;
  await Deno.writeTextFile(path, JSON.stringify(recipe));
  const [whole, broken] = [`${folder.path}/whole`, `${folder.path}/broken`];
  const { hash } = await train(runOf(whole, recipe));

  let child = trainProcess(["--recipe", path, "--out", broken, "--threads", "2"]);
  for (const count of [8, 20]) {
    await updates(child, broken, count);
    child.kill("SIGKILL");
    const { signal } = await child.output();
    assertEquals(signal, "SIGKILL");
    assert((await logOf(broken).catch(() => [])).length < STEPS, "it was killed before its end");
    child = trainProcess(["--resume", broken, "--threads", "2"]);
  }
  const { success, stderr } = await child.output();
  const said = new TextDecoder().decode(stderr);
  assert(success, said);
  assert(/going on after update [1-9]/.test(said), said);
  assert(said.includes(hash), `expected ${hash} in: ${said}`);

  const last = `checkpoints/step-${String(STEPS).padStart(8, "0")}.safetensors`;
  const weights = "weights/unet/diffusion_pytorch_model.safetensors";
  for (const file of [last, weights]) {
    const [a, b] = await Promise.all([whole, broken].map((run) => Deno.readFile(`${run}/${file}`)));
    assertEquals(await sha256Hex(a), await sha256Hex(b), file);
  }
  const lines = await logOf(broken);
  assertEquals(lines.map(({ step }) => step), Array.from({ length: STEPS }, (_, i) => i + 1));
});

for (
  const [name, signal, expected] of [["Ctrl-C", "SIGINT", 130], [
    "SIGTERM",
    "SIGTERM",
    143,
  ]] as const
) {
  Deno.test(`${name} writes a checkpoint, says how to go on, and exits with ${expected}`, async () => {
    await using folder = await temporaryFolder();
    const data = await writePictures(folder.path);
    const path = `${folder.path}/recipe.json`;
    await Deno.writeTextFile(
      path,
      JSON.stringify(tiny(data, { steps: 1e6, checkpoint_every: 1e6 })),
    );
    const run = `${folder.path}/run`;
    const child = trainProcess(["--recipe", path, "--out", run]);
    await updates(child, run, 5);
    child.kill(signal);
    const { code, stderr } = await ended(child, run);
    const said = new TextDecoder().decode(stderr);
    assertEquals(code, expected, said);
    const steps = (await logOf(run)).length;
    const told = [
      `Stopped after ${steps} of ${1e6} updates, with a checkpoint.`,
      `Go on with: train --resume ${run}`,
      `To have the weights as they are: train --resume ${run} --steps ${steps}`,
    ];
    assert(said.includes(`\n${told.join("\n")}\n`), said);
    assertEquals(await names(`${run}/checkpoints`), [
      `step-${String(steps).padStart(8, "0")}.safetensors`,
    ]);
    const now = await cli(["train", "--resume", run, "--steps", String(steps)]);
    assertEquals([now.code, now.out], [0, `${run}/weights`], now.err);
  });
}

Deno.test("--resume that cannot read its log, checkpoint or data's hash says so and changes nothing", async () => {
  await using folder = await temporaryFolder();
  const run = `${folder.path}/run`;
  const recipe = tiny(await writePictures(folder.path), { steps: 2 });
  await train(runOf(run, recipe));
  const contents = async () => {
    const files = [];
    for (const name of ["data.sha256", "log.jsonl", "recipe.json"]) {
      files.push(await Deno.readTextFile(`${run}/${name}`).catch(() => "unreadable"));
    }
    return [...files, await names(`${run}/checkpoints`)];
  };
  for (const name of ["log.jsonl", "data.sha256", "checkpoints/step-00000002.safetensors"]) {
    await Deno.rename(`${run}/${name}`, `${run}/away`);
    await Deno.mkdir(`${run}/${name}`);
    const before = await contents();
    const again = runOf(run, { ...recipe, steps: 4 }, { resume: true });
    await assertRejects(() => train(again), InputError, `${name}: cannot be read`);
    assertEquals(await contents(), before);
    await Deno.remove(`${run}/${name}`);
    await Deno.rename(`${run}/away`, `${run}/${name}`);
  }
});

Deno.test("a gradient that is not finite loses no update before it", async () => {
  await using folder = await temporaryFolder();
  const run = `${folder.path}/run`;
  const recipe = tiny(await writePictures(folder.path), { steps: 9, checkpoint_every: 9 });
  let updates = 0;
  const breaking: Backend = {
    ...native,
    name: "breaking",
    async createSession(...args) {
      const session = await native.createSession(...args);
      return {
        inputNames: session.inputNames,
        outputNames: session.outputNames,
        close: () => session.close(),
        async run(feeds) {
          const results = await session.run(feeds);
          if ("grad_norm" in results && ++updates === 4) {
            results.grad_norm.data[0] = NaN;
          }
          return results;
        },
      };
    },
  };
  const broken = runOf(run, recipe, { backend: breaking });
  await assertRejects(() => train(broken), InputError, "step 4: the loss is");
  assertEquals((await logOf(run)).map((line) => line.step), [1, 2, 3]);
  assertEquals(await names(`${run}/checkpoints`), ["step-00000003.safetensors"]);
  // Going on from there is the run that never broke.
  const resumed = await train(runOf(run, recipe, { resume: true }));
  const whole = await train(runOf(`${folder.path}/whole`, recipe));
  assertEquals(resumed.hash, whole.hash);
});
