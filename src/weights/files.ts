/** Where weights lie: a set of named files, read one at a time. */
import { InputError } from "../errors.ts";

/** A folder of weights, wherever it is: on disk, behind a URL, in an archive, in memory. */
export interface Files {
  /** What to call it in messages, which put it in front of its files' names: "w/". */
  readonly where: string;
  /** The file in it that is meant, where it is not the whole folder: its ending says what it is. */
  readonly file?: string;
  /** The paths of all files, where they can be known. */
  list?(): Promise<readonly string[] | undefined>;
  /**
   * Told whether what was read is whole and fits together: only then are downloads kept.
   * @returns after a failure, whether some of it had been kept before and would now be fetched anew
   */
  settle?(whole: boolean): Promise<boolean>;
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
  const root = new URL(base);
  if (!root.pathname.endsWith("/")) root.pathname += "/";
  const { search } = root;
  root.search = "";
  return {
    where: root.protocol === "file:" ? decodeURIComponent(root.pathname) : root.href,
    read(path, optional) {
      const file = new URL(path.split("/").map(encodeURIComponent).join("/"), root);
      // A token or a choice behind the folder's address is meant for each of its files.
      file.search = search;
      return fetchFile(file, optional);
    },
  };
}

/** Files held in memory, as an edge deployment bundles them. */
export function filesOf(entries: Readonly<Record<string, Uint8Array>>, where = "memory/"): Files {
  return {
    where,
    read: (path) => Promise.resolve(Object.hasOwn(entries, path) ? entries[path] : undefined),
    list: () => Promise.resolve(Object.keys(entries)),
  };
}

async function fetchBytes(url: URL, optional?: boolean): Promise<Uint8Array | undefined> {
  const response = await fetchFile(url, optional);
  return response && new Uint8Array(await response.arrayBuffer());
}

/** A file's bytes as they come, or undefined where there is none. */
export async function fetchStream(url: URL): Promise<ReadableStream<Uint8Array> | undefined> {
  const response = await fetchFile(url);
  return response && (response.body ?? new Blob().stream());
}

async function fetchFile(url: URL, optional?: boolean): Promise<Response | undefined> {
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
  return response;
}

/** Reads, and reads again where what failed had been kept from before: it may be of another version. */
export async function settled<T>(files: Files, read: () => Promise<T>): Promise<T> {
  for (let again = true;; again = false) {
    try {
      const found = await read();
      await files.settle?.(true);
      return found;
    } catch (error) {
      const stale = await files.settle?.(false);
      if (!(error instanceof InputError) || !stale || !again) throw error;
    }
  }
}

/** A file as text, or undefined where there is none of that name. */
export async function readText(
  files: Files,
  path: string,
  optional?: boolean,
): Promise<string | undefined> {
  const bytes = await files.read(path, optional);
  return bytes && textOf(bytes, files.where + path);
}

/** A JSON file's value, or undefined where there is none of that name. */
export async function readJson(files: Files, path: string, optional?: boolean): Promise<unknown> {
  const bytes = await files.read(path, optional);
  return bytes && parseJson(bytes, files.where + path);
}

/** @throws InputError where they are no JSON */
export function parseJson(json: Uint8Array | string, where: string): unknown {
  const text = typeof json === "string" ? json : textOf(json, where);
  try {
    // Windows' editors put a mark in front.
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch {
    throw new InputError(`${where}: expected JSON, found something else`);
  }
}

function textOf(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`${where}: expected text, found other bytes`);
  }
}
