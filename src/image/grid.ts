/** Several pictures as one. */
import type { Pixels } from "./pixels.ts";

/** How pictures are laid out. */
export interface GridOptions {
  /** Default: as square as it gets. */
  readonly columns?: number;
  /** Empty pixels between pictures. */
  readonly gap?: number;
  /** The level of what no picture covers. */
  readonly background?: number;
}

/** Pictures of equal size, row by row. @throws Error for none, or for pictures of different sizes. */
export function grid(
  pictures: readonly Pixels[],
  { columns = Math.ceil(Math.sqrt(pictures.length)), gap = 0, background = 0 }: GridOptions = {},
): Pixels {
  if (pictures.length === 0) throw new Error("expected at least one picture, found none");
  const [{ width, height, channels }] = pictures;
  const rows = Math.ceil(pictures.length / columns);
  const whole = {
    width: columns * width + (columns - 1) * gap,
    height: rows * height + (rows - 1) * gap,
    channels,
  };
  const pixels = new Uint8Array(whole.width * whole.height * channels).fill(background);
  const target = { pixels, ...whole };
  pictures.forEach((picture, i) => {
    if (picture.width !== width || picture.height !== height) {
      throw new Error(
        `picture ${i} is ${picture.width}×${picture.height}, the first ${width}×${height}`,
      );
    }
    const x = (i % columns) * (width + gap);
    const y = Math.floor(i / columns) * (height + gap);
    paste(target, picture, x, y);
  });
  return target;
}

/** Copies a picture into another of the same channels, its corner at (x, y). */
export function paste(target: Pixels, picture: Pixels, x: number, y: number): void {
  const { width, height, channels, pixels } = picture;
  if (channels !== target.channels) {
    throw new Error(`expected a picture of ${target.channels} channels, found ${channels}`);
  }
  if (x < 0 || y < 0 || x + width > target.width || y + height > target.height) {
    throw new Error(
      `a picture of ${width}×${height} at (${x}, ${y}) leaves one of ${target.width}×${target.height}`,
    );
  }
  for (let row = 0; row < height; row++) {
    const from = row * width * channels;
    const to = ((y + row) * target.width + x) * channels;
    target.pixels.set(pixels.subarray(from, from + width * channels), to);
  }
}
