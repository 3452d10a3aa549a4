/** Labels made of others, as orc-wizard of orc and wizard, and what a run makes of them. */
import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { backendByName } from "../src/backends/select.ts";
import { parseSafetensors } from "../src/files/safetensors.ts";
import { labelParts, sharesOf, wholeTable } from "../src/training/objective/label_parts.ts";
import { distill } from "../src/training/distill/distill.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { train } from "../src/training/run/train.ts";
import { generate, load } from "../mod.ts";
import { temporaryFolder } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

const rows = ({ shares, classes }: { shares: Float32Array; classes: number }) =>
  Array.from({ length: classes }, (_, i) => [...shares.slice(i * classes, (i + 1) * classes)]);

Deno.test("a label of labels is ∅ + Σ (part − ∅); every other is itself", () => {
  assertEquals(rows(labelParts(["orc", "orc-wizard", "wizard"], 4, 3)), [
    [1, 0, 0, 0],
    [1, 0, 1, -1],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
  ]);
  assertEquals(rows(labelParts(["orc", "orc-wizard", "wizard"], 3)), [
    [1, 0, 0],
    [1, 0, 1],
    [0, 0, 1],
  ], "without a label that means no class");
  assertEquals(rows(labelParts(["a", "a-b-c", "b", "c"], 5, 4))[1], [1, 0, 1, 1, -2]);
  assertEquals(rows(labelParts(["x-ray", "ray", "-", ""], 4)), [
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 0, 2],
    [0, 0, 0, 1],
  ], "a part that is no label leaves a name whole");
});

Deno.test("pictures' shares of the table are the rows that a network then reads", () => {
  const parts = labelParts(["orc", "orc-wizard", "wizard"], 4, 3);
  const table = Float32Array.of(1, 2, 99, 99, 10, 20, 0.5, 0.25);
  assertEquals([...wholeTable(parts, table)], [1, 2, 10.5, 21.75, 10, 20, 0.5, 0.25]);
  assertEquals([...sharesOf(parts, Int32Array.of(1, 0))], [1, 0, 1, -1, 1, 0, 0, 0]);
});

const names = ["orc", "orc-wizard", "wizard"];

/** A run over pictures of these classes, and the class table of the weights it wrote. */
async function tableAfter(folder: string, recipe: Record<string, unknown>, init?: string) {
  const backend = await backendByName("native");
  const { weights } = await train({
    backend,
    folder,
    recipe: parseTrainingRecipe(tinyRecipe, { steps: 6, lr: 0.01, label_parts: true, ...recipe }),
    ...init && { init },
  });
  return { weights: weights!, row: await tableIn(weights!) };
}

/** The rows of the class table in a diffusers folder. */
async function tableIn(weights: string) {
  const file = await Deno.readFile(`${weights}/unet/diffusion_pytorch_model.safetensors`);
  const { data, shape: [, width] } = parseSafetensors(file).tensors.get("class_embedding.weight")!;
  return (i: number) => data.slice(i * width, (i + 1) * width);
}

Deno.test("label_parts: what was never shown alone is learned from what it is part of", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(`${folder.path}/all`, names, 3);
  const first = await tableAfter(`${folder.path}/first`, {
    data: `${folder.path}/all`,
    label_parts: false,
  });
  // From here on there are pictures of "orc-wizard" alone.
  await pictureFolder(`${folder.path}/both`, ["orc-wizard"], 4);
  const data = `${folder.path}/both`;
  const before = [0, 1, 2, 3].map(first.row);
  const after = await tableAfter(`${folder.path}/run`, { data }, first.weights);
  const moved = (i: number) => after.row(i).some((x, k) => Math.abs(x - before[i][k]) > 1e-4);
  assertEquals([0, 2, 3].map(moved), [true, true, true]);
  after.row(1).forEach((x, k) => {
    assertAlmostEquals(x, after.row(0)[k] + after.row(2)[k] - after.row(3)[k], 1e-5);
  });

  const own = await tableAfter(`${folder.path}/own`, { data, label_parts: false }, first.weights);
  const movedAlone = (i: number) => own.row(i).some((x, k) => Math.abs(x - before[i][k]) > 1e-4);
  assertEquals([0, 1, 2].map(movedAlone), [false, true, false], "without it a label learns alone");

  await using model = await load(after.weights, { backend: "native" });
  const [picture] = await generate(model, { seeds: [1], labels: "orc-wizard", steps: 2 });
  assertEquals([picture.width, picture.label], [8, 1]);
});

Deno.test("students of label_parts learn each part from all labels that it is in, stage after stage", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(`${folder.path}/all`, names, 3);
  const teacher = await tableAfter(`${folder.path}/teacher`, { data: `${folder.path}/all` });
  await pictureFolder(`${folder.path}/both`, ["orc-wizard"], 4);
  const students = async (label_parts: boolean) => {
    const { students } = await distill({
      backend: await backendByName("native"),
      folder: `${folder.path}/students-${label_parts}`,
      recipe: parseDistillRecipe({
        distill: teacher.weights,
        data: `${folder.path}/both`,
        label_parts,
        guide_updates: 3,
        guide_lr: 0.01,
        students: [2, 1],
        student_updates: [3, 3],
        student_lr: 0.01,
        batch: 4,
        sample_every: 0,
      }),
    });
    return await Promise.all(students.map(tableIn));
  };
  const differs = (a: Float32Array, b: Float32Array) => a.some((x, k) => Math.abs(x - b[k]) > 1e-4);
  let before = teacher.row;
  for (const row of await students(true)) {
    assertEquals([0, 1, 2, 3].map((i) => differs(row(i), before(i))), [true, true, true, true]);
    row(1).forEach((x, k) => assertAlmostEquals(x, row(0)[k] + row(2)[k] - row(3)[k], 1e-5));
    before = row;
  }
  for (const row of await students(false)) {
    const moved = [0, 1, 2, 3].map((i) => differs(row(i), teacher.row(i)));
    assertEquals(moved, [false, true, false, false], "without it a label learns alone");
  }
});

Deno.test("label_parts without a label of labels is refused, by the labels that there are", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(`${folder.path}/all`, ["orc", "x-ray"], 2);
  const asked = (changes: Record<string, unknown>) =>
    tableAfter(`${folder.path}/run`, { data: `${folder.path}/all`, ...changes });
  await assertRejects(
    () => asked({}),
    InputError,
    "as orc-wizard beside orc and wizard, found orc, x-ray",
  );
  await assertRejects(() => asked({ labels: false }), InputError, "found none");
});
