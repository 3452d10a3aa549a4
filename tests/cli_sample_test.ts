import { assert, assertEquals, assertMatch } from "@std/assert";
import omggif from "npm:omggif@1.0.10";
import { VERSION } from "../src/cli/main.ts";
import { commands } from "../src/cli/command.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { readNpz } from "../src/image/npz.ts";
import { fromText, RECIPE_KEYWORD, toText } from "../src/recipe/recipe.ts";
import { textHeight, textWidth } from "../src/image/text.ts";
import { readZip } from "../src/files/zip.ts";
import { schedulers } from "../schedulers/mod.ts";
import { readApng } from "./apng.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";

const weights = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;
/** Small pictures from a tiny network, quick and the same everywhere. */
const tiny = (...args: string[]) => [
  "sample",
  ...["--weights", weights("class_conditional"), "--backend", "native", "--threads", "1"],
  ...["--steps", "2", ...args],
];

Deno.test("several pictures are a grid whose recipe makes each of them again", async () => {
  await using folder = await temporaryFolder();
  const all = `${folder.path}/all.png`, one = `${folder.path}/one.png`;
  const flags = ["--scheduler", "ddim", "--option", "eta=0.5"];
  const made = await cli(tiny(...flags, "--seeds", "4,9,2", "--label", "1,0,3", "--out", all));
  assertEquals([made.code, made.out], [0, ""]);
  assertMatch(made.err, /^.*all\.png: 3 pictures, 3 seeds, ddim 2 steps, [\d.]+ s on native$/);

  const whole = decodePng(await Deno.readFile(all), all);
  const recipes = fromText(whole.text[RECIPE_KEYWORD], all);
  assertEquals(
    recipes.map(({ seed, label, scheduler, steps, options }) => [
      ...[seed, label, scheduler, steps, options.eta],
    ]),
    [[4, 1, "ddim", 2, 0.5], [9, 0, "ddim", 2, 0.5], [2, 3, "ddim", 2, 0.5]],
  );
  assertMatch(recipes[0].weights, /^[0-9a-f]{64}$/);

  await cli(tiny(...flags, "--seed", "9", "--label", "0", "--out", one));
  const single = decodePng(await Deno.readFile(one), one);
  assertEquals([whole.width, whole.height], [single.width * 2, single.height * 2]);
  const { width, height, channels, pixels } = single;
  for (let y = 0; y < height; y++) {
    const start = (y * whole.width + width) * channels;
    assertEquals(
      whole.pixels.slice(start, start + width * channels),
      pixels.slice(y * width * channels, (y + 1) * width * channels),
      `row ${y} of the second picture`,
    );
  }
});

Deno.test("the ending of --out decides: npz, zip, a folder, standard output", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const seeds = ["--seeds", "3-4"];
  for (const name of ["a.npz", "a.zip", "pictures/"]) {
    assertEquals((await cli(tiny(...seeds, "--out", at(name)))).code, 0, name);
  }
  const { bytes } = await cli(tiny("--seed", "3", "--out", "-"));
  const expected = decodePng(bytes, "-").pixels;

  const { arr_0 } = Object.fromEntries(await readNpz(await Deno.readFile(at("a.npz")), "a.npz"));
  assertEquals(arr_0.shape[0], 2);
  assertEquals(Uint8Array.from(arr_0.data.slice(0, expected.length) as Uint8Array), expected);
  const zip = await readZip(await Deno.readFile(at("a.zip")), "a.zip");
  assertEquals([...zip.keys()], ["3.png", "4.png"]);
  assertEquals(decodePng(zip.get("3.png")!, "3.png").pixels, expected);
  assertEquals(decodePng(await Deno.readFile(at("pictures/3.png")), "3.png").pixels, expected);
});

Deno.test("a .gif or .apng shows x_t beside the estimate, to the finished picture", async () => {
  await using folder = await temporaryFolder();
  const [gif, apng] = ["a.gif", "a.apng"].map((name) => `${folder.path}/${name}`);
  for (const out of [gif, apng]) assertEquals((await cli(tiny("--n", "2", "--out", out))).code, 0);
  const head = new TextDecoder("latin1").decode((await Deno.readFile(gif)).subarray(0, 6));
  assertEquals(head, "GIF89a");
  const bytes = await Deno.readFile(apng);
  const still = decodePng(bytes, apng);
  const { frames } = readApng(bytes);
  assertEquals(still.pixels, frames[1].pixels, "a still picture is the finished one");
  assertEquals(frames.map(({ delay }) => delay), [400, 2000]);
  const reader = new omggif.GifReader(await Deno.readFile(gif));
  assertEquals([0, 1].map((i) => reader.frameInfo(i).delay), [40, 200]);
  assertEquals(fromText(still.text[RECIPE_KEYWORD], apng).map(({ seed }) => seed), [0, 1]);
  // Cells of 72 (12 pixels, six times), a word above and t on the left, gaps of 4.
  const left = 4 + textWidth("t=1") + 4, top = 4 + textHeight() + 4;
  assertEquals(
    [still.width, still.height],
    [left + 4 * (72 + 4), top + 72 + 4],
    "two pictures, each with its estimate, in a row",
  );
  const at = new TextDecoder("latin1").decode(bytes).indexOf("acTL");
  assertEquals(new DataView(bytes.buffer).getUint32(at + 4), 2, "a frame a step");
});

Deno.test("a bar shows how many steps of all pictures are done, and is gone at the end", async () => {
  const { code, shown } = await watched(tiny("--n", "3", "--out", "-"), {});
  assertEquals(code, 0);
  assertMatch(shown.at(-2)!, /^█{24} 100% {2}[\d.]+ images\/s {2}0\.0 s left$/);
  assertEquals([shown.at(-1), shown.filter((line) => line.includes(" 100%")).length], ["", 1]);
});

Deno.test("files that are there stay, unless --force", async () => {
  await using folder = await temporaryFolder();
  for (const name of ["a.png", "sample.png"]) {
    const out = `${folder.path}/${name}`;
    await Deno.writeTextFile(out, "mine");
    const { code, err } = await cli(tiny("--n", "1", "--out", out));
    assertEquals(code, 2);
    assertMatch(err, /^denoise: --out .*: the file is there already; --force overwrites it$/);
    assertEquals(await Deno.readTextFile(out), "mine");
    assertEquals((await cli(tiny("--n", "1", "--out", out, "--force"))).code, 0);
    assertEquals((await Deno.readFile(out))[0], 0x89);
  }
  assertEquals([...Deno.readDirSync(folder.path)].length, 2, "nothing else is left behind");
});

Deno.test("--quiet says nothing", async () => {
  await using folder = await temporaryFolder();
  const { code, out, err } = await cli(
    tiny("--n", "1", "--quiet", "--out", `${folder.path}/a.png`),
  );
  assertEquals([code, out, err], [0, "", ""]);
});

Deno.test("stopping by signal is exit code 130, and no file", async () => {
  await using folder = await temporaryFolder();
  const controller = new AbortController();
  const out = `${folder.path}/a.png`;
  const running = cli(tiny("--steps", "1000", "--out", out), controller.signal);
  setTimeout(() => controller.abort(new Error("Ctrl-C")), 300);
  const { code, err } = await running;
  assertEquals([code, err], [130, "denoise: stopped"]);
  assertEquals([...Deno.readDirSync(folder.path)], []);
});

Deno.test("--from makes a picture again, bit for bit, and says so", async () => {
  await using folder = await temporaryFolder();
  const [first, again, other] = ["a", "b", "c"].map((name) => `${folder.path}/${name}.png`);
  const flags = ["--seeds", "4,9,2", "--label", "1,0,3", "--guidance", "2", "--null-label", "10"];
  const sampler = ["--scheduler", "ddim", "--option", "eta=0.5", "--schedule", "cosine"];
  assertEquals((await cli(tiny(...flags, ...sampler, "--out", first))).code, 0);
  const weightsOnly = tiny().slice(0, -2);

  const made = await cli([...weightsOnly, "--from", first, "--out", again]);
  assertMatch(made.err, /3 pictures, 3 seeds, ddim 2 steps, the same pixels as .*a\.png, /);
  assertEquals(await Deno.readFile(again), await Deno.readFile(first));

  const changed = await cli([...weightsOnly, "--from", first, "--steps", "3", "--out", other]);
  assertMatch(changed.err, /ddim 3 steps, [\d.]+ % of the levels unlike .*a\.png's/);
});

Deno.test("--from says when the weights are others, and which it would need", async () => {
  await using folder = await temporaryFolder();
  const first = `${folder.path}/a.png`;
  const scheduler = ["--scheduler", "ddim"];
  await cli(tiny(...scheduler, "--n", "1", "--out", first));
  const recipe = decodePng(await Deno.readFile(first), first).text[RECIPE_KEYWORD];
  assert(recipe.includes('"source":"class_conditional"'), "a name, not the maker's folders");

  const unknown = await cli(["sample", "--from", first, "--out", "-"]);
  assertEquals(unknown.code, 2);
  assertMatch(
    unknown.err,
    /made with the weights "class_conditional" \([0-9a-f]{12}…\); give them/,
  );

  const others = ["--weights", weights("train_unconditional"), "--backend", "native"];
  const { err } = await cli(["sample", ...others, "--from", first, "--seed", "1", "--out", "-"]);
  assertMatch(err, /a\.png was made with other weights \([0-9a-f]{12}…, these are [0-9a-f]{12}…\)/);
});

Deno.test("--from runs no code and follows no address that a picture names", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.png`;
  const plugin = `${folder.path}/evil.ts`;
  await Deno.writeTextFile(plugin, `Deno.writeTextFileSync("${folder.path}/ran", "")`);
  const recipe = {
    weights: "0".repeat(64),
    steps: 2,
    options: {},
    seed: 1,
    guidance: 1,
  };
  const pixels = { pixels: new Uint8Array(1), width: 1, height: 1, channels: 1 };
  const picture = (more: { scheduler: string; source: string }) =>
    encodePng(pixels, { [RECIPE_KEYWORD]: toText([{ ...recipe, ...more }]) });
  const cases: [{ scheduler: string; source: string }, RegExp][] = [
    [{ scheduler: plugin, source: "digits" }, /made with the plug-in ".*evil\.ts"; give it with/],
    [{ scheduler: "ddim", source: "http://127.0.0.1:9/w/" }, /give them with --weights/],
  ];
  for (const [more, message] of cases) {
    await Deno.writeFile(path, picture(more));
    const { code, err } = await cli(["sample", "--from", path, "--out", "-"]);
    assertEquals(code, 2);
    assertMatch(err, message);
  }
  assertEquals(
    Array.from(Deno.readDirSync(folder.path), ({ name }) => name).includes("ran"),
    false,
  );
  await Deno.writeFile(path, encodePng(pixels));
  assertMatch((await cli(["sample", "--from", path, "--out", "-"])).err, /found no recipe$/);
});

const refusals: [args: string[], message: RegExp][] = [
  [["bogus"], /unknown command 'bogus'/],
  [["help", "bogus"], /unknown command .bogus./],
  [["sample", "--bogus"], /unknown option '--bogus'/],
  [["sample", "--step", "4"], /unknown option '--step' \(Did you mean --steps\?\)/],
  [["sample", "too", "many"], /too many arguments/],
  [["sample", "--steps", "0"], /--steps: expected a whole number from 1 to \d+, found "0"/],
  [["sample", "--steps", "ten"], /--steps: expected a whole number .* found "ten"/],
  [["sample", "--n", "-1"], /--n: expected a whole number/],
  [["sample", "--seeds", "5-1"], /--seeds: expected seeds from 0 to 4294967295 .* found "5-1"/],
  [["sample", "--seeds", "4294967296"], /found "4294967296"/],
  [["sample", "--seed", "1", "--seeds", "1"], /--seeds: give either/],
  [["sample", "--seed", "4294967295", "--n", "2"], /--seed: seeds end at 4294967295/],
  [["sample", "--seeds", "1,1", "--out", "a.zip"], /--seeds: 1 is there twice/],
  [["sample", "--backend", "cuda"], /--backend: expected one of auto, .* found "cuda"/],
  [["sample", "--threads", "0"], /--threads: expected a whole number/],
  [["sample", "--scheduler", "dimm"], /scheduler dimm: expected one of linear, .*path/],
  [["sample", "--scheduler", "./none.ts"], /scheduler \.\/none\.ts: could not be loaded/],
  [
    ["sample", "--scheduler", "ddim", "--option", "eta"],
    /--option: expected name=value, found "eta"/,
  ],
  [
    ["sample", "--scheduler", "ddim", "--option", "eat=1"],
    /--option eat: expected an option of "ddim" \(eta, .*found "1"/,
  ],
  [
    ["sample", "--scheduler", "ddim", "--option", "eta=x"],
    /--option eta: expected a number from 0 to 1, found "x"/,
  ],
  [["sample", "--out", "a.bmp"], /--out a\.bmp: expected \.png, .*folder/],
  [["sample", "--out", "no/such/a.png"], /--out no\/such\/a\.png: cannot be written \(its folder/],
  [["sample", "--shard", "1/2"], /--shard: expected --out folder\//],
  [["sample", "--weights", "no-such-weights"], /no-such-weights/],
  [tiny("--schedule", "square"), /schedule: expected one of/],
  [tiny("--steps", "5000"), /steps: expected a whole number from 1 to 1000 .*found 5000/],
  [[...tiny().slice(0, -2), "--timesteps", "1,2"], /timesteps\[1\]/],
  [tiny("--timesteps", "2,1"), /--timesteps: give either --timesteps or --steps/],
  [tiny("--label", "elephant"), /--label: .*elephant/],
  [tiny("--label", "11"), /--label: expected a class/],
  [tiny("--label", "1,2", "--n", "3"), /--label: 2 labels for 3 seeds/],
  [tiny("--guidance", "2"), /--guidance: expected 1, or .*nullLabel.*found 2/],
  [["noise"], /missing required argument 'image'/],
  [["noise", "no-such.png"], /no-such\.png: cannot be read/],
];
for (const [args, message] of refusals) {
  const shown = args.filter((arg) => !arg.includes("golden")).join(" ");
  Deno.test(`refused in one line, exit code 2: ${shown}`, async () => {
    await using folder = await temporaryFolder();
    const out = args.includes("--out") || args[0] !== "sample"
      ? []
      : ["--out", `${folder.path}/a.png`];
    const { code, out: text, err } = await cli([...args, ...out]);
    assertEquals([code, text], [2, ""], err);
    assertMatch(err, /^denoise: [^\n]+$/);
    assertMatch(err, message);
    assertEquals([...Deno.readDirSync(folder.path)], []);
  });
}

Deno.test("--debug shows where an error came from, wherever it stands", async () => {
  for (const args of [["sample", "--debug"], ["--debug", "sample"]]) {
    const { code, err } = await cli([...args, "--steps", "0"]);
    assertEquals(code, 2);
    assertMatch(err, /parseWhole/);
  }
});

Deno.test("every command has its help, and the program its own", async () => {
  const program = await cli(["--help"]);
  assertEquals(program.code, 0);
  for (const { name } of commands) {
    assertMatch(program.out, new RegExp(`^  ${name}\\b`, "m"));
    const { code, out } = await cli([name, "--help"]);
    assertEquals(code, 0);
    assertMatch(out, new RegExp(`^Usage: denoise ${name} `));
    assertMatch(out, /--quiet/);
    assertMatch(out, /--debug/);
  }
  for (const args of [[], ["help"]]) assertEquals((await cli(args)).out, program.out);
  const { out } = await cli(["help", "sample"]);
  for (const { name, options = {} } of Object.values(schedulers)) {
    assertMatch(out, new RegExp(`^  ${name} `, "m"));
    for (const key of Object.keys(options)) assert(out.includes(`--option ${key}=`), key);
  }
});

Deno.test("--version is deno.json's", async () => {
  const { version } = JSON.parse(
    await Deno.readTextFile(new URL("../deno.json", import.meta.url)),
  );
  assertEquals(VERSION, version);
  assertEquals((await cli(["--version"])).out, version);
});
