/** PNG and JPEG files of a folder or a zip archive; subfolders are the classes. */
import { readZip } from "../../files/zip.ts";
import { decodePicture } from "../../image/read.ts";
import { bytesDataSet, type DataOptions, type DataSet } from "./data_set.ts";
import { fitPicture } from "./fit.ts";

interface Entry {
  readonly path: string;
  /** The first subfolder on the way to the file. */
  readonly label?: string;
  read(): Promise<Uint8Array>;
}

/** What a person would call a picture: those that are not read are named, not passed over. */
const PICTURE = /\.(png|jpe?g|jfif|webp|gif|bmp|tiff?|avif|heic|heif|jxl)$/i;
/** How deep folders are looked through: links may lead round in ways that only depth ends. */
const MAX_DEPTH = 32;

/**
 * Every PNG and JPEG below a folder, in order of name. Where all of them lie in subfolders, those are
 * the classes, links to folders among them. A picture that cannot be read is left out and listed in
 * `skipped`.
 */
export async function openPictureFolder(root: string, options: DataOptions): Promise<DataSet> {
  const folder = root.replace(/\/+$/, "") || "/";
  return await openPictures(await picturesBelow(folder, [await Deno.realPath(folder)]), options);
}

/** The same of a zip archive; a single folder that everything lies in is looked through. */
export async function openPictureZip(path: string, options: DataOptions): Promise<DataSet> {
  const files = [...await readZip(await Deno.readFile(path), path)]
    .map(([name, bytes]) => ({ parts: name.replaceAll("\\", "/").split("/"), bytes }))
    .filter(({ parts }) => !parts.some((part) => part.startsWith(".") || part === "__MACOSX"))
    .filter(({ parts }) => PICTURE.test(parts.at(-1)!));
  const around =
    files[0]?.parts.findIndex((part, i) =>
      !files.every(({ parts }) => parts.length > i + 2 && parts[i] === part)
    ) ?? 0;
  const entries = files.map(({ parts, bytes }): Entry => {
    const own = parts.slice(around);
    return {
      path: `${path}/${own.join("/")}`,
      label: own.length > 1 ? own[0].normalize("NFC") : undefined,
      read: () => Promise.resolve(bytes),
    };
  });
  return await openPictures(entries.sort(byPath), options);
}

async function openPictures(entries: readonly Entry[], options: DataOptions): Promise<DataSet> {
  const { size: [height, width], channels, signal, onProgress } = options;
  const size = channels * height * width;
  const bytes = new Uint8Array(entries.length * size);
  const kept: Entry[] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (const [i, entry] of entries.entries()) {
    signal?.throwIfAborted();
    try {
      const picture = decodePicture(await entry.read(), entry.path);
      fitPicture(picture, options, bytes.subarray(kept.length * size, (kept.length + 1) * size));
      kept.push(entry);
    } catch (error) {
      skipped.push({ name: entry.path, reason: (error as Error).message });
    }
    onProgress?.(i + 1, entries.length);
  }
  const used = bytes.subarray(0, kept.length * size);
  const classes = classesOf(kept.flatMap(({ label }) => label ?? []));
  const labelled = classes.labels.length === kept.length ? classes : {};
  return bytesDataSet(used, [channels, height, width], { ...labelled, skipped });
}

/** The classes in order of name, 2 before 10 as people number their folders, and each label's. */
function classesOf(labels: readonly string[]): { labels: Int32Array; labelNames: string[] } {
  const byName = (a: string, b: string) => a.localeCompare(b, "en", { numeric: true });
  const labelNames = [...new Set(labels)].sort(byName);
  return { labels: Int32Array.from(labels, (label) => labelNames.indexOf(label)), labelNames };
}

function byPath(a: Entry, b: Entry): number {
  return a.path < b.path ? -1 : 1;
}

/** @param above the real paths on the way here: a link to one of them would lead round for ever */
async function picturesBelow(
  folder: string,
  above: readonly string[],
  label?: string,
): Promise<Entry[]> {
  const found: Entry[] = [];
  for await (const entry of Deno.readDir(folder)) {
    const { name } = entry;
    if (name.startsWith(".")) continue;
    const path = `${folder === "/" ? "" : folder}/${name}`;
    // A link that leads nowhere is passed over, unless it is called like a picture.
    const isDirectory = entry.isSymlink
      ? await Deno.stat(path).then((info) => info.isDirectory, () => false)
      : entry.isDirectory;
    if (isDirectory) {
      const real = await Deno.realPath(path);
      if (above.includes(real) || above.length > MAX_DEPTH) continue;
      // macOS gives names in another Unicode form than keyboards do.
      found.push(...await picturesBelow(path, [...above, real], label ?? name.normalize("NFC")));
    } else if (PICTURE.test(name)) {
      found.push({ path, label, read: () => Deno.readFile(path) });
    }
  }
  return found.sort(byPath);
}
