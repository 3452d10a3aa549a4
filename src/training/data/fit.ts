/** Scales, crops and converts pictures to a data set's size and channels. */
import { type Pixels, withChannels } from "../../image/pixels.ts";
import { resizeCrop } from "../../image/resize.ts";
import type { DataOptions } from "./data_set.ts";

type Wanted = Pick<DataOptions, "size" | "channels">;

/** One picture scaled and cropped to its middle, in grey or RGB, written as [C, H, W] into `out`. */
export function fitPicture(picture: Pixels, { size, channels }: Wanted, out: Uint8Array): void {
  const [height, width] = size;
  const coloured = withChannels(picture, channels);
  const { pixels } = coloured.width === width && coloured.height === height
    ? coloured
    : resizeCrop(coloured, width, height);
  const area = height * width;
  for (let c = 0; c < channels; c++) {
    for (let p = 0; p < area; p++) out[c * area + p] = pixels[p * channels + c];
  }
}

interface Stack {
  readonly length: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** Pictures that lie [N, H, W, C] in one array, as [N, C, H, W] of the size and colours asked for. */
export function fitPictures(pixels: Uint8Array, stack: Stack, wanted: Wanted): Uint8Array {
  const { length, height, width, channels } = stack;
  const from = height * width * channels;
  const to = wanted.size[0] * wanted.size[1] * wanted.channels;
  const out = new Uint8Array(length * to);
  for (let i = 0; i < length; i++) {
    const picture = pixels.subarray(i * from, (i + 1) * from);
    fitPicture(
      { pixels: picture, height, width, channels },
      wanted,
      out.subarray(i * to, (i + 1) * to),
    );
  }
  return out;
}
