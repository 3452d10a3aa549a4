/** The hole in a picture: which of its pixels are missing, and the brush that makes them so. */

export class Hole {
  /** 1 where a pixel is missing, row by row. */
  readonly missing: Uint8Array;

  constructor(readonly width: number, readonly height: number) {
    this.missing = new Uint8Array(width * height);
  }

  /** How much of the picture is missing, 0 … 1. */
  get share(): number {
    return this.missing.reduce((sum, m) => sum + m, 0) / this.missing.length;
  }

  clear(): void {
    this.missing.fill(0);
  }

  /**
   * Draws a round brush from one point to another, in pixels from the upper left corner.
   * @param size the brush's diameter in pixels
   * @param value 1 makes the pixels missing, 0 brings them back
   */
  stroke(from: Point, to: Point, size: number, value: 0 | 1): void {
    const [x0, y0] = from, [x1, y1] = to;
    const moves = Math.max(1, Math.ceil(2 * Math.hypot(x1 - x0, y1 - y0)));
    for (let i = 0; i <= moves; i++) {
      this.#stamp([x0 + (x1 - x0) * i / moves, y0 + (y1 - y0) * i / moves], size, value);
    }
  }

  #stamp(at: Point, size: number, value: 0 | 1): void {
    const [x, y] = brushCentre(at, size);
    const reach = size / 2;
    for (
      let row = Math.max(0, Math.floor(y - reach));
      row < Math.min(this.height, y + reach);
      row++
    ) {
      for (let c = Math.max(0, Math.floor(x - reach)); c < Math.min(this.width, x + reach); c++) {
        if (Math.hypot(c + 0.5 - x, row + 0.5 - y) <= reach) {
          this.missing[row * this.width + c] = value;
        }
      }
    }
  }
}

export type Point = readonly [x: number, y: number];

/** The middle of a brush: of a pixel for odd sizes, between pixels for even ones. */
export function brushCentre([x, y]: Point, size: number): Point {
  return size % 2 === 1
    ? [Math.floor(x) + 0.5, Math.floor(y) + 0.5]
    : [Math.round(x), Math.round(y)];
}
