/** Pictures into files: the ending decides the format, and a file is there whole or not at all. */
import { InputError } from "../errors.ts";
import { picturesNpz } from "../image/npz.ts";
import { writeZip } from "../image/zip.ts";
import { gridPng, type Picture } from "../sampling/pictures.ts";
import type { Io } from "./io.ts";

export interface Target {
  readonly path: string;
  readonly kind: "png" | "npz" | "zip" | "folder" | "stdout";
}

/** Where pictures go. Looks before any work is done whether that can be written. */
export async function openTarget(path: string, force: boolean): Promise<Target> {
  if (path === "-") return { path, kind: "stdout" };
  const info = await Deno.stat(path).catch(() => undefined);
  if (path.endsWith("/") || info?.isDirectory) {
    await explain(path, () => Deno.mkdir(path, { recursive: true }));
    await explain(path, () => probe(path));
    return { path: path.replace(/\/+$/, "") || "/", kind: "folder" };
  }
  const kind = /\.(png|npz|zip)$/i.exec(path)?.[1].toLowerCase();
  if (!kind) {
    throw new InputError(
      `--out ${path}: expected .png, .npz or .zip, a folder with a slash at its end, or - for standard output`,
    );
  }
  if (info && !force) {
    throw new InputError(`--out ${path}: the file is there already; --force overwrites it`);
  }
  await explain(path, () => probe(folderOf(path)));
  return { path, kind: kind as Target["kind"] };
}

/** Writes pictures to a target. */
export async function writePictures(
  { path, kind }: Target,
  pictures: readonly Picture[],
  force: boolean,
  io: Io,
): Promise<void> {
  switch (kind) {
    case "stdout":
      return io.writeBytes(await onePng(pictures));
    case "png":
      return writeWhole(path, await onePng(pictures));
    case "npz":
      return writeWhole(path, await picturesNpz(pictures));
    case "zip": {
      const files = pictures.map(async (p) => [`${p.seed}.png`, await p.png()] as const);
      return writeWhole(path, await writeZip(new Map(await Promise.all(files))));
    }
    case "folder":
      for (const picture of pictures) {
        const file = `${path}/${picture.seed}.png`;
        if (!force && await Deno.stat(file).catch(() => undefined)) {
          throw new InputError(`--out ${file}: the file is there already; --force overwrites it`);
        }
        await writeWhole(file, await picture.png());
      }
  }
}

function onePng(pictures: readonly Picture[]): Promise<Uint8Array> {
  return pictures.length === 1 ? pictures[0].png() : gridPng(pictures);
}

/** Writes beside the file's place, then renames. */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const beside = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  await explain(path, async () => {
    try {
      await Deno.writeFile(beside, bytes);
      await Deno.rename(beside, path);
    } catch (error) {
      await Deno.remove(beside).catch(() => {});
      throw error;
    }
  });
}

function folderOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at < 0 ? "." : path.slice(0, at) || "/";
}

/** Finds out whether a folder takes files. */
async function probe(folder: string): Promise<void> {
  await Deno.remove(await Deno.makeTempFile({ dir: folder, prefix: ".denoise-" }));
}

async function explain<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "its folder does not exist"
      : (error as Error).message;
    throw new InputError(`--out ${path}: cannot be written (${reason})`);
  }
}
