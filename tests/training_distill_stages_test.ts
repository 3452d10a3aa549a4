/** What a distillation plans to do to a teacher, before it does any of it. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { planStages } from "../src/training/distill/stages.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readFolder, type WeightsFolder } from "../src/weights/read/folder.ts";

const golden = await readFolder(
  await locate(new URL("./golden/class_conditional/", import.meta.url)),
);
const teacher = (
  card: WeightsFolder["card"] = {},
  scheduler: Partial<WeightsFolder["scheduler"]> = {},
): WeightsFolder => ({
  ...golden,
  card: { null_label: 3, ...card },
  scheduler: {
    ...golden.scheduler,
    num_train_timesteps: 1000,
    prediction_type: "epsilon",
    ...scheduler,
  },
});
const recipe = (rest: Record<string, unknown> = {}) =>
  parseDistillRecipe({
    distill: "teacher",
    data: "pictures",
    students: [4, 2, 1],
    student_updates: [30, 40, 80],
    guide_updates: 120,
    ...rest,
  });

Deno.test("guidance is learned first, then each student takes half the steps", () => {
  const { guidance, stages } = planStages(recipe({ guidance: 2, seed: 5 }), teacher());
  assertEquals(guidance, 2);
  assertEquals(stages, [
    { name: "guided", evaluations: 8, updates: 120, lr: 5e-4, seed: 5 },
    { name: "steps-4", steps: 4, evaluations: 4, updates: 30, lr: 4e-4, seed: 6 },
    { name: "steps-2", steps: 2, evaluations: 2, updates: 40, lr: 4e-4, seed: 7 },
    { name: "steps-1", steps: 1, evaluations: 1, updates: 80, lr: 4e-4, seed: 8 },
  ]);
});

Deno.test("no two stages see the same noise, and every seed is one that a run takes", () => {
  for (const seed of [0, 7, 2 ** 32 - 3, 2 ** 32 - 1]) {
    const seeds = planStages(recipe({ guidance: 2, seed }), teacher()).stages
      .map(({ seed }) => seed);
    assertEquals(new Set(seeds).size, 4, `${seeds}`);
    assertEquals(seeds.filter((seed) => seed < 0 || seed >= 2 ** 32), [], `${seeds}`);
  }
});

Deno.test("the guidance is what is asked for, else what the teacher recommends, else none", () => {
  const recommended = { scheduler: "ddim", steps: 50, guidance: 3 };
  const of = (asked: number | null, card: WeightsFolder["card"] = {}) =>
    planStages(recipe({ guidance: asked }), teacher(card)).guidance;
  assertEquals(of(2, { recommended }), 2);
  assertEquals(of(null, { recommended }), 3);
  assertEquals(of(null), 1);
  const distilled = { teacher: "heroes", guidance: 2, steps: 8 };
  assertEquals(of(null, { recommended, distilled }), 1);
});

Deno.test("the guidance is folded in at the times that are asked for, else the teacher's own", () => {
  const recommended = { scheduler: "ddim", steps: 50, guidance: 3, guided: [170, 880] } as const;
  const of = (rest: Record<string, unknown>, card: WeightsFolder["card"] = { recommended }) =>
    planStages(recipe(rest), teacher(card)).guided;
  assertEquals(of({}), [170, 880]);
  assertEquals(of({ guidance: 2, guided: [0, 999] }), [0, 999]);
  assertEquals(of({ guidance: 2 }, {}), undefined);
  assertEquals(of({ guidance: 1 }), undefined, "nothing is guided");
  assertThrows(() => of({ guided: [1000, 1200] }), InputError, "guided: expected timesteps from 0");
});

Deno.test("there is nothing to learn first of a teacher that predicts v, without guidance", () => {
  const names = (rest: Record<string, unknown>, prediction_type: "epsilon" | "v_prediction") =>
    planStages(recipe(rest), teacher({}, { prediction_type })).stages.map(({ name }) => name);
  assertEquals(names({ guidance: 1 }, "v_prediction")[0], "steps-4");
  assertEquals(names({ guidance: 2 }, "v_prediction")[0], "guided");
  assertEquals(names({ guidance: 1 }, "epsilon")[0], "guided");
  assertEquals(names({ guidance: 2, guide_updates: 0 }, "epsilon")[0], "steps-4");
});

Deno.test("what a teacher cannot teach is refused", () => {
  const refuses = (rest: Record<string, unknown>, of: WeightsFolder, says: string) =>
    assertThrows(() => planStages(recipe(rest), of), InputError, says);
  const few = { teacher: "heroes", guidance: 2, steps: 4 };
  const where = golden.where;
  refuses(
    {},
    teacher({ distilled: few }),
    `${where}: these weights draw in 4 steps, and can teach a student of 2; found students 4,2,1`,
  );
  const eight = teacher({ distilled: { ...few, steps: 8 } });
  refuses(
    { students: [2, 1], student_updates: [1, 1] },
    eight,
    "can teach a student of 4; found students 2,1",
  );
  planStages(recipe(), eight);
  const one = { ...few, steps: 1 };
  refuses(
    {},
    teacher({ distilled: one }),
    `${where}: expected a teacher of an even number of steps, found weights that draw in 1; name their teacher, heroes, or another`,
  );
  refuses(
    { guidance: 3 },
    teacher({ distilled: few }),
    `${where}: guidance 3: these weights have guidance 2 folded in already; leave it out`,
  );
  refuses(
    { guidance: 2 },
    { ...teacher(), card: {} },
    `${where}: guidance 2: these weights do not say which class means "none"`,
  );
  refuses(
    {},
    teacher({}, { num_train_timesteps: 999 }),
    `recipe: students: 4 steps do not divide the 999 timesteps of ${where} evenly`,
  );
  const unconditional = { ...teacher(), network: { ...golden.network, classes: null } };
  refuses(
    { guidance: 2 },
    unconditional,
    "guidance 2: these weights know no classes; --guidance 1 learns them",
  );
});
