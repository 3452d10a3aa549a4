import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { decodeJpeg } from "../src/image/jpeg.ts";
import { readJpegSegments } from "../src/image/jpeg_segments.ts";
import { encodePng } from "../src/image/png.ts";
import { decodePicture } from "../src/image/read.ts";
import { fromText, type Recipe, toText } from "../src/recipe/recipe.ts";
import { bytesOf, jpegs } from "./image_fixtures.ts";

for (const [kind, { file, pixels, width, height }] of Object.entries(jpegs)) {
  Deno.test(`reads a JPEG as libjpeg does, to within rounding: ${kind}`, () => {
    const picture = decodeJpeg(bytesOf(file));
    assertEquals([picture.width, picture.height, picture.channels], [width, height, 3]);
    const expected = bytesOf(pixels);
    // libjpeg smooths colour of half size between its pixels; this decoder repeats it.
    const [most, mean] = kind.includes("half") || kind === "progressive" ? [24, 3] : [3, 0.6];
    const off = expected.map((level, i) => Math.abs(level - picture.pixels[i]));
    assert(Math.max(...off) <= most, `up to ${Math.max(...off)} off`);
    const average = off.reduce((a, b) => a + b, 0) / off.length;
    assert(average <= mean, `${average} off on average`);
  });
}

Deno.test("a JPEG that announces more than its bytes can hold is refused before it is decoded", () => {
  const file = bytesOf(jpegs.grey.file);
  const at = file.findIndex((byte, i) => byte === 0xff && file[i + 1] === 0xc0);
  const of = (height: number, width: number) => {
    const bytes = [height >> 8, height & 255, width >> 8, width & 255];
    file.set(bytes, at + 5);
    const { bytes: kept } = readJpegSegments(file, "in.jpg");
    try {
      decodeJpeg(file, "in.jpg");
    } catch (error) {
      assert(error instanceof InputError);
      return [error.message, kept.length] as const;
    }
    return ["", kept.length] as const;
  };
  const large = "in.jpg: a JPEG of more than 64000000 pixels, or cut off";
  const [says, length] = of(8000, 8000);
  assertEquals(says, large);
  // A block of 8×8 takes a bit at least: 512 pixels a byte.
  assert(of(512, length)[0] !== large);
  assertEquals(of(513, length)[0], large);
  assertEquals(of(512, length + 1)[0], large);
});

Deno.test("a JPEG with a scan for every few bytes is refused", () => {
  const file = bytesOf(jpegs.progressive.file);
  const at = file.findLastIndex((byte, i) => byte === 0xff && file[i + 1] === 0xda);
  const scan = [...file.subarray(at, -2)];
  const many = Uint8Array.from([...file.subarray(0, -2), ...Array(500).fill(scan).flat()]);
  assertThrows(() => decodeJpeg(many, "in.jpg"), InputError, "scans");
});

Deno.test("PNG and JPEG are told apart by their first bytes", () => {
  const png = encodePng({ pixels: Uint8Array.of(1, 2), width: 2, height: 1, channels: 1 });
  assertEquals(decodePicture(png, "a").channels, 1);
  assertEquals(decodePicture(bytesOf(jpegs.grey.file), "b").channels, 3);
  const gif = new TextEncoder().encode("GIF89a");
  for (const other of [[], gif, [0x89], [0x89, 0x51], [0xff], [0xff, 0xd9], [0x50, 0x89]]) {
    const { message } = assertThrows(() => decodePicture(Uint8Array.from(other), "c"), InputError);
    assertEquals(message, "c: expected a PNG or JPEG picture, found another format");
  }
});

const method = {
  weights: "ab".repeat(32),
  source: "Grüße/ddpm 🙂",
  scheduler: "ddim",
  schedule: "cosine",
  steps: 50,
  options: { eta: 0.5, clip: true, order: "two" },
  guidance: 1.5,
  nullLabel: 10,
  backend: "wasm",
  scale: 8,
};
const recipes: Recipe[] = [
  { ...method, seed: 0, label: 3, inputs: { x_T: "cd".repeat(32) } },
  { ...method, seed: 2 ** 32 - 1, label: 4, inputs: { x_T: "ef".repeat(32) } },
];

Deno.test("a recipe comes back from its text, which is ASCII", () => {
  const text = toText(recipes);
  assert(/^[\x20-\x7e]*$/.test(text));
  assertEquals(fromText(text, "x.png"), recipes);
});

Deno.test("what was left out stays left out, and unknown keys are dropped", () => {
  const { weights, scheduler, steps, options, guidance } = method;
  const least = [{ weights, scheduler, steps, options, guidance, seed: 7 }];
  assertEquals(fromText(toText(least), "x.png"), least);
  const text = toText(least).replace("{", '{"from":"the future",');
  assertEquals(fromText(text, "x.png"), least);
});

Deno.test("a recipe that cannot be followed is refused, naming the picture and the key", () => {
  const wrong: Record<string, unknown[]> = {
    weights: [7, undefined],
    scheduler: [null],
    schedule: [1],
    steps: [-1, 2.5, "50", undefined],
    timesteps: [7, ["a"]],
    options: [undefined, [], { eta: null }, { eta: {} }],
    seeds: [undefined, 3, [-1, 1], ["1", "2"], [0, 2 ** 32]],
    labels: [[0.5, 1], [1]],
    inputs: [7, [{ x_T: 7 }, {}], [{}]],
    scale: [0, "2"],
    guidance: [undefined, "2", null],
    nullLabel: [-1],
  };
  for (const [key, values] of Object.entries(wrong)) {
    for (const value of values) {
      const text = JSON.stringify({ ...JSON.parse(toText(recipes)), [key]: value });
      const error = assertThrows(() => fromText(text, "x.png"), InputError);
      assert(error.message.startsWith(`x.png: recipe: ${key}: expected `), error.message);
    }
  }
  for (const text of ["", "{", "null", "[]", "7", '{"api":2}']) {
    const error = assertThrows(() => fromText(text, "x.png"), InputError);
    assert(error.message.startsWith("x.png: "), error.message);
  }
});
