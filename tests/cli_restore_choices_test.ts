/** What `restore` decides where nobody does: class, sampler, steps, options; and what it writes where. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createGenerator } from "../src/diffusion/mod.ts";
import { fromPixels, type Pixels, toPixels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { fromText, type Recipe, RECIPE_KEYWORD } from "../src/recipe/recipe.ts";
import { psnr, ssim } from "../src/restoration/similarity.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { tinyWeights } from "./tiny_weights.ts";

const golden = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;
const engine = ["--backend", "native", "--threads", "1"];

const slope: Pixels = {
  pixels: Uint8Array.from({ length: 144 }, (_, p) => 40 + p),
  width: 12,
  height: 12,
  channels: 1,
};

/** A folder with a picture, and weights of eleven classes whose last is none. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await Deno.writeFile(at("x.png"), encodePng(slope));
  const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`);
  const weights = await tinyWeights(at("w"), { card: { labels, null_label: 10 } });
  const restore = (...args: string[]) =>
    cli(["restore", at("x.png"), "-w", weights, ...engine, ...args]);
  return { folder, at, weights, restore };
}

async function recipesOf(path: string): Promise<readonly Recipe[]> {
  const { text } = decodePng(await Deno.readFile(path), path);
  return text[RECIPE_KEYWORD] === undefined ? [] : fromText(text[RECIPE_KEYWORD], path);
}

Deno.test("without a label the answer is of no class; weights that know none want to be told", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  const made = async (...args: string[]) => {
    const out = ["--out", at("a.png"), "--force", "--quiet"];
    const { code, err } = await restore("--noise", "0.5", "--steps", "1", ...out, ...args);
    assertEquals([code, err], [0, ""]);
    const [{ label, guidance }] = await recipesOf(at("a.png"));
    return [label, guidance];
  };
  assertEquals(await made(), [10, 1]);
  assertEquals(await made("--label", "class 3"), [3, 1]);
  assertEquals(await made("--label", "2", "--guidance", "3"), [2, 3]);
  const args = ["restore", at("x.png"), "--noise", "0.5", "--steps", "1", ...engine, "--out", "-"];
  const none = await cli([...args, "-w", golden("class_conditional")]);
  assertEquals([none.code, none.err], [
    2,
    'denoise: --label: say what the picture shows; these weights know no "no class"',
  ]);
  assertEquals((await cli([...args, "-w", golden("class_conditional"), "-l", "1"])).code, 0);
  assertEquals((await cli([...args, "-w", golden("train_unconditional"), "-q"])).code, 0);
});

Deno.test("sampler, steps and options are what suits the picture, each unless it is named", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  const made = async (...args: string[]) => {
    const loss = ["--simulate", "--scale", "2", "--out", at("a.png"), "--force"];
    const { code, err } = await restore(...loss, ...args);
    assertEquals(code, 0, err);
    const [{ scheduler, steps, options }] = await recipesOf(at("a.png"));
    return [scheduler, steps, options.start, options.end];
  };
  const four = ["--steps", "4"];
  assertEquals(await made(), ["ddnm", 100, 0.5, 0.1]);
  assertEquals(await made(...four), ["ddnm", 4, 0.5, 0.1]);
  assertEquals(await made(...four, "--option", "end=0.2"), ["ddnm", 4, 0.5, 0.2]);
  const [named, , start, end] = await made(...four, "--sampler", "ddnm");
  assertEquals(named, "ddnm");
  assert(start !== 0.5 && end !== 0.1, "a sampler that is named has its own options");
  assertEquals((await made(...four, "--sampler", "ddrm"))[0], "ddrm");
});

Deno.test("--grow widens the hole, --simulate adds the seed's noise, and both are seen in what was given", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  const hole = { ...slope, pixels: slope.pixels.map((_, p) => p === 5 * 12 + 5 ? 255 : 0) };
  await Deno.writeFile(at("hole.png"), encodePng(hole));
  const given = async (...args: string[]) => {
    const out = ["--steps", "1", "--out", at("out/"), "--force"];
    const { code, err } = await restore(...args, ...out);
    assertEquals(code, 0, err);
    return decodePng(await Deno.readFile(at("out/given.png"))).pixels;
  };
  const missing = async (...args: string[]) => {
    const pixels = await given("--mask", at("hole.png"), ...args);
    return pixels.filter((level, p) => level !== slope.pixels[p]).length;
  };
  assertEquals([await missing(), await missing("--grow", "1")], [1, 5]);
  assertEquals(await missing("--grow", "0"), 1);
  const x = fromPixels(slope);
  const z = createGenerator(7).randn(x.length);
  const noisy = toPixels(x.map((v, i) => v + 0.25 * z[i]), [1, 12, 12]);
  const shown = await given("--simulate", "--noise", "0.25", "--seed", "7");
  assertEquals(shown, noisy.pixels);
  const wrong = await restore("--mask", at("hole.png"), "--grow", "101");
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.err, "--grow: expected a whole number from 0 to 100");
});

Deno.test("every answer's file has its own recipe, a strip all of them, what was given none", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  const args = ["--simulate", "--noise", "0.5", "--steps", "1", "--seed", "3", "--n", "2"];
  const { code, out, err } = await restore(...args, "--out", at("out/"));
  assertEquals(code, 0, err);
  assertEquals(out.split("\n").map((line) => line.slice(0, 10)), [
    "answer 1  ",
    "answer 2  ",
    "their mean",
  ]);
  assertMatch(err, /out: denoising, noise 0\.5; 2 answers by ddrm in 1 step, [\d.]+ s on native$/);
  const seeds = async (name: string) => (await recipesOf(at(name))).map(({ seed }) => seed);
  assertEquals(await seeds("out/answer-1.png"), [3]);
  assertEquals(await seeds("out/answer-2.png"), [4]);
  assertEquals([await seeds("out/given.png"), await seeds("out/truth.png")], [[], []]);
  const truth = decodePng(await Deno.readFile(at("out/truth.png")));
  assertEquals(truth.pixels, slope.pixels);
  assertEquals((await restore(...args, "--out", at("strip.png"))).code, 0);
  assertEquals(await seeds("strip.png"), [3, 4]);
  const one = await restore(...args.slice(0, -2), "--out", "-");
  assertEquals(one.out.split("\n").length, 1, "of one answer there is no mean");
  assertMatch(one.err, /^standard output: denoising, noise 0\.5; 1 answer by/);
  assertEquals(decodePng(one.bytes).channels, 1);
});

Deno.test("figures are of each answer and of their mean: dB, similarity, and how far what they measure is from y", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  // Answers with the noise that it begins with.
  await Deno.writeTextFile(
    at("noise.ts"),
    `export default { name: "noise", api: 1, needs: ["measurement"], async *sampler({ timesteps, x }) {
      for (const t of timesteps) yield { t, x, x_0: x };
      return x;
    } };`,
  );
  const args = ["--simulate", "--noise", "0.25", "--seed", "3", "--n", "2", "--steps", "1"];
  const { code, out, err } = await restore(...args, "--sampler", at("noise.ts"), "--out", "-");
  assertEquals(code, 0, err);
  const truth = fromPixels(slope);
  const noise = (seed: number) => createGenerator(seed).randn(truth.length);
  const [first, second] = [noise(3), noise(4)];
  const y = truth.map((v, i) => v + 0.25 * first[i]);
  const line = (name: string, x: Float32Array) => {
    const rms = Math.sqrt(y.reduce((sum, v, i) => sum + (v - x[i]) ** 2, 0) / y.length);
    const near = `PSNR ${psnr(x, truth).toFixed(2)} dB  SSIM ${
      ssim(x, truth, [1, 12, 12]).toFixed(3)
    }`;
    return `${name}  ${near}  rms of y - H x ${Number(rms.toPrecision(3))}`;
  };
  const mean = first.map((v, i) => (v + second[i]) / 2);
  const expected = [line("answer 1", first), line("answer 2", second), line("their mean", mean)];
  assertEquals(out.split("\n"), expected);
});

Deno.test("files of a folder that are there stay, unless --force; a file of another name is in nobody's way", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  await Deno.mkdir(at("out"));
  const args = ["--noise", "0.5", "--steps", "1", "--n", "2", "--out", at("out")];
  for (const name of ["given.png", "answer-1.png", "answer-2.png", "truth.png"]) {
    await Deno.writeTextFile(at(`out/${name}`), "mine");
    const simulate = name === "truth.png" ? ["--simulate"] : [];
    const { code, err } = await restore(...args, ...simulate, "-w", at("no-weights"));
    const there = `${at(`out/${name}`)}: the file is there already; --force overwrites it`;
    assertEquals([code, err], [2, `denoise: --out ${there}`]);
    await Deno.remove(at(`out/${name}`));
  }
  for (const name of ["truth.png", "answer-3.png"]) {
    await Deno.writeTextFile(at(`out/${name}`), "mine");
  }
  assertEquals((await restore(...args)).code, 0);
  const first = await Deno.readFile(at("out/answer-1.png"));
  const seed = ["--seed", "7"];
  assertEquals((await restore(...args, ...seed)).code, 2);
  assertEquals(await Deno.readFile(at("out/answer-1.png")), first);
  assertEquals((await restore(...args, ...seed, "--force")).code, 0);
  assertEquals((await recipesOf(at("out/answer-1.png"))).map(({ seed }) => seed), [7]);
  assertEquals(await Deno.readTextFile(at("out/truth.png")), "mine");
});

Deno.test("a picture of another size is fitted with a word, unless it is to be quiet; blur has the noise of 8 bits", async () => {
  const { folder, at, weights, restore } = await place();
  await using _ = folder;
  const large = { ...slope, pixels: new Uint8Array(400).fill(90), width: 20, height: 20 };
  await Deno.writeFile(at("large.png"), encodePng(large));
  const args = ["restore", at("large.png"), "-w", weights, ...engine, "--noise", "0.5"];
  const said = async (...more: string[]) =>
    (await cli([...args, "--steps", "1", "--out", "-", ...more])).err.split("\n");
  const [word, rest] = await said();
  assertStringIncludes(word, "large.png: cropped and resized from 20×20 to 12×12");
  assertStringIncludes(rest, "standard output: denoising, noise 0.5; 1 answer");
  assertEquals(await said("--quiet"), [""]);
  for (const [loss, noise] of [["--blur=gaussian:1", ", noise 0.003"], ["--scale=2", ""]]) {
    const { code, err } = await restore("--simulate", loss, "--steps", "1", "--out", "-");
    assertEquals(code, 0, err);
    assertEquals(/, noise [^;]*/.exec(err)?.[0] ?? "", noise, err);
  }
});

Deno.test("Ctrl-C between two steps ends restore without a file", async () => {
  const { folder, at, weights } = await place();
  await using _ = folder;
  const stop = new AbortController();
  const status = (line: string) => line && stop.abort(new DOMException("stopped", "AbortError"));
  const args = ["restore", at("x.png"), "-w", weights, ...engine, "--noise", "0.5", "--steps", "9"];
  const { code, err } = await watched([...args, "--out", at("a.png")], { status }, stop);
  assertEquals([code, err], [130, ["denoise: stopped"]]);
  const left = Array.from(Deno.readDirSync(folder.path), ({ name }) => name).sort();
  assertEquals(left, ["w", "x.png"]);
});

Deno.test("small numbers are said in three digits, and as 0 where they are rounding", async () => {
  const { folder, restore } = await place();
  await using _ = folder;
  for (const [noise, said] of [["0.123456", "0.123"], ["0.00001234", "0.0000123"], ["1e-7", "0"]]) {
    const { code, err } = await restore("--noise", noise, "--steps", "1", "--out", "-");
    assertEquals(code, 0, err);
    assertStringIncludes(err, `: denoising, noise ${said}; 1 answer`);
  }
});

Deno.test("an operator of one's own is looked at before it is used", async () => {
  const { folder, at, restore } = await place();
  await using _ = folder;
  const cases = [
    ["{ name: 'mine', api: 2, create() {} }", "expected api: 1 (the contract's version), found 2"],
    ["{ name: 'Mine', api: 1, create() {} }", "expected name: lower-case letters"],
    ["{ name: 'mine', api: 1 }", "expected create: a function"],
    ["{ name: 'mine', api: 1, create() {}, undo: 1 }", "expected no keys but "],
  ];
  for (const [i, [plugin, message]] of cases.entries()) {
    await Deno.writeTextFile(at(`${i}.ts`), `export default ${plugin};`);
    const { code, err } = await restore("--operator", at(`${i}.ts`), "--out", "-");
    assertEquals(code, 2);
    assertStringIncludes(err, `operator ${at(`${i}.ts`)}: ${message}`);
  }
});

Deno.test("a plug-in that restores nothing is refused; progress counts every step of every answer", async () => {
  const { folder, at, weights, restore } = await place();
  await using _ = folder;
  await Deno.writeTextFile(at("plain.ts"), 'export default { name: "plain", api: 1 };');
  const plain = await restore("--noise", "0.5", "--sampler", at("plain.ts"), "--out", "-");
  assertEquals(plain.code, 2);
  assertMatch(plain.err, /--sampler .*plain\.ts: expected a sampler with needs: \["measurement"\]/);
  const flags = ["--noise", "0.5", "--steps", "3", "--n", "2", "--out", "-"];
  const { code, shown } = await watched(
    ["restore", at("x.png"), "-w", weights, ...engine, ...flags],
    {},
  );
  assertEquals(code, 0);
  assertMatch(shown.at(-2)!, /^█{24} 100% {2}[\d.]+ answers\/s {2}0\.0 s left$/);
  assertEquals(shown.at(-1), "");
});
