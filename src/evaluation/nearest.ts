/** Whether samples are copies: how near each comes to a picture that there is to learn from. */
import type { Pixels } from "../image/pixels.ts";
import { fromPixels, toPixels } from "../image/pixels.ts";
import type { Model } from "../model/model.ts";
import { generate } from "../sampling/pictures.ts";
import type { DataSet } from "../training/data/data_set.ts";
import { spread } from "./predict.ts";
import type { SamplerChoice } from "./samples.ts";

/** How near pictures come: root mean square differences from the nearest one, in levels of 255. */
export interface Nearness {
  readonly least: number;
  readonly median: number;
}

export interface NearestScores {
  /** Samples, and held-out pictures, that were compared. */
  readonly pictures: number;
  /** The pictures that they were compared with. */
  readonly among: number;
  readonly samples: Nearness;
  /** What pictures that nobody has copied come to. Samples that come much nearer are copies. */
  readonly heldOut: Nearness;
}

/** A sample and the picture nearest to it. */
export interface Pair {
  readonly seed: number;
  readonly sample: Pixels;
  readonly nearest: Pixels;
  readonly distance: number;
}

/** The nearest of a set to a picture. */
export interface Neighbour {
  readonly index: number;
  /** The root mean square difference, in levels of 255. */
  readonly distance: number;
}

/** Values between two looks at whether a picture can still be the nearest. */
const STRIDE = 64;
/** Levels in a unit of −1 … 1. */
const LEVELS = 127.5;

/** Of each picture, in −1 … 1, the nearest of a set. */
export function nearestOf(
  pictures: readonly Float32Array[],
  among: Pick<DataSet, "length" | "shape" | "picture">,
): Neighbour[] {
  const size = among.shape.reduce((a, b) => a * b);
  const best = pictures.map(() => ({ index: -1, square: Infinity }));
  const candidate = new Float32Array(size);
  for (let k = 0; k < among.length; k++) {
    among.picture(k, candidate);
    pictures.forEach((picture, i) => {
      const square = squareBelow(picture, candidate, best[i].square);
      if (square < best[i].square) best[i] = { index: k, square };
    });
  }
  return best.map(({ index, square }) => ({
    index,
    distance: LEVELS * Math.sqrt(square / size),
  }));
}

/** ‖a − b‖², or the part of it by which it is no longer below the bound. */
function squareBelow(a: Float32Array, b: Float32Array, bound: number): number {
  let sum = 0;
  for (let from = 0; from < a.length && sum < bound; from += STRIDE) {
    const to = Math.min(a.length, from + STRIDE);
    for (let p = from; p < to; p++) {
      const d = a[p] - b[p];
      sum += d * d;
    }
  }
  return sum;
}

export interface NearestOptions {
  /** What there was to learn from. */
  readonly among: DataSet;
  readonly heldOut: DataSet;
  readonly choice: SamplerChoice;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Samples that are compared: as many as a sheet shows of them, and more to find the nearest among. */
const PICTURES = 64;

/** Seeds 0–63, the labels in turn, and as many held-out pictures beside them. */
export async function nearestPictures(
  model: Model,
  { among, heldOut, choice, signal, onProgress }: NearestOptions,
): Promise<{ scores: NearestScores; pairs: Pair[] }> {
  const real = spread(heldOut.length, PICTURES).map((i) => {
    const picture = new Float32Array(model.shape.reduce((a, b) => a * b));
    heldOut.picture(i, picture);
    return picture;
  });
  const seeds = real.map((_, i) => i);
  onProgress?.(0, seeds.length);
  const made = await generate(model, { ...choice, seeds, signal });
  onProgress?.(seeds.length, seeds.length);
  const found = nearestOf([...made.map(fromPixels), ...real], among);
  const distances = found.map(({ distance }) => distance);
  const picture = new Float32Array(real[0].length);
  const pairs = made.map((sample, i): Pair => {
    among.picture(found[i].index, picture);
    const nearest = toPixels(picture, model.shape);
    return { seed: sample.seed, sample, nearest, distance: found[i].distance };
  });
  return {
    scores: {
      pictures: made.length,
      among: among.length,
      samples: nearnessOf(distances.slice(0, made.length)),
      heldOut: nearnessOf(distances.slice(made.length)),
    },
    pairs,
  };
}

function nearnessOf(distances: readonly number[]): Nearness {
  const sorted = distances.toSorted((a, b) => a - b);
  return { least: sorted[0], median: sorted[Math.floor(sorted.length / 2)] };
}
