/** The texts in a PNG file (PNG specification, third edition, §11.3.3). */
import { Unzlib } from "npm:fflate@0.8.3";
import { type Chunk, readChunks } from "./png_chunks.ts";

/** The most bytes that compressed texts may become, all together; a recipe of 4,096 seeds has 60,000. */
const MAX_TEXT_BYTES = 1 << 24;

/**
 * The texts of a PNG by keyword: tEXt, zTXt and iTXt, whichever an optimiser made of them.
 * @throws InputError as {@link readChunks} does.
 */
export function readPngText(bytes: Uint8Array, where = "PNG"): Record<string, string> {
  return textOf(readChunks(bytes, where));
}

/**
 * The texts among chunks; those that are damaged are left out, and those that would inflate to more
 * than 16 MiB with the ones before them.
 */
export function textOf(chunks: readonly Chunk[]): Record<string, string> {
  const texts: [string, string][] = [];
  const budget = { left: MAX_TEXT_BYTES };
  for (const { type, data } of chunks) {
    const end = data.indexOf(0);
    if (end < 1) continue;
    const text = read[type]?.(data.subarray(end + 1), budget);
    if (text !== undefined) texts.push([latin1(data.subarray(0, end)), text]);
  }
  return Object.fromEntries(texts);
}

/** Bytes that may still be inflated. */
interface Budget {
  left: number;
}

/** The text behind a keyword, by the chunk's type; undefined where it cannot be read. */
const read: Readonly<Record<string, (data: Uint8Array, budget: Budget) => string | undefined>> = {
  tEXt: latin1,
  zTXt: (data, budget) => {
    const bytes = data[0] === 0 ? inflated(data.subarray(1), budget) : undefined;
    return bytes && latin1(bytes);
  },
  iTXt: (data, budget) => {
    const [compressed, method] = data;
    const language = data.indexOf(0, 2);
    const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
    if (translated < 0 || compressed > 1 || compressed === 1 && method !== 0) return undefined;
    const text = data.subarray(translated + 1);
    const bytes = compressed ? inflated(text, budget) : text;
    return bytes && new TextDecoder().decode(bytes);
  },
};

/** What no text at all is as a zlib stream (RFC 1950): less is cut off. */
const LEAST_BYTES = 8;

function inflated(data: Uint8Array, budget: Budget): Uint8Array | undefined {
  if (data.length < LEAST_BYTES) return undefined;
  const parts: Uint8Array[] = [];
  let size = 0;
  const inflate = new Unzlib((part) => {
    parts.push(part);
    size += part.length;
  });
  const step = 16384;
  try {
    for (let at = 0; at < data.length && size <= budget.left; at += step) {
      inflate.push(data.slice(at, at + step), at + step >= data.length);
    }
  } catch {
    return undefined;
  } finally {
    budget.left -= size;
  }
  if (budget.left < 0) return undefined;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) {
    text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  }
  return text;
}
