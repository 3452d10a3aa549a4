/** Downloaded weights on disk: blobs by SHA-256, and which address gave which blob. */
import { InputError } from "../../errors.ts";
import { writeWhole } from "../../files/atomic_write.ts";
import { download, type DownloadOptions } from "./download.ts";
import { sha256Hex } from "../../files/hash.ts";

/** What of a download may already be here. */
export interface CachedOptions extends DownloadOptions {
  /** Asks the server even for what is here. */
  readonly refresh?: boolean;
}

/**
 * A folder of downloads, and those of one reading of weights. What was kept before is found here, so
 * that a second run needs no network; what comes new is kept when the reader says that it is whole and
 * fits together: a wrong answer, or files of two versions, are asked for again.
 */
export class DownloadCache {
  /** Answers of this reading by address; undefined where the server had nothing. */
  readonly #fresh = new Map<string, Uint8Array | undefined>();
  /** Addresses whose answers had been kept before. */
  readonly #kept = new Set<string>();

  constructor(readonly folder: string) {}

  /** The file behind an address, downloaded at most once; undefined where there is none. */
  async fetch(
    url: URL,
    { refresh = false, ...options }: CachedOptions = {},
  ): Promise<Uint8Array | undefined> {
    const address = addressOf(url);
    if (this.#fresh.has(address)) return this.#fresh.get(address);
    const known = refresh ? undefined : await this.#lookUp(address);
    if (known && known !== "absent") {
      this.#kept.add(address);
      return known;
    }
    let bytes: Uint8Array | undefined;
    try {
      bytes = await download(url, options);
    } catch (error) {
      // That there was nothing is asked again each time, but without a network it still holds.
      if (known === "absent") return undefined;
      throw error;
    }
    this.#fresh.set(address, bytes);
    return bytes;
  }

  /**
   * Keeps what was downloaded, or forgets it and what had been kept of the same weights.
   * @returns after a failure, whether there was anything kept to be forgotten
   */
  async settle(whole: boolean): Promise<boolean> {
    if (whole) {
      for (const [address, bytes] of this.#fresh) await this.#keep(address, bytes);
      this.#fresh.clear();
      return false;
    }
    this.#fresh.clear();
    const forgotten = this.#kept.size > 0;
    for (const address of this.#kept) {
      await Deno.remove(await this.#entryPath(address)).catch(() => {});
    }
    this.#kept.clear();
    return forgotten;
  }

  async #lookUp(address: string): Promise<Uint8Array | "absent" | undefined> {
    const entry = await Deno.readTextFile(await this.#entryPath(address)).catch(() => undefined);
    if (entry === undefined) return undefined;
    if (entry === "absent") return "absent";
    const bytes = await Deno.readFile(this.#blobPath(entry)).catch(() => undefined);
    // A blob that was damaged on disk is fetched again.
    if (bytes && await sha256Hex(bytes) === entry) return bytes;
    return undefined;
  }

  async #keep(address: string, bytes: Uint8Array | undefined): Promise<void> {
    const hash = bytes ? await sha256Hex(bytes) : "absent";
    try {
      await Deno.mkdir(`${this.folder}/blobs`, { recursive: true });
      await Deno.mkdir(`${this.folder}/addresses`, { recursive: true });
      if (bytes) await writeWhole(this.#blobPath(hash), bytes);
      await writeWhole(await this.#entryPath(address), new TextEncoder().encode(hash));
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

  async #entryPath(address: string): Promise<string> {
    return `${this.folder}/addresses/${await sha256Hex(new TextEncoder().encode(address))}`;
  }
}

function addressOf(url: URL): string {
  const plain = new URL(url);
  plain.hash = "";
  return plain.href;
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
