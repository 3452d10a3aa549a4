/** JPEGs of every colour, and what lies around and between their coded data. */
import jpeg from "npm:jpeg-js@0.4.4";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseNpy } from "../src/files/npy.ts";
import { decodeJpeg } from "../src/image/jpeg.ts";
import { mutations } from "./mutations.ts";

const folder = new URL("./golden/pictures/", import.meta.url);
const bytesOf = (file: string) => Deno.readFileSync(new URL(file, folder));
/** What Pillow reads in a picture. */
const truthOf = (name: string) => parseNpy(bytesOf(`${name}.npy`), name);

/** The most and the mean difference of levels, on a scale of 255. */
function off(found: Uint8Array, expected: ArrayLike<number>) {
  const levels = Array.from(found, (level, i) => Math.abs(level - Number(expected[i])));
  return { most: Math.max(...levels), mean: levels.reduce((a, b) => a + b) / levels.length };
}

/** A file with segments behind its first two bytes. */
const withSegments = (file: Uint8Array, ...segments: Uint8Array[]) =>
  Uint8Array.from([
    ...file.subarray(0, 2),
    ...segments.flatMap((s) => [...s]),
    ...file.subarray(2),
  ]);

function segment(marker: number, data: Iterable<number>): Uint8Array {
  const bytes = [...data];
  const length = bytes.length + 2;
  return Uint8Array.of(0xff, marker, length >> 8, length & 255, ...bytes);
}

const text = (letters: string) => new TextEncoder().encode(letters);

const pictures: Record<string, string> = {
  "RGB by Adobe's marker": "rgb_adobe_transform_0",
  "RGB by the components' names": "rgb_component_ids",
  "a fill byte before a restart marker": "fill_byte_before_restart",
  "an Exif orientation that is a LONG": "orientation_6_as_long",
  "grey, and a last restart interval beyond the picture": "grey_restart_every_3",
};

for (const [what, name] of Object.entries(pictures)) {
  Deno.test(`a JPEG is read as Pillow reads it: ${what}`, () => {
    const { shape, data } = truthOf(name);
    const { pixels, width, height, channels } = decodeJpeg(bytesOf(`${name}.jpg`));
    assertEquals([height, width, channels], [...shape]);
    const { most, mean } = off(pixels, data as ArrayLike<number>);
    assert(most <= 3 && mean < 0.6, `up to ${most} off, ${mean} on average`);
  });
}

Deno.test("JFIF is YCbCr whatever Adobe's marker says behind it, as in libjpeg", () => {
  const file = bytesOf("plain.jpg");
  const adobe = segment(0xee, [...text("Adobe"), 0, 100, 0, 0, 0, 0, 0]);
  const jfif = segment(0xe0, [...text("JFIF\0"), 1, 1, 0, 0, 1, 0, 1, 0, 0]);
  assertEquals(decodeJpeg(withSegments(file, jfif, adobe)), decodeJpeg(file));
  // JFIF's extension, a thumbnail in an APP0 of its own, takes nothing back.
  const extension = segment(0xe0, [...text("JFXX\0"), 0x13, 1, 1, 0, 0, 0]);
  const bare = Uint8Array.from([...file.subarray(0, 2), ...file.subarray(2 + 2 + 16)]);
  assertEquals(decodeJpeg(withSegments(bare, jfif, extension, adobe)), decodeJpeg(file));
  const without = decodeJpeg(withSegments(bare, extension, adobe));
  assert(off(without.pixels, decodeJpeg(file).pixels).most > 50, "JFXX alone is no JFIF");
});

Deno.test("scan markers in application data and behind the end of the picture are no scans", () => {
  const file = bytesOf("plain.jpg");
  const picture = decodeJpeg(file);
  const scans = new Uint8Array(60_000).map((_, i) => i % 2 ? 0xda : 0xff);
  assertEquals(decodeJpeg(Uint8Array.from([...file, ...scans])), picture, "a motion photo");
  assertEquals(decodeJpeg(withSegments(file, segment(0xe2, scans))), picture, "a colour profile");
  assertEquals(decodeJpeg(withSegments(file, segment(0xfe, scans))), picture, "a comment");
});

Deno.test("fill bytes may stand before every marker", () => {
  const file = bytesOf("plain.jpg");
  const filled = withSegments(file, Uint8Array.of(0xff, 0xff));
  assertEquals(decodeJpeg(filled), decodeJpeg(file));
});

/** A file with other numbers in its frame header: the marker's code and what follows its length. */
function withFrame(file: Uint8Array, code: number, edit: (header: Uint8Array) => void) {
  const changed = file.slice();
  const at = changed.findIndex((byte, i) => byte === 0xff && changed[i + 1] === 0xc0);
  changed[at + 1] = code;
  edit(changed.subarray(at + 4));
  return changed;
}

Deno.test("the decoder is told what it may take, and by whom the colours are", () => {
  const { decode } = jpeg;
  const told: unknown[] = [];
  Object.assign(jpeg, {
    decode: (bytes: Uint8Array, options: unknown) => (told.push(options), decode(bytes, options!)),
  });
  try {
    for (const name of ["plain", "rgb_component_ids", "grey_restart_every_3"]) {
      decodeJpeg(bytesOf(`${name}.jpg`), "x", 45 * 45);
    }
  } finally {
    Object.assign(jpeg, { decode });
  }
  const limits = {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: true,
    maxResolutionInMP: 45 * 45 / 1e6,
    maxMemoryUsageInMB: 1024,
  };
  assertEquals(
    told,
    [true, false, undefined].map((colorTransform) => ({ ...limits, colorTransform })),
  );
});

Deno.test("what is not read is refused by its name", () => {
  const file = bytesOf("plain.jpg");
  const cases: [Uint8Array, string][] = [
    [bytesOf("12_bits.jpg"), "a JPEG of 12 bits a sample; 8 are read"],
    [withFrame(file, 0xc3, () => {}), "a JPEG of process SOF3 ("],
    [withFrame(file, 0xc9, () => {}), "a JPEG of process SOF9 ("],
    [
      withFrame(file, 0xc0, (header) => header[5] = 2),
      "a JPEG of 2 components; 1, 3 or 4 are read",
    ],
    [withFrame(file, 0xc0, (header) => header.fill(0, 1, 3)), "a JPEG of 45×0 pixels in its"],
    [file.subarray(0, 100), "a JPEG that is cut off (segment FFC0)"],
    [file.subarray(0, 2), "a JPEG without a frame, or cut off"],
    [file.subarray(0, file.length - 300), "not a JPEG that can be read ("],
  ];
  for (const [bytes, reason] of cases) {
    for (const where of ["in.jpg", undefined]) {
      const { message } = assertThrows(() => decodeJpeg(bytes, where), InputError);
      assert(message.startsWith(`${where ?? "JPEG"}: ${reason}`), message);
    }
  }
});

Deno.test("a damaged JPEG is a picture of its size, or refused", () => {
  for (const name of ["plain", "rgb_component_ids", "grey_restart_every_3"]) {
    for (const damaged of mutations(bytesOf(`${name}.jpg`), 300, 7)) {
      try {
        const { pixels, width, height } = decodeJpeg(damaged, "in.jpg");
        assertEquals(pixels.length, width * height * 3);
      } catch (error) {
        assert(error instanceof InputError, String(error));
      }
    }
  }
});
