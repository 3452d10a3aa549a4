/** Caches trained classifiers with the downloads. */
import type { Backend } from "../backends/backend.ts";
import { cacheFolder } from "../weights/find/cache.ts";
import { sha256Hex } from "../files/hash.ts";
import { parseSafetensors, writeSafetensors } from "../files/safetensors.ts";
import { writeDurably } from "../files/atomic_write.ts";
import type { PictureSource } from "../training/data/data_set.ts";
import { fingerprintOf } from "../training/data/fingerprint.ts";
import {
  classifierLayout,
  type ClassifierOptions,
  trainClassifier,
  withDefaults,
} from "./classifier.ts";
import { isResidual } from "./classifier_network.ts";

/** Raised when a classifier or its training changes: that of the plain network, and of the residual one. */
const VERSIONS = { plain: 2, residual: 3 } as const;

/** The parameters of a classifier for this data: from the cache, or trained now. */
export async function classifierFor(
  backend: Backend,
  data: PictureSource,
  options: ClassifierOptions = {},
): Promise<Float32Array> {
  const { size } = classifierLayout(data.shape, data.labelNames!.length);
  const folder = cacheFolder();
  const { steps, batch, seed } = withDefaults(data.shape, options);
  const version = VERSIONS[isResidual(data.shape) ? "residual" : "plain"];
  const about = [version, { steps, batch, seed }, fingerprintOf(data)];
  const hash = await sha256Hex(new TextEncoder().encode(JSON.stringify(about)));
  const path = folder && `${folder}/classifiers/${hash}.safetensors`;
  const known = path && await decode(path);
  if (known && known.length === size) return known;
  const theta = await trainClassifier(backend, data, options);
  if (path) {
    // Without a place to keep it, it is trained again the next time.
    await Deno.mkdir(`${folder}/classifiers`, { recursive: true })
      .then(() => writeDurably(path, encode(theta))).catch(() => {});
  }
  return theta;
}

/** The parameters in a file; undefined where there is none, or it is damaged. */
async function decode(path: string): Promise<Float32Array | undefined> {
  try {
    return parseSafetensors(await Deno.readFile(path), path).tensors.get("theta")?.data;
  } catch {
    return undefined;
  }
}

function encode(theta: Float32Array): Uint8Array {
  return writeSafetensors(new Map([["theta", { shape: [theta.length], data: theta }]]));
}
