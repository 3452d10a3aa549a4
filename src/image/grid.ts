/** Several pictures as one. */
import type { Pixels } from "./pixels.ts";

export interface GridOptions {
  /** Default: as square as it gets. */
  readonly columns?: number;
  /** Empty pixels between pictures. */
  readonly gap?: number;
  /** The level of what no picture covers. */
  readonly background?: number;
}

/** Pictures of equal size, row by row. */
export function grid(
  pictures: readonly Pixels[],
  { columns = Math.ceil(Math.sqrt(pictures.length)), gap = 0, background = 0 }: GridOptions = {},
): Pixels {
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
  for (let row = 0; row < height; row++) {
    const from = row * width * channels;
    const to = ((y + row) * target.width + x) * channels;
    target.pixels.set(pixels.subarray(from, from + width * channels), to);
  }
}
