/** Opens a data set: detects its format and reads it. */
import { MAX_SEED } from "../../diffusion/random.ts";
import { InputError } from "../../errors.ts";
import type { DataOptions, DataSet, PictureSource, Split } from "./data_set.ts";
import { openPictureFolder, openPictureZip } from "./folder.ts";
import { idxImagesIn, isIdxTest, openIdx } from "./idx_files.ts";
import { npzHasTest, openNpy, openNpz } from "./npz.ts";
import { npmFolder } from "./package.ts";
import { drawnDataSet, generatedPictures, isDataPlugin, loadDataPlugin } from "./plugin.ts";

/** What is drawn to measure on. Training draws by its recipe's seed, and so never what "test" is. */
export const DRAWN: Readonly<Record<Split, { seed: number; length: number }>> = {
  train: { seed: MAX_SEED - 1, length: 20_000 },
  test: { seed: MAX_SEED, length: 10_000 },
};

/**
 * Reads a data set whole: a folder or zip of PNG and JPEG files, whose subfolders are the classes; an
 * IDX file or a folder of them; an .npz or .npy file; `npm:NAME@VERSION/PATH`, a folder in a package; or pictures
 * that a data plug-in draws, {@link DRAWN} of them.
 * @throws InputError where there is nothing to learn from.
 */
export async function openData(source: string, options: DataOptions): Promise<DataSet> {
  if (isDataPlugin(source)) {
    const { seed, length } = DRAWN[options.split ?? "train"];
    return drawnDataSet(await loadDataPlugin(source), seed, length, options);
  }
  const path = source.startsWith("npm:") ? await npmFolder(source) : source;
  const info = await statIfThere(path, source);
  if (!info) throw new InputError(`data ${source}: there is no such file or folder`);
  const data = info.isDirectory
    ? await openFolder(path, source, options)
    : await openFile(path, options);
  if (data.length === 0) {
    const [first] = data.skipped;
    throw new InputError(
      `data ${source}: expected pictures (PNG, JPEG, IDX, npz or npy), found none that can be read` +
        (first ? `; ${data.skipped.length} were left out, the first: ${first.reason}` : ""),
    );
  }
  return data;
}

/** What there is to learn from: of a data plug-in pictures without end, of all else the set itself. */
export async function openSource(source: string, options: DataOptions): Promise<PictureSource> {
  if (!isDataPlugin(source)) return await openData(source, { ...options, split: "train" });
  return generatedPictures(await loadDataPlugin(source), DRAWN.train.seed, options);
}

async function openFolder(path: string, source: string, options: DataOptions): Promise<DataSet> {
  const idx = await idxImagesIn(path);
  return idx.length > 0
    ? await openIdx(idx, source, options)
    : await openPictureFolder(path, options);
}

async function openFile(path: string, options: DataOptions): Promise<DataSet> {
  const start = await firstBytes(path);
  if (start.startsWith("504b")) {
    return /\.zip$/i.test(path)
      ? await openPictureZip(path, options)
      : await openNpz(path, options);
  }
  if (start === "934e554d") return await openNpy(path, options);
  if (/^(000008|1f8b)/.test(start)) return await openIdx([path], path, options);
  throw new InputError(
    `data ${path}: expected a folder or zip of pictures, an .npz or .npy file, or IDX files (…idx3-ubyte)`,
  );
}

async function statIfThere(path: string, source: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return undefined;
    throw new InputError(`data ${source}: cannot be read (${(error as Error).message})`);
  }
}

/** A file's first four bytes in hex. */
async function firstBytes(path: string): Promise<string> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(4);
  await file.read(bytes);
  return bytes.toHex();
}

/** Whether a set has a part of its own that is kept from training. */
export async function hasTestSplit(source: string): Promise<boolean> {
  if (isDataPlugin(source)) return true;
  const path = source.startsWith("npm:") ? await npmFolder(source) : source;
  const info = await statIfThere(path, source);
  if (info?.isFile) return /\.npz$/i.test(path) && await npzHasTest(path);
  if (!info?.isDirectory) return false;
  return (await idxImagesIn(path)).some(isIdxTest);
}
