/** Fetching weights from strangers: only where allowed, never more than expected. */
import { InputError, shown } from "../../errors.ts";
import { isAbsent } from "../files.ts";

/** The largest file that is downloaded unless the caller says otherwise: 4 GiB. */
export const MAX_DOWNLOAD_BYTES = 4 * 2 ** 30;
const MAX_REDIRECTS = 5;

/** How far a download is. */
export interface DownloadProgress {
  /** What is downloaded. */
  readonly url: string;
  /** Bytes so far. */
  readonly received: number;
  /** What the server announced, where it did; in the last call the bytes received. */
  readonly total?: number;
}

/** Limits of a download, and who is told of it. */
export interface DownloadOptions {
  /** The largest file that is taken. */
  readonly maxBytes?: number;
  /** Told of every piece that arrives. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Stops it. */
  readonly signal?: AbortSignal;
  /** Weights do without the file, so that a server which forbids it has none. */
  readonly optional?: boolean;
  /** The token that an address is asked with; asked anew at every redirect. */
  readonly token?: (url: URL) => string | undefined;
}

/**
 * The bytes behind an address, or undefined where the server says there is nothing.
 * https only, except from this machine and from where denoise itself was imported; every redirect
 * is held to the same rule.
 * @throws InputError for another address, another status, or more than `maxBytes`.
 */
export async function download(
  address: URL,
  { maxBytes = MAX_DOWNLOAD_BYTES, onProgress, signal, optional, token }: DownloadOptions = {},
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const response = await follow(address, signal, token);
  if (isAbsent(response.status, optional)) {
    await response.body?.cancel();
    return undefined;
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw new InputError(
      `${address.href}: expected the file, the server answered ${response.status}${
        token && [401, 403].includes(response.status)
          ? "; a private or gated repository is read with a token in HF_TOKEN, one of another name is not there"
          : ""
      }`,
    );
  }
  const announced = Number(response.headers.get("content-length") ?? NaN);
  // A compressed answer announces its compressed size.
  const total = response.headers.has("content-encoding") || Number.isNaN(announced)
    ? undefined
    : announced;
  if ((total ?? 0) > maxBytes) {
    await response.body?.cancel();
    throw new InputError(`${address.href}: has ${total} bytes, at most ${maxBytes} are taken`);
  }

  const chunks: Uint8Array[] = [];
  let received = 0;
  const body = response.body?.getReader();
  while (body) {
    const { value: chunk, done } = await body.read().catch((error) => {
      signal?.throwIfAborted();
      throw new InputError(`${address.href}: the download broke off (${error.message})`);
    });
    if (done) break;
    received += chunk.length;
    if (received > maxBytes) {
      await body.cancel();
      throw new InputError(`${address.href}: more than the ${maxBytes} bytes that are taken`);
    }
    chunks.push(chunk);
    onProgress?.({ url: address.href, received, total });
  }
  if (total !== undefined && received !== total) {
    throw new InputError(`${address.href}: ${total} bytes were announced, ${received} arrived`);
  }
  if (total === undefined) onProgress?.({ url: address.href, received, total: received });
  const bytes = new Uint8Array(received);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

async function follow(
  address: URL,
  signal: AbortSignal | undefined,
  token: DownloadOptions["token"],
): Promise<Response> {
  let url = address;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    checkAddress(url);
    let response: Response;
    try {
      const secret = token?.(url);
      const headers = secret === undefined ? undefined : { authorization: `Bearer ${secret}` };
      response = await fetch(url, { redirect: "manual", signal, headers });
      // A browser does not show where a redirect leads; there its own rules apply.
      if (response.type === "opaqueredirect") response = await fetch(url, { signal, headers });
    } catch (error) {
      signal?.throwIfAborted();
      throw new InputError(`${url.href}: could not be fetched (${(error as Error).message})`);
    }
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || !location) return response;
    await response.body?.cancel();
    url = redirected(location, url);
  }
  throw new InputError(`${address.href}: more than ${MAX_REDIRECTS} redirects`);
}

/** @throws InputError for what is no address, or this machine's where another machine named it */
function redirected(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) {
    throw new InputError(
      `${from.href}: redirects to ${shown(location)}, which is no address`,
    );
  }
  const to = new URL(location, from);
  if (isThisMachine(to) && !isThisMachine(from)) {
    throw new InputError(`${from.href}: redirects to this machine (${to.host}), which is refused`);
  }
  return to;
}

/** Whether a host is this machine by its name or number; what it has on its local link counts too. */
function isThisMachine({ hostname }: URL): boolean {
  return /(^|\.)localhost\.?$/.test(hostname) || /^(127|0|169\.254)\./.test(hostname) ||
    /^\[(::1?|::ffff:(7f|a9fe|0:)[^\]]*|fe[89ab][^\]]*)\]$/.test(hostname);
}

/** @throws InputError for an address that weights are not taken from. */
export function checkAddress(url: URL): void {
  if (url.protocol === "https:") return;
  if (url.protocol === "http:") {
    const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
    if (loopback || url.origin === new URL(import.meta.url).origin) return;
  }
  throw new InputError(
    `${url.href}: weights are fetched over https only (http from this machine alone)`,
  );
}
