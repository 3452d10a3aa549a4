import { assert, assertEquals, assertThrows } from "@std/assert";
import { decodeApng } from "npm:fast-png@8.0.0";
import omggif from "npm:omggif@1.0.10";
import { readApng } from "./apng.ts";
import { encodeApng } from "../src/image/apng.ts";
import { encodeGif } from "../src/image/gif.ts";
import { type Pixels, withChannels } from "../src/image/pixels.ts";
import { enlarge } from "../src/image/resize.ts";
import { crc32 } from "../src/files/crc32.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { encodeEnlarged } from "../src/image/png_enlarged.ts";

const [width, height] = [19, 13];

function frames(
  count: number,
  channels: number,
  level: (p: number, c: number, k: number) => number,
) {
  return Array.from({ length: count }, (_, k): Pixels => ({
    pixels: Uint8Array.from(
      { length: width * height * channels },
      (_, i) => level(Math.floor(i / channels), i % channels, k),
    ),
    width,
    height,
    channels,
  }));
}

/** What another decoder sees: each frame as RGB, and its time in 1/100 s. */
function readGif(file: Uint8Array) {
  const gif = new omggif.GifReader(file);
  const shown = new Uint8Array(gif.width * gif.height * 4);
  return {
    size: [gif.width, gif.height],
    plays: gif.loopCount() as number | null,
    frames: Array.from({ length: gif.numFrames() }, (_, k) => {
      gif.decodeAndBlitFrameRGBA(k, shown);
      return { rgb: shown.filter((_, i) => i % 4 < 3), delay: gif.frameInfo(k).delay };
    }),
  };
}

const grey = frames(3, 1, (p, _, k) => (p + 40 * k) % 256);
const fewColours = frames(3, 3, (p, c, k) => (p % 5) * 40 + c * 20 + k);
const manyColours = frames(2, 3, (p, c, k) => (p * (c + 1) * 3 + 90 * k) % 256);

Deno.test("a grey GIF shows every level exactly", () => {
  const gif = readGif(encodeGif(grey));
  assertEquals(gif.size, [width, height]);
  assertEquals(gif.frames.length, 3);
  gif.frames.forEach(({ rgb }, k) => {
    assertEquals(rgb, Uint8Array.from(rgb, (_, i) => grey[k].pixels[Math.floor(i / 3)]));
  });
});

Deno.test("a GIF of up to 256 colours is exact", () => {
  readGif(encodeGif(fewColours)).frames.forEach(({ rgb }, k) => {
    assertEquals(rgb, fewColours[k].pixels);
  });
});

Deno.test("a GIF of more colours comes near each frame's", () => {
  const noise = frames(2, 3, (p, c, k) => (p * 2654435761 + c * 40503 + k * 7) % 256);
  for (const many of [manyColours, noise]) {
    readGif(encodeGif(many)).frames.forEach(({ rgb }, k) => {
      const off = rgb.reduce((sum, level, i) => sum + Math.abs(level - many[k].pixels[i]), 0);
      assert(off / rgb.length < 6, `mean error ${off / rgb.length}`);
    });
  }
});

Deno.test("256 colours a GIF keeps; of 257 each comes near", () => {
  const side = 17;
  const picture = (colours: number): Pixels => ({
    pixels: Uint8Array.from({ length: side * side * 3 }, (_, i) => {
      const colour = Math.min(colours - 1, Math.floor(i / 3));
      return colour === 256 ? 255 : i % 3 === 0 ? colour : 0;
    }),
    width: side,
    height: side,
    channels: 3,
  });
  const off = (colours: number) => {
    const shown = picture(colours);
    const { rgb } = readGif(encodeGif([shown])).frames[0];
    return rgb.reduce((most, level, i) => Math.max(most, Math.abs(level - shown.pixels[i])), 0);
  };
  assertEquals(off(256), 0);
  assert(off(257) < 40, `${off(257)} levels off`);
});

Deno.test("a GIF keeps each frame's time, and plays without end, once or as often as said", () => {
  const timed = readGif(encodeGif(grey, { delay: [40, 100, 1500] }));
  assertEquals(timed.frames.map(({ delay }) => delay), [4, 10, 150]);
  assertEquals(timed.plays, 0);
  assertEquals(readGif(encodeGif(grey, { plays: 1 })).plays, null);
  assertEquals(readGif(encodeGif(grey, { plays: 3 })).plays, 2);
});

for (const [kind, shown] of Object.entries({ grey, fewColours, manyColours })) {
  Deno.test(`an APNG is lossless: ${kind}`, () => {
    const file = encodeApng(shown, { delay: 80, plays: 2 });
    const apng = decodeApng(file, { checkCrc: true });
    assertEquals([apng.width, apng.height, apng.numberOfPlays], [width, height, 2]);
    assertEquals(apng.frames.map(({ data }) => data), shown.map(({ pixels }) => pixels));
    for (const { delayNumber, delayDenominator } of apng.frames) {
      assertEquals(delayNumber / delayDenominator, 0.08);
    }
  });
}

Deno.test("an APNG plays without end unless it is said how often", () => {
  assertEquals(decodeApng(encodeApng(grey)).numberOfPlays, 0);
  assertEquals(decodeApng(encodeApng(grey, { plays: 1 })).numberOfPlays, 1);
});

Deno.test("an APNG is a still picture with its texts to who knows no animation", () => {
  const { pixels, text } = decodePng(encodeApng(grey, {}, { denoise: "{}" }));
  assertEquals(pixels, grey[0].pixels);
  assertEquals(text, { denoise: "{}" });
});

Deno.test("frames are enlarged as pictures are, on a ground of their own", () => {
  const enlarged = { scale: 2, size: [2 * width + 3, 2 * height + 1] as const };
  for (const shown of [grey, fewColours, manyColours]) {
    const expected = shown.map((frame) => withChannels(enlarge(frame, enlarged), 3).pixels);
    const apng = decodeApng(encodeApng(shown, { enlarged }));
    const rgb = apng.frames.map(({ data }) =>
      withChannels({ ...apng, channels: apng.channels, pixels: data as Uint8Array }, 3).pixels
    );
    assertEquals(rgb, expected);
    const gif = readGif(encodeGif(shown, { enlarged }));
    assertEquals(gif.size, [...enlarged.size]);
    if (shown !== manyColours) assertEquals(gif.frames.map(({ rgb }) => rgb), expected);
  }
});

Deno.test("a frame of up to 256 colours is exact though all frames together have more", () => {
  const mixed = [...manyColours, fewColours[0]];
  const colours = new Set(
    mixed.flatMap(({ pixels }) =>
      Array.from({ length: width * height }, (_, p) => `${pixels.slice(3 * p, 3 * p + 3)}`)
    ),
  );
  assert(colours.size > 256, `${colours.size} colours`);
  const shown = readGif(encodeGif(mixed)).frames.map(({ rgb }) => rgb);
  assertEquals(shown, mixed.map(({ pixels }) => pixels));
});

Deno.test("the still picture of an APNG may be another than its first frame", () => {
  const file = encodeApng(grey, { still: grey[2], delay: 80 }, { denoise: "{}" });
  assertEquals(decodePng(file).pixels, grey[2].pixels);
  assertEquals(decodePng(file).text, { denoise: "{}" });
  const { frames } = readApng(file);
  assertEquals(frames.map(({ pixels }) => pixels), grey.map(({ pixels }) => pixels));
  assertEquals(frames[0].delay, 80);
});

Deno.test("what is written is the same bytes everywhere; who changes them raises PICTURE_VERSION", () => {
  const text = { denoise: '{"api":1}' };
  const enlarged = { scale: 2, size: [2 * width + 3, 2 * height + 1] as const };
  const written = {
    png: encodePng(fewColours[0], text),
    enlarged: encodeEnlarged(fewColours[0], 3, text),
    ground: encodeEnlarged(grey[0], enlarged, text),
    apng: encodeApng(grey, { delay: [40, 100, 1500], plays: 2 }, text),
    still: encodeApng(fewColours, { still: fewColours[2], enlarged }),
    gif: encodeGif(grey, { delay: [40, 100, 1500], plays: 3 }),
    colours: encodeGif(fewColours, { enlarged }),
    many: encodeGif(manyColours),
  };
  const sums = Object.entries(written).map(([name, file]) => [name, crc32(file).toString(16)]);
  assertEquals(Object.fromEntries(sums), {
    png: "17c5adcd",
    enlarged: "a56799aa",
    ground: "cf321f2",
    apng: "53292c57",
    still: "1cb699c0",
    gif: "f3b7b40b",
    colours: "1e0c90bf",
    many: "e64045ab",
  });
});

Deno.test("frames that do not fit together are refused", () => {
  for (const encodeFrames of [encodeGif, encodeApng]) {
    assertThrows(() => encodeFrames([]), Error, "expected at least one frame, found none");
    const colours = "frame 1 is 19×13×3, the first 19×13×1";
    assertThrows(() => encodeFrames([grey[0], fewColours[0]]), Error, colours);
    const delays = "expected 3 delays of 0 to 65535 ms, found [1,2]";
    assertThrows(() => encodeFrames(grey, { delay: [1, 2] }), Error, delays);
  }
});
