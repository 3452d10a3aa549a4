/** A folder of PNG and JPEG files. */
import { decodePicture } from "../../image/read.ts";
import { bytesDataSet, type DataOptions, type DataSet } from "./data_set.ts";
import { fitPicture } from "./fit.ts";

interface Entry {
  readonly path: string;
  /** The first subfolder on the way to the file. */
  readonly label?: string;
}

/** What a person would call a picture: those that are not read are named, not passed over. */
const PICTURE = /\.(png|jpe?g|jfif|webp|gif|bmp|tiff?|avif|heic|heif|jxl)$/i;

/**
 * Every PNG and JPEG below a folder, in order of name. Where all of them lie in subfolders, those are
 * the classes. A picture that cannot be read is left out and listed in `skipped`.
 */
export async function openPictureFolder(root: string, options: DataOptions): Promise<DataSet> {
  const entries = await picturesBelow(root);
  const { size: [height, width], channels, signal, onProgress } = options;
  const size = channels * height * width;
  const bytes = new Uint8Array(entries.length * size);
  const kept: Entry[] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (const [i, entry] of entries.entries()) {
    signal?.throwIfAborted();
    try {
      const picture = decodePicture(await Deno.readFile(entry.path), entry.path);
      fitPicture(picture, options, bytes.subarray(kept.length * size, (kept.length + 1) * size));
      kept.push(entry);
    } catch (error) {
      skipped.push({ name: entry.path, reason: (error as Error).message });
    }
    onProgress?.(i + 1, entries.length);
  }
  const names = [...new Set(kept.map(({ label }) => label))].sort(byName);
  const labelled = kept.length > 0 && !names.includes(undefined)
    ? {
      labels: Int32Array.from(kept, ({ label }) => names.indexOf(label)),
      labelNames: names as string[],
    }
    : {};
  const used = bytes.subarray(0, kept.length * size);
  return bytesDataSet(used, [channels, height, width], { ...labelled, skipped });
}

/** 2 before 10, as people number their folders. */
function byName(a: string | undefined, b: string | undefined): number {
  return (a ?? "").localeCompare(b ?? "", "en", { numeric: true });
}

async function picturesBelow(folder: string, label?: string): Promise<Entry[]> {
  const found: Entry[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = `${folder.replace(/\/+$/, "")}/${name}`;
    if (name.startsWith(".")) continue;
    if (isDirectory) found.push(...await picturesBelow(path, label ?? name));
    else if (PICTURE.test(name)) found.push({ path, label });
  }
  return found.sort((a, b) => a.path < b.path ? -1 : 1);
}
