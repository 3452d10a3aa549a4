/** Files that are there whole or not at all. */

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
