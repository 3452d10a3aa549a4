/** Pictures at the ends of what is read and written: sizes, times, colours, words. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import omggif from "npm:omggif@1.0.10";
import { InputError } from "../src/errors.ts";
import { encodeApng } from "../src/image/apng.ts";
import { encodeGif } from "../src/image/gif.ts";
import { grid, paste } from "../src/image/grid.ts";
import { decodeJpeg } from "../src/image/jpeg.ts";
import { readJpegSegments } from "../src/image/jpeg_segments.ts";
import { captionScale, labelledGrid } from "../src/image/labelled_grid.ts";
import { exifOrientation } from "../src/image/orientation.ts";
import { type Pixels, toPixels, withChannels } from "../src/image/pixels.ts";
import { encodePng } from "../src/image/png.ts";
import { decodePicture } from "../src/image/read.ts";
import { resizeCrop } from "../src/image/resize.ts";
import { drawText, textHeight, textWidth } from "../src/image/text.ts";
import { readApng } from "./apng.ts";
import { bytesOf, jpegs } from "./image_fixtures.ts";

const blank = (width: number, height: number, channels = 1, level = 0): Pixels => ({
  pixels: new Uint8Array(width * height * channels).fill(level),
  width,
  height,
  channels,
});

Deno.test("a frame takes a tenth of a second unless another time of 16 bits is said", () => {
  const frames = [blank(2, 2), blank(2, 2, 1, 9)];
  const gif = (delay?: number | number[]) => {
    const read = new omggif.GifReader(encodeGif(frames, { delay }));
    return [0, 1].map((k) => read.frameInfo(k).delay);
  };
  const apng = (delay?: number | number[]) =>
    readApng(encodeApng(frames, { delay })).frames.map(({ delay }) => delay);
  assertEquals([gif(), apng()], [[10, 10], [100, 100]]);
  assertEquals([gif([0, 65535]), apng([0, 65535])], [[0, 6554], [0, 65535]]);
  assertEquals(apng([33.4, 33.6]), [33, 34]);
  assertEquals(gif([34, 36]), [3, 4]);
  for (const delay of [-1, 65536, NaN, [1], [1, 2, 3], [1, -1]]) {
    const found = typeof delay === "number" ? [delay, delay] : delay;
    for (const encode of [encodeGif, encodeApng]) {
      assertThrows(
        () => encode(frames, { delay }),
        Error,
        `expected 2 delays of 0 to 65535 ms, found [${found}]`,
      );
    }
  }
  for (const other of [blank(3, 2), blank(2, 3), blank(2, 2, 3)]) {
    const { width, height, channels } = other;
    const says = `frame 2 is ${width}×${height}×${channels}, the first 2×2×1`;
    for (const encode of [encodeGif, encodeApng]) {
      assertThrows(() => encode([...frames, other]), Error, says);
    }
  }
});

/** Each frame's colours as another decoder sees them. */
function gifFrames(file: Uint8Array): number[][][] {
  const gif = new omggif.GifReader(file);
  return Array.from({ length: gif.numFrames() }, (_, k) => {
    const rgba = new Uint8Array(gif.width * gif.height * 4);
    gif.decodeAndBlitFrameRGBA(k, rgba);
    return Array.from(
      { length: gif.width * gif.height },
      (_, p) => [...rgba.slice(4 * p, 4 * p + 3)],
    );
  });
}

Deno.test("256 colours are exact, in one palette for all frames or in one of a frame's own", () => {
  const colours = (from: number, count: number): Pixels => ({
    pixels: Uint8Array.from({ length: 3 * 256 }, (_, i) => {
      const colour = from + Math.floor(i / 3) % count;
      return [colour & 255, colour >> 8, (colour * 7) & 255][i % 3];
    }),
    width: 16,
    height: 16,
    channels: 3,
  });
  const levels = ({ pixels }: Pixels) =>
    Array.from({ length: 256 }, (_, p) => [...pixels.slice(3 * p, 3 * p + 3)]);
  const cases = [[colours(0, 256)], [colours(0, 128), colours(128, 128)]];
  cases.push([colours(0, 256), colours(256, 256)], [colours(0, 200), colours(256, 100)]);
  const sizes = cases.map((frames) => {
    const file = encodeGif(frames);
    assertEquals(gifFrames(file), frames.map(levels));
    return file.length;
  });
  assert(sizes[1] < sizes[2] - 700, "two frames share one palette");
});

Deno.test("frames of more than 256 colours get each a palette that comes near its own", () => {
  const shades = (k: number): Pixels => ({
    pixels: Uint8Array.from({ length: 3 * 1024 }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % 32, Math.floor(i / 96)];
      return [[8 * x, 8 * y, 255 * k], [255 * k, 8 * x, 8 * y]][k][i % 3];
    }),
    width: 32,
    height: 32,
    channels: 3,
  });
  const frames = [shades(0), shades(1)];
  for (const [k, found] of gifFrames(encodeGif(frames)).entries()) {
    const off = found.flat().reduce((sum, v, i) => sum + Math.abs(v - frames[k].pixels[i]), 0);
    assert(off / (3 * 1024) < 8, `frame ${k} is ${off / (3 * 1024)} off on average`);
  }
});

Deno.test("grey frames share one palette, and alpha is laid over white", () => {
  const frames = Array.from({ length: 4 }, (_, k) => blank(4, 4, 1, 40 * k));
  const sizes = [1, 2, 3, 4].map((count) => encodeGif(frames.slice(0, count)).length);
  assert(sizes.every((size, i) => i === 0 || size - sizes[i - 1] < 100), `${sizes}`);
  const grey = { pixels: Uint8Array.of(100, 255, 100, 51), width: 2, height: 1, channels: 2 };
  const rgb = { ...grey, pixels: Uint8Array.of(1, 2, 3, 255, 100, 0, 50, 51), channels: 4 };
  assertEquals(gifFrames(encodeGif([grey])), [[[100, 100, 100], [224, 224, 224]]]);
  assertEquals(gifFrames(encodeGif([rgb])), [[[1, 2, 3], [224, 204, 214]]]);
  assertEquals(withChannels(rgb, 3).pixels, Uint8Array.of(1, 2, 3, 224, 204, 214));
});

Deno.test("a picture is pasted where it lies inside, whichever side it would leave", () => {
  const target = blank(4, 3);
  paste(target, blank(2, 2, 1, 7), 2, 1);
  assertEquals([...target.pixels], [0, 0, 0, 0, 0, 0, 7, 7, 0, 0, 7, 7]);
  for (const [x, y] of [[-1, 0], [0, -1], [3, 0], [0, 2]]) {
    assertThrows(
      () => paste(target, blank(2, 2), x, y),
      Error,
      `a picture of 2×2 at (${x}, ${y}) leaves one of 4×3`,
    );
  }
  assertThrows(() => grid([blank(2, 2), blank(2, 1)]), Error, "picture 1 is 2×1, the first 2×2");
  const size = (count: number) => {
    const { width, height } = grid(Array(count).fill(blank(1, 1)));
    return [width, height];
  };
  assertEquals([1, 2, 3, 4, 5, 9, 10].map(size), [
    [1, 1],
    [2, 1],
    [2, 2],
    [2, 2],
    [3, 2],
    [3, 3],
    [4, 3],
  ]);
  assertEquals([...grid([blank(1, 1, 1, 5)], { columns: 2, gap: 1 }).pixels], [5, 0, 0]);
});

Deno.test("a word is as wide as its letters and the gaps between them; what leaves the picture is cut", () => {
  assertEquals(["", "a", "ab", "abc"].map((text) => textWidth(text)), [0, 5, 11, 17]);
  assertEquals([textWidth("ab", 3), textHeight(), textHeight(3)], [33, 8, 24]);
  for (const [x, y, scale] of [[-2, -3, 1], [5, 6, 1], [-3, -3, 2], [7, 0, 3], [0, 99, 1]]) {
    const whole = blank(60, 60);
    drawText(whole, "Wg", x + 20, y + 20, { level: 5, scale });
    const small = blank(9, 10);
    drawText(small, "Wg", x, y, { level: 5, scale });
    const window = Array.from(
      { length: 90 },
      (_, i) => whole.pixels[(20 + Math.floor(i / 9)) * 60 + 20 + i % 9],
    );
    assertEquals([...small.pixels], window, `${x} ${y} ${scale}`);
  }
});

Deno.test("a labelled grid's columns are as wide as picture or word, its rows as high, and empty edges take no room", () => {
  const table = (rows: string[], columns: string[], picture = blank(10, 10), options = {}) => {
    const { width, height } = labelledGrid(rows.map(() => columns.map(() => picture)), {
      rows,
      columns,
      ...options,
    });
    return [width, height];
  };
  // 4 between everything; a letter is 5 wide, 6 with its gap, and 8 high.
  assertEquals(table([""], ["a"]), [4 + 10 + 4, 4 + 8 + 4 + 10 + 4]);
  assertEquals(table(["ab"], ["a"])[0], 4 + 11 + 4 + 10 + 4);
  assertEquals(table([""], ["abc", "d"])[0], 4 + 17 + 4 + 10 + 4);
  assertEquals(table(["", ""], ["a"], blank(10, 5))[1], 4 + 8 + 4 + 2 * (8 + 4));
  assertEquals(table(["a"], ["a"], blank(9, 30), { gap: 1, scale: 2 }), [
    1 + 10 + 1 + 10 + 1,
    1 + 16 + 1 + 30 + 1,
  ]);
  // Words beside a row are in the middle of its height.
  const { pixels, width } = labelledGrid([[blank(4, 28, 1, 200)]], { rows: ["|"], columns: [""] });
  const inked = Array.from({ length: pixels.length / width }, (_, y) => y)
    .filter((y) => pixels.subarray(y * width, (y + 1) * width).includes(0));
  assertEquals([inked[0], inked.at(-1)], [4 + 8 + 4 + 10, 4 + 8 + 4 + 10 + 6]);
  assertThrows(
    () => labelledGrid([[undefined]], { rows: ["a"], columns: ["b"] }),
    Error,
    "found none",
  );
  assertEquals([1, 95, 96, 500].map(captionScale), [1, 1, 2, 2]);
});

const plain = Deno.readFileSync(new URL("./golden/pictures/plain.jpg", import.meta.url));

/** A segment by its marker and what follows its length. */
function segment(marker: number, data: Iterable<number>): number[] {
  const bytes = [...data];
  return [0xff, marker, (bytes.length + 2) >> 8, (bytes.length + 2) & 255, ...bytes];
}

Deno.test("a JPEG is taken apart as its segments say: scans, frames, colours", () => {
  const text = (letters: string) => [...new TextEncoder().encode(letters)];
  const frame = (ids: number[]) =>
    segment(0xc0, [8, 0, 1, 0, 1, ids.length, ...ids.flatMap((id) => [id, 0x11, 0])]);
  const of = (...segments: number[][]) => {
    const bytes = Uint8Array.from([0xff, 0xd8, ...segments.flat(), 0xff, 0xd9]);
    return readJpegSegments(bytes, "x.jpg");
  };
  const jfif = segment(0xe0, text("JFIF\0"));
  const adobe = (transform: number) =>
    segment(0xee, [...text("Adobe"), 0, 100, 0, 0, 0, 0, transform]);
  const transformed = (ids: number[], ...segments: number[][]) =>
    of(...segments, frame(ids)).transformed;
  assertEquals(transformed([1, 2, 3]), true);
  assertEquals(transformed([82, 71, 66]), false);
  assertEquals(transformed([82, 71, 66], jfif), true);
  assertEquals(transformed([82, 71, 66], adobe(1)), true);
  assertEquals(transformed([1, 2, 3], adobe(0)), false);
  assertEquals(transformed([1, 2, 3], jfif, adobe(0)), true);
  assertEquals(transformed([1, 2, 3, 4], adobe(2)), true);
  assertEquals(transformed([1, 2, 3, 4], adobe(0)), false);
  assertEquals(transformed([1, 2, 3, 4]), false);
  // Twelve bytes or it says nothing.
  const short = adobe(0).toSpliced(3, 1, 13).slice(0, -1);
  assertEquals(transformed([1, 2, 3], short), true);
  assertEquals([...of(short, frame([1, 2, 3, 4])).bytes.subarray(2, 4)], [0xff, 0xc0]);

  const cmyk = of(adobe(2), frame([1, 2, 3, 4]));
  assertEquals([cmyk.components, [...cmyk.bytes.subarray(2, 4)]], [4, [0xff, 0xee]]);
  assertEquals([...of(adobe(0), frame([1, 2, 3])).bytes.subarray(2, 4)], [0xff, 0xc0]);

  const scan = (...coded: number[]) => [...segment(0xda, [1]), ...coded];
  assertEquals(of(frame([1]), scan(1, 2), scan(3)).scans, 2);
  const last = (
    ...coded: number[]
  ) => [...of(frame([1]), scan(...coded)).bytes.slice(-coded.length - 2)];
  for (const coded of [[1, 0xff, 0, 2], [1, 0xff, 0xd0, 2], [1, 0xff, 0xd7, 2]]) {
    assertEquals(
      last(...coded),
      [...coded, 0xff, 0xd9],
      "restarts and escaped bytes belong to a scan",
    );
  }
  assertEquals(last(1, 0xff, 0xff, 0xd3, 2).slice(1), [1, 0xff, 0xd3, 2, 0xff, 0xd9]);

  // The height and width are two bytes each; a component takes three.
  const header = (...numbers: number[]) => segment(0xc0, [...numbers, 1, 0x11, 0]);
  const process = (n: number) =>
    `of process SOF${n} (arithmetic, lossless or hierarchical); baseline and progressive ones are read`;
  const refused: [number[][], string][] = [
    [[frame([1]), frame([1])], "of several frames (hierarchical)"],
    [[[0xff, 0xe5, 0, 0], frame([1])], "that is cut off (segment FFE5)"],
    [[[0xff, 0xe5, 0, 1], frame([1])], "that is cut off (segment FFE5)"],
    [[[0xff, 0x0f, 0, 0], frame([1])], "that is cut off (segment FF0F)"],
    [[header(8, 0, 1, 0, 1, 3)], "of 3 components; 1, 3 or 4 are read"],
    [[header(8, 0, 1, 0, 1, 1).slice(0, -1).with(3, 10)], "of 1 components; 1, 3 or 4 are read"],
    [[header(8, 0, 1, 0, 1, 0)], "of 0 components; 1, 3 or 4 are read"],
    [[header(4, 0, 1, 0, 1, 1)], "of 4 bits a sample; 8 are read"],
    [[header(12, 0, 1, 0, 1, 1)], "of 12 bits a sample; 8 are read"],
    [[header(8, 0, 0, 1, 2, 1)], "of 258×0 pixels in its header"],
    [[header(8, 1, 2, 0, 0, 1)], "of 0×258 pixels in its header"],
    [[segment(0xf0, [1]), frame([1])], "with the segment FFF0, which is not read"],
    [[segment(0xc8, [1]), frame([1])], "with the segment FFC8, which is not read"],
    [[segment(0x05, [1]), frame([1])], "with the segment FF05, which is not read"],
    ...[3, 5, 6, 7, 9, 10, 11, 13, 14, 15].map((n): [number[][], string] => [
      [segment(0xc0 + n, [8, 0, 1, 0, 1, 1, 1, 0x11, 0])],
      process(n),
    ]),
    [[], "without a frame, or cut off"],
  ];
  for (const [segments, says] of refused) {
    assertEquals(assertThrows(() => of(...segments), InputError).message, `x.jpg: a JPEG ${says}`);
  }
  for (const marker of [0xc0, 0xc1, 0xc2]) {
    assertEquals(of(segment(marker, [8, 0, 1, 0, 1, 1, 1, 0x11, 0])).components, 1);
  }
  for (const marker of [0xe1, 0xe5, 0xef, 0xfe, 0xdc]) {
    assertEquals(of(segment(marker, [1, 2, 3]), frame([1])).components, 1);
  }
  assertEquals(of([0xff, 0xff, 0xff], frame([1])).components, 1);
});

Deno.test("a JPEG has up to 64 scans", () => {
  const file = bytesOf(jpegs.progressive.file);
  const at = file.findLastIndex((byte, i) => byte === 0xff && file[i + 1] === 0xda);
  const { scans } = readJpegSegments(file, "x.jpg");
  const refusal = (count: number) => {
    const more = Array(count - scans).fill([...file.subarray(at, -2)]).flat();
    const many = Uint8Array.from([...file.subarray(0, -2), ...more, 0xff, 0xd9]);
    return assertThrows(() => decodeJpeg(many, "x.jpg"), InputError).message;
  };
  // The last scan again and again means nothing, which is found when it is decoded.
  assert(refusal(64).startsWith("x.jpg: not a JPEG that can be read"));
  assertEquals(refusal(65), "x.jpg: a JPEG of 65 scans; at most 64 are read");
});

Deno.test("the most pixels are what the caller says, of PNG and JPEG", () => {
  const png = encodePng(blank(20, 10));
  for (const [file, width, height] of [[png, 20, 10], [plain, 0, 0]] as const) {
    const picture = decodePicture(file, "in");
    const pixels = picture.width * picture.height;
    assert(width === 0 || (picture.width === width && picture.height === height));
    decodePicture(file, "in", pixels);
    assertThrows(() => decodePicture(file, "in", pixels / 2), InputError, `${pixels / 2} `);
  }
  assertThrows(
    () => decodePicture(png, "in", 199),
    InputError,
    "20×10 pixels; 1 to 199 are decoded",
  );
});

Deno.test("Exif's orientation is read as a SHORT or a LONG, in either order of bytes, from 1 to 8", () => {
  const of = (value: number, type: number, little: boolean, magic = 42) => {
    const view = new DataView(new ArrayBuffer(26));
    view.setUint16(0, little ? 0x4949 : 0x4d4d);
    view.setUint16(2, magic, little);
    view.setUint32(4, 8, little);
    view.setUint16(8, 1, little);
    view.setUint16(10, 0x112, little);
    view.setUint16(12, type, little);
    view.setUint32(14, 1, little);
    if (type === 3) view.setUint16(18, value, little);
    else view.setUint32(18, value, little);
    return exifOrientation(new Uint8Array(view.buffer));
  };
  for (const little of [true, false]) {
    for (const type of [3, 4]) {
      for (let value = 0; value <= 9; value++) {
        assertEquals(of(value, type, little), value >= 1 && value <= 8 ? value : 1);
      }
    }
    assertEquals(of(65536 + 6, 4, little), 1);
    assertEquals(of(6, 3, little, 43), 1);
  }
});

Deno.test("resizing crops the middle, keeps edges as bright as they were, and mixes what it covers", () => {
  const column = (...levels: number[]): Pixels => ({
    pixels: Uint8Array.from(levels),
    width: 1,
    height: levels.length,
    channels: 1,
  });
  const to = (picture: Pixels, width: number, height: number) => [
    ...resizeCrop(picture, width, height).pixels,
  ];
  assertEquals(to(column(0, 0, 90, 60, 0, 0), 1, 2), [90, 60]);
  assertEquals(to(column(0, 90, 0), 1, 1), [90]);
  assertEquals(to({ ...column(0, 90, 30, 0), width: 4, height: 1 }, 2, 1), [90, 30]);
  for (const [width, height] of [[3, 3], [7, 5], [20, 2], [2, 20]]) {
    assertEquals(to(blank(5, 5, 1, 201), width, height), Array(width * height).fill(201));
  }
  // A triangle of twice the shrinking across: 1/8, 3/8, 3/8, 1/8, and at the edge what is there of it.
  const four = { ...column(80, 160, 0, 240), width: 4, height: 1 };
  const twoRows = { ...four, pixels: Uint8Array.of(...four.pixels, ...four.pixels), height: 2 };
  assertEquals(
    to(twoRows, 2, 1),
    [(3 * 80 + 3 * 160 + 0) / 7, (160 + 0 + 3 * 240) / 7].map(Math.round),
  );
});

Deno.test("levels are rounded in float32, halves to the even one, and NaN is black", () => {
  const level = (x: number) => toPixels(Float32Array.of(x), [1, 1, 1]).pixels[0];
  const unit = (u: number) => 2 * Math.fround(u) - 1;
  for (let k = 0; k < 255; k++) {
    // In float32 this product may be a half, or not, other than in float64.
    const u = Math.fround((k + 0.5) / 255);
    const half = Math.fround(u * 255);
    const rest = half - Math.floor(half);
    const even = Math.floor(half) + (rest > 0.5 || rest === 0.5 && Math.floor(half) % 2 ? 1 : 0);
    const x = Math.fround(unit(u));
    if (Math.fround(x / 2 + 0.5) === u) assertEquals(level(x), even, `${k}`);
  }
  assertEquals([NaN, -2, 2, -1, 1].map(level), [0, 0, 255, 0, 255]);
});
