/** A table of pictures with words at its edges. */
import { paste } from "./grid.ts";
import type { Pixels } from "./pixels.ts";
import { drawText, textHeight, textWidth } from "./text.ts";

/** The words and how they are set. */
export interface LabelledGridOptions {
  /** Words left of the rows. */
  readonly rows: readonly string[];
  /** Words above the columns. */
  readonly columns: readonly string[];
  /** Empty pixels between everything. Default 4. */
  readonly gap?: number;
  /** Pixels a dot of the letters. Default 1. */
  readonly scale?: number;
}

const WHITE = 255;

/**
 * Pictures of one size and kind on white; a column is as wide as its word needs.
 * @param cells a list a row; undefined leaves a place empty
 */
export function labelledGrid(
  cells: readonly (readonly (Pixels | undefined)[])[],
  { rows, columns, gap = 4, scale = 1 }: LabelledGridOptions,
): Pixels {
  const first = cells.flat().find((cell) => cell !== undefined);
  if (!first) throw new Error("expected at least one picture, found none");
  const margin = Math.max(0, ...rows.map((word) => textWidth(word, scale)));
  const widths = columns.map((word) => Math.max(first.width, textWidth(word, scale)));
  const lineHeight = Math.max(first.height, textHeight(scale));
  const head = gap + textHeight(scale) + gap;
  const left = gap + margin + (margin ? gap : 0);
  const width = widths.reduce((sum, w) => sum + w + gap, left);
  const height = head + rows.length * (lineHeight + gap);
  const { channels } = first;
  const pixels = new Uint8Array(width * height * channels).fill(WHITE);
  const table = { pixels, width, height, channels };

  const lefts = widths.map((_, i) => widths.slice(0, i).reduce((sum, w) => sum + w + gap, left));
  const centred = (column: number, size: number) =>
    lefts[column] + Math.floor((widths[column] - size) / 2);
  columns.forEach((word, i) => {
    drawText(table, word, centred(i, textWidth(word, scale)), gap, { scale });
  });
  rows.forEach((word, j) => {
    const top = head + j * (lineHeight + gap);
    const middle = top + Math.floor((lineHeight - textHeight(scale)) / 2);
    drawText(table, word, left - gap - textWidth(word, scale), middle, { scale });
    cells[j]?.forEach((cell, i) => {
      if (cell) paste(table, cell, centred(i, cell.width), top);
    });
  });
  return table;
}

/** Small pictures are enlarged to about this many pixels across, so that words fit beside them. */
export const CAPTIONED_WIDTH = 112;

/** Pixels a dot of the letters beside pictures of a width. */
export function captionScale(width: number): number {
  return width < 96 ? 1 : 2;
}
