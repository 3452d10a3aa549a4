/**
 * One .npz. While it is being made the pictures' bytes lie in `FILE.pixels`, in order, and what they
 * belong to in `FILE.pixels.json`; a later run counts the whole pictures there and goes on.
 */
import { InputError } from "../../errors.ts";
import { writeAll } from "../../files/atomic_write.ts";
import { sizeOfFile } from "../../recipe/size.ts";
import { type About, openArchive, sizeOf, writeArchive } from "./archive.ts";
import { type BulkRequest, differenceOf } from "./request.ts";
import { exists, type Sink, type SinkOptions, writePart, writing } from "./sink.ts";

/** @throws InputError where files of another run, or of one that is not to go on, are in the way */
export async function openNpz(
  path: string,
  request: BulkRequest,
  { resume, force }: SinkOptions,
): Promise<Sink> {
  const [channels] = request.network.shape;
  const [width, height] = sizeOfFile(request.network.shape, request.method);
  const shape = [height, width, channels];
  const about: About = { api: 1, run: request.run, shard: request.shard, shape };
  const spool = `${path}.pixels`;
  const note = `${spool}.json`;
  const { jobs } = request;

  if (await exists(path) && !(force && !resume)) {
    if (!resume) {
      throw new InputError(
        `--out ${path}: the file is there already; --resume keeps it, --force overwrites it`,
      );
    }
    using whole = await openArchive(path);
    requireSame(path, whole.about, about);
    return { path, missing: [], put: refuse, finish: () => Promise.resolve(), close() {} };
  }
  const picture = sizeOf(shape);
  const before = force && !resume ? undefined : await readNote(note);
  let count = 0;
  if (before) {
    const size = (await Deno.stat(spool).catch(() => undefined))?.size ?? 0;
    count = Math.min(jobs.length, Math.floor(size / picture));
    if (!resume && count > 0) {
      throw new InputError(
        `--out ${path}: ${count} pictures of a run that was stopped lie in ${spool}; --resume goes on with it, --force starts again`,
      );
    }
    if (resume) requireSame(spool, before, about);
  }
  const start = resume ? count : 0;
  await writePart(note, new TextEncoder().encode(`${JSON.stringify(about)}\n`));
  const file = await writing(spool, async () => {
    const opened = await Deno.open(spool, { write: true, create: true });
    await opened.truncate(start * picture);
    await opened.seek(0, Deno.SeekMode.End);
    return opened;
  });

  /** Pictures that came before their turn. */
  const early = new Map<number, Uint8Array>();
  let next = start;
  let open = true;
  const close = () => {
    if (open) file.close();
    open = false;
  };
  return {
    path,
    missing: Array.from({ length: jobs.length - start }, (_, i) => start + i),
    async put(index, { pixels }) {
      early.set(index, pixels);
      for (let bytes; (bytes = early.get(next)); next++) {
        early.delete(next);
        await writing(spool, () => writeAll(file, bytes!));
      }
    },
    async finish() {
      close();
      const pixels = () => ReadableStream.from(readWhole(spool));
      await writeArchive(path, { about, jobs, pixels });
      await Deno.remove(spool);
      await Deno.remove(note);
    },
    close,
  };
}

function refuse(): Promise<void> {
  return Promise.reject(new Error("the archive is finished"));
}

async function* readWhole(path: string): AsyncGenerator<Uint8Array> {
  const file = await Deno.open(path);
  yield* file.readable;
}

function requireSame(path: string, found: About, wanted: About): void {
  const { index, count } = found.shard;
  const difference = differenceOf(found.run, wanted.run) ??
    (index === wanted.shard.index && count === wanted.shard.count
      ? undefined
      : `shard ${index}/${count} and ${wanted.shard.index}/${wanted.shard.count}`);
  if (difference === undefined) return;
  throw new InputError(
    `${path}: belongs to another run (${difference}); give another --out, or --force without --resume`,
  );
}

async function readNote(path: string): Promise<About | undefined> {
  try {
    const about = JSON.parse(await Deno.readTextFile(path));
    return about?.api === 1 ? about : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
