/** The recipe of a run from flags, a file, and the run that is gone on with. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Command } from "npm:commander@15.1.0";
import { defineRecipeOptions, recipeOfRun, type TrainFlags } from "../src/cli/recipe_flags.ts";
import { InputError } from "../src/errors.ts";
import { distillKeys } from "../src/training/distill/recipe.ts";
import { trainingFields } from "../src/training/recipe.ts";
import { temporaryFolder } from "./cli.ts";

/** The flags as the command line gives them. */
function flagsOf(args: readonly string[]): TrainFlags {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} })
    .option("--recipe <file>").option("--resume <folder>").option("--init <weights>")
    .option("--print-recipe").option("--backend <name>", "", "native").option(
      "--out <o>",
      "",
      "run",
    );
  defineRecipeOptions(command);
  command.parse([...args], { from: "user" });
  return command.opts();
}

const recipeOf = (...args: string[]) => recipeOfRun(flagsOf(args));

/** A folder with JSON files, and their paths. */
async function files(contents: Record<string, unknown>) {
  const folder = await temporaryFolder();
  for (const [name, json] of Object.entries(contents)) {
    const path = `${folder.path}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, typeof json === "string" ? json : JSON.stringify(json));
  }
  return { folder, at: (name: string) => `${folder.path}/${name}` };
}

Deno.test("every key is a flag with dashes, and flags go over the file, the file over the defaults", async () => {
  const { folder, at } = await files({
    "r.json": { data: "pictures", lr: 0.5, batch: 7, flip: true },
  });
  await using _ = folder;
  const run = await recipeOf(
    ...["--recipe", at("r.json"), "--batch", "9", "--sample-every", "3", "--ema-half-life", "5"],
    ...["--block-out-channels", "8,16", "--attention", "false,true", "--flip", "false", "--fp16"],
  );
  if (run.kind !== "train") throw new Error(run.kind);
  const { recipe, init } = run;
  assertEquals([recipe.data, recipe.lr, recipe.batch, recipe.sample_every], [
    "pictures",
    0.5,
    9,
    3,
  ]);
  assertEquals([recipe.flip, recipe.fp16, recipe.ema_half_life], [false, true, 5]);
  assertEquals([recipe.block_out_channels, recipe.attention, init], [
    [8, 16],
    [false, true],
    undefined,
  ]);
  const blank = await recipeOf("--print-recipe");
  assertEquals([blank.kind, blank.recipe.data], ["train", "path/to/pictures"]);
  const named = await recipeOf("--print-recipe", "--data", "mine");
  assertEquals(named.recipe.data, "mine");
  await assertRejects(() => recipeOf("--batch", "2"), InputError, "data");
  await assertRejects(() => recipeOf("--data", "x", "--batch", "0"), InputError, "--batch");
});

Deno.test("a run begins with the weights of its flag, else of its file", async () => {
  const { folder, at } = await files({ "r.json": { data: "d", init: "digits" } });
  await using _ = folder;
  const init = async (...args: string[]) => {
    const run = await recipeOf("--recipe", at("r.json"), ...args);
    return run.kind === "train" && run.init;
  };
  assertEquals([await init(), await init("--init", "faces")], ["digits", "faces"]);
});

Deno.test("a distillation is asked for by its flag or its file, and keeps its teacher's network", async () => {
  const { folder, at } = await files({ "d.json": { distill: "digits", data: "d", batch: 3 } });
  await using _ = folder;
  const fromFile = await recipeOf(
    "--recipe",
    at("d.json"),
    "--students",
    "4,2",
    "--student-updates",
    "5,6",
  );
  if (fromFile.kind !== "distill") throw new Error(fromFile.kind);
  const { distill, batch, students, student_updates } = fromFile.recipe;
  assertEquals([distill, batch, students, student_updates], ["digits", 3, [4, 2], [5, 6]]);
  const fromFlag = await recipeOf("--distill", "faces", "--data", "d");
  assertEquals([fromFlag.kind, (fromFlag.recipe as { distill?: string }).distill], [
    "distill",
    "faces",
  ]);
  const own = "not with --distill, whose students";
  const wrong: [string[], string][] = [
    [["--distill", "x", "--data", "d", "--init", "y"], `--init: ${own} begin as their teacher`],
    [
      ["--distill", "x", "--data", "d", "--block-out-channels", "8"],
      `--block-out-channels: ${own} keep`,
    ],
    [["--recipe", at("d.json"), "--beta-schedule", "linear"], `--beta-schedule: ${own} keep`],
    [
      ["--data", "d", "--guide-updates", "5"],
      "--guide-updates: expected --distill WEIGHTS with it",
    ],
  ];
  for (const [args, message] of wrong) {
    await assertRejects(() => recipeOf(...args), InputError, message);
  }
});

Deno.test("a run that goes on keeps its recipe, but for what changes nothing of the past", async () => {
  const { folder, at } = await files({
    "run/recipe.json": { data: "d", steps: 10, lr: 0.5, init: "digits" },
    "few/recipe.json": { data: "d", distill: "digits", batch: 3 },
    "broken/recipe.json": "{",
    "other.json": { data: "e" },
  });
  await using _ = folder;
  const free = ["--steps", "20", "--data", "e", "--sample-every", "7", "--checkpoint-every", "8"];
  const more = [
    "--keep-checkpoints",
    "2",
    "--sample-steps",
    "5",
    "--fp16",
    "--data-license",
    "CC0",
  ];
  const run = await recipeOf("--resume", at("run"), ...free, ...more);
  if (run.kind !== "train") throw new Error(run.kind);
  const { recipe, init } = run;
  assertEquals([recipe.steps, recipe.data, recipe.lr, init], [20, "e", 0.5, "digits"]);
  assertEquals([recipe.sample_every, recipe.checkpoint_every, recipe.keep_checkpoints], [7, 8, 2]);
  assertEquals([recipe.sample_steps, recipe.fp16, recipe.data_license], [5, true, "CC0"]);
  const few = await recipeOf("--resume", at("few"), "--data", "e");
  assertEquals([few.kind, few.recipe.data, few.recipe.batch], ["distill", "e", 3]);
  const wrong: [string[], string][] = [
    [
      ["run", "--lr", "0.1"],
      "--resume: the run keeps its recipe, --lr cannot be changed; --data, --data-license, --steps, --fp16, --checkpoint-every, --keep-checkpoints, --sample-every, --sample-steps can",
    ],
    [["run", "--steps", "20", "--batch", "4"], "--batch cannot be changed"],
    [["run", "--recipe", at("other.json")], "--recipe cannot be changed"],
    [["run", "--init", "faces"], "--init cannot be changed"],
    [
      ["few", "--students", "2,1"],
      "--students cannot be changed; --data, --data-license, --fp16, --checkpoint-every, --keep-checkpoints, --sample-every can",
    ],
    [["few", "--batch", "4"], "--batch cannot be changed"],
    [["few", "--beta-schedule", "linear"], "--beta-schedule: not with --distill"],
    [["none"], "recipe.json: expected the recipe of a run to go on with, found none"],
    [["broken"], "recipe.json: expected a recipe as JSON, found something else"],
  ];
  for (const [[name, ...args], message] of wrong) {
    await assertRejects(() => recipeOf("--resume", at(name), ...args), InputError, message);
  }
});

Deno.test("a recipe's file has to be an object in JSON, and a flag's help says what it is without", async () => {
  const { folder, at } = await files({
    "cut.json": '{"data": ',
    "list.json": [1],
    "text.json": '"a"',
  });
  await using _ = folder;
  const wrong: [string, string][] = [
    ["cut.json", `--recipe ${at("cut.json")}: expected JSON (`],
    ["list.json", `--recipe ${at("list.json")}: expected a JSON object, found [1]`],
    ["text.json", `--recipe ${at("text.json")}: expected a JSON object, found "a"`],
  ];
  for (const [name, message] of wrong) {
    await assertRejects(() => recipeOf("--recipe", at(name)), InputError, message);
  }
  await Deno.writeTextFile(at("list.json"), "  [1]\n");
  const found = `--recipe ${at("list.json")}: expected a JSON object, found [1]`;
  const { message } = await assertRejects(() => recipeOf("--recipe", at("list.json")), InputError);
  assertEquals(message, found);
  await Deno.writeTextFile(at("null.json"), "null");
  await assertRejects(() => recipeOf("--recipe", at("null.json")), InputError, "found null");
  const none = `--recipe ${at("none.json")}: cannot be read: there is no such file or folder`;
  await assertRejects(() => recipeOf("--recipe", at("none.json")), InputError, none);
  const command = new Command().configureHelp({ helpWidth: 1000 });
  defineRecipeOptions(command);
  const help = command.helpInformation();
  const line = (flag: string) => help.split("\n").find((line) => line.includes(`--${flag} `))!;
  assertMatch(line("lr"), /--lr <value> .*\(default 0\.\d+\)$/);
  assertMatch(line("flip"), /--flip \[true\|false\] .*\(default false\)$/);
  assertMatch(line("block-out-channels"), /\(default \[[\d,]+\]\)$/);
  assertMatch(line("distill"), /--distill <value> /);
  assertEquals(line("data").includes("default"), false);
  for (const key of [...Object.keys(trainingFields), ...distillKeys]) {
    assertEquals(line(key.replaceAll("_", "-")) !== undefined, true, key);
  }
});
