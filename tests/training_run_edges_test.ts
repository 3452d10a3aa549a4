/** A run at its edges: what it is drawn from, what it leaves wherever it stops, what it says, what it lets go. */
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects } from "@std/assert";
import rings from "../examples/rings.ts";
import type { Backend } from "../src/backends/backend.ts";
import { InputError } from "../src/errors.ts";
import { sha256Hex } from "../src/files/hash.ts";
import { decodePng } from "../src/image/png.ts";
import { fromText, RECIPE_KEYWORD } from "../src/recipe/recipe.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { openData } from "../src/training/data/open.ts";
import { generatedPictures } from "../src/training/data/plugin.ts";
import { distill } from "../src/training/distill/distill.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { batchOf, dropoutKeys } from "../src/training/objective/batch.ts";
import { startFrom } from "../src/training/run/fine_tune.ts";
import { Log } from "../src/training/run/log.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { readRun, train } from "../src/training/run/train.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder, type WeightsFolder } from "../src/weights/read/folder.ts";
import { hub, serve, withEnvironment } from "./hub.ts";
import { type RecordingEngine, recordingEngine } from "./training_engine.ts";
import { pictureFolder } from "./training_pictures.ts";
import { runsPlace } from "./training_place.ts";

const names = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
const read = (path: string) => Deno.readTextFileSync(path);
/** What the evaluations that train were fed, one after another. */
const fed = ({ runs }: RecordingEngine, name: string) =>
  runs.filter(({ graph }) => graph.outputs.has("loss"))
    .flatMap(({ feeds }) => [...feeds[name].data].map(Number));

Deno.test("what is trained on follows from the recipe's seed: pictures, labels, times, noise, dropout", async () => {
  await using here = await runsPlace();
  const keys = { batch: 2, accumulate: 2, steps: 2, flip: true, label_dropout: 0.5, dropout: 0.1 };
  const { engine } = await here.run("run", { ...keys, seed: 7, num_train_timesteps: 9 });
  const data = await openData(here.data, { size: [8, 8], channels: 1 });
  const batches = [1, 2].map((k) =>
    batchOf(data, k, {
      ...{ seed: 7, images: 4, T: 9 },
      ...{ flip: true, labelDropout: 0.5, nullLabel: 2 },
    })
  );
  const all = (of: (batch: typeof batches[number]) => ArrayLike<number>) =>
    batches.flatMap((batch) => Array.from(of(batch)));
  assertEquals(fed(engine, "x_0"), all(({ x_0 }) => x_0));
  assertEquals(fed(engine, "eps"), all(({ eps }) => eps));
  assertEquals(fed(engine, "timestep"), all(({ t }) => t));
  assertEquals(fed(engine, "class_labels"), all(({ labels }) => labels!));
  assertEquals(fed(engine, "dropout_keys"), [1, 2].flatMap((k) => [...dropoutKeys(7, k, 4)]));
  const drawn = await here.run("drawn", {
    ...{ data: new URL("../examples/rings.ts", import.meta.url).pathname, steps: 1, seed: 5 },
  });
  const own = batchOf(generatedPictures(rings, 5, { size: [8, 8], channels: 1 }), 1, {
    ...{ seed: 5, images: 4, T: 20, labelDropout: 0.1, nullLabel: 2 },
  });
  assertEquals(fed(drawn.engine, "x_0"), [...own.x_0]);
});

Deno.test("a run stopped before its first update has a checkpoint of it, and goes on from there", async () => {
  await using here = await runsPlace();
  const stop = new AbortController();
  const onNotice = (notice: string) => notice.includes(" updates of ") && stop.abort();
  const every = { sample_every: 1 };
  const stopped = await here.run("run", every, { signal: stop.signal, onNotice });
  assertEquals(names(stopped.path).includes("samples"), false, "grids are of what was learned");
  assertEquals([stopped.step, stopped.finished, stopped.weights], [0, false, undefined]);
  assertEquals(names(`${stopped.path}/checkpoints`), ["step-00000000.safetensors"]);
  assertEquals(read(`${stopped.path}/log.jsonl`), "");
  assertMatch(read(`${stopped.path}/loss.svg`), /points=""/);
  const resumed = await here.run("run", {}, { resume: true });
  assertEquals([resumed.step, resumed.finished], [4, true]);
  assertEquals(resumed.notices.filter((notice) => notice.startsWith("going on")), []);
});

Deno.test("a run stopped while its pictures are read leaves nothing", async () => {
  await using here = await runsPlace();
  const stop = new AbortController();
  const told: number[] = [];
  const onRead = (done: number, total: number) => {
    told.push(done / total);
    if (done === 3) stop.abort(new Error("enough"));
  };
  await assertRejects(() => here.run("run", {}, { signal: stop.signal, onRead }), Error, "enough");
  assertEquals([told, names(here.path)], [[1 / 12, 2 / 12, 3 / 12], ["pictures"]]);
});

Deno.test("what a run ends with: its hash is its last checkpoint's, its log and plot have every update", async () => {
  await using here = await runsPlace();
  const { path, hash, engine } = await here.run("deep/er/run", { steps: 3, checkpoint_every: 9 });
  const last = Deno.readFileSync(`${path}/checkpoints/step-00000003.safetensors`);
  assertEquals(hash, await sha256Hex(last));
  const { recipe } = await readRun(path);
  assertEquals(read(`${path}/recipe.json`), `${JSON.stringify(recipe, null, 2)}\n`);
  assertMatch(read(`${path}/data.sha256`), /^[0-9a-f]{64}\n$/);
  const lines = read(`${path}/log.jsonl`).trimEnd().split("\n").map((line) => JSON.parse(line));
  const keys = ["step", "loss", "grad_norm", "lr", "ms"];
  assertEquals(lines.map((line) => Object.keys(line)), [keys, keys, keys]);
  assert(lines.every(({ ms }) => Number.isInteger(ms)));
  assertEquals(lines.map(({ loss, grad_norm }) => [loss, grad_norm]), Array(3).fill([0.5, 1]));
  const points = (svg: string) => /points="([^"]*)"/.exec(svg)![1].split(" ").length;
  assertEquals(points(read(`${path}/loss.svg`)), 3);
  assertEquals(engine.open, 0);
  // While it goes on, the plot is as new as the newest grid.
  const plots: number[] = [];
  const onNotice = (notice: string) => {
    if (notice.includes("samples after")) plots.push(points(read(`${here.path}/run/loss.svg`)));
  };
  await here.run("run", { sample_every: 2, steps: 5 }, { onNotice });
  assertEquals(plots, [2, 4, 5]);
});

Deno.test("a run that has begun with weights says so; its own are in half precision if the recipe says so", async () => {
  await using here = await runsPlace();
  const { weights, notices } = await here.run("first", { steps: 1, sample_every: 1 });
  assertEquals(notices.at(-1)!.endsWith("samples after 1 updates"), true);
  const { path } = await here.run("tuned", { steps: 1, fp16: true }, { init: weights });
  const [whole, half] = [weights, `${path}/weights`].map((folder) =>
    Deno.statSync(`${folder}/unet/diffusion_pytorch_model.safetensors`).size
  );
  assert(half < 0.8 * whole, `${half} of ${whole} bytes`);
  const card = read(`${path}/weights/README.md`);
  assert(card.includes(`| Trained on from | ${weights} |`), card);
  for (const place of [path, `${path}/weights`]) assertEquals((await readRun(place)).init, weights);
  assertEquals((await readRun(`${here.path}/first`)).init, undefined);
  const parameters = /\| Parameters \| ([\d,]+) \|/.exec(card)![1];
  assert(notices.some((notice) => notice.startsWith(`${parameters} parameters; `)), card);
  const png = Deno.readFileSync(`${here.path}/first/samples/step-00000001.png`);
  const [{ weights: of }] = fromText(decodePng(png).text[RECIPE_KEYWORD], "grid");
  assertEquals(of, "update 1");
});

Deno.test("weights from an address are told as they come, and no more once the signal has", async () => {
  await using here = await runsPlace();
  // The network's classes have no names: they are called by their numbers.
  for (const [i, name] of ["cat", "dog"].entries()) {
    Deno.renameSync(`${here.data}/${name}`, `${here.data}/${i}`);
  }
  await using server = serve(hub);
  const environment = { DENOISE_CACHE: `${here.path}/cache`, HF_ENDPOINT: server.origin };
  let told = 0;
  const onDownload = () => told++;
  await withEnvironment(environment, async () => {
    const run = (signal?: AbortSignal) =>
      train({
        recipe: parseTrainingRecipe({ data: here.data, steps: 1, batch: 2, sample_every: 0 }),
        ...{ folder: `${here.path}/run`, backend: recordingEngine(), init: "hf:owner/name" },
        ...{ signal, onDownload },
      });
    await assertRejects(() => run(AbortSignal.abort(new Error("stopped"))), Error, "stopped");
    assertEquals(told, 0);
    assertEquals([(await run()).finished, told > 0], [true, true]);
  });
  told = 0;
  await withEnvironment({ ...environment, DENOISE_CACHE: `${here.path}/few` }, async () => {
    const recipe = parseDistillRecipe({ distill: "hf:owner/name", data: `${here.path}/none` });
    const run = (signal?: AbortSignal) =>
      distill({
        ...{ recipe, folder: `${here.path}/students`, backend: recordingEngine() },
        ...{ signal, onDownload },
      });
    await assertRejects(() => run(AbortSignal.abort(new Error("stopped"))), Error, "stopped");
    assertEquals(told, 0);
    await assertRejects(() => run(), InputError, "there is no such file");
    assert(told > 0);
  });
});

Deno.test("a folder with a checkpoint is refused before a picture is read; without one a run begins there", async () => {
  await using here = await runsPlace();
  const { path, hash } = await here.run("run");
  let readPictures = 0;
  const onRead = () => readPictures++;
  await assertRejects(() => here.run("run", {}, { onRead }), InputError, "lies here");
  await assertRejects(() => here.run("none", {}, { onRead, resume: true }), InputError, "no such");
  assertEquals(readPictures, 0);
  // What is left of a run without a checkpoint is no run.
  Deno.removeSync(`${path}/checkpoints`, { recursive: true });
  const data = read(`${path}/data.sha256`);
  Deno.writeTextFileSync(`${path}/data.sha256`, "of other pictures\n");
  const again = await here.run("run");
  assertEquals([again.hash, read(`${path}/data.sha256`)], [hash, data]);
  assertEquals(read(`${path}/log.jsonl`).split("\n").length, 5);
  // Nor is a run that lost its data's hash another one.
  Deno.removeSync(`${path}/data.sha256`);
  const more = await here.run("run", { steps: 5 }, { resume: true });
  assertEquals([more.step, read(`${path}/data.sha256`)], [5, data]);
});

Deno.test("a run goes on after its first update too, and not with other pictures", async () => {
  await using here = await runsPlace();
  for (const name of ["run", "other"]) await here.run(name, { steps: 1 });
  const { notices } = await here.run("run", { steps: 2 }, { resume: true });
  assert(notices.includes("going on after update 1"), notices.join("\n"));
  Deno.removeSync(`${here.data}/cat/0.png`);
  const other = here.run("other", { steps: 2 }, { resume: true });
  await assertRejects(
    () => other,
    InputError,
    "other pictures than the data has now (11 pictures)",
  );
  const dots = (level: number) =>
    `data:text/javascript,export default { name: "dots", api: 1, picture: () => ({ ${
      encodeURIComponent(`pixels: Uint8Array.of(${level}), width: 1, height: 1, channels: 1`)
    } }) }`;
  await here.run("drawn", { data: dots(1), steps: 1 });
  const drawn = here.run("drawn", { data: dots(2), steps: 2 }, { resume: true });
  await assertRejects(() => drawn, InputError, "than the data has now (pictures without end)");
});

Deno.test("a grid is drawn by labels of labels as they are learned", async () => {
  await using here = await runsPlace();
  const data = `${here.path}/parts`;
  await pictureFolder(data, ["orc", "orc-wizard", "wizard"], 1);
  const engine = recordingEngine();
  const tables: Float32Array[] = [];
  const backend: Backend = {
    ...engine,
    createSession(graph, weights) {
      if (weights instanceof Map) tables.push(weights.get("class_embedding.weight")!);
      return engine.createSession(graph);
    },
  };
  const keys = { data, label_parts: true, steps: 1, sample_every: 1 };
  await here.run("run", keys, { backend });
  assertEquals(tables.length, 1, "one grid");
  const width = tables[0].length / 4;
  const [orc, both, wizard, none] = [0, 1, 2, 3].map((i) =>
    tables[0].slice(i * width, (i + 1) * width)
  );
  both.forEach((x, k) => assertAlmostEquals(x, orc[k] + wizard[k] - none[k], 1e-5));
});

Deno.test("an update is in the log before it is told, and kept before the next one is", async () => {
  await using here = await runsPlace();
  const path = `${here.path}/run`;
  const found: unknown[] = [];
  const onProgress = () =>
    found.push([read(`${path}/log.jsonl`).split("\n").length - 1, names(`${path}/checkpoints`)]);
  Deno.mkdirSync(`${path}/checkpoints`, { recursive: true });
  await here.run("run", { checkpoint_every: 1 }, { onProgress });
  const kept = (...steps: number[]) => steps.map((step) => `step-0000000${step}.safetensors`);
  assertEquals(found, [[1, kept()], [2, kept(1)], [3, kept(1, 2)], [4, kept(2, 3)]]);
  assertEquals(names(`${path}/checkpoints`), kept(3, 4));
});

/** What is written or taken away (−) while something runs, in order, and how many at once; each write takes some turns. */
async function writesOf(root: string, run: () => Promise<unknown>) {
  const { mkdir, remove, rename, writeTextFile } = Deno;
  const written: string[] = [];
  let [under, most] = [0, 0];
  const slowly = async (what: () => Promise<void>) => {
    most = Math.max(most, ++under);
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    await what().finally(() => under--);
  };
  const note = (path: string | URL) => written.push(`${path}`.replace(`${root}/`, ""));
  Deno.mkdir = (path, options) => slowly(() => mkdir(path, options));
  Deno.remove = (path, options) => (note(`−${path}`), slowly(() => remove(path, options)));
  Deno.rename = (from, to) => (note(to), slowly(() => rename(from, to)));
  Deno.writeTextFile = (
    path,
    text,
    options,
  ) => (note(path), slowly(() => writeTextFile(path, text, options)));
  await run().finally(() => Object.assign(Deno, { mkdir, remove, rename, writeTextFile }));
  return { written, most, under };
}

Deno.test("a run writes one thing after another, each once", async () => {
  await using here = await runsPlace();
  const keys = { steps: 3, checkpoint_every: 2, keep_checkpoints: 1, sample_every: 2 };
  // What a killed process had begun to write goes first.
  Deno.mkdirSync(`${here.path}/run/checkpoints`, { recursive: true });
  Deno.writeTextFileSync(`${here.path}/run/checkpoints/killed.part`, "");
  const first = await writesOf(
    `${here.path}/run`,
    () => here.run("run", { ...keys, num_train_timesteps: 8 }),
  );
  assertEquals([first.most, first.under], [1, 0], "writes at once, and left");
  const kept = (step: number) => `checkpoints/step-0000000${step}.safetensors`;
  const grid = (step: number) => [`samples/step-0000000${step}.png`, "loss.svg"];
  assertEquals(first.written, [
    ...["data.sha256", "recipe.json", "log.jsonl", "log.jsonl", "log.jsonl"],
    ...["−checkpoints/killed.part", kept(2), ...grid(2)],
    ...["log.jsonl", kept(3), `−${kept(2)}`, ...grid(3), "loss.svg"],
    ...["unet/config.json", "unet/diffusion_pytorch_model.safetensors"].map((p) => `weights/${p}`),
    ...["scheduler/scheduler_config.json", "model_index.json"].map((p) => `weights/${p}`),
    ...["README.md", "recipe.json", "log.jsonl", "loss.svg"].map((p) => `weights/${p}`),
  ]);
  const recipe = parseDistillRecipe({
    ...{ distill: `${here.path}/run/weights`, data: here.data, batch: 2, guide_updates: 0 },
    ...{ students: [1], student_updates: [1], sample_every: 0, guidance: 1 },
  });
  const options = { recipe, folder: `${here.path}/few`, backend: recordingEngine() };
  const few = await writesOf(`${here.path}/few`, () => distill(options));
  assertEquals([few.most, few.under], [1, 0]);
  assertEquals(few.written.slice(0, 3), [
    "recipe.json",
    "steps-1/data.sha256",
    "steps-1/recipe.json",
  ]);
});

/** An engine that keeps how its sessions were asked for. */
function asking() {
  const engine = recordingEngine();
  const asked: unknown[] = [];
  const backend: Backend = {
    ...engine,
    createSession(graph, weights, options) {
      asked.push(options);
      return engine.createSession(graph, weights, options);
    },
  };
  return { engine, backend, asked };
}

Deno.test("every session of a run and of a distillation is made as the caller says, and closed", async () => {
  await using here = await runsPlace();
  const session = { threads: 3, spin: false };
  const first = asking();
  const keys = { accumulate: 2, steps: 2, sample_every: 1, num_train_timesteps: 8 };
  const { weights } = await here.run("run", keys, { ...first, session });
  assert(first.asked.length > 3, `${first.asked.length}`);
  assertEquals([first.asked, first.engine.open], [first.asked.map(() => session), 0]);
  const { engine, backend, asked } = asking();
  const notices: string[] = [];
  Deno.writeTextFileSync(`${here.data}/cat/damaged.png`, "no picture");
  let readPictures = 0;
  const { students } = await distill({
    recipe: parseDistillRecipe({ distill: weights, data: here.data, batch: 2, sample_every: 1 }, {
      ...{ guide_updates: 1, guided: [1, 5], students: [2], student_updates: [2] },
      ...{ tune_updates: 1 },
    }),
    ...{ folder: `${here.path}/few`, backend, session },
    onNotice: (notice) => notices.push(notice),
    onRead: () => readPictures++,
  });
  assertEquals([asked, engine.open, readPictures], [asked.map(() => session), 0, 13]);
  assertEquals(notices.slice(0, 2).map((notice) => notice.replace(/: expected .*/, "")), [
    `left out: ${here.data}/cat/damaged.png`,
    `${weights}, guidance 2: guided (1 updates), then steps-2 (2 updates), then tuned (1 updates)`,
  ]);
  const { guidance, guided } = JSON.parse(read(`${here.path}/few/recipe.json`));
  assertEquals([guidance, guided], [2, [1, 5]]);
  for (const student of students) {
    const { denoise: card, ...index } = JSON.parse(read(`${student}/model_index.json`));
    assertEquals(JSON.stringify({ card, index }).includes('"guided":[1,5]'), true);
  }
});

Deno.test("a run that breaks closes its sessions, and says what broke even where nothing can be kept", async () => {
  await using here = await runsPlace();
  const { engine, backend } = asking();
  engine.norms.push(1, NaN);
  const onProgress = () => Deno.writeTextFileSync(`${here.path}/run/checkpoints`, "in its place");
  await assertRejects(
    () => here.run("run", {}, { backend, onProgress }),
    InputError,
    "step 2: the loss is 0.5 and the gradient's norm NaN",
  );
  assertEquals(engine.open, 0);
});

Deno.test("a line of a log is an update's by its step and its loss", async () => {
  await using here = await runsPlace();
  const path = `${here.path}/log.jsonl`;
  const whole = '{"step":1,"loss":1}';
  for (const line of ["{}", '{"step":2}', '{"loss":2}', '{"step":"2","loss":1}', "null", "3"]) {
    Deno.writeTextFileSync(path, `${whole}\n${line}\n${whole}\n`);
    await assertRejects(
      () => Log.open(path, 9),
      InputError,
      `${path}: line 2 is no update's ({"step", "loss", …}); nothing was changed: mend it, or move the log away to begin a new one`,
    );
    Deno.writeTextFileSync(path, `${line}\n${whole}\n`);
    await assertRejects(() => Log.open(path, 9), InputError, `${path}: line 1 is no update's`);
    Deno.writeTextFileSync(path, `${whole}\n\n${line}`);
    assertEquals((await Log.open(path, 9)).lines.length, 1, "the last one was cut off");
  }
  assertEquals((await Log.open(`${here.path}/none`, 9)).lines, []);
});

Deno.test("a network that was written under older names is trained on under its own", async () => {
  const golden = await readFolder(filesAt(new URL("golden/ddpm_legacy/", import.meta.url)));
  const [name] = [...golden.tensors.keys()].filter((name) => name.endsWith(".to_q.weight"));
  const older = new Map(
    [...golden.tensors].map(([name, tensor]) => [name.replace(".to_q.", ".query."), tensor]),
  );
  const data = bytesDataSet(new Uint8Array(2 * 768), [3, 16, 16]);
  const start = (tensors: WeightsFolder["tensors"]) =>
    startFrom({ ...golden, tensors }, parseTrainingRecipe({ data: "here" }), data);
  const { layout, state } = start(older);
  assertEquals(state.theta, start(golden.tensors).state.theta);
  const { offset, size } = layout.params.find((place) => place.name === name)!;
  assertEquals(state.theta.slice(offset, offset + size), golden.tensors.get(name)!.data);
});
