/** Pictures brought to another size. */
import { paste } from "./grid.ts";
import type { Pixels } from "./pixels.ts";

/** The largest middle part of the given proportions, scaled to width × height. */
export function resizeCrop(picture: Pixels, width: number, height: number): Pixels {
  const scale = Math.min(picture.width / width, picture.height / height);
  const [w, h] = [width * scale, height * scale];
  const left = (picture.width - w) / 2;
  const top = (picture.height - h) / 2;
  return resample(picture, { left, top, width: w, height: h }, width, height);
}

/** How pixels become larger ones. */
export interface Enlargement {
  /** A pixel is a square of scale × scale; default 1. */
  readonly scale?: number;
  /**
   * Width and height of the whole, at least scale times the picture's, which is in its middle; around it
   * is its ground, the median of its outermost pixels.
   */
  readonly size?: readonly [width: number, height: number];
}

/** Every pixel as a square, on a ground of any size. */
export function enlarge(picture: Pixels, by: number | Enlargement): Pixels {
  const { grounded, columns, rows } = enlargement(picture, by);
  return repeat(grounded, columns, rows);
}

/** A picture with its ground as an edge of one pixel where there is to be any, and how its pixels repeat. */
export interface Repeats {
  readonly grounded: Pixels;
  /** How often each of its columns and rows is to be there. */
  readonly columns: Uint32Array;
  readonly rows: Uint32Array;
}

export function enlargement(picture: Pixels, by: number | Enlargement): Repeats {
  const { width, height, channels } = picture;
  const { scale = 1, size = [scale * width, scale * height] } = typeof by === "number"
    ? { scale: by }
    : by;
  const [across, down] = [edges(width, scale, size[0]), edges(height, scale, size[1])];
  const [columns, rows] = [across.repeats, down.repeats];
  if (columns.length === width && rows.length === height) {
    return { grounded: picture, columns, rows };
  }
  const pixels = new Uint8Array(columns.length * rows.length * channels);
  const ground = groundOf(picture);
  for (let i = 0; i < pixels.length; i++) pixels[i] = ground[i % channels];
  const grounded = { pixels, width: columns.length, height: rows.length, channels };
  paste(grounded, picture, across.first, down.first);
  return { grounded, columns, rows };
}

/** The repeats of a line of pixels in the middle of `whole`, and where in them the line's own begin. */
function edges(length: number, scale: number, whole: number) {
  const over = whole - scale * length;
  if (over < 0) throw new Error(`${length} pixels × ${scale} do not fit ${whole}`);
  const [before, after] = [Math.floor(over / 2), Math.ceil(over / 2)];
  const own = new Array<number>(length).fill(scale);
  const repeats = Uint32Array.from([before, ...own, after].filter((times) => times > 0));
  return { repeats, first: before > 0 ? 1 : 0 };
}

/** The median of the outermost pixels, channel by channel. */
function groundOf({ pixels, width, height, channels }: Pixels): number[] {
  const edge: number[] = [];
  for (let p = 0; p < width * height; p++) {
    const x = p % width, y = Math.floor(p / width);
    if (x === 0 || y === 0 || x === width - 1 || y === height - 1) edge.push(p);
  }
  return Array.from({ length: channels }, (_, c) => {
    const levels = edge.map((p) => pixels[p * channels + c]).sort((a, b) => a - b);
    return levels[levels.length >> 1];
  });
}

/** Every column and row as often as is said. */
export function repeat(picture: Pixels, columns: Uint32Array, rows: Uint32Array): Pixels {
  const { pixels, channels } = picture;
  const [width, height] = [columns, rows].map((times) => times.reduce((a, b) => a + b, 0));
  if (width === picture.width && height === picture.height) return picture;
  const row = width * channels;
  const out = new Uint8Array(row * height);
  let from = 0, to = 0;
  for (const copies of rows) {
    const start = to;
    for (const times of columns) {
      for (let time = 0; time < times; time++) {
        for (let c = 0; c < channels; c++) out[to++] = pixels[from + c];
      }
      from += channels;
    }
    for (let copy = 1; copy < copies; copy++, to += row) out.copyWithin(to, start, start + row);
  }
  return { pixels: out, width, height, channels };
}

interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A region scaled with a triangle filter, as wide as the shrinking: no aliasing, no blur at 1:1. */
function resample(picture: Pixels, region: Region, width: number, height: number): Pixels {
  const { channels } = picture;
  const across = weights(region.left, region.width, width, picture.width);
  const down = weights(region.top, region.height, height, picture.height);
  const rows = new Float32Array(picture.height * width * channels);
  for (let y = 0; y < picture.height; y++) {
    across.forEach(({ first, parts }, x) => {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0; i < parts.length; i++) {
          sum += parts[i] * picture.pixels[(y * picture.width + first + i) * channels + c];
        }
        rows[(y * width + x) * channels + c] = sum;
      }
    });
  }
  const pixels = new Uint8Array(width * height * channels);
  down.forEach(({ first, parts }, y) => {
    for (let at = 0; at < width * channels; at++) {
      let sum = 0;
      for (let i = 0; i < parts.length; i++) {
        sum += parts[i] * rows[(first + i) * width * channels + at];
      }
      pixels[y * width * channels + at] = Math.round(sum);
    }
  });
  return { pixels, width, height, channels };
}

/** For each target pixel, the source pixels it covers and how much each counts. */
function weights(start: number, length: number, target: number, source: number) {
  const scale = length / target;
  const radius = Math.max(1, scale);
  return Array.from({ length: target }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.ceil(centre - radius - 0.5));
    const last = Math.min(source - 1, Math.floor(centre + radius - 0.5));
    const parts = Array.from(
      { length: last - first + 1 },
      (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / radius),
    );
    const sum = parts.reduce((a, b) => a + b, 0);
    return { first, parts: parts.map((part) => part / sum) };
  });
}
