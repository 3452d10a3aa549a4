/** Animated PNG: lossless, and a still picture where animation is not understood. */
import { joinBytes } from "../files/bytes.ts";
import { type AnimationOptions, delaysOf } from "./animation.ts";
import type { Pixels } from "./pixels.ts";
import { encodeEnlarged } from "./png_enlarged.ts";
import { type Chunk, readChunks, writeChunks } from "./png_chunks.ts";

/** How an APNG is shown. */
export interface ApngOptions extends AnimationOptions {
  /** What is seen where animation is not understood, and else is no part of it; default the first frame. */
  readonly still?: Pixels;
}

/**
 * Frames as an APNG (PNG specification, third edition, §4.9).
 * @param frames of equal size and channels, as the still picture
 * @param text becomes tEXt chunks, as in {@link encodePng}
 */
export function encodeApng(
  frames: readonly Pixels[],
  options: ApngOptions = {},
  text: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const delays = delaysOf(frames, options);
  const { plays = 0, still, enlarged = {} } = options;
  const chunksOf = (picture: Pixels, text = {}) =>
    readChunks(encodeEnlarged(picture, enlarged, text), "frame");
  const [header, ...first] = chunksOf(still ?? frames[0], text);
  const [dataAt, endAt] = [isData, isEnd].map((is) => first.findIndex(is));
  const chunks: Chunk[] = [header, { type: "acTL", data: words(frames.length, plays) }];
  // Texts and, where it is no frame, the still picture.
  chunks.push(...first.slice(0, still ? endAt : dataAt));
  const size = sizeIn(header);
  let sequence = 0;
  frames.forEach((frame, i) => {
    chunks.push({ type: "fcTL", data: frameControl(sequence++, size, delays[i]) });
    if (i === 0 && !still) return chunks.push(...first.slice(dataAt, endAt));
    for (const { data } of chunksOf(frame).filter(isData)) {
      chunks.push({ type: "fdAT", data: joinBytes([words(sequence++), data]) });
    }
  });
  chunks.push(first[endAt]);
  return writeChunks(chunks);
}

const isData = ({ type }: Chunk) => type === "IDAT";
const isEnd = ({ type }: Chunk) => type === "IEND";

/** Width and height as IHDR begins with them. */
function sizeIn({ data }: Chunk): Uint8Array {
  return data.subarray(0, 8);
}

/** A whole frame that replaces the one before it. */
function frameControl(sequence: number, size: Uint8Array, delay: number): Uint8Array {
  const control = joinBytes([words(sequence), size, words(0, 0), new Uint8Array(6)]);
  const view = new DataView(control.buffer);
  view.setUint16(20, Math.round(delay));
  view.setUint16(22, 1000);
  return control;
}

function words(...values: number[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setUint32(i * 4, value));
  return bytes;
}
