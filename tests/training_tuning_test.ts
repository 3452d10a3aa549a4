/** Consistency tuning: what it teaches, when it is planned, and the run that it is. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { Backend } from "../src/backends/backend.ts";
import { backendByName } from "../src/backends/select.ts";
import { createGenerator, parseSchedulerConfig, scheduleFor } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { load } from "../src/model/load.ts";
import { openModel } from "../src/model/model.ts";
import type { Network } from "../src/model/network.ts";
import { sample } from "../src/sampling/sample.ts";
import { generate } from "../src/sampling/pictures.ts";
import { distill, type DistillOptions } from "../src/training/distill/distill.ts";
import { consistencyLesson } from "../src/training/distill/lessons.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { planStages } from "../src/training/distill/stages.ts";
import { ddimStep, levelOf, noise } from "../src/training/distill/steps.ts";
import { teacherOf } from "../src/training/distill/teacher.ts";
import type { TrainBatch } from "../src/training/objective/batch.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { NetworkInTraining } from "../src/training/run/in_training.ts";
import { folderOf } from "../src/training/run/preview.ts";
import { partsOf, startFresh, wholeTheta } from "../src/training/run/start.ts";
import { train } from "../src/training/run/train.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { gaussianOracle } from "./scheduler_contract.ts";
import { recordingEngine } from "./training_engine.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

const T = 1000;
const scheduler = parseSchedulerConfig({
  prediction_type: "v_prediction",
  beta_schedule: "squaredcos_cap_v2",
  timestep_spacing: "trailing",
  num_train_timesteps: T,
});
const { alpha_bar } = scheduleFor(scheduler);
const level = (t: number) => levelOf(t < 0 ? 1 : alpha_bar(t));

/** A network that estimates x_0 by this rule, asked for v, and what it was asked. */
function estimating(rule: (z: number, t: number) => number) {
  const asked: { t: number[]; labels?: number[] }[] = [];
  const network: Network = {
    shape: [1, 4, 4],
    outChannels: 1,
    labels: ["a", "b"],
    scheduler,
    predict: (x, t, labels) => {
      asked.push({ t: [...t], labels: labels && [...labels] });
      return Promise.resolve(x.map((z, p) => {
        const time = t[Math.floor(p / 16)];
        const { alpha, sigma } = level(time);
        // x̂ = α·z − σ·v
        return (alpha * z - rule(z, time)) / sigma;
      }));
    },
  };
  return { network, asked };
}

function batch(images: number): TrainBatch {
  const generator = createGenerator(1);
  return {
    x_0: generator.randn(images * 16).map((x) => 0.2 + 0.15 * x),
    eps: generator.randn(images * 16),
    t: Float32Array.from({ length: images }, (_, i) => Math.floor((i + 0.5) / images * T)),
    labels: Int32Array.from({ length: images }, (_, i) => i % 2),
  };
}

/** Picture i of a batch, at its time. */
function noisyOf({ x_0, eps }: TrainBatch, t: number, i: number): Float32Array {
  const part = (data: Float32Array) => data.subarray(16 * i, 16 * i + 16);
  return noise(part(x_0), part(eps), level(t));
}

const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a, (x, i) => Math.abs(x - b[i])).reduce((m, x) => Math.max(m, x), 0);

Deno.test("the target is what the student says one step of the teacher's further on, at the last one its end", async () => {
  const teacher = estimating((z) => 0.25 + 0.1 * z);
  const student = estimating((z) => 0.5 * z);
  const given = batch(8);
  const lesson = consistencyLesson(teacherOf(teacher.network, 1), 4, T);
  const taught = await lesson(given, student.network);
  assertEquals([...taught.t], [249, 249, 499, 499, 749, 749, 999, 999]);
  assertEquals(taught.labels, given.labels);
  for (const [i, t] of taught.t.entries()) {
    const z_t = noisyOf(given, t, i);
    const x_hat = z_t.map((z) => 0.25 + 0.1 * z);
    const z_r = ddimStep(z_t, x_hat, level(t), level(t - 250));
    const wanted = t === 249 ? x_hat : z_r.map((z) => Math.min(1, Math.max(-1, 0.5 * z)));
    assert(largest(taught.x_0.subarray(16 * i, 16 * i + 16), wanted) < 1e-5, `t ${t}`);
    assert(largest(noisyOf(taught, t, i), z_t) < 1e-5, `t ${t}`);
  }
  // Both in one evaluation each, the student at the steps that are left, as the pictures' classes.
  assertEquals(teacher.asked, [{ t: [...taught.t], labels: [...given.labels!] }]);
  const labels = [0, 1, 0, 1, 0, 1];
  assertEquals(student.asked, [{ t: [249, 249, 499, 499, 749, 749], labels }]);
});

Deno.test("a student that names the path's end from everywhere on it is its own target, and draws it at once", async () => {
  const N = 4;
  const exact = (z: number, t: number) => gaussianOracle(Float32Array.of(z), alpha_bar(t)).x_0[0];
  const end = (z: number, t: number): number => {
    if (t < 0) return z;
    const [after] = ddimStep(
      Float32Array.of(z),
      Float32Array.of(exact(z, t)),
      level(t),
      level(t - T / N),
    );
    return end(after, t - T / N);
  };
  const teacher = estimating(exact).network;
  const student = estimating(end).network;
  const given = batch(8);
  const taught = await consistencyLesson(teacherOf(teacher, 1), N, T)(given, student);
  for (const [i, t] of taught.t.entries()) {
    const ends = noisyOf(given, t, i).map((z) => end(z, t));
    assert(largest(taught.x_0.subarray(16 * i, 16 * i + 16), ends) < 1e-3, `t ${t}`);
  }
  const drawn = async (network: Network, steps: number) => {
    const request = { seeds: [5], labels: [0], scheduler: "ddim", steps };
    for await (const { done, x } of sample(network, request)) if (done) return x;
    throw new Error("nothing was drawn");
  };
  assert(largest(await drawn(student, 1), await drawn(teacher, N)) < 1e-3);
});

Deno.test("tuning comes after the students, from that of four steps or as it is asked for", async () => {
  const teacher = await readFolder(
    await locate(new URL("./golden/class_conditional/", import.meta.url)),
  );
  const weights = { ...teacher, scheduler: { ...teacher.scheduler, num_train_timesteps: T } };
  const recipe = (keys: Record<string, unknown>) =>
    parseDistillRecipe({ distill: "teacher", data: "pictures", tune_updates: 50, ...keys });
  const last = (keys: Record<string, unknown>) => planStages(recipe(keys), weights).stages.at(-1)!;
  const { stages } = planStages(recipe({ seed: 2 ** 32 - 3 }), weights);
  assertEquals(stages.map(({ name }) => name), [
    ...["guided", "steps-8", "steps-4", "steps-2", "steps-1"],
    "tuned",
  ]);
  assertEquals(new Set(stages.map(({ seed }) => seed)).size, 6);
  assertEquals(stages.at(-1), {
    name: "tuned",
    steps: 1,
    evaluations: 1,
    updates: 50,
    lr: 4e-4,
    seed: 2,
    tunes: 4,
  });
  const of = (students: number[], tune_from: number | null = null) =>
    last({ students, tune_from, student_updates: students }).tunes;
  assertEquals([of([8, 4]), of([2, 1]), of([8]), of([8, 4, 2], 2)], [4, 2, 8, 2]);
  assertEquals(last({ tune_updates: 0 }).name, "steps-1");

  const refuses = (keys: Record<string, unknown>, says: string) =>
    assertThrows(() => recipe(keys), InputError, says);
  refuses({ tune_from: 16 }, "recipe: tune_from: expected one of students 8,4,2,1, found 16");
  refuses({ tune_from: 1 }, "tune_from: expected");
  refuses(
    { students: [1], student_updates: [1] },
    "recipe: tune_updates: expected 0, as no student takes more than one step, to be tuned to one, found 50",
  );
});

Deno.test("a network in training answers with the weights of that moment, labels of labels too", async () => {
  const native = await backendByName("native");
  const names = ["orc", "mage", "orc-mage"];
  for (const label_parts of [false, true]) {
    const recipe = parseTrainingRecipe(tinyRecipe, { data: "-", label_parts });
    const plain = startFresh(recipe, {
      length: 3,
      shape: [1, 8, 8],
      picture: (_, into) => into.fill(0),
      labels: { at: (i) => i },
      labelNames: names,
      skipped: [],
    });
    const start = { ...plain, parts: partsOf(plain, recipe) };
    const generator = createGenerator(3);
    let theta = plain.state.theta;
    await using network = new NetworkInTraining(start, () => theta, native, { threads: 1 });
    const [x, t] = [generator.randn(3 * 64), Float32Array.of(1, 9, 19)];
    const labels = Int32Array.of(0, 1, 2);
    assertEquals([network.shape, network.outChannels], [[1, 8, 8], 1]);
    assertEquals([network.labels, network.nullLabel], [names, 3]);
    await network.predict(x, t, labels);
    theta = generator.randn(theta.length).map((x) => 0.1 * x);
    await using model = await openModel(folderOf(start, wholeTheta(start, theta), "now"), native);
    const [now, wanted] = [network, model].map((of) => of.predict(x, t, labels));
    assert(largest(await now, await wanted) < 1e-5, `label parts ${label_parts}`);

    const createSession = () => Promise.reject(new Error("no memory"));
    const none = new NetworkInTraining(start, () => theta, { name: "small", createSession });
    await assertRejects(() => none.predict(x, t, labels), Error, "no memory");
    await none[Symbol.asyncDispose]();
    const engine = recordingEngine();
    {
      await using open = new NetworkInTraining(start, () => theta, engine);
      for (const _ of [1, 2]) await open.predict(x, t, labels);
      assertEquals(engine.open, 1, "one session, however often it is asked");
    }
    assertEquals(engine.open, 0);
  }
});

/** Twelve pictures in two classes, a teacher that has seen them, and a distillation that tunes. */
async function tuning(
  folder: string,
  backend: DistillOptions["backend"],
  keys: Record<string, unknown> = {},
): Promise<DistillOptions> {
  const data = `${folder}/pictures`;
  await pictureFolder(data, ["cat", "dog"], 6);
  const run = { data, steps: 1, sample_every: 0, num_train_timesteps: 8 };
  const recipe = parseTrainingRecipe(tinyRecipe, run, { prediction_type: "v_prediction" });
  const { weights } = await train({ recipe, folder: `${folder}/teacher`, backend });
  const lengths = { students: [2], student_updates: [1], tune_updates: 3 };
  const pace = { batch: 4, warmup: 1, sample_every: 0, checkpoint_every: 2 };
  return {
    recipe: parseDistillRecipe({
      distill: weights,
      data,
      guidance: 1,
      ...lengths,
      ...pace,
      ...keys,
    }),
    folder: `${folder}/few`,
    backend,
    session: { threads: 1, spin: false },
  };
}

Deno.test("the student that is tuned teaches, and the tuned one is asked as it is before each update", async () => {
  await using folder = await temporaryFolder();
  const engine = recordingEngine();
  const taught: number[] = [];
  const backend: Backend = {
    ...engine,
    createSession(graph, weights) {
      if (weights instanceof Map) taught.push(weights.get("conv_in.bias")![0]);
      return engine.createSession(graph);
    },
  };
  const keys = { guidance: 2, guide_updates: 1, students: [2, 1], student_updates: [1, 1] };
  const { students } = await distill(await tuning(folder.path, backend, keys));
  // Each update adds 2 to a mean that began at 0: the teacher's one, then each student's.
  assertEquals(
    taught,
    [2, 4, 6, 6],
    "who taught: the teacher, its students, that of two steps again",
  );
  assertEquals(students.map((path) => path.split("/").at(-2)), [
    ...["guided", "steps-2", "steps-1"],
    "tuned",
  ]);
  assertEquals(engine.open, 0, "sessions that are left open");
  const asked = engine.runs.filter(({ graph, feeds }) =>
    graph.outputs.has("out_sample") && feeds.theta
  );
  const updated = engine.runs.filter(({ graph }) => graph.outputs.has("new_theta")).slice(-3);
  assertEquals(
    asked.map(({ feeds }) => feeds.theta.data),
    updated.map(({ feeds }) => feeds.theta.data),
  );
  // Of four pictures, two are a step from the end.
  assertEquals(asked.map(({ feeds }) => [...feeds.timestep.data]), Array(3).fill([3, 3]));
  const begun = engine.runs.filter(({ graph }) => graph.outputs.has("new_ema"));
  const [steps2, steps1, tuned] = begun.slice(-5);
  const mean = (steps2.feeds.ema.data as Float32Array).map((x) => x + 2);
  for (const stage of [steps1, tuned]) assertEquals(stage.feeds.theta.data, mean);
});

Deno.test("a tuned student is a run like the others, resumed to the same bytes", async (t) => {
  await using folder = await temporaryFolder();
  const options = await tuning(folder.path, await backendByName("native"));
  const whole = await distill(options);
  assertEquals([whole.stage, whole.step, whole.finished], ["tuned", 3, true]);
  // As a run that was killed after its second update.
  const tuned = `${options.folder}/tuned`;
  const weights = `${tuned}/weights`;
  await Deno.remove(`${tuned}/checkpoints/step-00000003.safetensors`);
  await Deno.remove(weights, { recursive: true });
  const { code, out, err } = await cli(["train", "--resume", options.folder, "--threads", "1"]);
  assertEquals(code, 0, err);
  assertStringIncludes(err, "going on after update 2");
  assertStringIncludes(err, `tuned, update 3, state SHA-256 ${whole.hash}`);
  assertEquals(out.split("\n").at(-1), weights);

  await t.step("that draws in one step, as its card says", async () => {
    await using model = await load(weights, { backend: "native" });
    assertEquals(model.recommended, { scheduler: "ddim", steps: 1 });
    assertEquals([model.distilled?.steps, model.distilled?.guidance], [1, 1]);
    const [picture] = await generate(model, { seeds: [3] });
    assertEquals(picture.recipe.steps, 1);
    await assertRejects(() => generate(model, { seeds: [3], steps: 2 }), InputError, "in 1 step ");
    const card = await Deno.readTextFile(`${weights}/README.md`);
    assertStringIncludes(card, "| Network evaluations a picture | 1 |");
    assertStringIncludes(card, "| Updates | 3 of 4 pictures |");
  });
});
