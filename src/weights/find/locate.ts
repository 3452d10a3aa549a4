/** What a name, a path or an address of weights stands for. */
import { InputError } from "../../errors.ts";
import { networkFolders } from "../../networks/registry.ts";
import { sha256Hex } from "../../files/hash.ts";
import { type FetchFile, type Files, filesAt } from "../files.ts";
import { weightEnding, weightEndings } from "../read/formats.ts";
import { type CachedOptions, cacheFolder, DownloadCache } from "./cache.ts";
import { download } from "./download.ts";
import { hubFiles, hubPlace, hubToken, isCommit, isHub } from "./hub.ts";

/** Weights that come with denoise, by name. */
export const builtInWeights: Readonly<Record<string, URL>> = {
  "heroes": new URL("../../../weights/heroes/", import.meta.url),
  "heroes-4": new URL("../../../weights/heroes-4/", import.meta.url),
  "heroes-1": new URL("../../../weights/heroes-1/", import.meta.url),
  "digits": new URL("../../../weights/digits/", import.meta.url),
  "digits-4": new URL("../../../weights/digits-4/", import.meta.url),
  "digits-1": new URL("../../../weights/digits-1/", import.meta.url),
};

/** How weights are looked for. */
export type LocateOptions = Omit<CachedOptions, "optional" | "token">;

/**
 * The files of weights: a built-in name, a folder or a file ({@link weightEndings}) on disc, an address
 * of one, or `hf:owner/name[/path][@revision]`. A `#sha256=…` behind it is compared with the file or
 * archive, or with the weights' file in a folder. What is downloaded is kept once it has been read
 * ({@link Files.settle}), so that a second run needs no network.
 * @throws InputError for what is none of these, or does not have that hash.
 */
export async function locate(source: string | URL, options: LocateOptions = {}): Promise<Files> {
  const { place, sha256 } = splitHash(source);
  const { fetchFile, settle } = fetcher(options);
  const address = place.startsWith("hf:") ? undefined : addressOf(place);
  const hub = hubPlace(place);
  const { url, list } = hub ? await hubFiles(hub, fetchFile) : { url: address! };
  const named = Object.hasOwn(builtInWeights, place);
  const onDisc = url.protocol === "file:" && !named ? await kindOnDisc(url, place) : undefined;
  const ending = onDisc === "folder" ? undefined : weightEnding(decodeURIComponent(url.pathname));
  if (!ending) {
    if (onDisc === "file") {
      throw new InputError(
        `${place}: expected weights, found a file of another kind; read are a diffusers folder, ${
          weightEndings.map((ending) => `.${ending}`).join(", ")
        }`,
      );
    }
    const files: Files = {
      ...filesAt(url, fetchFile),
      list: () => Promise.resolve(list ?? (onDisc && listFolder(url))),
      settle,
    };
    return sha256 ? checkedFolder(files, sha256) : files;
  }
  const bytes = await fetchFile(url);
  if (!bytes) throw new InputError(`${place}: expected a .${ending} file, found nothing`);
  try {
    await checkHash(bytes, sha256, url.href);
    return { ...await singleFile(url, ending, bytes, fetchFile, place), settle };
  } catch (error) {
    await settle(false);
    throw error;
  }
}

function splitHash(source: string | URL): { place: string; sha256?: string } {
  const text = source instanceof URL ? source.href : source;
  const match = /^(.*)#sha256=(.*)$/.exec(text);
  if (!match) return { place: text };
  const sha256 = match[2].toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new InputError(`${text}: expected 64 hexadecimal digits after #sha256=`);
  }
  return { place: match[1], sha256 };
}

function addressOf(place: string): URL {
  if (place === "") throw new InputError("weights: expected a name, a folder or an address");
  if (Object.hasOwn(builtInWeights, place)) return builtInWeights[place];
  if (/^(https?|file):\/\//.test(place)) {
    if (isAddress(place)) return new URL(place);
    throw new InputError(`${place}: expected an address like https://example.org/weights/`);
  }
  return fileAddress(place);
}

/** Whether it can be parsed, and what is percent-encoded in its path can be read. */
function isAddress(place: string): boolean {
  try {
    decodeURIComponent(new URL(place).pathname);
    return true;
  } catch {
    return false;
  }
}

/** A path's address: "run:1" and "C:\weights" are paths, whatever their beginnings look like. */
function fileAddress(path: string): URL {
  const isAbsolute = /^([a-z]:)?[\\/]/i.test(path);
  const absolute = isAbsolute ? path : `${Deno.cwd()}/${path}`;
  const slashed = absolute.replaceAll("\\", "/").replace(/^(?=[a-z]:)/i, "/");
  const encoded = slashed.split("/").map((part, i) =>
    // A drive's colon stays as it is.
    i === 1 && /^[a-z]:$/i.test(part) ? part : encodeURIComponent(part)
  );
  return new URL(`file://${encoded.join("/")}`);
}

/** What lies at a path; undefined where this process may not look. @throws InputError for nothing */
async function kindOnDisc(url: URL, place: string): Promise<"file" | "folder" | undefined> {
  try {
    const { isDirectory } = await Deno.stat(url);
    return isDirectory ? "folder" : "file";
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (!(error instanceof NotFound || error instanceof NotADirectory)) return undefined;
    const names = Object.keys(builtInWeights).join(", ");
    const onHub = /^[\w.-]+\/[\w.-]+$/.test(place) ? `; did you mean hf:${place}?` : "";
    throw new InputError(
      `${place}: there is no such folder or file, and no built-in weights of that name (${names})${onHub}`,
    );
  }
}

/** The files of a folder and of the parts that weights have. */
async function listFolder(url: URL): Promise<readonly string[] | undefined> {
  const root = url.href.endsWith("/") ? url : new URL(`${url.href}/`);
  const names: string[] = [];
  try {
    const networks = networkFolders.flatMap((folder) => [`${folder}_ema/`, `${folder}/`]);
    for (const part of ["", ...networks, "scheduler/"]) {
      try {
        for await (const { name, isDirectory } of Deno.readDir(new URL(part, root))) {
          if (!isDirectory) names.push(part + name);
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound) || part === "") throw error;
      }
    }
    return names.sort();
  } catch {
    return undefined;
  }
}

/** Files from disc are read, others downloaded once; one reading's downloads are kept together. */
function fetcher(options: LocateOptions) {
  const folder = cacheFolder();
  const cache = folder === undefined ? undefined : new DownloadCache(folder);
  const fetchFile: FetchFile = (url, optional) => {
    if (url.protocol === "file:") return readDisc(url);
    const wanted = {
      ...options,
      refresh: options.refresh && !isCommit(url),
      optional,
      token: isHub(url) ? hubToken : undefined,
    };
    return cache ? cache.fetch(url, wanted) : download(url, wanted);
  };
  return { fetchFile, settle: (whole: boolean) => cache?.settle(whole) ?? Promise.resolve(false) };
}

async function readDisc(url: URL): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(url);
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return undefined;
    throw new InputError(
      `${decodeURIComponent(url.pathname)}: cannot be read (${(error as Error).message})`,
    );
  }
}

/** An archive's files; or the folder that a file lies in: what belongs to it may lie beside it. */
async function singleFile(
  url: URL,
  ending: string,
  bytes: Uint8Array,
  fetchFile: FetchFile,
  place: string,
): Promise<Files> {
  if (ending === "zip") {
    const zip: typeof import("../../files/zip.ts") = await import(
      new URL("../../files/zip.ts", import.meta.url).href
    );
    const archive: typeof import("./archive.ts") = await import(
      new URL("./archive.ts", import.meta.url).href
    );
    return archive.archiveFiles(await zip.readZip(bytes, place), place);
  }
  const folder = new URL(".", url);
  folder.search = url.search;
  const { where, read } = filesAt(folder, fetchFile);
  const file = decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf("/") + 1));
  return {
    where,
    file,
    read: (path, optional) => path === file ? Promise.resolve(bytes) : read(path, optional),
  };
}

function checkedFolder(files: Files, sha256: string): Files {
  return {
    ...files,
    async read(path, optional) {
      const bytes = await files.read(path, optional);
      if (bytes && weightEnding(path)) await checkHash(bytes, sha256, files.where + path);
      return bytes;
    },
  };
}

async function checkHash(bytes: Uint8Array, expected: string | undefined, where: string) {
  if (expected === undefined) return;
  const found = await sha256Hex(bytes);
  if (found !== expected) {
    throw new InputError(`${where}: expected SHA-256 ${expected}, found ${found}`);
  }
}
