/** Downloaded weights on disk: blobs by SHA-256, and which address gave which blob. */
import { InputError } from "../../errors.ts";
import { writeWhole } from "../../files/atomic_write.ts";
import { download, type DownloadOptions } from "./download.ts";
import { sha256Hex } from "../../files/hash.ts";

/**
 * A folder of downloads. A second run finds everything here and needs no network; a blob is whole or
 * absent, because it is written beside its place and then renamed.
 */
export class DownloadCache {
  constructor(readonly folder: string) {}

  /** The file behind an address, downloaded at most once; undefined where there is none. */
  async fetch(url: URL, options: DownloadOptions = {}): Promise<Uint8Array | undefined> {
    const known = await this.#lookUp(url);
    if (known && known !== "absent") return known;
    let bytes: Uint8Array | undefined;
    try {
      bytes = await download(url, options);
    } catch (error) {
      // That there was nothing is asked again each time, but without a network it still holds.
      if (known === "absent") return undefined;
      throw error;
    }
    await this.#remember(url, bytes);
    return bytes;
  }

  async #lookUp(url: URL): Promise<Uint8Array | "absent" | undefined> {
    const entry = await Deno.readTextFile(await this.#entryPath(url)).catch(() => undefined);
    if (entry === undefined) return undefined;
    if (entry === "absent") return "absent";
    const bytes = await Deno.readFile(this.#blobPath(entry)).catch(() => undefined);
    // A blob that was damaged on disk is fetched again.
    if (bytes && await sha256Hex(bytes) === entry) return bytes;
    return undefined;
  }

  async #remember(url: URL, bytes: Uint8Array | undefined): Promise<void> {
    const hash = bytes ? await sha256Hex(bytes) : "absent";
    try {
      await Deno.mkdir(`${this.folder}/blobs`, { recursive: true });
      await Deno.mkdir(`${this.folder}/addresses`, { recursive: true });
      if (bytes) await writeWhole(this.#blobPath(hash), bytes);
      await writeWhole(await this.#entryPath(url), new TextEncoder().encode(hash));
    } catch (error) {
      throw new InputError(
        `the download cache ${this.folder} cannot be written (${
          (error as Error).message
        }); set DENOISE_CACHE to a folder that can`,
      );
    }
  }

  #blobPath(hash: string): string {
    return `${this.folder}/blobs/${hash}`;
  }

  async #entryPath(url: URL): Promise<string> {
    const plain = new URL(url);
    plain.hash = "";
    return `${this.folder}/addresses/${await sha256Hex(new TextEncoder().encode(plain.href))}`;
  }
}

/** The user's cache folder, or undefined where this process may not use one. */
export function cacheFolder(): string | undefined {
  const caches = environment("XDG_CACHE_HOME") ?? environment("LOCALAPPDATA");
  const home = environment("HOME");
  const folder = environment("DENOISE_CACHE") ??
    (caches ? `${caches}/denoise` : home && `${home}/.cache/denoise`);
  if (!folder) return undefined;
  const may = (name: "read" | "write") =>
    Deno.permissions.querySync({ name, path: folder }).state === "granted";
  return may("read") && may("write") ? folder : undefined;
}

/** A variable of the environment, where this process may see it; nobody is asked for leave. */
export function environment(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) || undefined : undefined;
}
