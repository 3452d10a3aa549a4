/** Files in and out of commands: what is refused and why, what is looked at before any work, what is left. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  checkFile,
  checkFolder,
  openTarget,
  readInput,
  reasonOf,
  type Target,
  writeOutput,
} from "../src/cli/files.ts";
import {
  comparison,
  readRecipeFile,
  type RecipeFile,
  schedulerOf,
  weightsOf,
} from "../src/cli/from_picture.ts";
import { InputError } from "../src/errors.ts";
import { encodePng } from "../src/image/png.ts";
import { type Recipe, RECIPE_KEYWORD, toText } from "../src/recipe/recipe.ts";
import { temporaryFolder } from "./cli.ts";
import { withEnvironment } from "./hub.ts";

/** A folder with a file, an empty folder, and a way to say what lies in it. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await Deno.writeTextFile(at("there.png"), "mine");
  await Deno.mkdir(at("folder"));
  const names = () => Array.from(Deno.readDirSync(folder.path), ({ name }) => name).sort();
  return { folder, at, names };
}

Deno.test("a file is read, or it is said why not", async () => {
  const { folder, at } = await place();
  await using _ = folder;
  assertEquals(new TextDecoder().decode(await readInput("image", at("there.png"))), "mine");
  const wrong: [string, string][] = [
    ["", "image: expected a file's path, found nothing"],
    ["  ", "image: expected a file's path, found nothing"],
    ["http://a.example/x.png", "expected a file, found an address; download it first"],
    ["https://a.example/x.png", "expected a file, found an address; download it first"],
    [at("none.png"), "none.png: cannot be read: there is no such file or folder"],
    [at("folder"), "folder: cannot be read: it is a folder"],
    [at("there.png/x"), "cannot be read: part of its path is a file, not a folder"],
  ];
  for (const [path, message] of wrong) {
    await assertRejects(() => readInput("image", path), InputError, message);
  }
});

Deno.test("the ending of a target decides what becomes of the pictures, in whatever case", async () => {
  const { folder, at, names } = await place();
  await using _ = folder;
  const before = names();
  const cases: [string, Target["kind"]][] = [
    ["a.png", "png"],
    ["a.PNG", "png"],
    ["a.gif", "gif"],
    ["a.apng", "apng"],
    ["a.npz", "npz"],
    ["a.b.zip", "zip"],
  ];
  for (const [name, kind] of cases) {
    assertEquals(await openTarget(at(name), false), { path: at(name), kind });
  }
  assertEquals(await openTarget("-", false), { path: "-", kind: "stdout" });
  assertEquals(await openTarget(at("a.svg"), false, ["svg"]), { path: at("a.svg"), kind: "svg" });
  assertEquals(names(), before, "looking leaves nothing behind");
  for (const name of ["folder", "folder/", "folder//", "folder\\"]) {
    if (name.endsWith("\\")) continue;
    assertEquals(await openTarget(at(name), false), { path: at("folder"), kind: "folder" });
  }
  assertEquals([...Deno.readDirSync(at("folder"))], []);
  assertEquals((await openTarget(at("new/deep/"), false)).path, at("new/deep"));
  assert(Deno.statSync(at("new/deep")).isDirectory, "folders are made");
  // The root of all, where it takes files, has no other name.
  const root = await openTarget("/", false).catch(() => undefined);
  if (root) assertEquals(root, { path: "/", kind: "folder" });
});

Deno.test("a target that is there, has no place or no known ending is refused before any work", async () => {
  const { folder, at, names } = await place();
  await using _ = folder;
  const open = (name: string, force = false, kinds?: Target["kind"][]) =>
    openTarget(name && at(name), force, kinds);
  const wrong: [() => Promise<unknown>, string][] = [
    [() => open("there.png"), "the file is there already; --force overwrites it"],
    [() => open("none/a.png"), "cannot be written (its folder does not exist)"],
    [() => open("there.png/a.png"), "cannot be written (part of its path is a file, not a folder)"],
    [() => open("there.png/"), "cannot be written (a file of that name is there)"],
    [
      () => open("a.bmp"),
      "expected .png, .gif, .apng, .npz, .zip, a folder with a slash at its end",
    ],
    [() => open("a.svg"), "or - for standard output"],
    [() => open("apng"), "expected .png"],
    [() => open(""), '--out "": expected .png'],
    [() => open("a.gif", false, ["png"]), "a.gif: expected .png or - for standard output"],
    [() => open("folder", false, ["png"]), "folder: is a folder; expected .png or -"],
    [() => open("new/", false, ["png"]), "new/: expected .png or - for standard output"],
  ];
  for (const [work, message] of wrong) await assertRejects(work, InputError, message);
  assertEquals(await open("there.png", true), { path: at("there.png"), kind: "png" });
  assertEquals([Deno.readTextFileSync(at("there.png")), names().join()], [
    "mine",
    "folder,there.png",
  ]);
});

Deno.test("a link is what it leads to: a folder, a file that is there, or a name that is free", async () => {
  const { folder, at, names } = await place();
  await using _ = folder;
  const links = { "to_folder": "folder", "to_there.png": "there.png", "to_none.png": "none.png" };
  for (const [link, to] of Object.entries(links)) await Deno.symlink(at(to), at(link));
  for (const name of ["to_folder", "to_folder/"]) {
    const opened = await openTarget(at(name), false);
    assertEquals(opened, { path: at("to_folder"), kind: "folder" }, name);
  }
  assertEquals(new TextDecoder().decode(await readInput("image", at("to_there.png"))), "mine");
  const there = () => openTarget(at("to_there.png"), false);
  await assertRejects(there, InputError, "to_there.png: the file is there already");
  assertEquals((await openTarget(at("to_none.png"), false)).kind, "png");
  await checkFolder(at("to_folder"));
  await checkFile(at("to_folder/new.json"));
  // What is written takes the link's name, not what it leads to.
  await writeOutput(at("to_there.png"), Uint8Array.of(1));
  assertEquals(Deno.readTextFileSync(at("there.png")), "mine");
  assertEquals(names().length, 5, "and nothing lies beside it");
});

Deno.test("where nothing can be written that is known at once, and nothing is made by looking", async () => {
  const { folder, at, names } = await place();
  await using _ = folder;
  await checkFile(at("new.json"));
  await checkFolder(at("folder"));
  await checkFolder(at("a/b/c"));
  const wrong: [() => Promise<unknown>, string][] = [
    [
      () => checkFile(at("none/x.json"), "--json"),
      `--json ${at("none/x.json")}: cannot be written`,
    ],
    [() => checkFile(at("none/x.json")), "(its folder does not exist)"],
    [() => checkFolder(at("there.png/a/b")), "(part of its path is a file, not a folder)"],
    [() => checkFolder("/dev/null/run"), "cannot be written"],
    [() => openTarget("/proc/a.png", false), "cannot be written"],
    [() => openTarget("/proc/1/", false), "cannot be written"],
    [() => writeOutput(at("none/a.png"), new Uint8Array(1)), "(its folder does not exist)"],
  ];
  for (const [work, message] of wrong) await assertRejects(work, InputError, message);
  assertEquals(names(), ["folder", "there.png"]);
  await writeOutput(at("there.png"), Uint8Array.of(1));
  assertEquals([await Deno.readFile(at("there.png")), names()], [
    Uint8Array.of(1),
    ["folder", "there.png"],
  ]);
});

Deno.test("why a file could not be used is said in words, not in the system's", () => {
  const { errors } = Deno;
  assertEquals(reasonOf(new errors.NotFound("os error 2")), "there is no such file or folder");
  assertEquals(reasonOf(new errors.IsADirectory("os")), "it is a folder");
  assertEquals(
    reasonOf(new errors.NotADirectory("os")),
    "part of its path is a file, not a folder",
  );
  assertEquals(reasonOf(new errors.AlreadyExists("os")), "a file of that name is there");
  assertEquals(reasonOf(new errors.PermissionDenied("os")), "the system does not permit it");
  assertEquals([reasonOf(new Error("other")), reasonOf("text")], ["other", "text"]);
});

const recipe: Recipe = {
  weights: "0123456789abcdef".repeat(4),
  source: "digits",
  scheduler: "ddim",
  steps: 2,
  options: {},
  seed: 1,
  guidance: 1,
};

Deno.test("a picture's recipe is read, or it is said what is wrong with it", async () => {
  const { folder, at } = await place();
  await using _ = folder;
  const pixel = { pixels: Uint8Array.of(7), width: 1, height: 1, channels: 1 };
  const write = (name: string, text?: string) =>
    Deno.writeFile(
      at(name),
      encodePng(pixel, text === undefined ? {} : { [RECIPE_KEYWORD]: text }),
    );
  await write("right.png", toText([recipe, { ...recipe, seed: 9 }]));
  const read = await readRecipeFile(at("right.png"));
  assertEquals(read.recipes.map(({ seed }) => seed), [1, 9]);
  assertEquals([...read.picture.pixels], [7]);
  await write("none.png");
  await write("empty.png", toText([recipe]).replace('"seeds":[1]', '"seeds":[]'));
  await write("restored.png", toText([{ ...recipe, inputs: { measurement: "a".repeat(64) } }]));
  await write("broken.png", "{");
  const wrong: [string, string][] = [
    ["none.png", "expected a PNG that `sample` made, found no recipe"],
    ["empty.png", "the recipe in the picture is of no pictures"],
    ["restored.png", "was made from measurement beside its seed, of which it holds only the hash"],
    ["broken.png", "the recipe"],
    ["there.png", "expected a PNG"],
    ["gone.png", "cannot be read: there is no such file or folder"],
  ];
  for (const [name, message] of wrong) {
    const error = await assertRejects(() => readRecipeFile(at(name)), InputError);
    const found = error.message.slice(0, `--from ${at(name)}: ${message}`.length);
    assertEquals(found, `--from ${at(name)}: ${message}`);
  }
});

const file = (more: Partial<Recipe> = {}): RecipeFile => ({
  path: "a.png",
  picture: { pixels: new Uint8Array(4), width: 4, height: 1, channels: 1 },
  recipes: [{ ...recipe, ...more }],
});

Deno.test("of what a picture names only built-in weights and schedulers are followed", async () => {
  assertEquals([weightsOf(file()), schedulerOf(file())], ["digits", "ddim"]);
  for (const source of ["faces", "https://evil.example/", "../up", "__proto__", undefined]) {
    const expected = `--from a.png: made with the weights "${
      source ?? "?"
    }" (0123456789ab…); give them`;
    assertThrows(() => weightsOf(file({ source })), InputError, expected);
    await withEnvironment({ DENOISE_WEIGHTS: "./mine" }, () => {
      assertEquals(weightsOf(file({ source })), "./mine", "the deployment's stand in");
      assertEquals(weightsOf(file()), "digits");
      return Promise.resolve();
    });
  }
  for (const scheduler of ["./evil.ts", "toString"]) {
    const expected = `--from a.png: made with the plug-in "${scheduler}"; give it with --scheduler`;
    assertThrows(() => schedulerOf(file({ scheduler })), InputError, expected);
  }
  // What a stranger's file says moves no cursor.
  const told = String.raw`"\u001b[2Ja\nb"`;
  for (const ask of [weightsOf, schedulerOf]) {
    const evil = file({ source: "\x1b[2Ja\nb", scheduler: "\x1b[2Ja\nb" });
    const { message } = assertThrows(() => ask(evil), InputError);
    assert(message.includes(told), message);
  }
});

Deno.test("two pictures are compared level by level: how many differ, in percent, and how far the farthest", () => {
  const again = (...levels: number[]) => ({
    pixels: Uint8Array.from(levels),
    width: levels.length,
    height: 1,
    channels: 1,
  });
  const of = (...levels: number[]) => comparison(file(), again(...levels));
  assertEquals(of(0, 0, 0, 0), "the same pixels as a.png");
  assertEquals(of(0, 0, 1, 0), "25 % of the levels unlike a.png's, by at most 1/255");
  assertEquals(of(9, 0, 1, 2), "75 % of the levels unlike a.png's, by at most 9/255");
  assertEquals(of(0, 0, 0), "unlike a.png in size");
  for (const shape of [{ height: 2 }, { channels: 3 }, { width: 2 }]) {
    const other = comparison(file(), { ...again(0, 0, 0, 0), ...shape });
    assertStringIncludes(other, "unlike a.png in size");
  }
});
