/** Animated PNG: lossless, and a still picture where animation is not understood. */
import { joinBytes } from "../files/bytes.ts";
import { type AnimationOptions, delaysOf } from "./animation.ts";
import type { Pixels } from "./pixels.ts";
import { encodePng } from "./png.ts";
import { type Chunk, readChunks, writeChunks } from "./png_chunks.ts";

/**
 * Frames as an APNG (PNG specification, third edition, §4.9); the first one is the still picture.
 * @param frames of equal size and channels
 * @param text becomes tEXt chunks, as in {@link encodePng}
 */
export function encodeApng(
  frames: readonly Pixels[],
  options: AnimationOptions = {},
  text: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const delays = delaysOf(frames, options);
  const stills = frames.map((frame, i) => readChunks(encodePng(frame, i ? {} : text), "frame"));
  const [header, ...rest] = stills[0];
  const chunks: Chunk[] = [header, {
    type: "acTL",
    data: words(frames.length, options.plays ?? 0),
  }];
  let sequence = 0;
  stills.forEach((still, i) => {
    chunks.push({ type: "fcTL", data: frameControl(sequence++, frames[i], delays[i]) });
    for (const { type, data } of still) {
      if (type !== "IDAT") continue;
      if (i === 0) chunks.push({ type, data });
      else chunks.push({ type: "fdAT", data: joinBytes([words(sequence++), data]) });
    }
  });
  chunks.push(...rest.filter(({ type }) => type !== "IDAT"));
  return writeChunks(chunks);
}

/** A whole frame that replaces the one before it. */
function frameControl(sequence: number, { width, height }: Pixels, delay: number): Uint8Array {
  const control = joinBytes([words(sequence, width, height, 0, 0), new Uint8Array(6)]);
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
