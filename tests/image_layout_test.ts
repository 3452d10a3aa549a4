import { assert, assertEquals, assertThrows } from "@std/assert";
import { crc32 } from "../src/files/crc32.ts";
import { glyph } from "../src/image/font.ts";
import { grid, paste } from "../src/image/grid.ts";
import { labelledGrid } from "../src/image/labelled_grid.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { enlarge, resizeCrop } from "../src/image/resize.ts";
import { drawText, textHeight, textWidth } from "../src/image/text.ts";

const blank = (width: number, height: number, channels = 1, level = 0): Pixels => ({
  pixels: new Uint8Array(width * height * channels).fill(level),
  width,
  height,
  channels,
});

/** A grey picture as rows of digits. */
const rows = ({ pixels, width }: Pixels) =>
  (String.fromCharCode(...pixels.map((level) => level + 48)).match(
    new RegExp(`.{${width}}`, "gs"),
  ) ?? []).join("|");

Deno.test("a grid is filled row by row, as square as it gets", () => {
  const pictures = [1, 2, 3, 4, 5].map((level) => blank(2, 1, 1, level));
  assertEquals(rows(grid(pictures)), "112233|445500");
  assertEquals(
    rows(grid(pictures, { columns: 2, gap: 1, background: 9 })),
    [
      "11922",
      "99999",
      "33944",
      "99999",
      "55999",
    ].join("|"),
  );
});

Deno.test("a grid keeps a pixel's channels together", () => {
  const red = { pixels: Uint8Array.of(7, 0, 1), width: 1, height: 1, channels: 3 };
  assertEquals([...grid([red, red], { columns: 2 }).pixels], [7, 0, 1, 7, 0, 1]);
});

Deno.test("a grid of nothing or of unequal pictures is refused", () => {
  assertThrows(() => grid([]), Error, "at least one picture");
  const unequal = "picture 2 is 3×2, the first 2×2";
  assertThrows(() => grid([blank(2, 2), blank(2, 2), blank(3, 2)]), Error, unequal);
  const colours = "expected a picture of 1 channels, found 3";
  assertThrows(() => grid([blank(2, 2), blank(2, 2, 3)]), Error, colours);
});

Deno.test("letters are drawn dot by dot, at any scale, and cut at the edge", () => {
  const picture = blank(5, 7);
  drawText(picture, "L", 0, 0, { level: 1 });
  assertEquals(rows(picture), "10000|10000|10000|10000|10000|10000|11111");
  const double = blank(10, 14);
  drawText(double, "L", 0, 0, { level: 1, scale: 2 });
  assertEquals(double, enlarge(picture, 2));
  const cut = blank(3, 2);
  drawText(cut, "L", -3, -5, { level: 1 });
  assertEquals(rows(cut), "000|110");
});

Deno.test("every printable sign looks like no other, and what is unknown like a question mark", () => {
  const signs = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
  assertEquals(new Set(signs.map((sign) => glyph(sign).join())).size, 95);
  assertEquals(glyph("∑"), glyph("?"));
  assert(signs.every((sign) => glyph(sign).every((column) => column < 256)));
  // Dot by dot: whoever changes a sign looks at it, and at this number.
  assertEquals(crc32(Uint8Array.from(signs.flatMap(glyph))).toString(16), "c4d47006");
});

Deno.test("a labelled grid puts words at the edges and every picture in its cell", () => {
  const [a, b, c] = [10, 20, 30].map((level) => blank(32, 32, 3, level));
  const table = labelledGrid([[a, b], [undefined, c]], {
    rows: ["ddim", "dpmpp"],
    columns: ["5", "ten steps"],
    gap: 4,
  });
  const left = 4 + textWidth("dpmpp") + 4;
  const second = left + 32 + 4;
  const width = Math.max(32, textWidth("ten steps"));
  const head = 4 + textHeight() + 4;
  assertEquals([table.width, table.height], [second + width + 4, head + 36 * 2]);
  const at = (x: number, y: number) => table.pixels[(y * table.width + x) * 3];
  assertEquals(at(left, head), 10);
  assertEquals(at(left + 31, head + 31), 10);
  assertEquals(at(second + Math.floor(width / 2), head), 20);
  assertEquals(at(left, head + 36), 255);
  assertEquals(at(second + Math.floor(width / 2), head + 36), 30);
  const inked = (x0: number, x1: number, y0: number, y1: number) => {
    for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) if (at(x, y) === 0) return true;
    return false;
  };
  assert(inked(left, left + 32, 4, head - 4), "the first column's word");
  assert(inked(second, second + width, 4, head - 4), "the second column's word");
  assert(inked(4, left - 4, head, head + 32), "the first row's word");
  assert(inked(4, left - 4, head + 36, head + 68), "the second row's word");
});

Deno.test("words are in the middle of their columns and at the end of their rows, dot for dot", () => {
  const pictures = [10, 20, 30].map((level) => blank(10, 20, 3, level));
  const [a, b, c] = pictures;
  const table = labelledGrid([[a, b], [undefined, c]], {
    rows: ["ab", "x"],
    columns: ["a", "abc"],
    gap: 3,
  });
  // A sign is 5 wide and 8 high, with a dot between two: "ab" is 11 wide, "abc" 17.
  const expected = blank(3 + 11 + 3 + 10 + 3 + 17 + 3, 3 + 8 + 3 + 20 + 3 + 20 + 3, 3, 255);
  drawText(expected, "a", 17 + 2, 3);
  drawText(expected, "abc", 30, 3);
  drawText(expected, "ab", 3, 14 + 6);
  drawText(expected, "x", 3 + 6, 37 + 6);
  paste(expected, a, 17, 14);
  paste(expected, b, 30 + 3, 14);
  paste(expected, c, 30 + 3, 37);
  assertEquals(table, expected);
});

Deno.test("rows and places of a labelled grid may be empty, and pictures take no other", () => {
  const cell = blank(4, 8, 1, 9);
  const of = (cells: (Pixels | undefined)[][]) =>
    labelledGrid(cells, { rows: ["", ""], columns: ["", ""], gap: 1 }).pixels;
  const both = of([[cell], [undefined, undefined]]);
  assertEquals(of([[cell]]), both);
  assertEquals(of([[cell], []]), both);
  assertEquals(both.filter((level) => level === 9).length, 4 * 8);
  assertThrows(
    () => of([[cell, blank(4, 8, 3)]]),
    Error,
    "expected a picture of 1 channels, found 3",
  );
});

Deno.test("enlarging makes every pixel a square", () => {
  const picture = { pixels: Uint8Array.of(1, 2, 3, 4), width: 2, height: 2, channels: 1 };
  assertEquals(rows(enlarge(picture, 2)), "1122|1122|3344|3344");
});

Deno.test("a picture of the right size is left as it is", () => {
  const pixels = Uint8Array.from({ length: 60 }, (_, i) => (i * 91) % 256);
  const picture = { pixels, width: 5, height: 4, channels: 3 };
  assertEquals(resizeCrop(picture, 5, 4), picture);
});

Deno.test("resizing keeps a flat picture flat and the mean of a detailed one", () => {
  assertEquals(resizeCrop(blank(37, 29, 3, 77), 8, 8), blank(8, 8, 3, 77));
  // Stripes of one pixel alias to flat black or white where pixels are merely picked.
  const stripes = blank(64, 64);
  stripes.pixels.forEach((_, i) => stripes.pixels[i] = i % 2 ? 255 : 0);
  for (const level of resizeCrop(stripes, 8, 8).pixels) assert(Math.abs(level - 127.5) < 8);
});

Deno.test("enlarging goes from pixel to pixel in straight lines", () => {
  const two = { pixels: Uint8Array.of(0, 80, 0, 80), width: 2, height: 2, channels: 1 };
  const row = [0, 20, 60, 80];
  assertEquals([...resizeCrop(two, 4, 4).pixels], [row, row, row, row].flat());
});

Deno.test("a picture of other proportions loses its edges, evenly", () => {
  const wide = blank(30, 10);
  wide.pixels.forEach((_, i) => wide.pixels[i] = 8 * (i % 30));
  const middle = resizeCrop(wide, 10, 10);
  assertEquals(
    [...middle.pixels.subarray(0, 10)],
    Array.from({ length: 10 }, (_, x) => 8 * (x + 10)),
  );
  const tall = resizeCrop({ ...wide, width: 10, height: 30 }, 10, 10);
  assertEquals(tall.pixels, wide.pixels.subarray(100, 200));
});

Deno.test("a size that is no multiple has the picture in its middle, on the median of its edge", () => {
  const picture = {
    pixels: Uint8Array.of(7, 7, 7, 9, 1, 9, 7, 7, 7),
    width: 3,
    height: 3,
    channels: 1,
  };
  const rows = ({ pixels, width }: { pixels: Uint8Array; width: number }) =>
    [...pixels].join("").match(new RegExp(`.{${width}}`, "g"))!.join("|");
  assertEquals(rows(enlarge(picture, { size: [5, 4] })), "77777|79197|77777|77777");
  assertEquals(
    rows(enlarge(picture, { scale: 2, size: [7, 6] })),
    "7777777|7777777|9911997|9911997|7777777|7777777",
  );
  const rgb = { ...picture, pixels: Uint8Array.from({ length: 27 }, (_, i) => i % 3), channels: 3 };
  const { pixels } = enlarge(rgb, { size: [4, 3] });
  assertEquals([...pixels.slice(9, 12)], [0, 1, 2], "each channel has its own ground");
  // Levels are numbers, not words: 9 is between 2 and 10.
  const levels = { pixels: Uint8Array.of(2, 10, 9), width: 3, height: 1, channels: 1 };
  assertEquals([...enlarge(levels, { size: [3, 2] }).pixels], [2, 10, 9, 9, 9, 9]);
  const wide = { ...picture, pixels: new Uint8Array(6), height: 2 };
  for (
    const [size, says] of [[[5, 4], "3 pixels × 2 do not fit 5"], [
      [6, 3],
      "2 pixels × 2 do not fit 3",
    ]] as const
  ) {
    assertThrows(() => enlarge(wide, { scale: 2, size: [size[0], size[1]] }), Error, says);
  }
});

Deno.test("all four sides of a picture have a say in its ground, and nothing inside has", () => {
  const sides = { top: [0, 1, 2], bottom: [9, 10, 11], left: [0, 3, 6, 9], right: [2, 5, 8, 11] };
  for (const [name, side] of Object.entries(sides)) {
    // Of the ten outermost pixels half are 9: the upper one of the two in the middle is.
    const pixels = new Uint8Array(12);
    for (const p of side) pixels[p] = 9;
    const others = [0, 2, 9, 11].filter((corner) => !side.includes(corner));
    for (const corner of others.slice(0, 5 - side.length)) pixels[corner] = 9;
    pixels[4] = pixels[7] = 5;
    const picture = { pixels, width: 3, height: 4, channels: 1 };
    assertEquals(enlarge(picture, { size: [5, 4] }).pixels[0], 9, name);
  }
});
