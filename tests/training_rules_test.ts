/** A run by an engine that trains nothing: what its recipe does, what it leaves, what it refuses. */
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { InputError } from "../src/errors.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { decodePng } from "../src/image/png.ts";
import { fromText, RECIPE_KEYWORD } from "../src/recipe/recipe.ts";
import { distill } from "../src/training/distill/distill.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { lossWeight } from "../src/training/objective/loss.ts";
import type { TrainingRecipe } from "../src/training/recipe.ts";
import { readRun, train } from "../src/training/run/train.ts";
import { type RecordingEngine, recordingEngine } from "./training_engine.ts";
import { runsPlace as place } from "./training_place.ts";

const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
const logOf = (path: string): Record<string, number>[] =>
  Deno.readTextFileSync(`${path}/log.jsonl`).trimEnd().split("\n").map((line) => JSON.parse(line));
const updates = ({ runs }: RecordingEngine) =>
  runs.filter(({ graph }) => graph.outputs.has("new_theta"));
const fed = (engine: RecordingEngine, name: string) =>
  updates(engine).map(({ feeds }) => [...feeds[name]?.data ?? []].map(Number));

Deno.test("a recipe's choices reach the engine: weights of the loss, decay, clipping, dropout", async () => {
  await using here = await place();
  const plain = (await here.run("plain", { max_grad_norm: null })).engine;
  assert(fed(plain, "weight").flat().every((weight) => weight === 1));
  assertEquals(updates(plain)[0].graph.values.some(({ node }) => node.op === "min"), false);
  assertEquals([fed(plain, "decay").flat(), fed(plain, "dropout_keys").flat()], [[], []]);
  const keys = {
    ...{ min_snr_gamma: 1, weight_decay: 0.5, max_grad_norm: 1, dropout: 0.1, lr: 0.01 },
    prediction_type: "v_prediction",
  } as const;
  const { engine } = await here.run("chosen", { ...keys, warmup: 0, horizon: null, steps: 2 });
  const levels = fed(engine, "sqrt_alpha_bar").flat();
  for (const [i, weight] of fed(engine, "weight").flat().entries()) {
    assertAlmostEquals(weight, lossWeight("v_prediction", levels[i] ** 2, 1), 1e-4);
  }
  assertEquals(updates(engine)[0].graph.values.some(({ node }) => node.op === "min"), true);
  assertAlmostEquals(fed(engine, "decay")[0][0], 0.0025, 1e-6);
  assertEquals(fed(engine, "dropout_keys").map((keys) => keys.length), [4, 4]);
});

Deno.test("pictures are mirrored, and labels left out, as the recipe says", async () => {
  await using here = await place();
  const engineOf = async (name: string, keys: Partial<TrainingRecipe>) =>
    (await here.run(name, { steps: 20, ...keys })).engine;
  const plain = await engineOf("plain", { label_dropout: 0 });
  assert(fed(plain, "class_labels").flat().every((label) => label === 0 || label === 1));
  const dropped = await engineOf("dropped", { label_dropout: 0.5 });
  const none = fed(dropped, "class_labels").flat().filter((label) => label === 2).length;
  assert(none > 20 && none < 60, `${none} of 80`);
  const flipped = await engineOf("flipped", { label_dropout: 0, flip: true });
  const seen = (engine: RecordingEngine) =>
    new Set(
      fed(engine, "x_0").flatMap((x) =>
        [0, 1, 2, 3].map((i) => x.slice(64 * i, 64 * i + 64).join())
      ),
    );
  const mirror = (picture: string) => {
    const x = picture.split(",");
    return x.map((_, p) => x[p - p % 8 + 7 - p % 8]).join();
  };
  const whole = seen(plain);
  assert([...seen(flipped)].every((picture) => whole.has(picture) || whole.has(mirror(picture))));
  assert([...seen(flipped)].some((picture) => !whole.has(picture)));
});

Deno.test("checkpoints come every so many updates and at the end, grids too, none of them twice", async () => {
  await using here = await place();
  const { path, notices } = await here.run("run", {
    steps: 5,
    checkpoint_every: 2,
    keep_checkpoints: 9,
    sample_every: 2,
  });
  const steps = (of: string) => names(`${path}/${of}`).map((name) => Number(/\d+/.exec(name)));
  assertEquals([steps("checkpoints"), steps("samples")], [[2, 4, 5], [2, 4, 5]]);
  const told = notices.filter((notice) => notice.includes("samples after"));
  assertEquals(
    told.map((notice) => notice.replace(/^.*: /, "")),
    [2, 4, 5].map((k) => `samples after ${k} updates`),
  );
  const even = await here.run("even", { steps: 4, sample_every: 2, checkpoint_every: 4 });
  assertEquals(even.notices.filter((notice) => notice.includes("samples after")).length, 2);
  assertEquals(told[0], `${path}/samples/step-00000002.png: samples after 2 updates`);
  const nothing = await here.run("nothing");
  assertEquals(names(nothing.path).includes("samples"), false);
});

Deno.test("a grid has sixteen seeds with the classes in turn, in no more steps than a schedule has", async () => {
  await using here = await place();
  const { path } = await here.run("run", {
    steps: 1,
    sample_every: 1,
    sample_steps: 50,
    num_train_timesteps: 6,
  });
  const { text } = decodePng(Deno.readFileSync(`${path}/samples/step-00000001.png`));
  const recipes = fromText(text[RECIPE_KEYWORD], "grid");
  assertEquals(
    recipes.map(({ seed, label }) => [seed, label]),
    Array.from({ length: 16 }, (_, i) => [i, i % 2]),
  );
  assertEquals(recipes[0].steps, 5);
});

Deno.test("the weights are the running mean, with card, recipe, log and plot beside them", async () => {
  await using here = await place();
  const { path, weights, hash } = await here.run("run");
  assertEquals(names(weights!), [
    "README.md",
    "log.jsonl",
    "loss.svg",
    "model_index.json",
    "recipe.json",
    "scheduler",
    "unet",
  ]);
  for (const file of ["recipe.json", "log.jsonl"]) {
    assertEquals(
      Deno.readTextFileSync(`${weights}/${file}`),
      Deno.readTextFileSync(`${path}/${file}`),
    );
  }
  const file = Deno.readFileSync(`${weights}/unet/diffusion_pytorch_model.safetensors`);
  const last = Deno.readFileSync(`${path}/checkpoints/step-00000004.safetensors`);
  const { ema, theta } = Object.fromEntries(parseSafetensors(last).tensors);
  const exported = [...parseSafetensors(file).tensors.values()].flatMap(({ data }) => [...data]);
  assertEquals(exported, [...ema.data]);
  assert(exported.some((x, i) => x !== theta.data[i]));
  assertMatch(hash, /^[0-9a-f]{64}$/);
  assertMatch(Deno.readTextFileSync(`${weights}/README.md`), /\| Updates \| 4 of 4 pictures \|/);
});

Deno.test("progress is the mean of the last fifty updates, and the time that is left", async () => {
  await using here = await place();
  const engine = recordingEngine();
  for (let k = 1; k <= 60; k++) engine.losses.push(k);
  // By a clock on which update k takes 100·k + 0.4 ms.
  const { now } = performance;
  let [clock, k] = [0, 0];
  performance.now = () => clock;
  const backend: Backend = {
    ...engine,
    async createSession(graph) {
      const session = await engine.createSession(graph);
      return {
        ...session,
        run: (feeds) => {
          clock += 100 * ++k + 0.4;
          return session.run(feeds);
        },
      };
    },
  };
  const { progress, path } = await here.run("run", { steps: 60, batch: 1 }, { backend })
    .finally(() => performance.now = now);
  const [first, last] = [progress[0], progress[59]];
  assertEquals([first.step, first.steps, first.loss], [1, 60, 1]);
  assertEquals([progress[49].loss, last.loss, last.secondsLeft], [25.5, 35.5, 0]);
  const spent = [first, progress[49], last].map(({ msPerStep }) => msPerStep);
  [100.4, 2550.4, 3550.4].forEach((ms, i) => assertAlmostEquals(spent[i], ms, 1e-6));
  assertAlmostEquals(first.secondsLeft, 59 * 0.1004, 1e-9);
  assertEquals(
    logOf(path).map(({ ms }) => ms),
    Array.from({ length: 60 }, (_, i) => 100 * (i + 1)),
  );
});

Deno.test("a run goes on where it was left: its rate, its log and its checkpoint", async () => {
  await using here = await place();
  await here.run("run", { steps: 3, lr: 0.01, checkpoint_every: 1, keep_checkpoints: 9 });
  const { recipe } = await readRun(`${here.path}/run`);
  assertEquals([recipe.steps, recipe.horizon], [3, 3], "a horizon that `steps` no longer moves");
  // As if it had been killed after update 3 was logged and before it was kept.
  const path = `${here.path}/run`;
  Deno.removeSync(`${path}/checkpoints/step-00000003.safetensors`);
  const more = await here.run("run", { ...recipe, steps: 5 }, { resume: true });
  assertEquals(logOf(path).map(({ step }) => step), [1, 2, 3, 4, 5]);
  assertEquals(more.notices.includes("going on after update 2"), true);
  assertEquals(fed(more.engine, "theta").map(([x]) => x)[1] - fed(more.engine, "theta")[0][0], 1);
  assertEquals(updates(more.engine).length, 3);
  const rates = logOf(path).map(({ lr }) => lr);
  assertEquals(rates.slice(2), [0, 0, 0], "past its horizon");
  assertEquals((await readRun(path)).recipe.horizon, 3);
});

Deno.test("what is there already is not overwritten, and what is not there cannot go on", async () => {
  await using here = await place();
  await here.run("run");
  await assertRejects(
    () => here.run("run"),
    InputError,
    `${here.path}/run: a run of 4 updates lies here; go on with --resume ${here.path}/run, or choose another --out`,
  );
  await assertRejects(
    () => here.run("none", {}, { resume: true }),
    InputError,
    `--resume ${here.path}/none: there is no such folder`,
  );
  await assertRejects(
    () => readRun(`${here.path}/none`),
    InputError,
    `${here.path}/none/recipe.json: expected the recipe of a run to go on with, found none`,
  );
  await Deno.copyFile(`${here.data}/cat/0.png`, `${here.data}/dog/9.png`);
  await assertRejects(
    () => here.run("run", { steps: 6 }, { resume: true }),
    InputError,
    `${here.path}/run/data.sha256: the run began with other pictures than the data has now (13 pictures); --init begins a new run from trained weights`,
  );
});

Deno.test("what is held out is not trained on; of a plug-in's pictures nothing can be", async () => {
  await using here = await place();
  const { notices } = await here.run("run", { holdout: 0.25 });
  assertMatch(notices.join("\n"), /: 9 pictures, brought to 8×8 grey/);
  const rings = new URL("../examples/rings.ts", import.meta.url).pathname;
  await assertRejects(
    () => here.run("rings", { data: rings, holdout: 0.25 }),
    InputError,
    "holdout: expected 0 with a data plug-in, whose pictures have no end, found 0.25",
  );
});

Deno.test("a network that cannot be is refused before the pictures are read", async () => {
  await using here = await place();
  let read = 0;
  const onRead = () => read++;
  await assertRejects(
    () => here.run("run", { size: 9 }, { onRead }),
    InputError,
    "recipe: sample_size 9×9 cannot be halved",
  );
  assertEquals(read, 0);
  await here.run("good", {}, { onRead });
  assertEquals(read, 12);
});

Deno.test("what had to be taken in place of something that the weights do not say is told", async () => {
  await using here = await place();
  const { weights } = await here.run("first");
  const told = async (name: string) => {
    const { notices } = await here.run(name, {}, { init: weights });
    return notices.filter((notice) => notice.includes("scheduler_config.json"));
  };
  assertEquals(await told("whole"), []);
  // Without it the weights are taken for ones of T = 1000, which the recipe does not ask for.
  Deno.removeSync(`${weights}/scheduler/scheduler_config.json`);
  const { recipe, path } = here;
  const notices: string[] = [];
  await train({
    recipe: { ...recipe(), num_train_timesteps: 1000 },
    folder: `${path}/bare`,
    backend: recordingEngine(),
    init: weights,
    onNotice: (notice) => notices.push(notice),
  });
  assertMatch(notices[0], /no scheduler_config\.json says how it was trained/);
});

Deno.test("a distillation writes down its guidance, and folds it in once", async () => {
  await using here = await place();
  const { weights } = await here.run("teacher", { num_train_timesteps: 8 });
  const path = `${here.path}/few`;
  const engine = recordingEngine();
  const recipe = parseDistillRecipe({
    distill: weights,
    data: here.data,
    batch: 2,
    sample_every: 0,
  }, {
    guide_updates: 1,
    students: [2, 1],
    student_updates: [1, 2],
  });
  const stages: string[] = [];
  const onProgress = ({ stage, step }: { stage: string; step: number }) =>
    stages.push(`${stage} ${step}`);
  const result = await distill({ recipe, folder: path, backend: engine, onProgress });
  assertEquals(stages, ["guided 1", "steps-2 1", "steps-1 1", "steps-1 2"]);
  assertEquals([result.stage, result.finished, result.students.length], ["steps-1", true, 3]);
  const written = Deno.readTextFileSync(`${path}/recipe.json`);
  // What the teacher recommends.
  assertEquals(written, `${JSON.stringify({ ...recipe, guidance: 2 }, null, 2)}\n`);
  for (const stage of ["guided", "steps-2", "steps-1"]) {
    for (const place of [stage, `${stage}/weights`]) {
      assertEquals(Deno.readTextFileSync(`${path}/${place}/recipe.json`), written, place);
    }
  }
  // Guided, the teacher is asked twice for each picture; its students once.
  const asked = engine.runs.filter(({ graph }) => graph.outputs.has("out_sample"))
    .map(({ feeds }) => feeds.timestep.dims[0]);
  // One update of two evaluations for the class and for none, then two evaluations an update.
  assertEquals(asked, Array(2 + 2 * 3).fill(2));
  // A student begins where the one before it ended: at its running mean.
  const means = names(path).filter((name) => name.startsWith("steps") || name === "guided");
  assertEquals(means, ["guided", "steps-1", "steps-2"]);
  const vector = (stage: string, step: number, name: string) =>
    parseSafetensors(
      Deno.readFileSync(`${path}/${stage}/checkpoints/step-0000000${step}.safetensors`),
    )
      .tensors.get(name)!.data;
  const guided = vector("guided", 1, "ema"), first = vector("steps-2", 1, "theta");
  assert(first.every((x, i) => Math.abs(x - guided[i] - 1) < 1e-5));
});

Deno.test("a distillation that is stopped goes no further than its stage", async () => {
  await using here = await place();
  const { weights } = await here.run("teacher", { num_train_timesteps: 8 });
  const stop = new AbortController();
  const recipe = parseDistillRecipe({
    distill: weights,
    data: here.data,
    batch: 2,
    sample_every: 0,
  }, {
    guide_updates: 3,
    students: [1],
    student_updates: [1],
  });
  const result = await distill({
    recipe,
    folder: `${here.path}/few`,
    backend: recordingEngine(),
    signal: stop.signal,
    onProgress: ({ step }) => step === 2 && stop.abort(),
  });
  assertEquals([result.stage, result.step, result.finished, result.students], [
    "guided",
    2,
    false,
    [],
  ]);
  assertEquals(names(`${here.path}/few`), ["guided", "recipe.json"]);
});
