/** A distillation from a teacher's weights to its students', and every way it can be interrupted. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { InputError } from "../src/errors.ts";
import { load } from "../src/model/load.ts";
import { generate } from "../src/sampling/pictures.ts";
import { distill, type DistillOptions } from "../src/training/distill/distill.ts";
import { type DistillRecipe, parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { parseTrainingRecipe, type TrainingRecipe } from "../src/training/recipe.ts";
import { train } from "../src/training/run/train.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

const native = await backendByName("native");
const session = { threads: 2, spin: false };

/** Twelve pictures in two classes, and a teacher that has seen them. */
async function teacherIn(folder: string, rest: Partial<TrainingRecipe> = {}): Promise<string> {
  await pictureFolder(`${folder}/pictures`, ["cat", "dog"], 6);
  const run = { data: `${folder}/pictures`, steps: 2, sample_every: 0 };
  const recipe = parseTrainingRecipe(tinyRecipe, run, rest);
  const { weights } = await train({
    recipe,
    folder: `${folder}/teacher`,
    backend: native,
    session,
  });
  return weights!;
}

function few(folder: string, rest: Partial<DistillRecipe> = {}): DistillOptions {
  const recipe = parseDistillRecipe({
    distill: `${folder}/teacher/weights`,
    data: `${folder}/pictures`,
    guide_updates: 3,
    students: [2, 1],
    student_updates: [3, 3],
    batch: 4,
    warmup: 1,
    sample_every: 0,
    checkpoint_every: 2,
    ...rest,
  });
  return { recipe, folder: `${folder}/few`, backend: native, session };
}

Deno.test("students of a guided teacher", async (t) => {
  await using folder = await temporaryFolder();
  await teacherIn(folder.path);
  const { finished, students } = await distill(few(folder.path));
  assert(finished);
  assertEquals(
    students.map((path) => path.slice(folder.path.length)),
    ["/few/guided/weights", "/few/steps-2/weights", "/few/steps-1/weights"],
  );

  await t.step(
    "draw in their steps, with their teacher's classes and no more than that",
    async () => {
      await using model = await load(students[1], { backend: "native" });
      assertEquals(model.labels, ["cat", "dog"]);
      assertEquals(model.recommended, { scheduler: "ddim", steps: 2 });
      assertEquals(model.distilled?.guidance, 2);
      assertEquals(model.scheduler.prediction_type, "v_prediction");
      const [picture] = await generate(model, { seeds: [3] });
      assertEquals([picture.recipe.steps, picture.recipe.guidance], [2, 1]);
      await generate(model, { seeds: [3], steps: 1 });
    },
  );
  await t.step("refuse guidance with a sentence", async () => {
    await using model = await load(students[1], { backend: "native" });
    const error = await assertRejects(
      () => generate(model, { seeds: [3], guidance: 2 }),
      InputError,
    );
    assertMatch(error.message, /distilled from .*weights with guidance 2 folded in/);
  });
  await t.step(
    "refuse steps they were not taught, by their number, and other timesteps",
    async () => {
      await using model = await load(students[1], { backend: "native" });
      const error = await assertRejects(
        () => generate(model, { seeds: [3], steps: 5 }),
        InputError,
      );
      assertMatch(
        error.message,
        /^steps: expected 2: these weights were distilled from .* to draw in 2 steps .*, found 5$/,
      );
      const elsewhere = await assertRejects(
        () => generate(model, { seeds: [3], timesteps: [18, 9] }),
        InputError,
      );
      assertMatch(elsewhere.message, /^timesteps: expected some of 19, 9: .*, found 18$/);
    },
  );
  await t.step("the first, taught the guidance alone, takes any number of steps", async () => {
    await using model = await load(students[0], { backend: "native" });
    await generate(model, { seeds: [3], steps: 5 });
  });
  await t.step("say in their card whose students they are", async () => {
    const card = await Deno.readTextFile(`${students[2]}/README.md`);
    assertStringIncludes(card, "| Guidance folded in | 2 |");
    assertStringIncludes(card, "| Network evaluations a picture | 1 |");
    assertStringIncludes(card, "scheduler.set_timesteps(1)");
    const scheduler = JSON.parse(
      await Deno.readTextFile(`${students[2]}/scheduler/scheduler_config.json`),
    );
    assertEquals(scheduler._class_name, "DDIMScheduler");
    assertEquals(scheduler.timestep_spacing, "trailing");
  });
  await t.step("can be distilled on, each to half its own steps", async () => {
    const on = { distill: students[1], students: [1], student_updates: [2] };
    const { students: [last] } = await distill({
      ...few(folder.path, on),
      folder: `${folder.path}/on`,
    });
    assert(last.endsWith("/on/steps-1/weights"));
    await assertRejects(
      () => distill({ ...few(folder.path, { distill: students[1] }), folder: `${folder.path}/no` }),
      InputError,
      "draw in 2 steps",
    );
  });
});

Deno.test("a distillation broken off anywhere and resumed ends with the same bytes", async () => {
  await using folder = await temporaryFolder();
  await teacherIn(folder.path);
  const whole = await distill(few(folder.path));
  for (const updates of [1, 3, 8]) {
    const again = { ...few(folder.path), folder: `${folder.path}/broken-${updates}` };
    const stop = new AbortController();
    let done = 0;
    const first = await distill({
      ...again,
      signal: stop.signal,
      onProgress: () => {
        if (++done === updates) stop.abort();
      },
    });
    // Stopping at a stage's last update leaves that stage done.
    assertEquals(first.finished, false, `stopped after ${updates}`);
    const second = await distill({ ...again, resume: true });
    assertEquals(second.hash, whole.hash, `stopped after ${updates}`);
  }
});

Deno.test("teachers without classes, and those that predict v already, have no guidance to fold in", async () => {
  await using folder = await temporaryFolder();
  await teacherIn(folder.path, { labels: false, prediction_type: "v_prediction" });
  const { students } = await distill(few(folder.path));
  assertEquals(students.length, 2);
  await using model = await load(students[0], { backend: "native" });
  assertEquals([model.labels, model.distilled?.guidance], [undefined, 1]);
  await assertRejects(
    () => distill({ ...few(folder.path, { guidance: 3 }), folder: `${folder.path}/no` }),
    InputError,
    "know no classes",
  );
});

Deno.test("the command distils, goes on, and says what does not fit", async () => {
  await using folder = await temporaryFolder();
  const weights = await teacherIn(folder.path);
  const out = `${folder.path}/few`;
  const data = ["--data", `${folder.path}/pictures`];
  const run = ["train", "--distill", weights, ...data, "--out", out, "--batch", "4"];
  const short = ["--guide-updates", "1", "--students", "2,1", "--student-updates", "1,1"];
  const first = await watched([...run, ...short], {});
  assertEquals(first.code, 0, first.err.join("\n"));
  const printed = first.out.join("\n");
  assertEquals(printed.split("\n").at(-1), `${out}/steps-1/weights`);
  const [hash, use] = first.err.slice(-2);
  assertEquals(hash.replace(/[0-9a-f]{64}/, "…"), `${out}: steps-1, update 1, state SHA-256 …`);
  assertEquals(use, `Sample with: sample --weights ${out}/steps-1/weights`);
  for (const stage of ["guided", "steps-2", "steps-1"]) {
    assert(first.shown.some((line) => line.startsWith(`${stage} 1/1  loss `)), stage);
  }
  const resumed = await cli(["train", "--resume", out]);
  assertEquals([resumed.code, resumed.out], [0, printed]);

  const fails = async (args: string[], message: RegExp) => {
    const { code, err } = await cli(args);
    assertEquals(code, 2, err);
    assertMatch(err, message);
  };
  await fails(
    [...run, "--students", "4,3"],
    /students: expected each to take half .*found \[4,3\]/,
  );
  await fails([...run, "--dropout", "0.1"], /--dropout: not with --distill/);
  await fails(["train", ...data, "--students", "2,1"], /--students: expected --distill WEIGHTS/);
});
