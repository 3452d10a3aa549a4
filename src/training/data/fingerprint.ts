/** Telling one data set from another. */
import { createHash } from "node:crypto";
import type { DataSet } from "./data_set.ts";

/** SHA-256 over every picture and label, in order: what training on them depends on. */
export function fingerprintOf(data: DataSet): string {
  const hash = createHash("sha256").update(JSON.stringify([data.shape, data.labelNames ?? null]));
  const picture = new Float32Array(data.shape.reduce((a, b) => a * b));
  const bytes = new Uint8Array(picture.buffer);
  for (let i = 0; i < data.length; i++) {
    data.picture(i, picture);
    hash.update(bytes);
  }
  if (data.labels) hash.update(new Uint8Array(data.labels.slice().buffer));
  return hash.digest("hex");
}
