/** Pictures of cameras that were held sideways or upside down. */
import jpeg from "npm:jpeg-js@0.4.4";
import { assert, assertEquals } from "@std/assert";
import { decodeJpeg } from "../src/image/jpeg.ts";
import { exifOrientation, upright } from "../src/image/orientation.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { mutations } from "./mutations.ts";

const stored = { pixels: Uint8Array.of(1, 2, 3, 4, 5, 6), width: 2, height: 3, channels: 1 };

/** What is to be seen where 12|34|56 is stored, by orientation. */
const seen: Record<number, string> = {
  1: "12|34|56",
  2: "21|43|65",
  3: "65|43|21",
  4: "56|34|12",
  5: "135|246",
  6: "531|642",
  7: "642|531",
  8: "246|135",
};

/** The first channel's rows, in whole multiples of `level`. */
function rows({ pixels, width, height, channels }: Pixels, level = 1): string {
  return Array.from({ length: height }, (_, y) =>
    Array.from(
      { length: width },
      (_, x) => Math.round(pixels[(y * width + x) * channels] / level),
    ).join("")).join("|");
}

interface Entry {
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  readonly value: number;
}

const orientationOf = (value: number): Entry => ({ tag: 0x0112, type: 3, count: 1, value });
const make: Entry = { tag: 0x010f, type: 2, count: 6, value: 0 };

/** Exif data whose first directory has these entries, 8 bytes behind its header. */
function exif(entries: readonly Entry[], little = true): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16 + 2 + entries.length * 12 + 4);
  const view = new DataView(bytes.buffer);
  bytes.fill(little ? 0x49 : 0x4d, 0, 2);
  view.setUint16(2, 42, little);
  view.setUint32(4, 16, little);
  view.setUint16(16, entries.length, little);
  entries.forEach(({ tag, type, count, value }, i) => {
    const at = 18 + i * 12;
    view.setUint16(at, tag, little);
    view.setUint16(at + 2, type, little);
    view.setUint32(at + 4, count, little);
    view.setUint16(at + 8, value, little);
  });
  return bytes;
}

/** A JPEG of {@link stored}, its numbers times 40, with Exif data in it. */
function photo(tiff: Uint8Array): Uint8Array {
  const data = new Uint8Array([...stored.pixels].flatMap((n) => [n * 40, n * 40, n * 40, 255]));
  const file = jpeg.encode({ data, width: stored.width, height: stored.height }, 100).data;
  const segment = [...new TextEncoder().encode("Exif\0\0"), ...tiff];
  const length = segment.length + 2;
  const app1 = [0xff, 0xe1, length >> 8, length & 255, ...segment];
  return Uint8Array.from([...file.subarray(0, 2), ...app1, ...file.subarray(2)]);
}

for (const [orientation, expected] of Object.entries(seen)) {
  Deno.test(`orientation ${orientation}: a JPEG is seen as the camera was held`, () => {
    for (const little of [true, false]) {
      const tiff = exif([make, orientationOf(Number(orientation))], little);
      assertEquals(rows(decodeJpeg(photo(tiff)), 40), expected);
    }
    assertEquals(rows(upright(stored, Number(orientation))), expected);
  });
}

Deno.test("what else is in a photo's application data takes its orientation not back", () => {
  const tiff = exif([make, orientationOf(6)]);
  const file = photo(tiff);
  const end = 2 + 2 + 2 + 6 + tiff.length;
  const segment = (marker: number, data: Iterable<number>) => {
    const bytes = [...data];
    return [0xff, marker, (bytes.length + 2) >> 8, (bytes.length + 2) & 255, ...bytes];
  };
  const text = (letters: string) => new TextEncoder().encode(letters);
  const xmp = segment(0xe1, text("http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"));
  for (
    const other of [
      xmp,
      segment(0xe1, text("Exif")),
      segment(0xe2, text("Exif\0\0")),
      segment(0xe1, []),
    ]
  ) {
    for (const at of [2, end]) {
      const both = Uint8Array.from([...file.subarray(0, at), ...other, ...file.subarray(at)]);
      assertEquals(rows(decodeJpeg(both), 40), seen[6]);
    }
  }
});

Deno.test("a turned picture keeps a pixel's channels together", () => {
  const picture = { pixels: Uint8Array.of(1, 2, 3, 4, 5, 6), width: 1, height: 2, channels: 3 };
  assertEquals(upright(picture, 6), {
    pixels: Uint8Array.of(4, 5, 6, 1, 2, 3),
    width: 2,
    height: 1,
    channels: 3,
  });
});

const unknown: Record<string, Uint8Array> = {
  "no bytes": new Uint8Array(),
  "no directory": exif([orientationOf(6)]).subarray(0, 16),
  "an empty directory": exif([]),
  "another tag": exif([make]),
  "orientation 0": exif([orientationOf(0)]),
  "orientation 9": exif([orientationOf(9)]),
  "a BYTE": exif([{ ...orientationOf(6), type: 1 }]),
  "two numbers": exif([{ ...orientationOf(6), count: 2 }]),
  "another byte order": exif([orientationOf(6)]).with(0, 0x4a),
  "another magic number": exif([orientationOf(6)]).with(2, 43),
  "a directory at the last byte": exif([orientationOf(6)]).with(4, 33),
  "a directory 4 GiB away": exif([orientationOf(6)]).fill(0xff, 4, 8),
};

for (const [what, tiff] of Object.entries(unknown)) {
  Deno.test(`a picture is taken as stored where Exif data has ${what}`, () => {
    assertEquals(exifOrientation(tiff), 1);
    assertEquals(rows(decodeJpeg(photo(tiff)), 40), seen[1]);
  });
}

Deno.test("a directory that announces more entries than there are is read as far as it goes", () => {
  const tiff = exif([make, orientationOf(6)]).fill(0xff, 16, 18);
  assertEquals(exifOrientation(tiff), 6);
  assertEquals(exifOrientation(tiff.with(18 + 12, 0)), 1);
});

Deno.test("Exif data that is cut off or damaged gives an orientation all the same", () => {
  const whole = exif([make, orientationOf(6)]);
  for (let length = 0; length < whole.length; length++) {
    const end = 18 + 2 * 12;
    assertEquals(exifOrientation(whole.subarray(0, length)), length < end ? 1 : 6);
  }
  for (const damaged of mutations(whole, 500, 3)) {
    const found = exifOrientation(damaged);
    assert(Number.isInteger(found) && found >= 1 && found <= 8, `${found}`);
  }
});
