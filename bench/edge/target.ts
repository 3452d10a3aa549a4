/** What is measured of a target, and the picture that all targets have to agree on. */
import { decodePng } from "../../src/image/png.ts";

export interface Measured {
  readonly target: string;
  /** Milliseconds from the start of the runtime to the first picture (one step). */
  readonly coldStart: number;
  /** Peak memory in bytes, and of what. */
  readonly memory: { readonly bytes: number; readonly of: string };
  /** Bytes of what is deployed, weights included. */
  readonly size: number;
  /** Seconds for one picture of the weights' own steps, one at a time; the median. */
  readonly secondsAnImage: number;
  /** The pixels of {@link probe}. */
  readonly pixels: Uint8Array;
  /** What else was found. */
  readonly notes: readonly string[];
}

/** The picture to compare: a few steps of a sampler that draws no noise on the way. */
export const probe = { seed: 7, scheduler: "ddim", steps: 4 } as const;

export const probeAddress =
  `v1/images/${probe.seed}.png?scheduler=${probe.scheduler}&steps=${probe.steps}`;

/** How many pictures a median is taken of. */
export const TIMED = 5;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** The pixels of a PNG that an address answers. */
export async function pixelsAt(address: URL): Promise<Uint8Array> {
  const response = await fetch(address);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${address}: ${response.status} ${decode(bytes)}`);
  return decodePng(bytes, address.href).pixels;
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, 500));
}

/** Seconds of each of some fresh pictures, one after another. */
export async function timePictures(base: URL, first: number, count = TIMED): Promise<number[]> {
  const seconds: number[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const start = performance.now();
    await pixelsAt(new URL(`v1/images/${seed}.png`, base));
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}

/** "the same", or by how much pictures differ. */
export function difference(a: Uint8Array, b: Uint8Array): string {
  if (a.length !== b.length) return `other sizes (${a.length}, ${b.length})`;
  let [count, most] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) count++;
    most = Math.max(most, Math.abs(a[i] - b[i]));
  }
  return count === 0 ? "yes" : `${count} of ${a.length} levels by at most ${most}/255`;
}
