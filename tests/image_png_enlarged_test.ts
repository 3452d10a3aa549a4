/** Enlarged pictures as PNG. */
import { assert, assertEquals } from "@std/assert";
import { decodePng, encodePng } from "../src/image/png.ts";
import { encodeEnlarged } from "../src/image/png_enlarged.ts";
import { enlarge } from "../src/image/resize.ts";

Deno.test("an enlarged PNG is the PNG of the enlarged picture, with its texts, and smaller", () => {
  for (const channels of [1, 2, 3, 4]) {
    for (const [width, height, factor] of [[28, 28, 20], [5, 3, 2], [1, 1, 7], [9, 2, 1]]) {
      const pixels = Uint8Array.from(
        { length: width * height * channels },
        (_, i) => (i * 7919 + 13) % 256,
      );
      const picture = { pixels, width, height, channels };
      const text = { denoise: '{"api":1}', other: "caf\u00e9" };
      const png = encodeEnlarged(picture, factor, text);
      const whole = encodePng(enlarge(picture, factor), text);
      const { pixels: read, text: texts, ...size } = decodePng(png);
      const expected = decodePng(whole);
      assertEquals(size, {
        width: width * factor,
        height: height * factor,
        channels: expected.channels,
      });
      assert(read.every((value, i) => value === expected.pixels[i]), `${channels} ${factor}`);
      assertEquals(texts, expected.text);
      const larger = [width * factor + 3, height * factor + 1] as const;
      const framed = decodePng(encodeEnlarged(picture, { scale: factor, size: larger }, text));
      const same = enlarge(picture, { scale: factor, size: larger });
      assertEquals([framed.width, framed.height], [...larger]);
      assert(framed.pixels.every((value, i) => value === same.pixels[i]), `${larger}`);
      if (factor === 20) assert(png.length * 4 < whole.length, `${png.length} ${whole.length}`);
    }
  }
});
