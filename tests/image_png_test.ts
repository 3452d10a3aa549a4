import { assertEquals, assertThrows } from "@std/assert";
import { encode } from "npm:fast-png@8.0.0";
import { zlibSync } from "npm:fflate@0.8.3";
import UPNG from "npm:upng-js@2.1.0";
import { InputError } from "../src/errors.ts";
import { decodePng, encodePng, readPngText } from "../src/image/png.ts";
import { parseNpy } from "../src/files/npy.ts";
import { fromText, RECIPE_KEYWORD } from "../src/recipe/recipe.ts";
import { readChunks, writeChunks, writeHeader } from "../src/image/png_chunks.ts";
import { bytesOf, pngs, pngWithTexts } from "./image_fixtures.ts";

for (const [kind, { file, pixels, ...size }] of Object.entries(pngs)) {
  Deno.test(`reads what Pillow wrote: ${kind}`, () => {
    const { text: _, ...picture } = decodePng(bytesOf(file), kind);
    assertEquals(picture, { pixels: bytesOf(pixels), ...size });
  });
}

for (const channels of [1, 2, 3, 4]) {
  const pixels = Uint8Array.from({ length: 11 * 6 * channels }, (_, i) => (i * 37) % 256);
  const picture = { pixels, width: 11, height: 6, channels };

  Deno.test(`${channels} channels come back as they were`, () => {
    assertEquals(decodePng(encodePng(picture)), { ...picture, text: {} });
  });

  Deno.test(`a file of ${channels} channels is its chunks and nothing else`, () => {
    const file = encodePng(picture, { a: "b" });
    const chunks = [...readChunks(file, "x")];
    assertEquals(chunks.at(-1)!.type, "IEND");
    // A signature of 8 bytes; length, type and CRC make 12 of every chunk.
    assertEquals(file.length, chunks.reduce((sum, { data }) => sum + 12 + data.length, 8));
    assertEquals([...file.subarray(-12)], [0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130]);
  });

  Deno.test(`another decoder reads ${channels} channels`, () => {
    const image = UPNG.decode(encodePng(picture).buffer);
    const rgba = new Uint8Array(UPNG.toRGBA8(image)[0]);
    const alpha = channels % 2 === 0;
    const colours = alpha ? channels - 1 : channels;
    for (let p = 0; p < 66; p++) {
      const at = p * channels;
      const [r, g, b] = [0, 1, 2].map((c) => pixels[at + (colours === 3 ? c : 0)]);
      const a = alpha ? pixels[at + colours] : 255;
      assertEquals([...rgba.subarray(p * 4, p * 4 + 4)], [r, g, b, a]);
    }
  });

  for (const depth of [8, 16] as const) {
    Deno.test(`reads ${channels} interlaced channels of ${depth} bits`, () => {
      const data = depth === 8 ? pixels : Uint16Array.from(pixels, (level) => level * 257);
      const file = encode({ ...picture, data, channels: channels as 1, depth }, {
        interlace: "Adam7",
      });
      assertEquals(decodePng(file), { ...picture, text: {} });
    });
  }
}

for (const name of ["interlaced_palette_1_bit", "interlaced_palette_4_bits"]) {
  Deno.test(`reads what Pillow reads: ${name}`, () => {
    const { shape, data } = parseNpy(golden(`${name}.npy`), name);
    const { pixels, width, height, channels } = decodePng(golden(`${name}.png`));
    assertEquals([height, width, channels], [...shape]);
    assertEquals([...pixels], Array.from(data as Uint8Array));
  });
}

/** Lines without a filter, of every step-th pixel from the first on. */
function lines(
  level: (x: number, y: number) => number,
  { width, height, depth }: { width: number; height: number; depth: number },
  [x0, y0, dx, dy]: readonly number[],
): number[] {
  const bytes: number[] = [];
  for (let y = y0; y < height; y += dy) {
    let bits = "";
    for (let x = x0; x < width; x += dx) bits += level(x, y).toString(2).padStart(depth, "0");
    if (bits !== "") {
      bytes.push(
        0,
        ...bits.match(/.{1,8}/g)!.map((b) => parseInt(b.padEnd(8, "0"), 2)),
      );
    }
  }
  return bytes;
}

for (const depth of [1, 2, 4]) {
  Deno.test(`pixels of ${depth} bits are the same with and without interlacing`, () => {
    const passes = [
      [0, 0, 8, 8],
      [4, 0, 8, 8],
      [0, 4, 4, 8],
      [2, 0, 4, 4],
      [0, 2, 2, 4],
      [1, 0, 2, 2],
      [0, 1, 1, 2],
    ];
    const level = (x: number, y: number) => (x * 7 + y * 5 + x * y) % 2 ** depth;
    for (let width = 1; width <= 9; width++) {
      for (let height = 1; height <= 9; height++) {
        const size = { width, height, depth };
        const file = (interlaced: boolean) =>
          writeChunks([
            writeHeader({ ...size, colourType: 0, interlaced }),
            {
              type: "IDAT",
              data: zlibSync(Uint8Array.from(
                (interlaced ? passes : [[0, 0, 1, 1]]).flatMap((pass) => lines(level, size, pass)),
              )),
            },
            { type: "IEND", data: new Uint8Array() },
          ]);
        const expected = decodePng(file(false));
        assertEquals(
          expected.pixels[width * height - 1],
          Math.round(level(width - 1, height - 1) * 255 / (2 ** depth - 1)),
        );
        assertEquals(decodePng(file(true)), expected);
      }
    }
  });
}

Deno.test("texts travel with the picture and are read without decoding it", () => {
  const picture = { pixels: new Uint8Array(12), width: 2, height: 2, channels: 3 };
  const text = { denoise: '{"seed":7}', Comment: "Käse \\u2211" };
  const file = encodePng(picture, text);
  assertEquals(readPngText(file), text);
  assertEquals(decodePng(file).text, text);
});

Deno.test("reads tEXt, iTXt and zTXt of other programs", () => {
  const expected = { denoise: '{"a":1}', Title: "Größe ∑", z: "compressed" };
  assertEquals(readPngText(bytesOf(pngWithTexts)), expected);
});

const golden = (file: string) =>
  Deno.readFileSync(new URL(`./golden/pictures/${file}`, import.meta.url));

for (const file of ["recipe_in_ztxt.png", "recipe_in_compressed_itxt.png"]) {
  Deno.test(`a recipe is found where an optimiser has compressed it: ${file}`, () => {
    const [recipe] = fromText(readPngText(golden(file))[RECIPE_KEYWORD], file);
    assertEquals([recipe.scheduler, recipe.steps], ["dpmpp", 2]);
  });
}

Deno.test("a compressed text that is damaged, or inflates to more than 16 MiB, is left out", () => {
  const texts = (data: Uint8Array) => {
    const chunk = { type: "zTXt", data: Uint8Array.of(0x7a, 0, 0, ...data) };
    const [header, ...rest] = readChunks(grey, "grey");
    return readPngText(writeChunks([header, chunk, ...rest]));
  };
  const text = zlibSync(new Uint8Array(1 << 24).fill(0x61));
  assertEquals(texts(text).z?.length, 1 << 24);
  assertEquals(texts(zlibSync(new Uint8Array((1 << 24) + 1).fill(0x61))), {});
  assertEquals(texts(text.subarray(0, 5000)), {});
  assertEquals(texts(Uint8Array.of(1, 2, 3)), {});
});

Deno.test("many compressed texts together inflate to no more than 16 MiB", () => {
  const text = zlibSync(new Uint8Array(6 << 20).fill(0x61));
  const [header, ...rest] = readChunks(grey, "grey");
  const chunks = ["a", "b", "c", "d"].map((name) => ({
    type: "zTXt",
    data: Uint8Array.of(name.charCodeAt(0), 0, 0, ...text),
  }));
  const texts = readPngText(writeChunks([header, ...chunks, ...rest]));
  assertEquals(Object.keys(texts), ["a", "b"]);
});

const grey = encodePng({ pixels: new Uint8Array(9), width: 3, height: 3, channels: 1 });

/** The grey file with one chunk's data changed. */
function changed(type: string, change: (data: Uint8Array) => Uint8Array) {
  return writeChunks(
    readChunks(grey, "grey").map((chunk) =>
      chunk.type === type ? { type, data: change(chunk.data.slice()) } : chunk
    ),
  );
}

const wideHeader = (data: Uint8Array) => {
  new DataView(data.buffer).setUint32(0, 100_000);
  new DataView(data.buffer).setUint32(4, 100_000);
  return data;
};
const refusals: Record<string, [Uint8Array, RegExp]> = {
  "another format": [new TextEncoder().encode("GIF89a and so on"), /expected a PNG/],
  "a file that is cut off": [grey.subarray(0, grey.length - 6), /cut off/],
  "a changed byte": [grey.with(grey.length - 20, grey.at(-20)! ^ 1), /checksum of its IDAT/],
  "ten thousand million pixels": [changed("IHDR", wideHeader), /100000×100000/],
  "no pixels": [changed("IHDR", (data) => data.fill(0, 0, 4)), /0×3/],
  "a depth that PNG has not": [changed("IHDR", (data) => data.with(8, 3)), /depth 3/],
  "a palette picture without a palette": [changed("IHDR", (data) => data.with(9, 3)), /palette/],
  "a picture of fewer rows than it announces": [
    changed("IHDR", (data) => data.with(7, 9)),
    /36 bytes of pixels announced, 12 found/,
  ],
  "a first chunk that is no header": [
    writeChunks(readChunks(grey, "grey").toSpliced(0, 1)),
    /expected one IHDR/,
  ],
  "two headers": [
    writeChunks(readChunks(grey, "grey").toSpliced(1, 0, readChunks(grey, "grey")[0])),
    /expected one IHDR/,
  ],
};

for (const [what, [file, message]] of Object.entries(refusals)) {
  Deno.test(`refuses ${what}`, () => {
    const error = assertThrows(() => decodePng(file, "in.png"), InputError);
    assertEquals(message.test(error.message), true, error.message);
    assertEquals(error.message.startsWith("in.png: "), true, error.message);
  });
}

Deno.test("pixels that inflate to more than announced are given up on the way", async () => {
  const zeros = new Blob([new Uint8Array(20e6)]).stream();
  const bomb = await new Response(zeros.pipeThrough(new CompressionStream("deflate"))).bytes();
  const error = assertThrows(() => decodePng(changed("IDAT", () => bomb), "bomb"), InputError);
  assertEquals(/12 bytes of pixels announced, more found/.test(error.message), true);
});

Deno.test("a colour profile is not inflated", async () => {
  const zeros = new Blob([new Uint8Array(5e6)]).stream();
  const bomb = await new Response(zeros.pipeThrough(new CompressionStream("deflate"))).bytes();
  const profile = new Uint8Array(3 + bomb.length);
  profile.set([0x61, 0, 0]);
  profile.set(bomb, 3);
  const chunks = readChunks(grey, "grey").toSpliced(1, 0, { type: "iCCP", data: profile });
  assertEquals(decodePng(writeChunks(chunks)).pixels, new Uint8Array(9));
});

Deno.test("a palette in a picture of colours is a suggestion, which changes nothing", () => {
  for (const channels of [3, 4]) {
    const pixels = Uint8Array.from({ length: 4 * channels }, (_, i) => i % 2);
    const picture = { pixels, width: 2, height: 2, channels };
    const chunks = readChunks(encodePng(picture), "PNG");
    const palette = { type: "PLTE", data: Uint8Array.of(9, 9, 9, 8, 8, 8) };
    const suggested = writeChunks([chunks[0], palette, ...chunks.slice(1)]);
    assertEquals(decodePng(suggested), { ...picture, text: {} });
  }
});

Deno.test("a keyed colour is transparent where all of its samples are the key's", () => {
  const pixels = Uint8Array.of(10, 20, 30, 10, 20, 31, 10, 21, 30, 11, 20, 30);
  const chunks = readChunks(encodePng({ pixels, width: 4, height: 1, channels: 3 }), "PNG");
  const key = { type: "tRNS", data: Uint8Array.of(0, 10, 0, 20, 0, 30) };
  const keyed = decodePng(writeChunks([chunks[0], key, ...chunks.slice(1)]));
  assertEquals(keyed.channels, 4);
  assertEquals([3, 7, 11, 15].map((at) => keyed.pixels[at]), [0, 255, 255, 255]);
});
