/** What is written for `sample` and for diffusers. */
import { assert, assertEquals } from "@std/assert";
import { DIFFUSERS_VERSION } from "../src/networks/architecture.ts";
import { CARD_KEY } from "../src/weights/read/card.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";
import { exportFolder, weightsFiles } from "../src/training/run/export.ts";
import { unpackParams } from "../src/training/optimiser/layout.ts";
import { modelCard } from "../src/training/run/model_card.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { startFresh } from "../src/training/run/start.ts";
import { temporaryFolder } from "./cli.ts";
import { readGoldenJson } from "./golden.ts";

const recipe = parseTrainingRecipe({
  data: "pictures",
  size: [8, 4],
  channels: 1,
  block_out_channels: [8, 8],
  attention: [false, true],
  norm_num_groups: 4,
  beta_schedule: "squaredcos_cap_v2",
  prediction_type: "v_prediction",
});
const data = bytesDataSet(new Uint8Array(2 * 32), [1, 8, 4], {
  labels: Int32Array.of(0, 1),
  labelNames: ["cat", "dog"],
});
const start = startFresh(recipe, data);
const trained = { ...start, theta: start.state.ema };

Deno.test("an exported folder is read back as the network that was trained", async () => {
  await using folder = await temporaryFolder();
  await exportFolder(`${folder.path}//`, { ...trained, beside: { "README.md": "# card\n" } });
  const read = await readFolder(filesAt(new URL(`file://${folder.path}`)));
  assertEquals(read.network.json(), start.network.json());
  assertEquals(read.scheduler, {
    ...start.scheduler,
    timestep_spacing: start.scheduler.timestep_spacing ?? "leading",
  });
  assertEquals(read.card, start.card);
  const expected = unpackParams(start.layout, trained.theta);
  assertEquals([...read.tensors.keys()], [...expected.keys()]);
  for (const [name, { shape, data }] of expected) {
    assertEquals(read.tensors.get(name)!.shape, shape);
    assertEquals(read.tensors.get(name)!.data, data);
  }
  assertEquals(await Deno.readTextFile(`${folder.path}/README.md`), "# card\n");
});

Deno.test("fp16 is half as large and keeps three digits", () => {
  const path = "unet/diffusion_pytorch_model.safetensors";
  const whole = weightsFiles(trained).get(path)!;
  const half = weightsFiles(trained, { fp16: true }).get(path)!;
  assert(half.length < 0.6 * whole.length, `${half.length} of ${whole.length} bytes`);
  const { tensors } = parseSafetensors(half);
  for (const [name, { data }] of unpackParams(start.layout, trained.theta)) {
    const stored = tensors.get(name)!.data;
    assert(
      data.every((x, i) => Math.abs(x - stored[i]) <= 2 ** -11 * Math.abs(x) + 2 ** -25),
      name,
    );
  }
});

Deno.test("diffusers' loader finds its framework's mark and only keys that it knows", async () => {
  const files = weightsFiles(trained);
  const { metadata } = parseSafetensors(files.get("unet/diffusion_pytorch_model.safetensors")!);
  assertEquals(metadata.format, "pt");
  for (const path of ["unet/config.json", "scheduler/scheduler_config.json"]) {
    const written = JSON.parse(new TextDecoder().decode(files.get(path)!));
    const known = Object.keys(await readGoldenJson(`class_conditional/${path}`) as object);
    assertEquals(Object.keys(written).filter((key) => !known.includes(key)), [], path);
  }
});

Deno.test("diffusers' pipeline is named where it finds the network", () => {
  const named = (changes: Partial<typeof trained>) => {
    const files = weightsFiles({ ...trained, ...changes });
    return JSON.parse(new TextDecoder().decode(files.get("model_index.json")!));
  };
  const distilled = { teacher: "digits", guidance: 2, steps: 4 };
  const index = {
    _class_name: "DDPMPipeline",
    _diffusers_version: DIFFUSERS_VERSION,
    [CARD_KEY]: { ...start.card },
    scheduler: ["diffusers", "DDPMScheduler"],
    unet: ["diffusers", "UNet2DModel"],
  };
  const text = new TextDecoder().decode(weightsFiles(trained).get("model_index.json")!);
  assertEquals(text, `${JSON.stringify(index, null, 2)}\n`, "as a person reads it");
  const few = named({ card: { ...start.card, distilled } });
  assertEquals(few.scheduler, ["diffusers", "DDIMScheduler"]);
  assertEquals(named({})._class_name, "DDPMPipeline");
  assertEquals(named({ card: { ...start.card, distilled } })._class_name, "DDIMPipeline");
  const { network } = start;
  const architecture = { ...network.architecture, className: "DiT", folder: "transformer" };
  const elsewhere = named({ network: { ...network, architecture } });
  assertEquals(elsewhere.transformer, ["diffusers", "DiT"]);
  assertEquals("_class_name" in elsewhere, false);
});

Deno.test("the model card runs a network that no pipeline finds, or gives labels, in a loop", () => {
  const facts = {
    recipe: { ...recipe, seed: 7 },
    architecture: start.network.architecture,
    card: {},
    data: { ...data, skipped: [] },
    parameters: 1,
    step: 1,
    lines: [{ step: 1, loss: 0.5, grad_norm: 1, lr: 1e-3, ms: 1000 }],
  };
  const distilled = { teacher: "digits", guidance: 1, steps: 4 };
  const recommended = { scheduler: "ddim", steps: 4 };
  const plain = modelCard(facts);
  assert(plain.includes("`DDPMPipeline.from_pretrained(FOLDER)().images`"), plain);
  const few = modelCard({ ...facts, card: { distilled, recommended } });
  assert(few.includes("`DDIMPipeline.from_pretrained(FOLDER)(num_inference_steps=4).images`"), few);
  const other = modelCard({ ...facts, architecture: { className: "DiT", folder: "transformer" } });
  assert(
    other.includes('transformer = DiT.from_pretrained(FOLDER, subfolder="transformer")'),
    other,
  );
  assert(other.includes("output = transformer(x, t).sample") && !other.includes("Pipeline"), other);
});

Deno.test("without label dropout there is no null label, and no guidance is recommended", () => {
  const { card } = startFresh({ ...recipe, label_dropout: 0 }, data);
  assertEquals(card.null_label, undefined);
  assertEquals(card.recommended?.guidance, undefined);
});

Deno.test("the model card says what the weights come from, and that DDPMPipeline has no labels", () => {
  const lines = [{ step: 1, loss: 0.5, grad_norm: 1, lr: 1e-3, ms: 1000 }];
  const card = modelCard({
    recipe: { ...recipe, data_license: "CC0", seed: 7 },
    architecture: start.network.architecture,
    card: start.card,
    data: { ...data, skipped: [{ name: "a.png", reason: "cut" }] },
    parameters: start.layout.size,
    step: 1,
    lines,
    init: "digits",
  });
  for (
    const fact of [
      "| Classes | cat, dog |",
      "2 pictures, 1 files that could not be read left out",
      "CC0",
      "| Loss at the end | 0.5000 |",
      "| Seed | 7 |",
      "| Trained on from | digits |",
      "`DDPMPipeline` has no labels",
    ]
  ) assert(card.includes(fact), `${fact} in:\n${card}`);
});
