/** `restore --matrix`: a matrix of the user's own, in numpy's files and in JSON. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { writeNpy } from "../src/files/npy.ts";
import { writeNpz } from "../src/image/npz.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder } from "./cli.ts";

/** Weights of 8×8 in colour, the golden ones for a smaller picture: V of H is a square of its numbers. */
const folder = await temporaryFolder();
Deno.test.afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});
const golden = new URL("./golden/train_unconditional/", import.meta.url);
const shape = [3, 8, 8] as const;
for (
  const name of [
    ...["unet/config.json", "unet/diffusion_pytorch_model.safetensors"],
    "scheduler/scheduler_config.json",
  ]
) {
  const bytes = await Deno.readFile(new URL(name, golden));
  await Deno.mkdir(`${folder.path}/${name.split("/")[0]}`, { recursive: true });
  await Deno.writeFile(`${folder.path}/${name}`, bytes);
}
const config = JSON.parse(await Deno.readTextFile(`${folder.path}/unet/config.json`));
await Deno.writeTextFile(
  `${folder.path}/unet/config.json`,
  JSON.stringify({ ...config, sample_size: shape[1] }),
);
const quick = ["--weights", folder.path, "--backend", "native", "--threads", "1", "--steps", "4"];

/** [rows, n]: y is the mean of two neighbours, for the first pairs of pixels of all. */
function pairs(rows: number, n: number): Float64Array {
  return Float64Array.from({ length: rows * n }, (_, i) => {
    const row = Math.floor(i / n), column = i % n;
    return Math.floor(column / 2) === row ? 0.5 : 0;
  });
}

function picture(width: number, height: number, channels: number): Pixels {
  const pixels = Uint8Array.from({ length: width * height * channels }, (_, i) => i * 37 % 256);
  return { pixels, width, height, channels };
}

Deno.test("restore --matrix: what H measures stays, from .npy, .npz and JSON alike", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const [c, h, w] = shape;
  const n = c * h * w, rows = n / 4;
  const data = pairs(rows, n);
  const array = { shape: [rows, n], data };
  await Deno.writeFile(at("h.npy"), writeNpy(array));
  await Deno.writeFile(at("h.npz"), await writeNpz(new Map([["h", array]])));
  const lists = Array.from({ length: rows }, (_, i) => [...data.subarray(i * n, (i + 1) * n)]);
  await Deno.writeTextFile(at("h.json"), JSON.stringify(lists));
  const truth = picture(w, h, c);
  await Deno.writeFile(at("x.png"), encodePng(truth));
  const made: Uint8Array[] = [];
  for (const name of ["h.npy", "h.npz", "h.json"]) {
    const { code, err, out } = await cli([
      ...["restore", at("x.png"), "--simulate", "--matrix", at(name), ...quick],
      ...["--out", `${at(name)}.png`, "--single"],
    ]);
    assertEquals(code, 0, err);
    assertMatch(err, /: matrix; 1 answer by ddnm/);
    assertMatch(out, /PSNR/);
    made.push(decodePng(await Deno.readFile(`${at(name)}.png`)).pixels);
  }
  assertEquals(made[1], made[0]);
  assertEquals(made[2], made[0]);
  // Means of pairs of one channel: pixels 2 i and 2 i + 1, as x is [C, H, W].
  let clipped = 0;
  for (let i = 0; i < rows; i++) {
    const level = (pixels: Uint8Array, j: number) => {
      const channel = Math.floor(j / (h * w));
      return pixels[j % (h * w) * c + channel];
    };
    const mean = (pixels: Uint8Array) => (level(pixels, 2 * i) + level(pixels, 2 * i + 1)) / 2;
    const pair = [level(made[0], 2 * i), level(made[0], 2 * i + 1)];
    if (pair.some((v) => v === 0 || v === 255)) clipped++;
    else assert(Math.abs(mean(made[0]) - mean(truth.pixels)) <= 1, `pair ${i}`);
  }
  assert(clipped < rows, "some are inside the range");
  assert(made[0].some((level, p) => level !== truth.pixels[p]), "the rest is made up");
});

Deno.test("restore --matrix: a square one measures a picture that is given", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const [c, h, w] = shape;
  const n = c * h * w;
  // The picture upside down in all its numbers.
  const data = Float32Array.from(
    { length: n * n },
    (_, i) => Math.floor(i / n) + i % n === n - 1 ? 1 : 0,
  );
  await Deno.writeFile(at("flip.npy"), writeNpy({ shape: [n, n], data }));
  const given = picture(w, h, c);
  await Deno.writeFile(at("y.png"), encodePng(given));
  const { code, err } = await cli([
    ...["restore", at("y.png"), "--matrix", at("flip.npy"), ...quick],
    ...["--out", at("x.png"), "--single"],
  ]);
  assertEquals(code, 0, err);
  const { pixels } = decodePng(await Deno.readFile(at("x.png")));
  const planes = (pixels: Uint8Array) =>
    Array.from({ length: n }, (_, j) => pixels[j % (h * w) * c + Math.floor(j / (h * w))]);
  assertEquals(planes(pixels), planes(given.pixels).reverse());
});

Deno.test("restore --matrix: what is no matrix, or none for this picture, is one line", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const [c, h, w] = shape;
  const n = c * h * w;
  await Deno.writeFile(at("x.png"), encodePng(picture(w, h, c)));
  const vector = { shape: [n], data: new Float32Array(n) };
  await Deno.writeFile(at("vector.npy"), writeNpy(vector));
  await Deno.writeFile(at("narrow.npy"), writeNpy({ shape: [1, 3], data: new Float32Array(3) }));
  const nan = new Float32Array(n).fill(NaN);
  await Deno.writeFile(at("nan.npy"), writeNpy({ shape: [1, n], data: nan }));
  await Deno.writeFile(at("one.npy"), writeNpy({ shape: [1, n], data: pairs(1, n) }));
  await Deno.writeFile(at("two.npz"), await writeNpz(new Map([["a", vector], ["b", vector]])));
  await Deno.writeFile(at("cut.npy"), writeNpy(vector).subarray(0, 40));
  for (
    const [name, text] of Object.entries({
      "broken.json": "[[1, 2",
      "object.json": '{"h": 1}',
      "ragged.json": "[[1, 2], [3]]",
      "words.json": '[[1, "2"]]',
      "empty.json": "[]",
      "h.txt": "1 0",
    })
  ) await Deno.writeTextFile(at(name), text);
  const refused: [string[], RegExp][] = [
    [["missing.npy"], /--matrix .*missing.npy: cannot be read/],
    [["h.txt"], /--matrix: expected a file that ends in .npy, .npz or .json/],
    [
      ["vector.npy"],
      new RegExp(`expected \\[rows, columns\\], found an array of shape \\[${n}\\]`),
    ],
    [["cut.npy"], /header is cut off/],
    [["two.npz"], /expected one array, found a, b/],
    [["broken.json"], /rows of numbers.*found no JSON/],
    [["object.json"], /rows of numbers/],
    [["ragged.json"], /found 1 in row 2 after 2 in the first/],
    [["words.json"], /found "2" in row 1/],
    [["empty.json"], /expected \[rows, columns\]/],
    [["one.npy", "--operator", "sensing"], /either --matrix or --operator/],
    [["narrow.npy"], new RegExp(`matrix: expected ${n} columns`)],
    [["nan.npy"], /matrix: expected finite numbers/],
    [["one.npy", "--blur", "gaussian:1"], /"matrix": cannot be combined/],
    [["one.npy"], /no picture; only a good picture can be tried/],
  ];
  for (const [[name, ...more], message] of refused) {
    const args = ["restore", at("x.png"), "--matrix", at(name), ...more, ...quick];
    const { code, err } = await cli([...args, "--out", at("out.png"), "--force"]);
    assertEquals(code, 2, `${name}: ${err}`);
    assertMatch(err, message);
    assertEquals(err.trim().split("\n").length, 1, err);
  }
});
