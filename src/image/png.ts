/** PNG, with the text chunks that carry a picture's recipe. */
import { decode, encode } from "npm:fast-png@8.0.0";
import { Unzlib, zlibSync } from "npm:fflate@0.8.3";
import { InputError } from "../errors.ts";
import { fromPasses, passSizes, type Size } from "./adam7.ts";
import type { Pixels } from "./pixels.ts";
import {
  type Chunk,
  type Header,
  readChunks,
  readHeader,
  writeChunks,
  writeHeader,
} from "./png_chunks.ts";
import { textOf } from "./png_text.ts";

export { readPngText } from "./png_text.ts";

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
 * @throws InputError for a damaged file, or more than {@link MAX_DECODED_PIXELS} pixels.
 */
export function decodePng(
  bytes: Uint8Array,
  where = "PNG",
  maxPixels: number = MAX_DECODED_PIXELS,
): DecodedPng {
  const chunks = readChunks(bytes, where);
  const header = readHeader(chunks[0], where);
  checkSize(header, where, maxPixels);
  checkPalette(chunks, header, where);
  // Everything else is dropped: fast-png would inflate a colour profile without a limit.
  const kept = chunks.filter(({ type }) => /^(IHDR|PLTE|tRNS|IDAT|IEND)$/.test(type));
  const picture = header.interlaced && header.depth < 8
    ? decodePasses(kept, header, where)
    : decodeWhole(kept, header, where);
  return { ...picture, text: textOf(chunks) };
}

function decodeWhole(chunks: readonly Chunk[], header: Header, where: string): Pixels {
  inflateData(chunks, header, where, () => {});
  return decodeChunks(chunks, where);
}

function decodeChunks(chunks: readonly Chunk[], where: string): Pixels {
  let image: Image;
  try {
    image = decode(writeChunks(chunks));
  } catch (error) {
    throw new InputError(`${where}: not a PNG that can be read (${(error as Error).message})`);
  }
  return toBytes(image, where);
}

/** fast-png reads no interlaced pixels of less than a byte: it is given each pass by itself. */
function decodePasses(chunks: readonly Chunk[], header: Header, where: string): Pixels {
  const bytes = new Uint8Array(inflatedBytes(header));
  let filled = 0;
  inflateData(chunks, header, where, (part) => {
    bytes.set(part.subarray(0, bytes.length - filled), filled);
    filled = Math.min(bytes.length, filled + part.length);
  });
  let at = 0;
  const passes = passSizes(header).map((size) => {
    const length = lineBytes(size, header);
    const data = zlibSync(bytes.subarray(at, at += length), { level: 0 });
    if (length === 0) return undefined;
    const pass = chunks.filter(({ type }) => type !== "IDAT").flatMap((chunk) => {
      if (chunk.type === "IHDR") return [writeHeader({ ...header, ...size, interlaced: false })];
      return chunk.type === "IEND" ? [{ type: "IDAT", data }, chunk] : [chunk];
    });
    return decodeChunks(pass, where);
  });
  return fromPasses(header, passes);
}

function checkSize(
  { width, height }: Header,
  where: string,
  maxPixels: number,
): void {
  if (width === 0 || height === 0 || width * height > maxPixels) {
    throw new InputError(
      `${where}: ${width}×${height} pixels; 1 to ${maxPixels} are decoded`,
    );
  }
}

const samplesOf: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** How many bytes the lines of a picture take, filter bytes included. */
function lineBytes({ width, height }: Size, { depth, colourType }: Header): number {
  if (width === 0) return 0;
  return height * (1 + Math.ceil(width * samplesOf[colourType] * depth / 8));
}

/** How many bytes the inflated pixels take. */
function inflatedBytes(header: Header): number {
  if (!header.interlaced) return lineBytes(header, header);
  return passSizes(header).reduce((sum, size) => sum + lineBytes(size, header), 0);
}

function checkPalette(chunks: readonly Chunk[], { colourType }: Header, where: string): void {
  const palette = chunks.find(({ type }) => type === "PLTE")?.data.length;
  if (palette ? palette > 768 || palette % 3 !== 0 : colourType === 3) {
    throw new InputError(`${where}: expected a palette of 1 to 256 colours`);
  }
}

/**
 * Inflates the pixels part by part. The decoder takes whatever its inflater gives: here the bytes
 * are counted as they come.
 */
function inflateData(
  chunks: readonly Chunk[],
  header: Header,
  where: string,
  onPart: (part: Uint8Array) => void,
): void {
  const expected = inflatedBytes(header);
  let found = 0;
  const inflate = new Unzlib((part) => {
    found += part.length;
    onPart(part);
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
