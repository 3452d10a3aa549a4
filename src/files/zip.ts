/**
 * Zip archives in memory: written, and read as strangers' files.
 *
 * Not by jszip, whose 3.10.1 fails "a state dict is read as PyTorch does: zipped" (it misreads PyTorch's
 * zip64 directories), and either "a changed byte in an entry is noticed" or, with `checkCRC32`, which
 * inflates everything as it loads, "a bomb is refused while it inflates". Nor does it read an archive
 * from disc piece by piece, as merging those that are larger than memory needs (`npz_stream.ts`).
 */
import {
  configure,
  type Entry,
  ERR_UNSAFE_FILENAME,
  Uint8ArrayReader,
  Uint8ArrayWriter,
  ZipReader,
  ZipWriter,
} from "npm:@zip.js/zip.js@2.24.0";
import { InputError, shown } from "../errors.ts";
import { crc32 } from "./crc32.ts";

// A bomb inflates a thousandfold: small pieces keep what one of them gives small.
configure({ useWebWorkers: false, chunkSize: 65536 });

/** What is taken of a stranger's archive. */
export interface UnzipLimits {
  /** All entries together, inflated. Default 4 GiB. */
  readonly maxBytes?: number;
  /** Default 10,000. */
  readonly maxEntries?: number;
}

/** An archive of named files; equal files give equal archives. `compress` deflates them. */
export async function writeZip(
  files: ReadonlyMap<string, Uint8Array>,
  { compress = false }: { compress?: boolean } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const zip = new ZipWriter(new Uint8ArrayWriter(), {
    level: compress ? 6 : 0,
    extendedTimestamp: false,
    // A zip's time is local; so is this one, which makes it the same everywhere.
    lastModDate: new Date(1980, 0, 1),
    versionMadeBy: 20,
    msDosCompatible: true,
  });
  for (const [name, bytes] of files) {
    await zip.add(name, new Uint8ArrayReader(bytes as Uint8Array<ArrayBuffer>));
  }
  return await zip.close() as Uint8Array<ArrayBuffer>;
}

/**
 * The files of an archive by name. Bytes are counted while they are inflated, whatever the archive
 * says of their number, and their checksums are compared.
 * @throws InputError for a damaged archive, a name that is absolute, leaves its folder or is there
 * twice, an encrypted entry, entries that share bytes, or more than the limits.
 */
export async function readZip(
  bytes: Uint8Array,
  where: string,
  { maxBytes = 4 * 2 ** 30, maxEntries = 10_000 }: UnzipLimits = {},
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  const zip = new ZipReader(new Uint8ArrayReader(bytes as Uint8Array<ArrayBuffer>), {
    checkSignature: true,
    filenameValidation: "balanced",
  });
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const places: Place[] = [];
  let entries = 0;
  let left = maxBytes;
  try {
    for await (const entry of zip.getEntriesGenerator()) {
      if (++entries > maxEntries) {
        throw new InputError(`${where}: more than the ${maxEntries} entries that are read`);
      }
      if (entry.directory) continue;
      if (files.has(entry.filename)) {
        throw new InputError(`${where}: two entries have the name "${entry.filename}"`);
      }
      if (entry.encrypted) {
        throw new InputError(`${where}/${entry.filename}: is encrypted, which is not read`);
      }
      const name = `${where}/${entry.filename}`;
      const place = placeOf(bytes, entry, name);
      // A few bytes that many entries share would be read as often as they are named.
      if (places.some(({ from, to }) => from < place.to && place.from < to)) {
        throw new InputError(`${name}: expected bytes of its own, found those of another entry`);
      }
      places.push(place);
      const data = entry.compressionMethod === 0
        ? stored(bytes, entry, place, left, name)
        : await inflate(entry, left, name);
      left -= data.length;
      files.set(entry.filename, data);
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    const { message, filename } = error as Error & { filename?: string };
    throw new InputError(
      message === ERR_UNSAFE_FILENAME
        ? `${where}: the entry name ${shown(filename)} leaves the archive`
        : `${where}: not a zip archive that can be read (${message})`,
    );
  }
  return files;
}

/** Bytes between an entry's offset and its name (APPNOTE 4.3.7), and where the lengths after it stand. */
const LOCAL_HEADER = 30, NAME_LENGTH = 26, EXTRA_LENGTH = 28;

type FileEntry = Extract<Entry, { directory: false }>;

/** Where an entry lies in the archive: its header from `from` on, its data from `start` to `to`. */
interface Place {
  readonly from: number;
  readonly start: number;
  readonly to: number;
}

function damaged(where: string, reason: string): InputError {
  return new InputError(`${where}: damaged (${reason})`);
}

function placeOf(archive: Uint8Array, { offset, compressedSize }: FileEntry, where: string): Place {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  if (offset + LOCAL_HEADER > archive.length || view.getUint32(offset, true) !== 0x04034b50) {
    throw damaged(where, "its header is not there");
  }
  const start = offset + LOCAL_HEADER + view.getUint16(offset + NAME_LENGTH, true) +
    view.getUint16(offset + EXTRA_LENGTH, true);
  if (start + compressedSize > archive.length) throw damaged(where, "it is cut off");
  return { from: offset, start, to: start + compressedSize };
}

/** The bytes of an entry that is not compressed, in place. */
function stored(
  archive: Uint8Array,
  { compressedSize, uncompressedSize, signature }: FileEntry,
  { start, to }: Place,
  most: number,
  where: string,
): Uint8Array<ArrayBuffer> {
  if (uncompressedSize > most) throw tooMuch(where, most);
  if (compressedSize !== uncompressedSize) throw damaged(where, "it is cut off");
  const bytes = archive.subarray(start, to) as Uint8Array<ArrayBuffer>;
  if (crc32(bytes) !== signature) throw damaged(where, "its checksum is another");
  return bytes;
}

function tooMuch(where: string, most: number): InputError {
  return new InputError(`${where}: inflates to more than the ${most} bytes that are taken`);
}

async function inflate(
  entry: FileEntry,
  most: number,
  where: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  let over = entry.uncompressedSize > most;
  try {
    if (!over) {
      await entry.getData(
        new WritableStream<Uint8Array>({
          write(chunk) {
            size += chunk.length;
            over = size > most;
            if (over) throw new Error("the limit is reached");
            chunks.push(chunk);
          },
        }),
      );
    }
  } catch (error) {
    if (!over) throw damaged(where, (error as Error).message);
  }
  if (over) throw tooMuch(where, most);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
