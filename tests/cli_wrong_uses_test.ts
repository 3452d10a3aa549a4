/** What a hurried user gets wrong is refused in one line that helps, before any work is done. */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { parseSeeds } from "../src/cli/values.ts";
import { InputError } from "../src/errors.ts";
import { encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder } from "./cli.ts";

const golden = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;
const engine = ["--backend", "native", "--threads", "1"];
const classes = ["-w", golden("class_conditional"), ...engine];

/** A folder with a picture, a text, an empty folder, and recipes that are none. */
async function litter() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await Deno.mkdir(at("folder"));
  await Deno.writeTextFile(at("text.txt"), "hi");
  await Deno.writeTextFile(at("null.json"), "null");
  await Deno.writeTextFile(at("typo.json"), '{"data": "x", "stepz": 3}');
  const picture = { pixels: new Uint8Array(64), width: 8, height: 8, channels: 1 };
  await Deno.writeFile(at("picture.png"), encodePng(picture));
  return folder;
}

/** Arguments, where ~ is the folder, and what the error says after "denoise: ". */
const wrong: [args: string[], message: RegExp][] = [
  [["noise", "~/none.png"], /^image .*none\.png: cannot be read: there is no such file or folder$/],
  [["noise", "~/folder"], /^image .*folder: cannot be read: it is a folder$/],
  [["noise", "~/text.txt/x.png"], /part of its path is a file, not a folder$/],
  [["noise", ""], /^image: expected a file's path, found nothing$/],
  [["noise", "https://example.org/x.png"], /found an address; download it first$/],
  [["noise", "~/picture.png", "--out", "~/folder"], /--out .*folder: is a folder; expected \.png/],
  [["noise", "~/picture.png", "--step-by-step", "--steps", "20000"], /--steps: .* to 10000, /],
  [["sample", "--from", "~/none.png"], /^--from .*none\.png: cannot be read: there is no such/],
  [["sample", "--out", "~/text.txt/"], /cannot be written \(a file of that name is there\)$/],
  [["sample", "--out", "~/text.txt/a.png"], /\(part of its path is a file, not a folder\)$/],
  [["sample", "--out", ""], /^--out "": expected \.png/],
  [
    ["sample", "--n", "20000", "--out", "~/a.png"],
    /at most 10000 are put into one image; a folder/,
  ],
  [["sample", "--n", "300", "--out", "~/a.gif"], /at most 256 are put into one image/],
  [
    ["sample", "--resume", "--out", "~/a.png"],
    /^--resume: expected --out folder\/ or --out FILE\.npz, found \S+a\.png$/,
  ],
  [
    ["sample", "--shard", "1/2", "--out", "~/a.gif"],
    /^--shard: expected --out folder\/ or --out FILE\.npz, found \S+a\.gif$/,
  ],
  [
    ["sample", "--scheduler", "dimm"],
    /^scheduler dimm: expected one of .*, or a plug-in's path \(\.\/mine\.ts\) or address$/,
  ],
  // Each file by the name under which it was given.
  [["noise", "~/text.txt"], /^\S+text\.txt: expected a PNG or JPEG picture/],
  [["sample", "--from", "~/text.txt"], /^--from \S+text\.txt: expected a PNG/],
  [["interpolate", "~/none.png", "1"], /^seed or picture \S+none\.png: cannot be read/],
  [["restore", "~/none.png", "--noise", "0.1"], /^picture \S+none\.png: cannot be read/],
  [["restore", "~/text.txt", "--noise", "0.1"], /^\S+text\.txt: expected a PNG or JPEG picture/],
  [["restore", "~/picture.png", "--mask", "~/none.png"], /^--mask \S+none\.png: cannot be read/],
  [["restore", "~/picture.png", "--mask", "~/text.txt"], /^--mask \S+text\.txt: expected a PNG or/],
  [["restore", "~/picture.png", "--matrix", "~/no.npy"], /^--matrix \S+no\.npy: cannot be read/],
  [
    ["restore", "~/picture.png"],
    /^say what the picture has lost: --mask, --scale, --blur, --colour, --noise, --operator or --matrix$/,
  ],
  [
    ["restore", "~/picture.png", "--noise", "auto", "--simulate"],
    /^--noise auto: is told from a noisy picture; with --simulate give a number$/,
  ],
  [
    ["restore", "~/picture.png", "--noise", "0.1", "--n", "2", "--single"],
    /^--single: is the one answer; with --n take --out folder\/$/,
  ],
  [
    ["restore", "~/picture.png", "--noise", "0.1", "--sampler", "ddpm"],
    /^--sampler: expected one of .*, or a plug-in's path \(\.\/mine\.ts\), found "ddpm"$/,
  ],
  [
    ["restore", "~/picture.png", "--operator", "fog"],
    /^--operator: expected one of .*, or a plug-in's path \(\.\/mine\.ts\) or address, found "fog"$/,
  ],
  [
    ["sample", ...classes, "--label", ""],
    /^--label: expected a class \(0, 1, .*\) or its index, found ""$/,
  ],
  [
    ["sample", "-w", "~/text.txt"],
    /text\.txt: expected weights, found a file of another kind; read/,
  ],
  [
    ["inspect", "~/none"],
    /none: there is no such folder or file, and no built-in weights .*digits/,
  ],
  [["inspect", "~/none.zip"], /none\.zip: there is no such folder or file/],
  [["inspect", "~/folder"], /folder\/: expected a diffusers folder/],
  [["inspect", "https://"], /^https:\/\/: expected an address like/],
  [["compare", ...classes, "--steps", "2,2000"], /^--steps: .* from 1 to 1000 .* found 2000$/],
  [["compare", ...classes, "--label", "1,2"], /^--label: expected a class .*found "1,2"$/],
  [["compare", "--out", "~/a.gif"], /--out .*a\.gif: expected \.png or - for standard output$/],
  [["interpolate", "1", "~/none.png"], /^seed or picture .*none\.png: cannot be read: there is no/],
  [
    ["interpolate", "1", "2.5"],
    /^2\.5: expected a seed from 0 to 4294967295, or a picture's path$/,
  ],
  [["interpolate", "1", "4294967296"], /^seed: expected a whole number from 0 to 4294967295/],
  [["interpolate", "1", "~/text.txt"], /text\.txt: expected a PNG or JPEG picture/],
  [["interpolate", "1", "2", ...classes, "--steps", "2000"], /^--steps: .*found 2000$/],
  [["convert", "digits", "~/text.txt/"], /cannot be written \(part of its path is a file/],
  [["convert", "digits", "~/folder/"], /folder\/: is there already; --force overwrites it$/],
  // Where it is to go is looked at before what it is to be made of.
  [["convert", "~/none", "~/none/x.zip"], /cannot be written \(its folder does not exist\)$/],
  [["convert", "~/none", "~/text.txt/x/"], /cannot be written \(part of its path is a file/],
  [
    ["convert", "~/none", "~/x.bmp"],
    /x\.bmp: expected a folder with a slash at its end, or a file: /,
  ],
  [["merge", "~/folder", "--out", "~/merged/"], /folder: expected PNG files, found none$/],
  [["merge", "~/none.npz", "--out", "~/m.npz"], /none\.npz: cannot be read: there is no such file/],
  [["merge", "~/none.NPZ", "--out", "~/m.npz"], /none\.NPZ: cannot be read: there is no such file/],
  [
    ["train", "--recipe", "~/none.json"],
    /^--recipe .*none\.json: cannot be read: there is no such/,
  ],
  [
    ["train", "--recipe", "~/null.json"],
    /^--recipe .*null\.json: expected a JSON object, found null$/,
  ],
  [
    ["train", "--recipe", "~/typo.json"],
    /^recipe: unknown key stepz /,
  ],
  [
    ["train", "--data", "~", "--out", "~/text.txt/run"],
    /^--out .*run: cannot be written \(part of/,
  ],
  [
    ["eval", "--data", "~", "--json", "~/none/x.json"],
    /^--json .*: cannot be written \(its folder does/,
  ],
  [["eval", "--data", "~/folder", "--guidance", "much"], /^--guidance: expected a number, found/],
  [
    ["eval", "--data", "~/folder", "--scheduler", "dimm"],
    /^--scheduler: expected one of .*"dimm"$/,
  ],
  [["eval", "--data", "~/folder", "--steps", "5000"], /^--steps: .* from 1 to 1000 .* found 5000$/],
  [["serve", "--proxy", ""], /^proxy: expected a header's name like X-Forwarded-For, found ""$/],
  [["serve", "--proxy", "two words"], /^proxy: .* found "two words"$/],
  [["serve", "--limit", "maxQueue=-1"], /^--limit maxQueue: expected a positive number, found -1$/],
  [["serve", "--host", "192.0.2.1"], /^--host 192\.0\.2\.1 .*this machine has no such address/],
  [["serve", "--public-url", "here", "--port", "0"], /^--public-url: expected an address like/],
];

for (const [args, message] of wrong) {
  const shown = args.filter((arg) => !arg.includes("golden") && !engine.includes(arg)).join(" ");
  Deno.test(`refused: ${shown}`, async () => {
    await using folder = await litter();
    const here = args.map((arg) => arg.replace("~", folder.path));
    const commandsWithOut = ["noise", "sample", "compare", "interpolate"];
    const out = commandsWithOut.includes(args[0]) && !args.includes("--out")
      ? ["--out", `${folder.path}/out.png`]
      : [];
    const { code, out: text, err } = await cli([...here, ...out]);
    assertEquals([code, text], [2, ""], err);
    assertMatch(err, /^denoise: [^\n]+$/);
    assertMatch(err.replace(/^denoise: /, ""), message);
    assert(!/os error/.test(err), "the system's own words");
    for (const made of ["out.png", "a.png", "a.gif", "m.npz"]) {
      assertEquals(await Deno.stat(`${folder.path}/${made}`).catch(() => undefined), undefined);
    }
  });
}

Deno.test("a port that is taken is refused before weights are loaded", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = String((listener.addr as Deno.NetAddr).port);
  const { code, err } = await cli(["serve", "--weights", "no-such-weights", "--port", port]);
  assertEquals(code, 2);
  assertMatch(
    err,
    /--port \d+: cannot be listened on: another program listens there; give another/,
  );
});

Deno.test("just as many pictures as go into one image are taken, one more is refused", async () => {
  await using folder = await litter();
  for (const [name, most] of [["a.png", 10_000], ["-", 10_000], ["a.gif", 256], ["a.apng", 256]]) {
    const out = name === "-" ? "-" : `${folder.path}/${name}`;
    const sample = async (n: number) =>
      (await cli(["sample", "--n", `${n}`, "-w", `${folder.path}/none`, ...engine, "--out", out]))
        .err;
    assertMatch(await sample(Number(most)), /none: there is no such folder or file/);
    const expected = `${Number(most) + 1} pictures, at most ${most} are put into one image;`;
    assertStringIncludes(await sample(Number(most) + 1), expected);
  }
  for (const name of ["a.zip", "a.npz", "many/"]) {
    const args = ["sample", "--n", "10001", "-w", `${folder.path}/none`, ...engine];
    const { err } = await cli([...args, "--out", `${folder.path}/${name}`]);
    assertMatch(err, /none: there is no such folder or file/, name);
  }
});

Deno.test("train --print-recipe is a recipe to begin with", async () => {
  await using folder = await litter();
  const { code, out } = await cli(["train", "--print-recipe", "--steps", "7"]);
  assertEquals(code, 0);
  const path = `${folder.path}/my.json`;
  await Deno.writeTextFile(path, out);
  const recipe = JSON.parse(out);
  assertEquals([recipe.data, recipe.steps, recipe.size], ["path/to/pictures", 7, 32]);
  const again = await cli(["train", "--recipe", path, "--print-recipe"]);
  assertEquals(again.out, out);
  const { err } = await cli(["train", "--recipe", path, "--out", `${folder.path}/run`]);
  assertEquals(err, "denoise: data path/to/pictures: there is no such file or folder");
});

Deno.test("a picture of another size is fitted, and that is said", async () => {
  await using folder = await litter();
  const picture = `${folder.path}/picture.png`;
  const args = ["interpolate", "1", picture, ...classes, "--steps", "2", "--frames", "2"];
  const { code, err, bytes } = await cli([...args, "--out", "-"]);
  assertEquals(code, 0, err);
  assertMatch(err, /picture\.png: cropped and resized from 8×8 to 12×12, the size these weights/);
  assertEquals(bytes[0], 0x89, "a PNG on standard output");
});

Deno.test("the bound on seeds is on all of them together", () => {
  assertEquals(parseSeeds("3, 5-7,3"), [3, 5, 6, 7, 3]);
  assertEquals(parseSeeds("0-9999999").length, 10_000_000, "just as many");
  for (const text of ["0-10000000", "0-6000000,0-6000000"]) {
    assertThrows(() => parseSeeds(text), InputError, "more than 10000000 seeds");
  }
});
