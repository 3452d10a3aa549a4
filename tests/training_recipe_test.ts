import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { distillFields, distillKeys, parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { parseTrainingRecipe, parseTypedField, trainingFields } from "../src/training/recipe.ts";
import { cli, temporaryFolder } from "./cli.ts";

Deno.test("a recipe has every key, its own values over the defaults", () => {
  const recipe = parseTrainingRecipe({ data: "x", lr: 1e-3 }, { lr: 2e-3, batch: 8 });
  assertEquals(Object.keys(recipe), Object.keys(trainingFields));
  assertEquals([recipe.lr, recipe.batch, recipe.seed], [2e-3, 8, 0]);
  assertEquals(parseTrainingRecipe(JSON.parse(JSON.stringify(recipe))), recipe);
});

Deno.test("what a recipe leaves out is this", () => {
  const { data: _, ...rest } = parseTrainingRecipe({ data: "x" });
  const learned = { size: 32, channels: 3, flip: false, labels: true, label_dropout: 0.1 };
  const kept = { label_parts: false, holdout: 0, data_license: null };
  const network = {
    ...{ architecture: "UNet2DModel", block_out_channels: [32, 64, 64] },
    ...{ attention: [false, false, true], layers_per_block: 1, norm_num_groups: 8 },
    ...{ attention_head_dim: null, dropout: 0 },
  };
  const diffusion = {
    ...{ num_train_timesteps: 1000, beta_schedule: "linear", prediction_type: "epsilon" },
    min_snr_gamma: null,
  };
  const run = {
    ...{ steps: 10_000, batch: 32, accumulate: 1, lr: 6e-4, warmup: 200, horizon: null },
    ...{ weight_decay: 0, max_grad_norm: 1, ema_half_life: 20_000, seed: 0, fp16: false },
    ...{ checkpoint_every: 500, keep_checkpoints: 2, sample_every: 1000, sample_steps: 25 },
  };
  assertEquals(rest, { ...learned, ...kept, ...network, ...diffusion, ...run } as typeof rest);
  const { distill: _distill, data: _data, ...students } = parseDistillRecipe({
    ...{ distill: "w", data: "x" },
  });
  assertEquals(
    students,
    {
      ...{ data_license: null, flip: false, label_parts: false, holdout: 0 },
      ...{ guidance: null, guided: null, guide_updates: 1200, guide_lr: 5e-4 },
      ...{ students: [8, 4, 2, 1], student_updates: [300, 400, 800, 1200], student_lr: 4e-4 },
      ...{ tune_updates: 0, tune_from: null },
      ...{ batch: 32, accumulate: 1, warmup: 20, max_grad_norm: 1, ema_half_life: 2000 },
      ...{ seed: 0, fp16: false, checkpoint_every: 100, keep_checkpoints: 2, sample_every: 1000 },
    } as typeof students,
  );
});

Deno.test("every number of a recipe has a least and a most, both allowed", () => {
  const bounds: Record<string, readonly [least: number, most: number]> = {
    size: [1, 4096],
    label_dropout: [0, 0.99],
    holdout: [0, 0.5],
    dropout: [0, 0.9],
    num_train_timesteps: [2, 100_000],
    min_snr_gamma: [0.01, 1000],
    steps: [1, 1e9],
    batch: [1, 65_536],
    accumulate: [1, 65_536],
    lr: [0, 1],
    warmup: [0, 1e9],
    horizon: [1, 1e9],
    weight_decay: [0, 10],
    max_grad_norm: [1e-6, 1e6],
    ema_half_life: [0, 1e12],
    checkpoint_every: [1, 1e9],
    keep_checkpoints: [1, 1000],
    sample_every: [0, 1e9],
    sample_steps: [1, 1000],
  };
  const parse = (key: string, value: unknown) => parseTrainingRecipe({ data: "x", [key]: value });
  for (const [key, [least, most]] of Object.entries(bounds)) {
    for (const value of [least, most]) {
      assertEquals(Object.entries(parse(key, value)).find(([name]) => name === key)![1], value);
    }
    for (const value of [least - 1, least - 1e-9, most * (1 + 1e-9), most + 1]) {
      assertThrows(() => parse(key, value), InputError, `recipe: ${key}: expected`);
    }
  }
  assertEquals(parse("size", [1, 4096]).size, [1, 4096]);
  for (const size of [[1], [1, 4097], [0, 1], [1, 2, 3]]) {
    assertThrows(() => parse("size", size), InputError, "or [height, width]");
  }
});

Deno.test("every number of a distillation has a least and a most too, those of a list each", () => {
  const parse = (keys: Record<string, unknown>) =>
    Object.entries(parseDistillRecipe({ distill: "w", data: "x", ...keys }));
  const bounds: Record<string, readonly [least: number, most: number]> = {
    guidance: [-100, 100],
    guide_updates: [0, 1e9],
    guide_lr: [0, 1],
    student_lr: [0, 1],
    tune_updates: [0, 1e9],
  };
  for (const [key, [least, most]] of Object.entries(bounds)) {
    for (const value of [least, most]) {
      assertEquals(parse({ [key]: value }).find(([name]) => name === key)![1], value);
    }
    for (const value of [least - 1, least - 1e-9, most * (1 + 1e-9), most + 1]) {
      assertThrows(() => parse({ [key]: value }), InputError, `recipe: ${key}: expected`);
    }
  }
  const one = (students: number, updates: number) =>
    parse({ students: [students], student_updates: [updates] });
  for (const [students, updates] of [[1, 1], [1000, 1e9]]) one(students, updates);
  for (const [students, updates] of [[0, 1], [1001, 1], [1.5, 1], [1, 0], [1, 1e9 + 1]]) {
    assertThrows(() => one(students, updates), InputError, "recipe: student");
  }
  const tuned = (tune_from: number) =>
    parse({ students: [tune_from], student_updates: [1], tune_from });
  for (const steps of [2, 1000]) tuned(steps);
  for (const steps of [1, 0, 1001, 2.5]) assertThrows(() => tuned(steps), InputError, "recipe: ");
  assertThrows(
    () => parse({ students: [1], student_updates: [1], tune_from: 1 }),
    InputError,
    "recipe: tune_from: expected a whole number from 2 to 1000",
  );
  for (const keys of [{ distill: "" }, { students: [] }, { guided: [5, 4] }, { guided: "5-9" }]) {
    assertThrows(() => parse(keys), InputError, `recipe: ${Object.keys(keys)[0]}: expected`);
  }
});

Deno.test("each choice of a recipe is taken, and no other", () => {
  const choices: Record<string, [taken: unknown[], refused: unknown[]]> = {
    data: [["x"], [""]],
    channels: [[1, 3], [2, 4, "3"]],
    flip: [[true, false], ["true", 1]],
    data_license: [[null, "CC0"], [""]],
    architecture: [["UNet2DModel"], ["DiT", 1]],
    beta_schedule: [["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"], ["cosine"]],
    prediction_type: [["epsilon", "sample", "v_prediction"], ["eps", "v"]],
    min_snr_gamma: [[null], ["5"]],
    horizon: [[null], [1.5]],
    max_grad_norm: [[null], [0]],
    seed: [[0, 2 ** 32 - 1], [-1, 2 ** 32, 0.5]],
  };
  const parse = (key: string, value: unknown) =>
    Object.entries(parseTrainingRecipe({ data: "x" }, { [key]: value }));
  for (const [key, [taken, refused]] of Object.entries(choices)) {
    for (const value of taken) {
      assertEquals(parse(key, value).find(([name]) => name === key)![1], value);
    }
    for (const value of refused) {
      assertThrows(() => parse(key, value), InputError, `recipe: ${key}: expected`);
    }
  }
});

Deno.test("a wrong recipe is refused with the key, its value and what was expected", () => {
  const refuse = (recipe: unknown, message: string) =>
    assertThrows(() => parseTrainingRecipe(recipe), InputError, message);
  refuse(
    { data: "x", batch: 0 },
    "recipe: batch: expected a whole number from 1 to 65536, found 0",
  );
  refuse({ data: "x", lr: "fast" }, 'recipe: lr: expected a number from 0 to 1, found "fast"');
  refuse(
    { data: "x", leanring_rate: 1 },
    `unknown key leanring_rate with value 1; known are ${Object.keys(trainingFields).join(", ")}`,
  );
  refuse({}, "recipe: data: expected a folder of PNG or JPEG");
  refuse(
    { data: "x", attention: [true] },
    "recipe: attention: expected 3 values, one for each of block_out_channels, found [true]",
  );
  refuse({ data: "x", beta_schedule: "quadratic" }, "expected one of linear");
  refuse(
    { data: "x", size: 0 },
    "recipe: size: expected a whole number, or [height, width], found 0",
  );
  refuse([], "recipe: expected a JSON object, found []");
});

const typed = (key: string, text: string) => parseTypedField(key, trainingFields[key], text);

Deno.test("typed values become numbers, lists, truth values and null", () => {
  assertEquals(typed("lr", "1e-3"), 1e-3);
  assertEquals(typed("block_out_channels", "32,64"), [32, 64]);
  assertEquals(typed("attention", "false,true"), [false, true]);
  assertEquals(typed("size", "12,20"), [12, 20]);
  assertEquals(typed("horizon", "null"), null);
  assertEquals(typed("data", "123"), "123");
  assertEquals([typed("size", "12"), typed("size", "4096,1")], [12, [4096, 1]]);
  assertThrows(() => typed("batch", "many"), InputError, "--batch: expected a whole");
  for (const [key, text] of [["num_train_timesteps", "1"], ["size", "12,0"], ["size", "1,2,3"]]) {
    const flag = `--${key.replaceAll("_", "-")}: expected a whole number`;
    assertThrows(() => typed(key, text), InputError, flag);
  }
});

Deno.test("flags go over the recipe file; a flag of yes or no needs no value", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/recipe.json`;
  await Deno.writeTextFile(path, JSON.stringify({ data: "pictures", size: 16, labels: true }));
  const flags = ["--size", "8,4", "--flip", "--labels", "false"];
  const { code, out, err } = await cli(["train", "--recipe", path, ...flags, "--print-recipe"]);
  assertEquals(code, 0, err);
  const { data, size, flip, labels } = JSON.parse(out);
  assertEquals([data, size, flip, labels], ["pictures", [8, 4], true, false]);
});

Deno.test("a recipe's later parts go over earlier ones; what is undefined is not there", () => {
  const recipe = parseTrainingRecipe({ data: "a", lr: 0.1 }, { lr: 0.2, seed: undefined }, {
    data: "b",
  });
  assertEquals([recipe.data, recipe.lr, recipe.seed], ["b", 0.2, 0]);
  const again = parseTrainingRecipe({ data: "a", lr: 0.1 }, { lr: undefined });
  assertEquals(again.lr, 0.1);
});

const distillation = (keys: Record<string, unknown> = {}) =>
  parseDistillRecipe({ distill: "mine", data: "here", ...keys });

Deno.test("students take half the steps each, with updates for each of them", () => {
  assertEquals(distillation().warmup, 20);
  for (const students of [[8, 4, 1], [8, 2], [2, 4], [3, 2], [4, 4]]) {
    const keys = { students, student_updates: students };
    assertThrows(
      () => distillation(keys),
      InputError,
      "recipe: students: expected each to take half the steps of the one before, as 8,4,2,1, found",
    );
  }
  for (const student_updates of [[5], [5, 5, 5]]) {
    const keys = { students: [2, 1], student_updates };
    assertThrows(
      () => distillation(keys),
      InputError,
      `recipe: student_updates: expected 2 values, one for each of students, found [${student_updates}]`,
    );
  }
});

Deno.test("what every key does is said, as `train --help` has it", () => {
  const said = {
    data:
      "a folder of PNG or JPEG (subfolders are classes), an .npz, IDX files, npm:NAME@VERSION/FOLDER, or a plug-in that draws pictures (./mine.ts)",
    size: "pixels a side, or height,width",
    channels: "1 is grey, 3 is RGB",
    flip: "mirror half of the pictures",
    labels: "learn the classes, where the data has any",
    label_dropout: "share of labels left out, for guidance",
    label_parts: "a label whose parts are labels too (orc-wizard) is the sum of what those learned",
    holdout: "share of pictures kept out, for eval",
    data_license: "for the model card",
    architecture: "the network, by the name of diffusers' class",
    block_out_channels: "channels of each level; each halves the picture",
    attention: "which levels have self-attention",
    layers_per_block: "residual blocks a level",
    norm_num_groups: "groups of the group norms",
    attention_head_dim: "channels of an attention head; null is one head",
    dropout: "in the residual blocks",
    num_train_timesteps: "T",
    beta_schedule: "the noise schedule, by diffusers' names",
    prediction_type: "what the network is asked for",
    min_snr_gamma: "γ of min-SNR weighting; null is L_simple",
    steps: "updates",
    batch: "pictures in one evaluation",
    accumulate: "evaluations for one update",
    lr: "the highest learning rate",
    warmup: "updates until the learning rate is reached",
    horizon: "the update at which the learning rate's cosine ends; null is the last one",
    weight_decay: "AdamW's; norms and biases are spared",
    max_grad_norm: "longer gradients are cut to this length; null cuts none",
    ema_half_life: "of the weights' running mean, in pictures",
    seed: "all randomness follows from it",
    fp16: "export in half precision",
    checkpoint_every: "updates between checkpoints",
    keep_checkpoints: "how many of the last ones stay",
    sample_every: "updates between grids; 0 is none",
    sample_steps: "sampling steps of those grids",
  };
  const helps = (fields: readonly (readonly [string, { help: string }])[]) =>
    Object.fromEntries(fields.map(([key, { help }]) => [key, help]));
  assertEquals(helps(Object.entries(trainingFields)), said);
  const { distill, ...own } = helps(distillKeys.map((key) => [key, distillFields[key]]));
  assertEquals(
    distill,
    "teach students of few steps: the teacher's weights, a built-in name, folder or address",
  );
  const withDistill = {
    guidance: "the guidance to fold in; null is what the teacher recommends",
    guided: "the timesteps at which the teacher is guided; null is what it recommends",
    guide_updates: "updates in which the guidance is learned",
    guide_lr: "their learning rate",
    students: "the students' steps, each half of those before",
    student_updates: "updates for each student",
    student_lr: "their learning rate",
    tune_updates: "updates of consistency tuning, after the students, to one step",
    tune_from:
      "the student that is tuned, by its steps; null is 4, or the last that takes more than one",
  };
  assertEquals(
    own,
    Object.fromEntries(
      Object.entries(withDistill).map(([key, help]) => [key, `with --distill: ${help}`]),
    ),
  );
});
