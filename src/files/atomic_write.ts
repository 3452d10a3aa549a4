/** Files that are there whole or not at all; where it matters, after a power cut too. */

/**
 * Writes beside the file's place, makes sure that the bytes are on disc, and only then gives the file
 * its name. What was at `path` before stays if anything fails.
 *
 * @param content the bytes, or what writes them
 * @param beside the path it is written at meanwhile; one of its own unless only one process writes
 */
export async function writeWhole(
  path: string,
  content: Uint8Array | ((file: Deno.FsFile) => Promise<void>),
  beside = `${path}.${crypto.randomUUID().slice(0, 8)}.part`,
): Promise<void> {
  try {
    {
      using file = await Deno.open(beside, { write: true, create: true, truncate: true });
      await (typeof content === "function" ? content(file) : writeAll(file, content));
      await file.syncData();
    }
    await Deno.rename(beside, path);
  } catch (error) {
    await Deno.remove(beside).catch(() => {});
    throw error;
  }
}

/** Writes every byte: `file.write` may stop short. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/**
 * Writes a file and makes sure that its name, too, is on disc.
 * @throws Error with the path; what was at the path before stays
 */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeWhole(path, bytes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${path}: cannot be written (${reason})`, { cause: error });
  }
  await syncFolder(path.slice(0, path.lastIndexOf("/") + 1) || ".");
}

/** The rename itself is only on disc when the folder is; Windows cannot open folders, and need not. */
async function syncFolder(folder: string): Promise<void> {
  try {
    using opened = await Deno.open(folder);
    await opened.sync();
  } catch {
    return;
  }
}

export function writeTextDurably(path: string, text: string): Promise<void> {
  return writeDurably(path, new TextEncoder().encode(text));
}
