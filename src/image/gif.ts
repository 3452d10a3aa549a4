/** Animated GIF. */
import * as module from "npm:gifenc@1.0.3";
import { type AnimationOptions, delaysOf } from "./animation.ts";
import { type Pixels, withChannels } from "./pixels.ts";
import { enlargement, repeat } from "./resize.ts";

type Colour = readonly number[];

/** gifenc, which brings no types. */
interface Gifenc {
  GIFEncoder(): {
    writeFrame(
      indices: Uint8Array,
      width: number,
      height: number,
      options: { palette?: readonly Colour[]; delay: number; repeat: number },
    ): void;
    finish(): void;
    bytes(): Uint8Array<ArrayBuffer>;
  };
  quantize(rgba: Uint8Array, colours: number): Colour[];
  applyPalette(rgba: Uint8Array, palette: readonly Colour[]): Uint8Array;
}

// Bundlers and Deno differ in how they show a CommonJS module's names.
const found = module as unknown as Partial<Gifenc> & { default: Gifenc };
const gifenc = found.GIFEncoder ? found as Gifenc : found.default;

const MAX_COLOURS = 256;
const greys: readonly Colour[] = Array.from({ length: 256 }, (_, level) => [level, level, level]);

/**
 * Frames as a GIF. Grey is exact, and so is RGB while all frames together, or a frame, have at most 256
 * colours; beyond that a frame gets the 256 that come nearest. Times are rounded to 1/100 s.
 * @param frames of equal size and channels; alpha is laid over white
 */
export function encodeGif(
  frames: readonly Pixels[],
  options: AnimationOptions = {},
): Uint8Array<ArrayBuffer> {
  const delays = delaysOf(frames, options);
  const { plays = 0, enlarged = {} } = options;
  const [{ channels }] = frames;
  const larger = frames.map((frame) =>
    enlargement(withChannels(frame, channels < 3 ? 1 : 3), enlarged)
  );
  const opaque = larger.map(({ grounded }) => grounded);
  // gifenc writes the shared palette with the first frame, and −1 for "once".
  const indexed = channels < 3 ? indexGrey(opaque) : indexRgb(opaque);
  const gif = gifenc.GIFEncoder();
  indexed.forEach(({ indices, palette }, i) => {
    const { grounded, columns, rows } = larger[i];
    const small = { ...grounded, pixels: indices, channels: 1 };
    const { pixels, width, height } = repeat(small, columns, rows);
    gif.writeFrame(pixels, width, height, {
      palette,
      delay: delays[i],
      repeat: plays === 1 ? -1 : plays === 0 ? 0 : plays - 1,
    });
  });
  gif.finish();
  return gif.bytes();
}

interface Indexed {
  indices: Uint8Array;
  /** Left out where the first frame's holds. */
  palette?: readonly Colour[];
}

function indexGrey(frames: readonly Pixels[]): Indexed[] {
  return frames.map(({ pixels }, i) => ({ indices: pixels, palette: i ? undefined : greys }));
}

function indexRgb(frames: readonly Pixels[]): Indexed[] {
  return indexExactly(frames) ??
    frames.map((frame) => indexExactly([frame])?.[0] ?? quantized(frame));
}

/** One palette over all frames, or undefined where they have too many colours. */
function indexExactly(frames: readonly Pixels[]): Indexed[] | undefined {
  const indexOf = new Map<number, number>();
  const all: Uint8Array[] = [];
  for (const { pixels } of frames) {
    const indices = new Uint8Array(pixels.length / 3);
    for (let p = 0; p < indices.length; p++) {
      const colour = pixels[p * 3] << 16 | pixels[p * 3 + 1] << 8 | pixels[p * 3 + 2];
      let index = indexOf.get(colour);
      if (index === undefined) {
        index = indexOf.size;
        if (index === MAX_COLOURS) return undefined;
        indexOf.set(colour, index);
      }
      indices[p] = index;
    }
    all.push(indices);
  }
  const palette = [...indexOf.keys()].map((c) => [c >> 16, c >> 8 & 255, c & 255]);
  return all.map((indices, i) => ({ indices, palette: i ? undefined : palette }));
}

function quantized({ pixels, width, height }: Pixels): Indexed {
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let p = 0; p < width * height; p++) {
    rgba[p * 4] = pixels[p * 3];
    rgba[p * 4 + 1] = pixels[p * 3 + 1];
    rgba[p * 4 + 2] = pixels[p * 3 + 2];
  }
  const palette = gifenc.quantize(rgba, MAX_COLOURS);
  return { indices: gifenc.applyPalette(rgba, palette), palette };
}
