/** Where weights lie: a set of named files, read one at a time. */
import { InputError } from "../errors.ts";

/** A folder of weights, wherever it is: on disk, behind a URL, in an archive, in memory. */
export interface Files {
  /** What to call it in messages. */
  readonly where: string;
  /** The ONNX file that is meant, where it is not the folder; what it needs lies beside it. */
  readonly onnx?: string;
  /**
   * The file's bytes, or undefined where there is none of that name.
   * @param optional weights do without it, so that a server which forbids it has none
   */
  read(path: string, optional?: boolean): Promise<Uint8Array | undefined>;
}

/** Gives the bytes behind an address, or undefined where there are none; as {@link Files.read}. */
export type FetchFile = (url: URL, optional?: boolean) => Promise<Uint8Array | undefined>;

/**
 * Whether an HTTP status says that there is no such file. Object stores whose files may not be listed
 * answer 403 for one that is missing: believed only of files that weights do without.
 */
export function isAbsent(status: number, optional = false): boolean {
  return status === 404 || (optional && (status === 403 || status === 410));
}

/** Files below a `file:` or `http(s):` address. */
export function filesAt(base: URL, fetchFile: FetchFile = fetchBytes): Files {
  const root = new URL(base.href.endsWith("/") ? base.href : `${base.href}/`);
  return {
    where: root.protocol === "file:" ? decodeURIComponent(root.pathname) : root.href,
    read: (path, optional) => fetchFile(new URL(path, root), optional),
  };
}

/** Files held in memory, as an edge deployment bundles them. */
export function filesOf(entries: Readonly<Record<string, Uint8Array>>, where = "memory"): Files {
  return { where, read: (path) => Promise.resolve(entries[path]) };
}

async function fetchBytes(url: URL, optional?: boolean): Promise<Uint8Array | undefined> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    // fetch() of a file: address rejects where there is no such file, and only then.
    if (url.protocol === "file:") return undefined;
    throw new InputError(`${url.href}: could not be fetched (${(error as Error).message})`);
  }
  if (isAbsent(response.status, optional)) {
    await response.body?.cancel();
    return undefined;
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw new InputError(`${url.href}: the server answered ${response.status}`);
  }
  return new Uint8Array(await response.arrayBuffer());
}

/** A file as text, or undefined where there is none of that name. */
export async function readText(
  files: Files,
  path: string,
  optional?: boolean,
): Promise<string | undefined> {
  const bytes = await files.read(path, optional);
  if (!bytes) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`${files.where}${path}: expected text, found other bytes`);
  }
}

/** A JSON file's value, or undefined where there is none of that name. */
export async function readJson(files: Files, path: string): Promise<unknown> {
  const text = await readText(files, path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`${files.where}${path}: expected JSON, found something else`);
  }
}
