/** Classifiers already trained, kept with the downloads. */
import type { Backend } from "../../backend/backend.ts";
import { cacheFolder } from "../../model/cache.ts";
import { sha256Hex } from "../../model/hash.ts";
import { parseSafetensors, writeSafetensors } from "../../model/safetensors.ts";
import { writeDurably } from "../atomic.ts";
import type { DataSet } from "../data/data_set.ts";
import {
  classifierLayout,
  type ClassifierOptions,
  trainClassifier,
  withDefaults,
} from "./classifier.ts";

/** Raised when the classifier or its training changes. */
const VERSION = 2;

/** The parameters of a classifier for this data: from the cache, or trained now. */
export async function classifierFor(
  backend: Backend,
  data: DataSet,
  options: ClassifierOptions = {},
): Promise<Float32Array> {
  const { size } = classifierLayout(data.shape, data.labelNames!.length);
  const folder = cacheFolder();
  const { steps, batch, seed } = withDefaults(options);
  const hash = await fingerprint(data, { steps, batch, seed });
  const path = folder && `${folder}/classifiers/${hash}.safetensors`;
  const known = path && await Deno.readFile(path).catch(() => undefined);
  if (known) {
    const theta = parseSafetensors(known, path).tensors.get("theta")?.data;
    if (theta?.length === size) return theta;
  }
  const theta = await trainClassifier(backend, data, options);
  if (path) {
    // Without a place to keep it, it is trained again the next time.
    await Deno.mkdir(`${folder}/classifiers`, { recursive: true })
      .then(() => writeDurably(path, encode(theta))).catch(() => {});
  }
  return theta;
}

function encode(theta: Float32Array): Uint8Array {
  return writeSafetensors(new Map([["theta", { shape: [theta.length], data: theta }]]));
}

/** A hash over every picture and label. */
async function fingerprint(data: DataSet, settings: object): Promise<string> {
  const size = data.shape.reduce((a, b) => a * b);
  const picture = new Float32Array(size);
  const bytes = new Uint8Array(data.length * size);
  for (let i = 0; i < data.length; i++) {
    data.picture(i, picture);
    for (let p = 0; p < size; p++) bytes[i * size + p] = Math.round((picture[p] + 1) * 127.5);
  }
  const about = { VERSION, settings, shape: data.shape, names: data.labelNames };
  const labels = await sha256Hex(new Uint8Array(data.labels!.buffer.slice(0)));
  const text = JSON.stringify([about, labels, await sha256Hex(bytes)]);
  return await sha256Hex(new TextEncoder().encode(text));
}
