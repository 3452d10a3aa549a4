/** Exif's orientation: which sides of the scene a camera's first row and column are. */
import type { Pixels } from "./pixels.ts";

const ORIENTATION = 0x0112;
const SHORT = 3, LONG = 4;
const ENTRY_BYTES = 12;

/** Orientations whose first row is at the bottom or, where rows are upright, on the right. */
const rowsBackwards = new Set([3, 4, 6, 7]);
/** Orientations whose first column is on the right or, where columns lie, at the bottom. */
const columnsBackwards = new Set([2, 3, 7, 8]);

/**
 * The orientation, 1 to 8, that Exif data gives its picture; 1, as stored, where it gives none that
 * can be read (Exif 2.32, 4.5 and 4.6.4; TIFF 6.0, section 2).
 * @param tiff what follows "Exif\0\0" in a JPEG's APP1 segment
 */
export function exifOrientation(tiff: Uint8Array): number {
  const order = String.fromCharCode(...tiff.subarray(0, 2));
  if (tiff.length < 8 || (order !== "II" && order !== "MM")) return 1;
  const little = order === "II";
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const directory = view.getUint32(4, little);
  if (view.getUint16(2, little) !== 42 || directory + 2 > tiff.length) return 1;
  const first = directory + 2;
  const entries = Math.min(
    view.getUint16(directory, little),
    Math.floor((tiff.length - first) / ENTRY_BYTES),
  );
  for (let i = 0; i < entries; i++) {
    const at = first + i * ENTRY_BYTES;
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    const type = view.getUint16(at + 2, little), count = view.getUint32(at + 4, little);
    if (count !== 1 || type !== SHORT && type !== LONG) return 1;
    // Exif wants a SHORT; some phones write a LONG, which libexif and Pillow read as well.
    const value = type === LONG ? view.getUint32(at + 8, little) : view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

/** A stored picture as it is to be seen; from orientation 5 on, width and height change places. */
export function upright(picture: Pixels, orientation: number): Pixels {
  if (orientation === 1) return picture;
  const { pixels, width, height, channels } = picture;
  const turned = orientation >= 5;
  const flipsRows = rowsBackwards.has(orientation);
  const flipsColumns = columnsBackwards.has(orientation);
  const [across, down] = turned ? [height, width] : [width, height];
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      const row = turned ? x : y;
      const column = turned ? y : x;
      const fromRow = flipsRows ? height - 1 - row : row;
      const fromColumn = flipsColumns ? width - 1 - column : column;
      const from = (fromRow * width + fromColumn) * channels;
      const to = (y * across + x) * channels;
      for (let c = 0; c < channels; c++) out[to + c] = pixels[from + c];
    }
  }
  return { pixels: out, width: across, height: down, channels };
}
