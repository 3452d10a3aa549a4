/** PNG, with the text chunks that carry a picture's recipe. */
import { decode, encode } from "npm:fast-png@8.0.0";
import { InputError } from "../errors.ts";
import type { Pixels } from "./pixels.ts";

/** The largest picture that is decoded, in pixels: a PNG of a few bytes can announce gigabytes. */
export const MAX_DECODED_PIXELS = 64_000_000;

/** A PNG file; `text` becomes tEXt chunks (Latin-1: escape what lies beyond). */
export function encodePng(
  { pixels, width, height, channels }: Pixels,
  text: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const png = encode({
    width,
    height,
    data: pixels,
    channels: channels as 1 | 2 | 3 | 4,
    depth: 8,
    text,
  });
  return png as Uint8Array<ArrayBuffer>;
}

export interface DecodedPng extends Pixels {
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; palettes come as RGB or RGBA. */
  readonly channels: number;
  readonly text: Readonly<Record<string, string>>;
}

/** Any PNG as 8-bit pixels. @throws InputError for a damaged or oversized file. */
export function decodePng(bytes: Uint8Array, where = "PNG"): DecodedPng {
  checkSize(bytes, where);
  let image: ReturnType<typeof decode>;
  try {
    image = decode(bytes, { checkCrc: true });
  } catch (error) {
    throw new InputError(`${where}: not a PNG that can be read (${(error as Error).message})`);
  }
  const { width, height, palette, text = {} } = image;
  const data = unpackBits(image);
  if (!palette) {
    const channels = image.channels;
    if (data.length !== width * height * channels) {
      throw new InputError(`${where}: the picture is cut off`);
    }
    return { pixels: data, width, height, channels, text };
  }
  const channels = palette.some((colour) => colour.length === 4) ? 4 : 3;
  const pixels = new Uint8Array(width * height * channels);
  for (let p = 0; p < width * height; p++) {
    const colour = palette[data[p]];
    if (!colour) {
      throw new InputError(`${where}: a pixel names colour ${data[p]}, which is missing`);
    }
    pixels.set([...colour, 255].slice(0, channels), p * channels);
  }
  return { pixels, width, height, channels, text };
}

function checkSize(bytes: Uint8Array, where: string): void {
  const signature = [137, 80, 78, 71, 13, 10, 26, 10];
  if (bytes.length < 33 || !signature.every((byte, i) => bytes[i] === byte)) {
    throw new InputError(`${where}: expected a PNG, found another format`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (width === 0 || height === 0 || width * height > MAX_DECODED_PIXELS) {
    throw new InputError(
      `${where}: ${width}×${height} pixels; 1 to ${MAX_DECODED_PIXELS} are decoded`,
    );
  }
}

/** 16-bit samples to 8; 1-, 2- and 4-bit rows to a byte a pixel, grey stretched to 0 … 255. */
function unpackBits({ data, depth, width, height, channels, palette }: ReturnType<typeof decode>) {
  if (depth === 16) return Uint8Array.from(data, (sample) => sample >> 8);
  if (depth === 8) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const rowBytes = Math.ceil(width * channels * depth / 8);
  const most = 2 ** depth - 1;
  const out = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < width * channels; i++) {
      const byte = data[y * rowBytes + (i * depth >> 3)];
      const level = (byte >> (8 - depth - (i * depth & 7))) & most;
      out[y * width * channels + i] = palette ? level : level * 255 / most;
    }
  }
  return out;
}
