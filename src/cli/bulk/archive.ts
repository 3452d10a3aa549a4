/**
 * The .npz of a bulk run: `arr_0` (uint8 [N, H, W, C], as evaluators read it), `arr_1` (int64 labels
 * of a network with classes), `seeds` (int64), `mixes.json` (seed, label and share of what each is mixed
 * with, where any is), and `denoise.json`, which says how they were made.
 */
import { InputError } from "../../errors.ts";
import { npyHeader, parseNpy, writeNpy } from "../../files/npy.ts";
import {
  openZip,
  type RandomAccess,
  streamOf,
  streamZip,
  type ZipEntry,
  type ZipPart,
} from "../../files/npz_stream.ts";
import { writeAll } from "../../files/atomic_write.ts";
import { reasonOf } from "../files.ts";
import { type Job, mixesText, type RunIdentity, type Shard } from "./request.ts";
import { writePart } from "./sink.ts";

export const PIXELS = "arr_0.npy";
const LABELS = "arr_1.npy";
const SEEDS = "seeds.npy";
const MIXES = "mixes.json";
const ABOUT = "denoise.json";

/** What an archive says of itself. */
export interface About {
  readonly api: 1;
  readonly run: RunIdentity;
  readonly shard: Shard;
  /** [H, W, C] of a picture. */
  readonly shape: readonly number[];
}

export interface ArchiveContent {
  readonly about: About;
  readonly jobs: readonly Job[];
  /** The pictures' bytes one after another. */
  pixels(): ReadableStream<Uint8Array>;
}

/** Writes an archive so that it is there whole or not at all. */
export async function writeArchive(path: string, content: ArchiveContent): Promise<void> {
  // Not file.writable: in Deno 2.9.6 it takes bytes that a full disc refuses, without an error.
  const fill = (file: Deno.FsFile) =>
    streamZip(partsOf(content), new WritableStream({ write: (bytes) => writeAll(file, bytes) }));
  await writePart(path, fill);
}

function* partsOf({ about, jobs, pixels }: ArchiveContent): Generator<ZipPart> {
  const header = npyHeader("|u1", [jobs.length, ...about.shape]);
  const size = header.length + jobs.length * sizeOf(about.shape);
  yield { name: PIXELS, size, bytes: concat([() => streamOf(header), pixels]) };
  const small = (name: string, bytes: Uint8Array) => ({
    name,
    size: bytes.length,
    bytes: streamOf(bytes),
  });
  if (jobs[0]?.label !== undefined) yield small(LABELS, column(jobs, ({ label }) => label!));
  const mixes = mixesText(jobs);
  if (mixes.length > 0) yield small(MIXES, mixes);
  yield small(SEEDS, column(jobs, ({ seed }) => seed));
  yield small(ABOUT, new TextEncoder().encode(`${JSON.stringify(about)}\n`));
}

function column(jobs: readonly Job[], of: (job: Job) => number): Uint8Array {
  return writeNpy({ shape: [jobs.length], data: BigInt64Array.from(jobs, (j) => BigInt(of(j))) });
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Streams one after another, each opened when the one before it has ended. */
export function concat(
  sources: Iterable<() => ReadableStream<Uint8Array>>,
): ReadableStream<Uint8Array> {
  return ReadableStream.from(async function* () {
    for (const open of sources) yield* open();
  }());
}

/** An archive that is open for reading. */
export interface OpenArchive extends ArchiveContent, Disposable {
  readonly path: string;
}

/** @throws InputError for another file than an archive of a bulk run. */
export async function openArchive(path: string): Promise<OpenArchive> {
  const { file, access } = await openFile(path);
  try {
    const entries = await openZip(access, path);
    const about = JSON.parse(new TextDecoder().decode(await bytesOf(entries, ABOUT, path)));
    if (about?.api !== 1) {
      throw new InputError(`${path}: ${ABOUT} has version ${about?.api}, not 1`);
    }
    const [seeds, labels] = await Promise.all([
      readColumn(entries, SEEDS, path),
      entries.has(LABELS) ? readColumn(entries, LABELS, path) : undefined,
    ]);
    const mixes = entries.has(MIXES) ? await readMixes(entries, path) : [];
    const jobs = seeds.map((seed, i): Job => ({ seed, label: labels?.[i], mix: mixes[i] }));
    const header = npyHeader("|u1", [jobs.length, ...about.shape]);
    const entry = entryOf(entries, PIXELS, path);
    if (entry.size !== header.length + jobs.length * sizeOf(about.shape)) {
      throw new InputError(`${path}: ${PIXELS} does not fit ${jobs.length} pictures`);
    }
    return {
      path,
      about,
      jobs,
      pixels: () => entry.open().pipeThrough(dropFirst(header.length)),
      [Symbol.dispose]: () => file.close(),
    };
  } catch (error) {
    file.close();
    if (error instanceof SyntaxError) throw new InputError(`${path}: ${ABOUT} is damaged`);
    throw error;
  }
}

async function openFile(path: string): Promise<{ file: Deno.FsFile; access: RandomAccess }> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw new InputError(`${path}: cannot be read: ${reasonOf(error)}`);
  }
  const { size } = await file.stat();
  // One read at a time: the place to read from belongs to the file.
  let last: Promise<unknown> = Promise.resolve();
  const read = (offset: number, length: number) => {
    const next = last.then(async () => {
      await file.seek(offset, Deno.SeekMode.Start);
      const bytes = new Uint8Array(Math.min(length, Math.max(0, size - offset)));
      for (let at = 0; at < bytes.length;) {
        const count = await file.read(bytes.subarray(at));
        if (count === null) return bytes.subarray(0, at);
        at += count;
      }
      return bytes;
    });
    last = next.catch(() => {});
    return next;
  };
  return { file, access: { size, read } };
}

function entryOf(entries: Map<string, ZipEntry>, name: string, path: string): ZipEntry {
  const entry = entries.get(name);
  if (!entry) throw new InputError(`${path}: no ${name} in it; expected the .npz of a bulk run`);
  return entry;
}

async function bytesOf(entries: Map<string, ZipEntry>, name: string, path: string) {
  const entry = entryOf(entries, name, path);
  // Seeds of a billion pictures; what is larger is no archive of ours.
  if (entry.size > 2 ** 33) throw new InputError(`${path}: ${name} has ${entry.size} bytes`);
  return new Uint8Array(await new Response(entry.open()).arrayBuffer());
}

async function readColumn(entries: Map<string, ZipEntry>, name: string, path: string) {
  const { data } = parseNpy(await bytesOf(entries, name, path), `${path}/${name}`);
  return Array.from(data, Number);
}

async function readMixes(entries: Map<string, ZipEntry>, path: string): Promise<Job["mix"][]> {
  const mixes = JSON.parse(new TextDecoder().decode(await bytesOf(entries, MIXES, path)));
  if (!Array.isArray(mixes)) throw new InputError(`${path}: ${MIXES} is damaged`);
  return mixes.map((mix) => {
    if (!Array.isArray(mix)) return undefined;
    const [seed, label, share] = mix;
    return { share, ...(seed === null ? {} : { seed }), ...(label === null ? {} : { label }) };
  });
}

function dropFirst(count: number): TransformStream<Uint8Array, Uint8Array> {
  let left = count;
  return new TransformStream({
    transform(chunk, controller) {
      const rest = chunk.subarray(Math.min(left, chunk.length));
      left -= chunk.length - rest.length;
      if (rest.length) controller.enqueue(rest);
    },
  });
}
