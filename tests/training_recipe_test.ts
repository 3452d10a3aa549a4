import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseTrainingRecipe, parseTypedField, trainingFields } from "../src/training/recipe.ts";
import { cli, temporaryFolder } from "./cli.ts";

Deno.test("a recipe has every key, its own values over the defaults", () => {
  const recipe = parseTrainingRecipe({ data: "x", lr: 1e-3 }, { lr: 2e-3, batch: 8 });
  assertEquals(Object.keys(recipe), Object.keys(trainingFields));
  assertEquals([recipe.lr, recipe.batch, recipe.seed], [2e-3, 8, 0]);
  assertEquals(parseTrainingRecipe(JSON.parse(JSON.stringify(recipe))), recipe);
});

Deno.test("a wrong recipe is refused with the key, its value and what was expected", () => {
  const refuse = (recipe: unknown, message: string) =>
    assertThrows(() => parseTrainingRecipe(recipe), InputError, message);
  refuse(
    { data: "x", batch: 0 },
    "recipe: batch: expected a whole number from 1 to 65536, found 0",
  );
  refuse({ data: "x", lr: "fast" }, 'recipe: lr: expected a number from 0 to 1, found "fast"');
  refuse({ data: "x", leanring_rate: 1 }, "unknown key leanring_rate with value 1");
  refuse({}, "recipe: data: expected a folder of PNG or JPEG");
  refuse(
    { data: "x", attention: [true] },
    "recipe: attention: expected 3 values, one for each of block_out_channels, found [true]",
  );
  refuse({ data: "x", beta_schedule: "quadratic" }, "expected one of linear");
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
  assertThrows(() => typed("batch", "many"), InputError, "--batch: expected a whole");
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
