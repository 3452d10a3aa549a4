/** Files that are whole or absent, also after a power cut. */
import { writeWhole } from "./atomic_write.ts";

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
