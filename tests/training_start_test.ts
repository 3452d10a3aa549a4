/** What a run begins with: a network from nothing, someone's weights, or a teacher's. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { bytesDataSet, type DataSet } from "../src/training/data/data_set.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { stageRecipe, studentNetwork, studentStart } from "../src/training/distill/student.ts";
import { keysOf, networkFor, schedulerJson, schedulerOf } from "../src/training/network.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { DIFFUSERS_VERSION } from "../src/networks/architecture.ts";
import { adoptNetwork, startFrom } from "../src/training/run/fine_tune.ts";
import { folderOf } from "../src/training/run/preview.ts";
import { mostSteps, partsOf, startFresh, wholeTheta } from "../src/training/run/start.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder, type WeightsFolder } from "../src/weights/read/folder.ts";
import { tinyRecipe } from "./training_pictures.ts";

const recipeOf = (keys: Record<string, unknown> = {}) =>
  parseTrainingRecipe(tinyRecipe, { data: "here", ...keys });

/** Grey pictures of 8×8, one of each class in turn. */
function pictures(classes?: readonly string[], labels = classes?.map((_, i) => i)): DataSet {
  const bytes = new Uint8Array(64 * (labels?.length ?? 2));
  return bytesDataSet(
    bytes,
    [1, 8, 8],
    labels && { labels: Int32Array.from(labels), labelNames: classes },
  );
}

Deno.test("a network gets a class more than the data has, for none; one class tells nothing", () => {
  const start = startFresh(recipeOf(), pictures(["a", "b", "c"]));
  assertEquals(start.network.classes, 4);
  assertEquals([start.card.labels, start.card.null_label], [["a", "b", "c"], 3]);
  assertEquals(start.data.labelNames, ["a", "b", "c"]);
  for (
    const [recipe, data] of [
      [recipeOf({ labels: false }), pictures(["a", "b"])],
      [recipeOf(), pictures(["a"])],
      [recipeOf(), pictures()],
    ] as const
  ) {
    const start = startFresh(recipe, data);
    assertEquals([start.network.classes, start.card.labels], [null, undefined]);
    assertEquals([start.data.labels, start.data.labelNames], [undefined, undefined]);
  }
});

Deno.test("a solver is recommended, with guidance where labels were left out, within the schedule", () => {
  const recommended = (keys: Record<string, unknown>) =>
    startFresh(recipeOf(keys), pictures(["a", "b"])).card.recommended;
  assertEquals(recommended({ num_train_timesteps: 1000 }), {
    scheduler: "dpmpp",
    steps: 20,
    guidance: 2,
  });
  assertEquals(recommended({ num_train_timesteps: 10 }), {
    scheduler: "dpmpp",
    steps: 9,
    guidance: 2,
  });
  assertEquals(recommended({ label_dropout: 0 }), { scheduler: "dpmpp", steps: 19 });
  assertEquals([mostSteps(20, 21), mostSteps(20, 20), mostSteps(3, 20)], [20, 19, 3]);
});

Deno.test("a network of v begins at pure noise when it is sampled, others where diffusers does", () => {
  const spacing = (prediction_type: string) =>
    schedulerOf(recipeOf({ prediction_type })).timestep_spacing;
  assertEquals(["epsilon", "sample", "v_prediction"].map(spacing), [null, null, "trailing"]);
  const scheduler = schedulerOf(recipeOf({ beta_schedule: "sigmoid", num_train_timesteps: 77 }));
  assertEquals([scheduler.beta_schedule, scheduler.num_train_timesteps], ["sigmoid", 77]);
});

Deno.test("scheduler_config.json has the keys of its class, and says where timesteps are put", () => {
  const config = schedulerOf(recipeOf());
  const ddpm = schedulerJson(config);
  assertEquals(ddpm, {
    _class_name: "DDPMScheduler",
    _diffusers_version: DIFFUSERS_VERSION,
    ...{ num_train_timesteps: 20, beta_schedule: "linear", beta_start: 1e-4, beta_end: 0.02 },
    ...{ trained_betas: null, prediction_type: "epsilon", variance_type: "fixed_small" },
    ...{ clip_sample: true, clip_sample_range: 1, thresholding: false },
    ...{ dynamic_thresholding_ratio: 0.995, sample_max_value: 1, steps_offset: 0 },
    ...{ rescale_betas_zero_snr: false, timestep_spacing: "leading" },
  });
  assertEquals([ddpm._class_name, ddpm.timestep_spacing], ["DDPMScheduler", "leading"]);
  assertEquals([ddpm.variance_type, "set_alpha_to_one" in ddpm], ["fixed_small", false]);
  assertEquals(schedulerJson({ ...config, set_alpha_to_one: false }).set_alpha_to_one, false);
  const ddim = schedulerJson({ ...config, timestep_spacing: "trailing" }, "DDIMScheduler");
  assertEquals([ddim._class_name, ddim.timestep_spacing], ["DDIMScheduler", "trailing"]);
  assertEquals(["variance_type" in ddim, ddim.set_alpha_to_one], [false, true]);
  for (const json of [ddpm, ddim]) assertEquals("lambda_min_clipped" in json, false);
});

Deno.test("a recipe's sides are height and width", () => {
  const { shape } = networkFor(recipeOf({ size: [8, 4] }), undefined);
  assertEquals(shape, [1, 8, 4]);
});

Deno.test("a network and its schedule say the keys that they were made by", () => {
  const keys = {
    ...{ size: [8, 4] as const, architecture: "UNet2DModel", block_out_channels: [8, 16] },
    ...{ attention: [true, false], layers_per_block: 2, norm_num_groups: 2, attention_head_dim: 4 },
    ...{ num_train_timesteps: 30, beta_schedule: "sigmoid", prediction_type: "sample" } as const,
  };
  const recipe = recipeOf(keys);
  assertEquals(keysOf(networkFor(recipe, 2), schedulerOf(recipe)), keys);
  assertEquals(keysOf(networkFor(recipeOf(), 2), schedulerOf(recipe)).size, 8);
});

Deno.test("attention comes at the same levels down and up", () => {
  const attention = [true, false, false];
  const { blocks } = networkFor(recipeOf({ block_out_channels: [8, 8, 8], attention }), undefined);
  assertEquals(blocks, [
    "AttnDownBlock2D",
    "DownBlock2D",
    "DownBlock2D",
    "UNetMidBlock2D",
    "UpBlock2D",
    "UpBlock2D",
    "AttnUpBlock2D",
  ]);
});

/** A network that was trained here, as a folder. */
function trained(keys: Record<string, unknown> = {}, classes?: readonly string[]): WeightsFolder {
  const start = startFresh(recipeOf(keys), pictures(classes));
  return folderOf(start, start.state.ema, "mine/");
}

Deno.test("fine-tuning keeps the network: a key left out, at its default or equal asks for nothing", () => {
  const weights = trained({ size: [8, 4] });
  const own = {
    data: "here",
    size: [8, 4],
    channels: 1,
    block_out_channels: [8, 8],
    attention: [false, true],
  };
  for (const keys of [{ data: "here" }, own]) {
    const recipe = adoptNetwork(parseTrainingRecipe(keys), weights);
    assertEquals([recipe.size, recipe.channels, recipe.block_out_channels], [[8, 4], 1, [8, 8]]);
    assertEquals(recipe.num_train_timesteps, 20);
  }
  const refused = (keys: Record<string, unknown>, says: string) =>
    assertThrows(() => adoptNetwork(recipeOf(keys), weights), InputError, says);
  refused({ size: [4, 8] }, "recipe: size: expected [8,4] as mine/ has it, found [4,8]");
  refused({ size: 8 }, "recipe: size: expected [8,4] as mine/ has it, found [8,8]");
  refused({ size: [8, 4], num_train_timesteps: 30 }, "num_train_timesteps: expected 20");
  refused({ size: [8, 4], prediction_type: "sample" }, 'prediction_type: expected "epsilon"');
});

Deno.test("what cannot be fine-tuned is refused: learned variances, four channels", async () => {
  const golden = await readFolder(
    filesAt(new URL("golden/learned_range/", import.meta.url)),
  );
  const recipe = parseTrainingRecipe({ data: "here" });
  assertThrows(
    () => adoptNetwork(recipe, golden),
    InputError,
    `${golden.where}: expected out_channels 3, found 6: the network also predicts variances, which are not trained here`,
  );
  const four = { ...golden, network: { ...golden.network, shape: [4, 8, 8] as const } };
  assertThrows(
    () => adoptNetwork(recipe, four),
    InputError,
    `${golden.where}: expected a network of 1 channel (grey) or 3 (RGB), found 4`,
  );
});

const labelsOf = (
  { data }: { data: { labels?: { at(i: number): number | undefined } } },
  n: number,
) => Array.from({ length: n }, (_, i) => data.labels?.at(i));

Deno.test("fine-tuning gives the data's classes the network's numbers, by name", () => {
  const weights = trained({}, ["ant", "bee", "cat"]);
  const recipe = recipeOf();
  const start = startFrom(weights, recipe, pictures(["cat", "ant"], [0, 1, 1]));
  assertEquals(labelsOf(start, 3), [2, 0, 0]);
  assertEquals(start.data.labelNames, ["ant", "bee", "cat"]);
  assertEquals(start.card, weights.card, "its recommendation among it");
  for (const data of [pictures(), pictures(["ant", "fly"])]) {
    const unlabelled = startFrom(weights, { ...recipe, labels: false }, data);
    assertEquals(labelsOf(unlabelled, 2), [3, 3], "all are of no class");
  }
  assertThrows(
    () => startFrom(weights, recipe, pictures(["ant", "fly"])),
    InputError,
    'expected classes of the network (ant, bee, cat), found "fly" in the data; rename the subfolders to these, or train without any (labels false)',
  );
  const { null_label: _, ...card } = weights.card;
  assertThrows(
    () => startFrom({ ...weights, card }, recipe, pictures()),
    InputError,
    'mine/: expected pictures in subfolders with the names of its 4 classes, found none; the network does not say which class means "none"',
  );
});

Deno.test("an unconditional network is trained on without the data's classes; unnamed ones are numbers", () => {
  const start = startFrom(trained(), recipeOf(), pictures(["ant", "bee"]));
  assertEquals([start.data.labels, start.data.labelNames], [undefined, undefined]);
  assertEquals(start.card.recommended, { scheduler: "dpmpp", steps: 19 });
  const numbered = { ...trained({}, ["ant", "bee"]), card: {} };
  assertEquals(labelsOf(startFrom(numbered, recipeOf(), pictures(["2", "0"])), 2), [2, 0]);
  const missing = { ...trained(), tensors: new Map() };
  assertThrows(() => startFrom(missing, recipeOf(), pictures()), InputError, "mine/: ");
  const own = { scheduler: "heun", steps: 5 };
  const advised = { ...trained(), card: { recommended: own } };
  assertEquals(startFrom(advised, recipeOf(), pictures()).card.recommended, own);
});

Deno.test("labels of labels: a run has parts only where some label is one, and exports whole rows", () => {
  const classes = ["orc", "orc-wizard", "wizard"];
  const recipe = recipeOf({ label_parts: true });
  const plain = startFresh(recipe, pictures(classes));
  assertEquals(partsOf(plain, recipeOf()), undefined);
  const start = { ...plain, parts: partsOf(plain, recipe) };
  const place = start.layout.params.find(({ name }) => name === "class_embedding.weight")!;
  const theta = Float32Array.from({ length: start.layout.size }, (_, i) => i % 7);
  const whole = wholeTheta(start, theta);
  assert(whole !== theta, "what is trained stays as it is");
  const width = place.size / 4;
  const row = (of: Float32Array, i: number) =>
    of.subarray(place.offset + i * width, place.offset + (i + 1) * width);
  const [orc, , wizard, none] = [0, 1, 2, 3].map((i) => row(theta, i));
  assertEquals([...row(whole, 1)], [...orc].map((x, k) => x + wizard[k] - none[k]));
  for (const i of [0, 2, 3]) assertEquals(row(whole, i), row(theta, i));
  assertEquals(whole.subarray(0, place.offset), theta.subarray(0, place.offset));
  assertEquals(wholeTheta(plain, theta), theta, "without parts as they are");
  for (const names of [["orc", "elf"], ["a-b", "c"]]) {
    const other = startFresh(recipe, pictures(names));
    assertThrows(
      () => partsOf(other, recipe),
      InputError,
      `recipe: label_parts: expected labels whose parts are labels too, as orc-wizard beside orc and wizard, found ${
        names.join(", ")
      }`,
    );
  }
  const many = ["a", "b", "c", "d", "e", "f"];
  const six = startFresh(recipe, pictures(many));
  const found = assertThrows(() => partsOf(six, recipe), InputError).message;
  assert(found.endsWith("found a, b, c, d, e"), found);
  const unlabelled = startFresh(recipe, pictures());
  assertThrows(() => partsOf(unlabelled, recipe), InputError, "found none");
});

const distillRecipe = (keys: Record<string, unknown> = {}) =>
  parseDistillRecipe({ distill: "mine", data: "here", ...keys });

Deno.test("a student is its teacher's network that says v, at trailing timesteps down to the picture", async () => {
  const golden = await readFolder(filesAt(new URL("golden/learned_range/", import.meta.url)));
  const teacher: WeightsFolder = {
    ...golden,
    scheduler: {
      ...golden.scheduler,
      timestep_spacing: "leading",
      steps_offset: 1,
      set_alpha_to_one: false,
    },
  };
  const { network: { shape: [channels] } } = golden;
  const three = { ...golden, network: { ...golden.network, outChannels: 3 * channels } };
  assertThrows(
    () => studentNetwork(three),
    InputError,
    `${golden.where}: expected as many output as input channels, or twice as many, found ${
      3 * channels
    } and ${channels}`,
  );
  const student = studentNetwork(teacher);
  const { scheduler, network, tensors } = student;
  assertEquals([network.outChannels, network.shape], [
    golden.network.shape[0],
    golden.network.shape,
  ]);
  assertEquals(scheduler, {
    ...golden.scheduler,
    prediction_type: "v_prediction",
    variance_type: "fixed_small",
    timestep_spacing: "trailing",
    steps_offset: 0,
    set_alpha_to_one: true,
  });
  for (const name of ["conv_out.weight", "conv_out.bias"]) {
    const [half, whole] = [tensors.get(name)!, golden.tensors.get(name)!];
    assertEquals(half.shape, [whole.shape[0] / 2, ...whole.shape.slice(1)]);
    assertEquals(half.data, whole.data.subarray(0, whole.data.length / 2));
  }
  assertEquals(tensors.get("conv_in.weight"), golden.tensors.get("conv_in.weight"));
});

Deno.test("a stage learns every label, and its weights say what they know", () => {
  const teacher = studentNetwork(trained({}, ["ant", "bee"]));
  const stage = { name: "steps-2", steps: 2, evaluations: 2, updates: 30, lr: 0.01, seed: 9 };
  const recipe = stageRecipe(distillRecipe({ batch: 3, warmup: 5 }), stage, teacher);
  const { label_dropout, dropout, steps, lr, seed, horizon, batch, warmup, sample_steps } = recipe;
  assertEquals([label_dropout, dropout], [0, 0], "there is nothing left to guide by");
  assertEquals([steps, lr, seed, horizon], [30, 0.01, 9, 30]);
  assertEquals([batch, warmup, sample_steps], [3, 5, 2]);
  const start = studentStart(teacher, recipe, pictures(["ant", "bee"]), {
    ...stage,
    distill: "mine",
    guidance: 3,
  });
  assertEquals(start.card, {
    labels: ["ant", "bee"],
    recommended: { scheduler: "ddim", steps: 2 },
    distilled: { teacher: "mine", guidance: 3, steps: 2 },
  });
  const taught = { distill: "mine", guidance: 3, guided: [5, 9] as const };
  const sometimes = studentStart(teacher, recipe, pictures(["ant", "bee"]), {
    ...stage,
    ...taught,
  });
  assertEquals(sometimes.card.distilled, {
    teacher: "mine",
    guidance: 3,
    guided: [5, 9],
    steps: 2,
  });
  const unlabelled = { ...studentNetwork(trained()), card: {} };
  const bare = studentStart(unlabelled, recipe, pictures(), { ...stage, ...taught });
  assertEquals("labels" in bare.card, false);
  const { steps: _, ...guided } = { ...stage, evaluations: 16 };
  const whole = studentStart(teacher, recipe, pictures(["ant", "bee"]), {
    ...guided,
    distill: "mine",
    guidance: 3,
  });
  assertEquals(whole.card.distilled, { teacher: "mine", guidance: 3 });
  assertEquals(whole.card.recommended, { scheduler: "ddim", steps: 16 });
});

Deno.test("a stage's run has all that its distillation's recipe says of one", () => {
  const teacher = studentNetwork(trained({ size: [8, 4] }));
  const said = {
    ...{ data: "there", data_license: "CC0", flip: true, label_parts: true, holdout: 0.25 },
    ...{ batch: 3, accumulate: 2, warmup: 5, max_grad_norm: 7, ema_half_life: 11, fp16: true },
    ...{ checkpoint_every: 13, keep_checkpoints: 17, sample_every: 19 },
  };
  const stage = { name: "steps-2", steps: 2, evaluations: 4, updates: 30, lr: 0.01, seed: 9 };
  const recipe: Record<string, unknown> = {
    ...stageRecipe(distillRecipe({ ...said, seed: 99 }), stage, teacher),
  };
  const found = Object.fromEntries(Object.keys(said).map((key) => [key, recipe[key]]));
  assertEquals(found as typeof said, said);
  const kept = ["size", "channels", "prediction_type", "num_train_timesteps", "seed"];
  assertEquals(kept.map((key) => recipe[key]), [[8, 4], 1, "v_prediction", 20, 9]);
  const four = { ...teacher, network: { ...teacher.network, shape: [4, 8, 4] as const } };
  assertThrows(
    () => stageRecipe(distillRecipe(), stage, four),
    InputError,
    "expected a network of 1 channel (grey) or 3 (RGB), found 4",
  );
});

Deno.test("weights of another architecture keep its keys, and take none of the recipe's own", () => {
  const schedule = {
    ...{ num_train_timesteps: 20, beta_schedule: "squaredcos_cap_v2" },
    prediction_type: "v_prediction",
  } as const;
  const weights = trained(schedule, ["ant", "bee"]);
  const { network } = weights;
  const training = { ...network.architecture.training, keys: () => ({ depth: 3 }) };
  const architecture = { ...network.architecture, className: "Other", training };
  const other = { ...weights, network: { ...network, architecture } };
  const recipe = parseTrainingRecipe({ data: "here" });
  const own = new Set(Object.keys(network.architecture.training.fields));
  const kept = Object.entries(recipe).filter(([key]) => !own.has(key));
  assertEquals(adoptNetwork(recipe, other), {
    ...Object.fromEntries(kept) as typeof recipe,
    ...{ ...schedule, size: 8, channels: 1, architecture: "Other", depth: 3 },
  });
  const { message } = assertThrows(
    () => adoptNetwork({ ...recipe, block_out_channels: [8, 8] }, other),
    InputError,
  );
  assertEquals(
    message,
    "recipe: block_out_channels: expected no such key as mine/ has it, found [8,8]; weights keep their network, leave the key out",
  );
});

Deno.test("that a network can be trained on without classes is said where one means none", () => {
  const weights = trained({}, ["ant", "bee"]);
  const said = (card: WeightsFolder["card"]) =>
    assertThrows(
      () => startFrom({ ...weights, card }, recipeOf(), pictures(["fly", "ant"])),
      InputError,
    ).message;
  const plain =
    'mine/: expected classes of the network (ant, bee), found "fly" in the data; rename the subfolders to these';
  const { null_label: _, ...card } = weights.card;
  assertEquals(said(card), plain);
  assertEquals(said(weights.card), `${plain}, or train without any (labels false)`);
});
