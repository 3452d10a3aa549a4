/** Files in and out: read or told why not; written whole or not at all, the ending decides the format. */
import { dirname, resolve } from "node:path";
import { InputError } from "../errors.ts";
import { writeWhole } from "../files/atomic_write.ts";

/**
 * A file's bytes.
 * @param what how the user gave it, for messages: "--from", "image"
 * @throws InputError that says why it cannot be read
 */
export async function readInput(what: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (path.trim() === "") throw new InputError(`${what}: expected a file's path, found nothing`);
  if (/^https?:\/\//.test(path)) {
    throw new InputError(`${what} ${path}: expected a file, found an address; download it first`);
  }
  try {
    return await Deno.readFile(path);
  } catch (error) {
    throw new InputError(`${what} ${path}: cannot be read: ${reasonOf(error)}`);
  }
}

/** What becomes of the pictures; "stdout" is one PNG. */
export type TargetKind = Ending | "folder" | "stdout";
type Ending = "png" | "gif" | "apng" | "npz" | "zip" | "svg";

export interface Target {
  readonly path: string;
  readonly kind: TargetKind;
}

const PICTURES: readonly TargetKind[] = ["png", "gif", "apng", "npz", "zip", "folder"];

/**
 * Where pictures go. Looks before any work is done whether that can be written.
 * @param force whether a file that is there may be replaced
 * @param kinds what may be asked for beside standard output
 */
export async function openTarget(
  path: string,
  force: boolean,
  kinds: readonly TargetKind[] = PICTURES,
): Promise<Target> {
  if (path === "-") return { path, kind: "stdout" };
  const info = await Deno.stat(path).catch(() => undefined);
  const shown = path.trim() === "" ? JSON.stringify(path) : path;
  const folders = kinds.includes("folder");
  if (folders && (/[/\\]$/.test(path) || info?.isDirectory)) {
    await makeFolder(path);
    await explain(path, () => probe(path));
    return { path: path.replace(/[/\\]+$/, "") || "/", kind: "folder" };
  }
  const endings = kinds.filter((kind) => kind !== "folder");
  const kind = endings.find((ending) => path.toLowerCase().endsWith(`.${ending}`));
  if (!kind || info?.isDirectory) {
    throw new InputError(
      `--out ${shown}: ${info?.isDirectory ? "is a folder; " : ""}expected ${
        endings.map((ending) => `.${ending}`).join(", ")
      }${folders ? ", a folder with a slash at its end," : ""} or - for standard output`,
    );
  }
  if (!force) await checkFree(path);
  await checkFile(path);
  return { path, kind };
}

/** @throws InputError where there is a file of that name, which is not to be lost */
export async function checkFree(path: string): Promise<void> {
  if (await Deno.stat(path).catch(() => undefined)) {
    throw new InputError(`--out ${path}: the file is there already; --force overwrites it`);
  }
}

/**
 * Whether the file that a command chose itself may be made again without a word: not where it is one of
 * those that the command reads.
 */
export async function isScratch(
  out: string,
  read: readonly (string | undefined)[],
): Promise<boolean> {
  const placeOf = (path: string) => Deno.realPath(path).catch(() => undefined);
  const place = await placeOf(out);
  for (const path of read) {
    if (place !== undefined && path !== undefined && await placeOf(path) === place) return false;
  }
  return true;
}

/** Writes a file so that it is there whole or not at all. @throws InputError saying why not */
export async function writeOutput(path: string, bytes: Uint8Array): Promise<void> {
  await explain(path, () => writeWhole(path, bytes));
}

/** Makes a folder and those above it, where they are not there yet. */
export async function makeFolder(path: string): Promise<void> {
  await explain(path, () => Deno.mkdir(path, { recursive: true }));
}

/** Finds out whether a folder takes files. */
async function probe(folder: string): Promise<void> {
  await Deno.remove(await Deno.makeTempFile({ dir: folder, prefix: ".denoise-" }));
}

async function explain<T>(
  path: string,
  work: () => Promise<T>,
  option = "--out",
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const missing = error instanceof Deno.errors.NotFound;
    const reason = missing ? "its folder does not exist" : reasonOf(error);
    throw new InputError(`${option} ${path}: cannot be written (${reason})`);
  }
}

/** Finds out, before any work is done, whether a file can be written. */
export async function checkFile(path: string, option?: string): Promise<void> {
  await explain(path, () => probe(dirname(path)), option);
}

/**
 * Finds out, before any work is done, whether a folder can be made and takes files, by looking at the
 * nearest folder above it that is there. Makes nothing.
 */
export async function checkFolder(path: string): Promise<void> {
  await explain(path, async () => {
    for (let place = resolve(path);; place = dirname(place)) {
      try {
        return await probe(place);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound) || place === dirname(place)) throw error;
      }
    }
  });
}

/** Why a file or folder could not be used. */
export function reasonOf(error: unknown): string {
  const { errors } = Deno;
  if (error instanceof errors.NotFound) return "there is no such file or folder";
  if (error instanceof errors.IsADirectory) return "it is a folder";
  if (error instanceof errors.NotADirectory) return "part of its path is a file, not a folder";
  if (error instanceof errors.AlreadyExists) return "a file of that name is there";
  if (error instanceof errors.PermissionDenied) return "the system does not permit it";
  return error instanceof Error ? error.message : String(error);
}
