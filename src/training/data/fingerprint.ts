/** A hash of a data set's pictures and labels. */
import { createHash } from "node:crypto";
import type { PictureSource } from "./data_set.ts";

/** Of pictures without end, how many are looked at: another generator already differs in these. */
const FIRST = 256;

/** SHA-256 over every picture and label, in order: what training on them depends on. */
export function fingerprintOf(data: PictureSource): string {
  const length = data.length === Infinity ? FIRST : data.length;
  const hash = createHash("sha256").update(JSON.stringify([data.shape, data.labelNames ?? null]));
  const picture = new Float32Array(data.shape.reduce((a, b) => a * b));
  const bytes = new Uint8Array(picture.buffer);
  for (let i = 0; i < length; i++) {
    data.picture(i, picture);
    hash.update(bytes);
  }
  if (data.labels) {
    const labels = Int32Array.from({ length }, (_, i) => data.labels!.at(i)!);
    hash.update(new Uint8Array(labels.buffer));
  }
  return hash.digest("hex");
}
