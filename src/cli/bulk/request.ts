/** What a bulk run is asked for: which pictures, and this process's share of them. */
import { sha256Hex } from "../../files/hash.ts";
import { InputError } from "../../errors.ts";
import { defaultLabel } from "../../sampling/guidance.ts";
import { type NamedNetwork, recipeOf } from "../../sampling/pictures.ts";
import type { SampleRequest } from "../../sampling/sample.ts";

/** One of `count` equal parts of a list, counted from 0. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** "3/16" → the fourth of sixteen. */
export function parseShard(text: string): Shard {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(text);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || index >= count) {
    throw new InputError(`--shard: expected i/n with i from 0 to n − 1, found "${text}"`);
  }
  return { index, count };
}

/** Where a shard begins and ends in a list: parts in a row, whose sizes differ by at most one. */
export function rangeOf({ index, count }: Shard, length: number): { start: number; end: number } {
  return {
    start: Math.floor(index * length / count),
    end: Math.floor((index + 1) * length / count),
  };
}

/** One picture to be made. */
export interface Job {
  readonly seed: number;
  readonly label?: number;
}

export interface BulkRequest {
  readonly network: NamedNetwork;
  /** What is asked for, `seeds` and `labels` of all shards among it. */
  readonly options: SampleRequest;
  /** This shard's pictures, in the order of the seeds. */
  readonly jobs: readonly Job[];
  readonly shard: Shard;
  /** What all shards of one run have in common, and no other run. */
  readonly run: RunIdentity;
}

/** A run, as its files remember it. */
export interface RunIdentity {
  /** How the pictures are made; without seeds and labels. */
  readonly recipe: Readonly<Record<string, unknown>>;
  /** Pictures of all shards together. */
  readonly pictures: number;
  /** SHA-256 over every seed and label in order. */
  readonly request: string;
}

export async function bulkRequest(
  network: NamedNetwork,
  options: SampleRequest,
  shard: Shard,
): Promise<BulkRequest> {
  const seeds = [...options.seeds];
  const { labels } = options;
  const all = seeds.map((seed, i): Job => {
    const label = typeof labels === "number" ? labels : labels?.[i] ?? defaultLabel(network, seed);
    return { seed, label };
  });
  const { start, end } = rangeOf(shard, all.length);
  const { seeds: _seeds, labels: _labels, ...recipe } = recipeOf(network, options, []);
  const run = {
    recipe: JSON.parse(JSON.stringify(recipe)),
    pictures: all.length,
    request: await requestHash(all),
  };
  return { network, options, jobs: all.slice(start, end), shard, run };
}

/** SHA-256 over pairs of seed and label (2³² − 1 for none), 32-bit little-endian. */
export function requestHash(jobs: readonly Job[]): Promise<string> {
  const view = new DataView(new ArrayBuffer(jobs.length * 8));
  jobs.forEach(({ seed, label }, i) => {
    view.setUint32(i * 8, seed, true);
    view.setUint32(i * 8 + 4, label ?? 2 ** 32 - 1, true);
  });
  return sha256Hex(new Uint8Array(view.buffer));
}

/** The first key in which two runs differ, or undefined. */
export function differenceOf(a: RunIdentity, b: RunIdentity): string | undefined {
  const keys = new Set([...Object.keys(a.recipe), ...Object.keys(b.recipe)]);
  for (const key of keys) {
    const [left, right] = [a.recipe[key], b.recipe[key]].map((value) => JSON.stringify(value));
    if (left !== right) return `${key} ${left ?? "(none)"} and ${right ?? "(none)"}`;
  }
  if (a.pictures !== b.pictures) return `${a.pictures} and ${b.pictures} pictures`;
  return a.request === b.request ? undefined : "other seeds or labels";
}
