import { assert, assertEquals } from "@std/assert";
import { fromPixels, toPixels, withChannels } from "../src/image/pixels.ts";
import { readGolden } from "./golden.ts";

for (const path of ["digits/pipeline", "learned_range/pipeline", "train_unconditional/pipeline"]) {
  Deno.test(`gives the bytes that diffusers' pictures round to: ${path}`, async () => {
    const golden = await readGolden(`${path}.safetensors`);
    for (const name of golden.names().filter((name) => name.endsWith("images"))) {
      const [, height, width, channels] = golden.shape(name);
      const units = golden.floats(name);
      const size = height * width * channels;
      for (let n = 0; n < units.length / size; n++) {
        const unit = units.subarray(n * size, (n + 1) * size);
        // x of which diffusers' x/2 + ½ is exactly this float32.
        const x = new Float32Array(size);
        for (let p = 0; p < height * width; p++) {
          for (let c = 0; c < channels; c++) {
            x[c * height * width + p] = (unit[p * channels + c] - 0.5) * 2;
          }
        }
        const { pixels } = toPixels(x, [channels, height, width]);
        assertEquals(pixels, Uint8Array.from(unit, (u) => roundHalfToEven(Math.fround(u * 255))));
      }
    }
  });
}

function roundHalfToEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

Deno.test("exact halves go to the even level, as numpy rounds", () => {
  // The levels k + ½ that float32 reaches exactly, above ¼ where x = 2u − 1 is exact too.
  const levels = Array.from({ length: 190 }, (_, i) => i + 64.5)
    .filter((level) => Math.fround(Math.fround(level / 255) * 255) === level);
  assert(levels.length > 50);
  const x = Float32Array.from(levels, (level) => 2 * Math.fround(level / 255) - 1);
  const { pixels } = toPixels(x, [1, 1, levels.length]);
  assertEquals([...pixels], levels.map((level) => 2 * Math.round(level / 2)));
});

Deno.test("what lies outside −1 … 1 is clamped", () => {
  const { pixels } = toPixels(Float32Array.of(-7, -1, 0, 1, 7, Infinity, -Infinity), [1, 1, 7]);
  assertEquals([...pixels], [0, 0, 128, 255, 255, 255, 0]);
});

Deno.test("every level comes back from its float, channels apart", () => {
  const pixels = Uint8Array.from({ length: 768 }, (_, i) => (i * 7) % 256);
  const picture = { pixels, width: 16, height: 16, channels: 3 };
  const x = fromPixels(picture);
  assertEquals(x.length, 768);
  assertEquals(x[256], Math.fround(pixels[1] / 127.5 - 1));
  assertEquals(toPixels(x, [3, 16, 16]), picture);
});

Deno.test("grey becomes RGB and back; colours become their luma", () => {
  const grey = { pixels: Uint8Array.of(0, 100, 255), width: 3, height: 1, channels: 1 };
  const rgb = withChannels(grey, 3);
  assertEquals([...rgb.pixels], [0, 0, 0, 100, 100, 100, 255, 255, 255]);
  assertEquals(withChannels(rgb, 1), grey);
  const primaries = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255);
  const luma = withChannels({ pixels: primaries, width: 3, height: 1, channels: 3 }, 1);
  // Pillow's convert("L") of the same.
  assertEquals([...luma.pixels], [76, 150, 29]);
});

Deno.test("alpha is laid over white", () => {
  const pixels = Uint8Array.of(0, 255, 0, 0, 100, 51);
  const picture = { pixels, width: 3, height: 1, channels: 2 };
  assertEquals([...withChannels(picture, 1).pixels], [0, 255, 224]);
  assertEquals([...withChannels(picture, 3).pixels.subarray(6)], [224, 224, 224]);
  // Rounded: 10 of 100/255 on white is 158.92.
  const shade = { pixels: Uint8Array.of(10, 200, 0, 100), width: 1, height: 1, channels: 4 };
  assertEquals([...withChannels(shade, 3).pixels], [159, 233, 155]);
});
