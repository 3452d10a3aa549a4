/** Zip archives: written, and read as strangers' files. */
import JSZip from "npm:jszip@3.10.2";
import { InputError } from "../errors.ts";

export interface UnzipLimits {
  /** All entries together, inflated. Default 4 GiB. */
  readonly maxBytes?: number;
  /** Default 10,000. */
  readonly maxEntries?: number;
}

/** A fixed time stamp, so that equal contents give equal archives. */
const EPOCH = new Date("1980-01-01T00:00:00Z");

/** An archive of named files. `compress` is worth it for what is not compressed already. */
export function writeZip(
  files: ReadonlyMap<string, Uint8Array>,
  { compress = false }: { compress?: boolean } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const zip = new JSZip();
  for (const [name, bytes] of files) zip.file(name, bytes, { date: EPOCH, createFolders: false });
  return zip.generateAsync({
    type: "uint8array",
    compression: compress ? "DEFLATE" : "STORE",
  }) as Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * The files of an archive by name. Bytes are counted while they are inflated, whatever the archive
 * says of their number.
 * @throws InputError for a damaged archive, a name that leaves its folder, or more than the limits.
 */
export async function readZip(
  bytes: Uint8Array,
  where: string,
  { maxBytes = 4 * 2 ** 30, maxEntries = 10_000 }: UnzipLimits = {},
): Promise<Map<string, Uint8Array<ArrayBuffer>>> {
  let zip: JSZip;
  try {
    zip = await JSZip.loadAsync(bytes);
  } catch (error) {
    throw new InputError(
      `${where}: not a zip archive that can be read (${(error as Error).message})`,
    );
  }
  const entries = Object.values(zip.files).filter((entry) => !entry.dir);
  if (entries.length > maxEntries) {
    throw new InputError(`${where}: ${entries.length} entries, at most ${maxEntries} are read`);
  }
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let left = maxBytes;
  for (const entry of entries) {
    const name = entry.unsafeOriginalName ?? entry.name;
    if (/^([/\\]|[a-z]:)|(^|[/\\])\.\.([/\\]|$)|\0/i.test(name)) {
      throw new InputError(`${where}: the entry name ${JSON.stringify(name)} leaves the archive`);
    }
    const data = await inflate(entry, left, `${where}/${name}`);
    left -= data.length;
    files.set(name, data);
  }
  return files;
}

function inflate(
  entry: JSZip.JSZipObject,
  most: number,
  where: string,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    // JSZip's own stream; its types leave it out.
    const stream = (entry as unknown as {
      internalStream(type: "uint8array"): JSZip.JSZipStreamHelper<Uint8Array>;
    }).internalStream("uint8array");
    stream.on("data", (chunk) => {
      size += chunk.length;
      if (size > most) {
        stream.pause();
        reject(new InputError(`${where}: inflates to more than the ${most} bytes that are taken`));
        return;
      }
      chunks.push(chunk);
    });
    stream.on("error", (error) => {
      reject(new InputError(`${where}: damaged (${error.message})`));
    });
    stream.on("end", () => {
      const bytes = new Uint8Array(size);
      let at = 0;
      for (const chunk of chunks) {
        bytes.set(chunk, at);
        at += chunk.length;
      }
      resolve(bytes);
    });
    stream.resume();
  });
}
