/** Archives larger than memory: written from streams, read piece by piece. */
import { configure, type Entry, Reader, ZipReader, ZipWriter } from "npm:@zip.js/zip.js@2.24.0";
import { InputError } from "../errors.ts";

configure({ useWebWorkers: false });

/** A file of an archive whose size is known before its bytes are. */
export interface ZipPart {
  /** Its path in the archive. */
  readonly name: string;
  /** How many bytes will come. */
  readonly size: number;
  /** Them. */
  readonly bytes: ReadableStream<Uint8Array>;
}

/**
 * Writes parts one after another, stored as they are, to a stream that it closes. Equal parts give
 * equal archives.
 */
export async function streamZip(
  parts: Iterable<ZipPart>,
  to: WritableStream<Uint8Array>,
): Promise<void> {
  const zip = new ZipWriter(to, {
    level: 0,
    extendedTimestamp: false,
    // A zip's time is local; so is this one, which makes it the same everywhere.
    lastModDate: new Date(1980, 0, 1),
    versionMadeBy: 20,
    msDosCompatible: true,
  });
  for (const { name, size, bytes } of parts) await zip.add(name, { readable: bytes, size });
  await zip.close();
}

/** A stream of what is in memory. */
export function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
}

/** A file that is read at any place. */
export interface RandomAccess {
  /** In bytes. */
  readonly size: number;
  /** `length` bytes from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

type FileEntry = Extract<Entry, { directory: false }>;

/** An archive's file: its size, and a stream of its bytes each time it is asked for. */
export interface ZipEntry {
  /** Inflated, in bytes. */
  readonly size: number;
  /** Its bytes; a damaged entry fails on the way, with an InputError. */
  open(): ReadableStream<Uint8Array>;
}

/** The files of an archive by name. @throws InputError where it is not a whole zip archive. */
export async function openZip(
  file: RandomAccess,
  where: string,
): Promise<Map<string, ZipEntry>> {
  try {
    const entries = await new ZipReader(new AccessReader(file), { checkSignature: true })
      .getEntries();
    return new Map(
      entries.filter((entry) => !entry.directory).map((entry) => [entry.filename, {
        size: entry.uncompressedSize,
        open: () => bytesOf(entry, `${where}/${entry.filename}`),
      }]),
    );
  } catch (error) {
    throw new InputError(`${where}: not a whole zip archive (${(error as Error).message})`);
  }
}

/** An entry's bytes as they are read. */
function bytesOf(entry: FileEntry, where: string): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  // A failure reaches whoever reads, through the stream.
  entry.getData(writable).catch((error) => writable.abort(error).catch(() => {}));
  const reader = readable.getReader();
  return new ReadableStream({
    async pull(stream) {
      const { done, value } = await reader.read().catch(({ message }: Error) => {
        throw new InputError(`${where}: damaged (${message})`);
      });
      if (done) stream.close();
      else stream.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

class AccessReader extends Reader<RandomAccess> {
  constructor(readonly file: RandomAccess) {
    super(file);
    this.size = file.size;
  }

  override async readUint8Array(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    return await this.file.read(offset, length) as Uint8Array<ArrayBuffer>;
  }
}
