/** Interlacing (PNG specification, third edition, §8.2): a picture as seven small ones. */
import type { Pixels } from "./pixels.ts";

/** A picture's size. */
export interface Size {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
}

/** [x, y] of each pass' first pixel, and its steps along x and y. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** The sizes of the seven passes, in their order; those of small pictures may have no pixels. */
export function passSizes({ width, height }: Size): Size[] {
  return PASSES.map(([x, y, dx, dy]) => ({
    width: Math.ceil((width - x) / dx),
    height: Math.ceil((height - y) / dy),
  }));
}

/**
 * The whole picture from its passes.
 * @param passes as {@link passSizes} has them; undefined where a pass has no pixels
 */
export function fromPasses(
  { width, height }: Size,
  passes: readonly (Pixels | undefined)[],
): Pixels {
  const { channels } = passes[0]!;
  const pixels = new Uint8Array(width * height * channels);
  PASSES.forEach(([x, y, dx, dy], i) => {
    const pass = passes[i];
    for (let row = 0; row < (pass?.height ?? 0); row++) {
      for (let column = 0; column < pass!.width; column++) {
        const from = (row * pass!.width + column) * channels;
        const to = ((y + row * dy) * width + x + column * dx) * channels;
        for (let c = 0; c < channels; c++) pixels[to + c] = pass!.pixels[from + c];
      }
    }
  });
  return { pixels, width, height, channels };
}
