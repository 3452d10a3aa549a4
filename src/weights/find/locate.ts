/** What a name, a path or an address of weights stands for. */
import { InputError } from "../../errors.ts";
import { networkFolders } from "../../networks/registry.ts";
import { cacheFolder, DownloadCache, environment } from "./cache.ts";
import { download, type DownloadOptions } from "./download.ts";
import { type FetchFile, type Files, filesAt, filesOf } from "../files.ts";
import { sha256Hex } from "../../files/hash.ts";

/** Weights that come with denoise, by name. */
export const builtInWeights: Readonly<Record<string, URL>> = {
  digits: new URL("../../../weights/digits/", import.meta.url),
};

/** Where `hf:` weights are, unless the environment's HF_ENDPOINT says otherwise. */
const HUB = "https://huggingface.co";

/**
 * The files of weights: a built-in name, a folder or a file (.zip, .safetensors, .npz, .onnx) on disc,
 * an address of one, or `hf:owner/name[/path][@revision]`. A `#sha256=…` behind it is checked: an archive's, or the weights'
 * file's in a folder. What is downloaded is kept, so that a second run needs no network.
 * @throws InputError for what is none of these, or does not have that hash.
 */
export async function locate(source: string | URL, options?: DownloadOptions): Promise<Files> {
  const { place, sha256 } = splitHash(source);
  const url = addressOf(place);
  const fetchFile = fetcher(options);
  const named = Object.hasOwn(builtInWeights, place);
  const onDisc = url.protocol === "file:" && !named ? await kindOnDisc(url, place) : undefined;
  const kind = onDisc === "folder"
    ? undefined
    : /\.(zip|npz|safetensors|onnx)$/i.exec(url.pathname)?.[1].toLowerCase();
  if (!kind) {
    if (onDisc === "file") {
      throw new InputError(
        `${place}: expected weights, found a file of another kind; read are a diffusers folder, .zip, .safetensors, .npz and .onnx`,
      );
    }
    const files = filesAt(url, fetchFile);
    return sha256 ? checkedFolder(files, sha256) : files;
  }
  const bytes = await fetchFile(url);
  if (!bytes) throw new InputError(`${place}: expected a .${kind} file, found nothing`);
  await checkHash(bytes, sha256, url.href);
  if (kind === "onnx") return onnxFiles(url, bytes, fetchFile);
  const single: typeof import("../read/single_file.ts") = await import(
    new URL("../read/single_file.ts", import.meta.url).href
  );
  if (kind === "safetensors") return single.filesOfSafetensors(bytes, place);
  const zip: typeof import("../../files/zip.ts") = await import(
    new URL("../../files/zip.ts", import.meta.url).href
  );
  const entries = await zip.readZip(bytes, place);
  return kind === "npz" ? single.filesOfNpz(entries, place) : archiveFiles(entries, place);
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
  if (place.startsWith("hf:")) return hubAddress(place);
  if (/^(https?|file):\/\//.test(place)) {
    if (URL.canParse(place)) return new URL(place);
    throw new InputError(`${place}: expected an address like https://example.org/weights/`);
  }
  const encoded = encodeURI(place.replaceAll("\\", "/"))
    .replaceAll("?", "%3F").replaceAll("#", "%23");
  return new URL(encoded, `file://${encodeURI(Deno.cwd().replaceAll("\\", "/"))}/`);
}

function hubAddress(place: string): URL {
  const match = /^hf:([\w.-]+\/[\w.-]+)((?:\/[\w.-]+)*)(?:@([\w./-]+))?$/.exec(place);
  if (!match || place.includes("..")) {
    throw new InputError(
      `${place}: expected hf:owner/name, a path in it behind that, and @revision if it is not main`,
    );
  }
  const [, repository, path, revision = "main"] = match;
  const endpoint = (environment("HF_ENDPOINT") ?? HUB).replace(/\/$/, "");
  return new URL(`${endpoint}/${repository}/resolve/${revision}${path || "/"}`);
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
    throw new InputError(
      `${place}: there is no such folder or file, and no built-in weights of that name (${names})`,
    );
  }
}

/** Files from disc are read, others downloaded once. */
function fetcher(options?: DownloadOptions): FetchFile {
  return (url, optional) => {
    if (url.protocol === "file:") {
      return Deno.readFile(url).catch((error) => {
        if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
          return undefined;
        }
        throw new InputError(`${url.pathname}: cannot be read (${error.message})`);
      });
    }
    const folder = cacheFolder();
    const wanted = { ...options, optional };
    return folder ? new DownloadCache(folder).fetch(url, wanted) : download(url, wanted);
  };
}

/** The folder that an ONNX file lies in: its tensors and its scheduler's config may lie beside it. */
function onnxFiles(url: URL, bytes: Uint8Array, fetchFile: FetchFile): Files {
  const { where, read } = filesAt(new URL(".", url), fetchFile);
  const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  const onnx = url.protocol === "file:" ? decodeURIComponent(name) : name;
  return {
    where,
    onnx,
    read: (path, optional) => path === onnx ? Promise.resolve(bytes) : read(path, optional),
  };
}

function checkedFolder(files: Files, sha256: string): Files {
  return {
    where: files.where,
    async read(path) {
      const bytes = await files.read(path);
      if (bytes && path.endsWith(".safetensors")) {
        await checkHash(bytes, sha256, files.where + path);
      }
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

/** An archive's files; a single folder that everything lies in is looked through. */
function archiveFiles(entries: ReadonlyMap<string, Uint8Array>, where: string): Files {
  const names = [...entries.keys()];
  const top = names[0]?.split("/")[0];
  const prefix = names.every((name) => name.startsWith(`${top}/`)) &&
      ![...networkFolders, "scheduler"].includes(top)
    ? `${top}/`
    : "";
  return filesOf(
    Object.fromEntries(names.map((name) => [name.slice(prefix.length), entries.get(name)!])),
    `${where}/`,
  );
}
