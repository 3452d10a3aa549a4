/** PNG, with the text chunks that carry a picture's recipe. */
import { decode, encode } from "npm:fast-png@8.0.0";
import { Unzlib } from "npm:fflate@0.8.3";
import { InputError } from "../errors.ts";
import type { Pixels } from "./pixels.ts";
import {
  type Chunk,
  type Header,
  readChunks,
  readHeader,
  textOf,
  writeChunks,
} from "./png_chunks.ts";

export { readPngText } from "./png_chunks.ts";

/** The largest picture that is decoded, in pixels: a PNG of a few bytes can announce gigabytes. */
export const MAX_DECODED_PIXELS = 64_000_000;

/**
 * A PNG file of 8 bits a sample.
 * @param picture 1 channel is grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
 * @param text becomes tEXt chunks (Latin-1: escape what lies beyond; keywords of 1 to 79 letters)
 */
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

/** A PNG's pixels and texts. */
export interface DecodedPng extends Pixels {
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; palettes come as RGB or RGBA. */
  readonly channels: number;
  /** By keyword; see {@link readPngText}. */
  readonly text: Readonly<Record<string, string>>;
}

/**
 * Any PNG as 8-bit pixels: palettes resolved, a transparent colour as an alpha channel, 16 bits
 * rounded to 8, 1, 2 and 4 bits stretched to 0 … 255. Colour profiles and gamma are not applied.
 * @throws InputError for a damaged file, more than {@link MAX_DECODED_PIXELS} pixels, or interlaced
 * pixels of less than a byte.
 */
export function decodePng(bytes: Uint8Array, where = "PNG"): DecodedPng {
  const chunks = readChunks(bytes, where);
  const header = readHeader(chunks[0], where);
  checkSize(header, where);
  checkData(chunks, header, where);
  // Everything else is dropped: fast-png would inflate a colour profile without a limit.
  const kept = chunks.filter(({ type }) => /^(IHDR|PLTE|tRNS|IDAT|IEND)$/.test(type));
  let image: ReturnType<typeof decode>;
  try {
    image = decode(writeChunks(kept));
  } catch (error) {
    throw new InputError(`${where}: not a PNG that can be read (${(error as Error).message})`);
  }
  return { ...toBytes(image, where), text: textOf(chunks) };
}

function checkSize({ width, height, depth, interlaced }: Header, where: string): void {
  if (width === 0 || height === 0 || width * height > MAX_DECODED_PIXELS) {
    throw new InputError(
      `${where}: ${width}×${height} pixels; 1 to ${MAX_DECODED_PIXELS} are decoded`,
    );
  }
  if (interlaced && depth < 8) {
    throw new InputError(
      `${where}: interlaced with ${depth} bits a sample, which is not read; save it without interlacing`,
    );
  }
}

const samplesOf: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** How many bytes the inflated pixels take, filter bytes included. */
function inflatedBytes({ width, height, depth, colourType, interlaced }: Header): number {
  const lines = (w: number, h: number) =>
    w > 0 && h > 0 ? h * (1 + Math.ceil(w * samplesOf[colourType] * depth / 8)) : 0;
  if (!interlaced) return lines(width, height);
  // Adam7: [x, y, step of x, step of y] of the seven passes.
  const passes = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ];
  return passes.reduce(
    (sum, [x, y, dx, dy]) => sum + lines(Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)),
    0,
  );
}

/** The decoder takes whatever its inflater gives: here the bytes are counted as they come. */
function checkData(chunks: readonly Chunk[], header: Header, where: string): void {
  const palette = chunks.find(({ type }) => type === "PLTE")?.data.length;
  if (palette ? palette > 768 || palette % 3 !== 0 : header.colourType === 3) {
    throw new InputError(`${where}: expected a palette of 1 to 256 colours`);
  }
  const expected = inflatedBytes(header);
  let found = 0;
  const inflate = new Unzlib((part) => {
    found += part.length;
  });
  const most = expected + 65536;
  try {
    for (const { type, data } of chunks) {
      if (type !== "IDAT") continue;
      for (let at = 0; at < data.length && found <= most; at += 16384) {
        inflate.push(data.slice(at, at + 16384));
      }
    }
  } catch (error) {
    throw new InputError(`${where}: the PNG is damaged (${(error as Error).message})`);
  }
  if (found < expected || found > most) {
    throw new InputError(
      `${where}: the PNG is damaged (${expected} bytes of pixels announced, ${
        found > most ? "more" : found
      } found)`,
    );
  }
}

type Image = ReturnType<typeof decode>;

function toBytes(image: Image, where: string): Pixels {
  const { width, height, depth, channels, palette, transparency } = image;
  const samples = depth < 8 ? unpackBits(image) : image.data;
  const area = width * height;
  if (palette && channels === 1) {
    const out = palette[0].length;
    const pixels = new Uint8Array(area * out);
    for (let p = 0; p < area; p++) {
      const colour = palette[samples[p]];
      if (!colour) {
        throw new InputError(`${where}: a pixel names colour ${samples[p]}, which is missing`);
      }
      for (let c = 0; c < out; c++) pixels[p * out + c] = colour[c];
    }
    return { pixels, width, height, channels: out };
  }
  const most = 2 ** depth - 1;
  const keyed = transparency?.length === channels;
  const out = keyed ? channels + 1 : channels;
  const pixels = new Uint8Array(area * out);
  for (let p = 0; p < area; p++) {
    let opaque = !keyed;
    for (let c = 0; c < channels; c++) {
      const sample = samples[p * channels + c];
      pixels[p * out + c] = depth === 8 ? sample : Math.round(sample * 255 / most);
      if (keyed && sample !== transparency[c]) opaque = true;
    }
    if (keyed) pixels[p * out + channels] = opaque ? 255 : 0;
  }
  return { pixels, width, height, channels: out };
}

/** Rows of 1-, 2- or 4-bit samples to a byte a sample. */
function unpackBits({ data, depth, width, height, channels }: Image): Uint8Array {
  const rowBytes = Math.ceil(width * channels * depth / 8);
  const mask = 2 ** depth - 1;
  const out = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < width * channels; i++) {
      const byte = data[y * rowBytes + (i * depth >> 3)];
      out[y * width * channels + i] = (byte >> (8 - depth - (i * depth & 7))) & mask;
    }
  }
  return out;
}
