/** Pictures into files: the ending decides the format, and a file is there whole or not at all. */
import { dirname } from "node:path";
import { InputError } from "../errors.ts";

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
  const folders = kinds.includes("folder");
  if (folders && (/[/\\]$/.test(path) || info?.isDirectory)) {
    await explain(path, () => Deno.mkdir(path, { recursive: true }));
    await explain(path, () => probe(path));
    return { path: path.replace(/[/\\]+$/, "") || "/", kind: "folder" };
  }
  const endings = kinds.filter((kind) => kind !== "folder");
  const kind = endings.find((ending) => path.toLowerCase().endsWith(`.${ending}`));
  if (!kind || info?.isDirectory) {
    throw new InputError(
      `--out ${path}: expected ${endings.map((ending) => `.${ending}`).join(", ")}${
        folders ? ", a folder with a slash at its end," : ""
      } or - for standard output`,
    );
  }
  if (info && !force) {
    throw new InputError(`--out ${path}: the file is there already; --force overwrites it`);
  }
  await explain(path, () => probe(dirname(path)));
  return { path, kind };
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
