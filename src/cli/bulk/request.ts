/** What a bulk run is asked for: which pictures, and this process's share of them. */
import { joinBytes } from "../../files/bytes.ts";
import { sha256Hex } from "../../files/hash.ts";
import { InputError } from "../../errors.ts";
import { MAX_SEED, type Method, type Subject } from "../../recipe/recipe.ts";
import type { NamedNetwork } from "../../recipe/resolve.ts";
import { prepare, type SampleOptions, subjectsOf } from "../../sampling/sample.ts";

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
export type Job = Pick<Subject, "seed" | "label" | "mix">;

export interface BulkRequest {
  readonly network: NamedNetwork;
  /** What is asked for, `seeds` and `labels` of all shards among it. */
  readonly options: SampleOptions;
  /** How every picture is made. */
  readonly method: Method;
  /** This shard's pictures, in the order of the seeds. */
  readonly jobs: readonly Job[];
  readonly shard: Shard;
  /** What all shards of one run have in common, and no other run. */
  readonly run: RunIdentity;
}

/** A run, as its files remember it. */
export interface RunIdentity {
  /** How the pictures are made. */
  readonly recipe: Method;
  /** Pictures of all shards together. */
  readonly pictures: number;
  /** SHA-256 over every seed and label in order. */
  readonly request: string;
}

export async function bulkRequest(
  network: NamedNetwork,
  options: SampleOptions,
  shard: Shard,
): Promise<BulkRequest> {
  const { method, scheduler } = prepare(network, options);
  const all = subjectsOf(network, scheduler, options);
  const { start, end } = rangeOf(shard, all.length);
  const run = { recipe: method, pictures: all.length, request: await requestHash(all) };
  return { network, options, method, jobs: all.slice(start, end), shard, run };
}

/** Where a picture has no class. */
const NO_LABEL = MAX_SEED;

/**
 * SHA-256 over pairs of seed and label ({@link NO_LABEL} for none), 32-bit little-endian, and behind them
 * what the pictures are mixed with, where any is.
 */
export function requestHash(jobs: readonly Job[]): Promise<string> {
  const view = new DataView(new ArrayBuffer(jobs.length * 8));
  jobs.forEach(({ seed, label }, i) => {
    view.setUint32(i * 8, seed, true);
    view.setUint32(i * 8 + 4, label ?? NO_LABEL, true);
  });
  return sha256Hex(joinBytes([new Uint8Array(view.buffer), mixesText(jobs)]));
}

/** What each picture is mixed with, in JSON; nothing where none is. */
export function mixesText(jobs: readonly Job[]): Uint8Array<ArrayBuffer> {
  const mixes = jobs.map(({ mix = null }) =>
    mix && [mix.seed ?? null, mix.label ?? null, mix.share]
  );
  return new TextEncoder().encode(mixes.some((mix) => mix) ? JSON.stringify(mixes) : "");
}

/** The first key in which two runs differ, or undefined. */
export function differenceOf(a: RunIdentity, b: RunIdentity): string | undefined {
  const keys = new Set([...Object.keys(a.recipe), ...Object.keys(b.recipe)] as (keyof Method)[]);
  for (const key of keys) {
    const [left, right] = [a.recipe[key], b.recipe[key]].map((value) => JSON.stringify(value));
    if (left !== right) return `${key} ${left ?? "(none)"} and ${right ?? "(none)"}`;
  }
  if (a.pictures !== b.pictures) return `${a.pictures} and ${b.pictures} pictures`;
  return a.request === b.request ? undefined : "other seeds or labels";
}
