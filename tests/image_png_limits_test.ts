/** PNGs that are almost right, their samples of every depth, and their texts. */
import { assertEquals, assertThrows } from "@std/assert";
import { zlibSync } from "npm:fflate@0.8.3";
import { InputError } from "../src/errors.ts";
import { decodePng, encodePng, readPngText } from "../src/image/png.ts";
import { type Chunk, readChunks, writeChunks, writeHeader } from "../src/image/png_chunks.ts";

const whole = encodePng({ pixels: new Uint8Array(9), width: 3, height: 3, channels: 1 });
const [ihdr, idat, iend] = readChunks(whole, "grey");
const withHeader = (change: (data: Uint8Array) => void, ...more: Chunk[]) => {
  const data = ihdr.data.slice();
  change(data);
  return writeChunks([{ type: "IHDR", data }, ...more, idat, iend]);
};

Deno.test("a PNG that does not exist, or is almost one, is refused by what is wrong with it", () => {
  const palette = (length: number) => ({ type: "PLTE", data: new Uint8Array(length) });
  const filter5 = [5, 0, 0, 0, 5, 0, 0, 0];
  const indexed = (depth: number) => (data: Uint8Array) => data.set([depth, 3], 8);
  const none = (type: number, depth: number, compression = 0, filter = 0, interlace = 0) =>
    `a PNG of colour type ${type}, depth ${depth}, compression ${compression}, filter ${filter}, interlace ${interlace} does not exist`;
  const refused: [Uint8Array, string][] = [
    [withHeader((data) => data[10] = 1), none(0, 8, 1)],
    [withHeader((data) => data[11] = 1), none(0, 8, 0, 1)],
    [withHeader((data) => data[12] = 2), none(0, 8, 0, 0, 2)],
    ...[1, 5, 7].map((type): [Uint8Array, string] => [
      withHeader((data) => data[9] = type),
      none(type, 8),
    ]),
    ...[[0, 3], [0, 32], [2, 4], [3, 16], [4, 4], [4, 1], [6, 4], [6, 2]].map((
      [type, depth],
    ): [Uint8Array, string] => [
      withHeader((data) => data.set([depth, type], 8), palette(6)),
      none(type, depth),
    ]),
    [withHeader((data) => data.fill(0, 0, 4)), "0×3 pixels; 1 to 64000000 are decoded"],
    [withHeader((data) => data.fill(0, 4, 8)), "3×0 pixels; 1 to 64000000 are decoded"],
    [withHeader(indexed(8)), "expected a palette of 1 to 256 colours"],
    [withHeader(indexed(8), palette(0)), "expected a palette of 1 to 256 colours"],
    [withHeader(indexed(8), palette(4)), "expected a palette of 1 to 256 colours"],
    [withHeader(indexed(8), palette(771)), "expected a palette of 1 to 256 colours"],
    [
      writeChunks([{ type: "IHDR", data: ihdr.data.slice(0, 12) }, idat, iend]),
      "expected one IHDR of 13 bytes at the beginning of the PNG",
    ],
    [
      writeChunks([
        ihdr,
        { type: "IDAT", data: zlibSync(Uint8Array.of(...filter5, ...filter5)) },
        iend,
      ]),
      "not a PNG that can be read (Unsupported filter: 5)",
    ],
    [
      writeChunks([
        ihdr,
        { type: "IDAT", data: Uint8Array.of(0x78, 0x9c, ...Array(40).fill(7)) },
        iend,
      ]),
      "the PNG is damaged (invalid block type)",
    ],
    ...Array.from(whole.subarray(8), (_, i): [Uint8Array, string] => [
      whole.subarray(0, 8 + i),
      "the PNG is cut off",
    ]),
  ];
  for (const [file, says] of refused) {
    for (const where of ["x.png", undefined]) {
      const { message } = assertThrows(() => decodePng(file, where), InputError);
      assertEquals(message, `${where ?? "PNG"}: ${says}`);
    }
  }
  const zeros = writeChunks([
    writeHeader({ width: 2, height: 1, depth: 8, colourType: 3, interlaced: false }),
    palette(6),
    { type: "IDAT", data: zlibSync(Uint8Array.of(0, 0, 2)) },
    iend,
  ]);
  assertThrows(
    () => decodePng(zeros, "x.png"),
    InputError,
    "x.png: a pixel names colour 2, which is missing",
  );
  for (const length of [3, 768]) {
    const { pixels } = decodePng(withHeader(indexed(8), palette(length)));
    assertEquals(pixels, new Uint8Array(27), "a palette of 1 to 256 colours");
  }
  // What lies behind the pixels is padding of some encoders.
  const padded = { type: "IDAT", data: zlibSync(new Uint8Array(12 + 60_000)) };
  assertEquals(decodePng(writeChunks([ihdr, padded, iend])).pixels, new Uint8Array(9));
  const longer = { type: "IDAT", data: zlibSync(new Uint8Array(12 + 65_537)) };
  assertThrows(
    () => decodePng(writeChunks([ihdr, longer, iend])),
    InputError,
    "PNG: the PNG is damaged (12 bytes of pixels announced, more found)",
  );
});

Deno.test("pictures of up to 64 million pixels are decoded unless another limit is said", () => {
  const of = (width: number, height: number) =>
    withHeader((data) => {
      const view = new DataView(data.buffer);
      view.setUint32(0, width);
      view.setUint32(4, height);
    });
  // 8001 bytes a line, and 3 lines of 4 that are there.
  const fits = "64008000 bytes of pixels announced, 12 found";
  assertThrows(() => decodePng(of(8000, 8000)), InputError, fits);
  const large = "PNG: 8000×8001 pixels; 1 to 64000000 are decoded";
  assertThrows(() => decodePng(of(8000, 8001)), InputError, large);
  assertThrows(() => decodePng(of(8001, 8000)), InputError, "8001×8000 pixels; 1 to 64000000");
});

Deno.test("16 bits are rounded to 8, fewer stretched to 0 … 255", () => {
  const of = (depth: number, width: number, ...line: number[]) => {
    const header = writeHeader({ width, height: 1, depth, colourType: 0, interlaced: false });
    const data = zlibSync(Uint8Array.of(0, ...line));
    return [...decodePng(writeChunks([header, { type: "IDAT", data }, iend])).pixels];
  };
  assertEquals(of(16, 4, 0, 0x80, 0, 0x81, 0xff, 0x7f, 0xff, 0xff), [0, 1, 255, 255]);
  assertEquals(of(1, 9, 0b10110001, 0x80), [255, 0, 255, 255, 0, 0, 0, 255, 255]);
  assertEquals(of(2, 5, 0b00011011, 0x40), [0, 85, 170, 255, 85]);
  assertEquals(of(4, 3, 0x0f, 0x10), [0, 255, 17]);
});

Deno.test("texts without a keyword, cut off, or compressed in another way are left out", () => {
  const bytes = (text: string) => [...new TextEncoder().encode(text)];
  const deflated = [...zlibSync(Uint8Array.from(bytes("words")))];
  const texts = (...chunks: [type: string, ...data: number[][]][]) =>
    readPngText(writeChunks([
      ihdr,
      ...chunks.map(([type, ...data]) => ({ type, data: Uint8Array.from(data.flat()) })),
      idat,
      iend,
    ]));
  assertEquals(texts(["tEXt", bytes("a\0b\0c")]), { a: "b\0c" });
  assertEquals(texts(["tEXt", bytes("a"), [0, 0xe9]], ["tEXt", bytes("b\0")]), { a: "é", b: "" });
  assertEquals(texts(["zTXt", bytes("a\0"), [0], deflated]), { a: "words" });
  assertEquals(texts(["iTXt", bytes("a\0"), [0, 0, 0, 0], bytes("é")]), { a: "é" });
  assertEquals(texts(["iTXt", bytes("a\0"), [1, 0], bytes("de\0T\0"), deflated]), { a: "words" });
  // Of uncompressed text the method means nothing.
  assertEquals(texts(["iTXt", bytes("a\0"), [0, 9, 0, 0], bytes("b")]), { a: "b" });
  const nothing: [type: string, ...data: number[][]][] = [
    ["tEXt", bytes("\0b")],
    ["tEXt", bytes("ab")],
    ["tIME", bytes("a\0b")],
    ["zTXt", bytes("a\0"), [1], deflated],
    ...deflated.map((_, i) =>
      ["zTXt", bytes("a\0"), [0], deflated.slice(0, i)] as [string, ...number[][]]
    ),
    ["zTXt", bytes("a\0")],
    ["iTXt", bytes("a\0"), [1, 1, 0, 0], deflated],
    ["iTXt", bytes("a\0"), [2, 0, 0, 0], bytes("b")],
    ["iTXt", bytes("a\0"), [0, 0, 0], bytes("b")],
    ["iTXt", bytes("a\0"), [0, 0]],
  ];
  for (const chunk of nothing) assertEquals(texts(chunk), {}, `${chunk}`);
});
