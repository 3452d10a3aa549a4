/** Files that are whole or absent, also after a power cut. */

/**
 * Writes beside the file's place, makes sure the bytes are on disc, then renames.
 * @throws Error with the path; what was at the path before stays
 */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    const file = await Deno.open(beside, { write: true, create: true });
    try {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(beside, path);
  } catch (error) {
    await Deno.remove(beside).catch(() => {});
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
