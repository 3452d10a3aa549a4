/** `restore` as a user runs it. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { Pixels } from "../src/image/pixels.ts";
import { decodePng, encodePng, readPngText } from "../src/image/png.ts";
import { cli, temporaryFolder } from "./cli.ts";

/** A ring, which is near enough to a zero. */
function ring(width = 28, height = 28, channels = 1): Pixels {
  const pixels = new Uint8Array(width * height * channels);
  for (let p = 0; p < width * height; p++) {
    const x = (p % width + 0.5) / width - 0.5, y = (Math.floor(p / width) + 0.5) / height - 0.5;
    const level = Math.max(0, 255 - 5000 * Math.abs(Math.hypot(x * 1.3, y) - 0.28));
    pixels.fill(level, p * channels, (p + 1) * channels);
  }
  return { pixels, width, height, channels };
}

function rightHalf(width = 28, height = 28, level = 255): Pixels {
  const pixels = Uint8Array.from(
    { length: width * height },
    (_, p) => p % width >= width / 2 ? level : 0,
  );
  return { pixels, width, height, channels: 1 };
}

async function folderWith(files: Record<string, Pixels>) {
  const folder = await temporaryFolder();
  for (const [name, picture] of Object.entries(files)) {
    await Deno.writeFile(`${folder.path}/${name}`, encodePng(picture));
  }
  return folder;
}

const quick = ["--weights", "digits", "--backend", "native", "--threads", "1", "--steps", "5"];

Deno.test("restore: a hole is filled, what was there stays, the recipe holds the measurement's hash", async () => {
  await using folder = await folderWith({ "ring.png": ring(), "hole.png": rightHalf() });
  const at = (name: string) => `${folder.path}/${name}`;
  const hole = ["--mask", at("hole.png")];
  const { code, err } = await cli([
    ...["restore", at("ring.png"), ...hole, ...quick],
    ...["--out", at("filled.png"), "--single"],
  ]);
  assertEquals(code, 0, err);
  assertMatch(err, /filled.png: inpainting; 1 answer by ddnm in 5 steps/);
  const bytes = await Deno.readFile(at("filled.png"));
  const filled = decodePng(bytes);
  assertEquals([filled.width, filled.height, filled.channels], [28, 28, 1]);
  const { pixels } = ring();
  const differs = pixels.map((level, p) => Math.abs(level - filled.pixels[p]));
  assert(differs.every((d, p) => p % 28 >= 14 || d === 0), "known pixels stay, to the level");
  assert(differs.some((d) => d > 0), "the hole is filled with something");
  const recipe = JSON.parse(readPngText(bytes).denoise);
  assertMatch(recipe.inputs[0].measurement, /^[0-9a-f]{64}$/);
  assertEquals(recipe.scheduler, "ddnm");

  const again = await cli([
    ...["restore", at("ring.png"), ...hole, ...quick],
    ...["--out", at("again.png"), "--single", "--quiet"],
  ]);
  assertEquals(again.code, 0, again.err);
  assertEquals(await Deno.readFile(at("again.png")), bytes, "the same seed gives the same bytes");

  const from = await cli(["sample", "--from", at("filled.png"), "--out", at("x.png")]);
  assertEquals(from.code, 2);
  assertStringIncludes(from.err, "measurement");
});

Deno.test("restore --simulate: the strip, PSNR and SSIM of each answer and of their mean", async () => {
  await using folder = await folderWith({ "ring.png": ring() });
  const out = `${folder.path}/strip.png`;
  const { code, out: said, err } = await cli([
    ...["restore", `${folder.path}/ring.png`, "--simulate", "--noise", "0.5", "--n", "2"],
    ...[...quick, "--out", out],
  ]);
  assertEquals(code, 0, err);
  const lines = said.split("\n");
  assertEquals(lines.length, 3);
  for (const line of lines) assertMatch(line, /PSNR \d+\.\d+ dB {2}SSIM 0\.\d+/);
  const psnr = (line: string) => Number(/PSNR ([\d.]+)/.exec(line)![1]);
  assert(psnr(lines[0]) > 14, `${lines[0]}: noise of 0.5 alone leaves 12 dB`);
  assert(psnr(lines[2]) >= Math.min(psnr(lines[0]), psnr(lines[1])), "the mean is nearer");
  const strip = decodePng(await Deno.readFile(out));
  assert(strip.width > 4 * 112 && strip.height > 112, "given, two answers, truth");
});

Deno.test("restore: single pictures into a folder", async () => {
  await using folder = await folderWith({ "ring.png": ring() });
  const { code, err } = await cli([
    ...["restore", `${folder.path}/ring.png`, "--simulate", "--scale", "4", "--n", "2"],
    ...[...quick, "--out", `${folder.path}/out/`],
  ]);
  assertEquals(code, 0, err);
  const names = [...Deno.readDirSync(`${folder.path}/out`)].map(({ name }) => name).sort();
  assertEquals(names, ["answer-1.png", "answer-2.png", "given.png", "truth.png"]);
});

Deno.test("restore: a small picture is enlarged, a large one fitted, colours fitted, with a word", async () => {
  await using folder = await folderWith({
    "small.png": ring(7, 7),
    "large.png": ring(60, 40, 3),
    "hole.png": rightHalf(60, 40),
    "fitted.png": rightHalf(),
  });
  const at = (name: string) => `${folder.path}/${name}`;
  const small = await cli([
    ...["restore", at("small.png"), "--scale", "4", ...quick, "--single"],
    ...["--out", at("a.png")],
  ]);
  assertEquals(small.code, 0, small.err);
  assertMatch(small.err, /^[^\n]*a.png: mean of 4×4/);
  // The answer's own block means are the small picture, to rounding.
  const { pixels } = decodePng(await Deno.readFile(at("a.png")));
  const mean = (bx: number, by: number) => {
    let sum = 0;
    for (let i = 0; i < 16; i++) sum += pixels[(by * 4 + (i >> 2)) * 28 + bx * 4 + (i & 3)];
    return sum / 16;
  };
  const { pixels: y } = ring(7, 7);
  for (let b = 0; b < 49; b++) {
    // Pixels that end outside black and white are clipped.
    assert(Math.abs(mean(b % 7, Math.floor(b / 7)) - y[b]) < 40, `block ${b}`);
  }
  for (const mask of ["hole.png", "fitted.png"]) {
    const large = await cli([
      ...["restore", at("large.png"), "--mask", at(mask), ...quick],
      ...["--out", at("b.png"), "--force"],
    ]);
    assertEquals(large.code, 0, large.err);
    assertMatch(large.err, /large.png: cropped and resized from 60×40 to 28×28/);
  }
});

Deno.test("restore: transparent pixels are a hole, in a mask and in the picture itself", async () => {
  const { pixels, width, height } = ring();
  const transparent = {
    pixels: Uint8Array.from({ length: 2 * pixels.length }, (_, i) => {
      const p = i >> 1;
      return i % 2 === 0 ? pixels[p] : p % 28 >= 14 ? 0 : 255;
    }),
    width,
    height,
    channels: 2,
  };
  await using folder = await folderWith({
    "own.png": transparent,
    "ring.png": ring(),
    "hole.png": rightHalf(),
  });
  const at = (name: string) => `${folder.path}/${name}`;
  const made = [], hashes = new Set<string>();
  for (
    const args of [
      [at("own.png")],
      [at("ring.png"), "--mask", at("own.png")],
      [at("ring.png"), "--mask", at("hole.png")],
    ]
  ) {
    const out = at(`${made.length}.png`);
    const { code, err } = await cli(["restore", ...args, ...quick, "--single", "--out", out]);
    assertEquals(code, 0, err);
    const bytes = await Deno.readFile(out);
    made.push(decodePng(bytes).pixels);
    hashes.add(JSON.parse(readPngText(bytes).denoise).inputs[0].measurement);
  }
  assertEquals(hashes.size, 1, "what stands in the hole was not measured");
  assertEquals(made[1], made[2]);
  // Beneath a transparent pixel lies white once it is laid flat, which the mask hides again.
  assertEquals(made[0], made[1]);
});

Deno.test("restore: an operator and a sampler of one's own, from files", async () => {
  await using folder = await folderWith({ "ring.png": ring() });
  const root = new URL("../", import.meta.url).href;
  await Deno.writeTextFile(
    `${folder.path}/negative.ts`,
    `import { denoising } from "${root}src/restoration/operators/denoising.ts";
export default {
  name: "negative",
  api: 1,
  create({ shape }) {
    const inner = denoising(shape);
    const minus = (x) => inner.apply(x).map((v) => -v);
    return { ...inner, name: "negative", apply: minus, Ut: minus, U: minus };
  },
};`,
  );
  await Deno.writeTextFile(
    `${folder.path}/copy.ts`,
    `import { pseudoInverse } from "${root}src/diffusion/mod.ts";
export default {
  name: "copy",
  api: 1,
  needs: ["measurement"],
  async *sampler({ timesteps, inputs, denoise, x }) {
    const back = pseudoInverse(inputs.measurement);
    for (const t of timesteps) {
      await denoise(x, t);
      yield { t, x: back, x_0: back };
    }
    return back;
  },
};`,
  );
  const { code, out, err } = await cli([
    ...["restore", `${folder.path}/ring.png`, "--simulate", ...quick],
    ...["--operator", `${folder.path}/negative.ts`, "--sampler", `${folder.path}/copy.ts`],
    ...["--out", `${folder.path}/out.png`],
  ]);
  assertEquals(code, 0, err);
  assertMatch(out, /PSNR 54\.\d+ dB {2}SSIM 1\.000/);
});

Deno.test("restore: wrong uses are refused with what would be right, before weights are loaded", async () => {
  await using folder = await folderWith({
    "ring.png": ring(),
    "hole.png": rightHalf(),
    "none.png": rightHalf(28, 28, 0),
    "other.png": rightHalf(20, 20),
  });
  const at = (name: string) => `${folder.path}/${name}`;
  const picture = at("ring.png");
  const refused: [string[], RegExp][] = [
    [[picture], /say what the picture has lost: --mask/],
    [[at("missing.png"), "--noise", "0.1"], /missing.png: cannot be read: there is no such file/],
    [[picture, "--scale", "1"], /--scale: expected a whole number from 2/],
    [[picture, "--scale", "4:linear"], /--scale: expected a whole number such as 4/],
    [[picture, "--blur", "gaussian"], /--blur: expected gaussian:SIGMA/],
    [[picture, "--blur", "box:3"], /--blur: expected gaussian:SIGMA/],
    [[picture, "--noise", "-1"], /--noise: expected a number from 0 to 10/],
    [[picture, "--noise", "auto", "--simulate"], /--noise auto/],
    [[picture, "--noise", "0.1", "--n", "0"], /--n: expected a whole number from 1 to 100/],
    [[picture, "--noise", "0.1", "--n", "2", "--single"], /--single/],
    [[picture, "--noise", "0.1", "--sampler", "ddpm"], /--sampler: expected one of ddrm, ddnm/],
    [[picture, "--operator", "fog"], /--operator: expected one of inpainting/],
    [
      [picture, "--operator", "sensing", "--operator-option", "share=2"],
      /share: expected a number/,
    ],
    [[picture, "--operator-option", "share=2"], /needs --operator/],
    [[picture, "--noise", "0.1", "--out", at("x.jpg")], /--out .*expected .png/],
  ];
  for (const [args, message] of refused) {
    const { code, err } = await cli(["restore", ...args, "--weights", at("no-such-weights")]);
    assertEquals(code, 2, err);
    assertMatch(err, message);
    assertEquals(err.split("\n").length, 1);
  }
  const later: [string[], RegExp][] = [
    [[picture, "--mask", at("none.png")], /expected a hole of transparent or white pixels/],
    [[picture, "--mask", at("other.png")], /--mask \S+other\.png: .*28×28 pixels.*found "20×20"/],
    [[picture, "--colour"], /these weights draw 1 channel/],
    [[picture, "--scale", "5"], /scale: expected a whole number that divides 28×28.*found 5/],
    [[picture, "--mask", at("hole.png"), "--blur", "gaussian:2"], /no exact operator is known/],
    [[picture, "--operator", "sensing"], /no picture; only a good picture/],
    [
      [picture, "--mask", at("hole.png"), "--noise", "0.1", "--sampler", "repaint"],
      /repaint.*noise/,
    ],
    [[picture, "--noise", "0.1", "--option", "eta=2"], /eta: expected a number from 0 to 1/],
    [[picture, "--noise", "0.1", "--label", "llama"], /label/],
  ];
  for (const [args, message] of later) {
    const { code, err } = await cli([
      ...["restore", ...args, ...quick, "--out", at("out.png"), "--force"],
    ]);
    assertEquals(code, 2, err);
    assertMatch(err, message);
  }
});
