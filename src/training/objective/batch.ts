/**
 * What step k trains on, and its dropout keys: functions of (seed, k), so that a run can be resumed
 * anywhere.
 */
import { createGenerator, type Generator, seedFromName } from "../../diffusion/mod.ts";
import type { PictureSource } from "../data/data_set.ts";

/** The images of one update. */
export interface TrainBatch {
  /** Pictures in −1 … 1, [images, C, H, W]. */
  readonly x_0: Float32Array;
  /** N(0, I), as x_0. */
  readonly eps: Float32Array;
  /** Timesteps, [images]. */
  readonly t: Float32Array;
  /** Classes, [images]; given exactly when the network has classes. */
  readonly labels?: Int32Array;
}

export interface BatchOptions {
  readonly seed: number;
  readonly images: number;
  /** Timesteps 0 … T−1. */
  readonly T: number;
  /** Mirrors every second picture, by chance. */
  readonly flip?: boolean;
  /** The share of labels replaced by `nullLabel` (Ho & Salimans 2022, §3.2). */
  readonly labelDropout?: number;
  readonly nullLabel?: number;
}

/** The batch of step k, counted from 1. */
export function batchOf(data: PictureSource, k: number, options: BatchOptions): TrainBatch {
  const { seed, images, T, flip = false, labelDropout = 0, nullLabel } = options;
  const [channels, height, width] = data.shape;
  const size = channels * height * width;
  const generator = createGenerator(seedFromName(`batch ${seed} ${k}`));
  const uniform = () => generator.uint32() / 2 ** 32;

  const x_0 = new Float32Array(images * size);
  const labels = data.labels && new Int32Array(images);
  for (let i = 0; i < images; i++) {
    const index = data.length === Infinity
      ? (k - 1) * images + i
      : Math.floor(uniform() * data.length);
    data.picture(index, x_0.subarray(i * size, (i + 1) * size));
    if (flip && uniform() < 0.5) mirror(x_0.subarray(i * size, (i + 1) * size), width);
    if (labels) {
      const drop = nullLabel !== undefined && uniform() < labelDropout;
      labels[i] = drop ? nullLabel : data.labels!.at(index)!;
    }
  }
  const t = stratifiedTimesteps(images, T, generator);
  return { x_0, eps: generator.randn(images * size), t, labels };
}

/**
 * One timestep out of each of n equal parts of 0 … T−1, in random order: each is uniform, and their
 * spread makes the loss less noisy (Kingma et al. 2021, app. I.1).
 */
export function stratifiedTimesteps(n: number, T: number, generator: Generator): Float32Array {
  const t = Float32Array.from({ length: n }, (_, i) => {
    return Math.min(T - 1, Math.floor((i + generator.uint32() / 2 ** 32) / n * T));
  });
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(generator.uint32() / 2 ** 32 * (i + 1));
    [t[i], t[j]] = [t[j], t[i]];
  }
  return t;
}

function mirror(picture: Float32Array, width: number): void {
  for (let at = 0; at < picture.length; at += width) picture.subarray(at, at + width).reverse();
}

/** murmur3's finaliser: every bit of the result depends on every bit of x. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** A dropout key for each image of step k: a function of (seed, k, image), however it is batched. */
export function dropoutKeys(seed: number, k: number, images: number): Int32Array {
  const ofStep = mix(mix(seed | 0) ^ k);
  return Int32Array.from({ length: images }, (_, i) => mix(ofStep + Math.imul(i, 0x9e3779b9)));
}
