/** Words on pictures. */
import { glyph, GLYPH_COLUMNS, GLYPH_ROWS } from "./font.ts";
import type { Pixels } from "./pixels.ts";

/** How letters look. */
export interface TextStyle {
  /** A sample's value, the same in every channel. Default 0: black. */
  readonly level?: number;
  /** Pixels a dot. Default 1. */
  readonly scale?: number;
}

/** How wide {@link drawText} makes a text, in pixels. */
export function textWidth(text: string, scale = 1): number {
  return Math.max(0, text.length * (GLYPH_COLUMNS + 1) - 1) * scale;
}

/** How high it makes it. */
export function textHeight(scale = 1): number {
  return GLYPH_ROWS * scale;
}

/** Writes a line of ASCII into a picture, its upper left corner at (x, y); what lies outside is cut. */
export function drawText(
  target: Pixels,
  text: string,
  x: number,
  y: number,
  { level = 0, scale = 1 }: TextStyle = {},
): void {
  for (const [at, sign] of [...text].entries()) {
    glyph(sign).forEach((bits, column) => {
      const left = x + (at * (GLYPH_COLUMNS + 1) + column) * scale;
      for (let row = 0; row < GLYPH_ROWS; row++) {
        if (bits >> row & 1) fillSquare(target, left, y + row * scale, scale, level);
      }
    });
  }
}

function fillSquare(target: Pixels, left: number, top: number, size: number, level: number): void {
  const { width, height, channels, pixels } = target;
  for (let y = Math.max(0, top); y < Math.min(height, top + size); y++) {
    for (let x = Math.max(0, left); x < Math.min(width, left + size); x++) {
      pixels.fill(level, (y * width + x) * channels, (y * width + x + 1) * channels);
    }
  }
}
