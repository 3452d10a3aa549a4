/** Who may ask: bearer keys, signed addresses, and the public within a rate limit. */
import { invalid, Problem } from "./problem.ts";

/** Who needs a key or a signature. */
export interface AccessOptions {
  /** Bearer keys for generations; without any, generations are as public as pictures are. */
  readonly keys?: readonly string[];
  /** The secret of signed addresses; see {@link signAddress}. */
  readonly signingKey?: string;
  /** "public" (the default) within caps and the rate limit, or only to keys and signed addresses. */
  readonly pictures?: "public" | "signed";
}

/** How a request got in: the public is limited in rate, the others are not. */
export type Standing = "public" | "trusted";

const encoder = new TextEncoder();

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function hmac(secret: string, text: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, [
    "sign",
  ]);
  return base64url(new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text))));
}

/** Compares without telling by its time how much was right: the digests differ anywhere or nowhere. */
async function equal(a: string, b: string): Promise<boolean> {
  const salt = base64url(crypto.getRandomValues(new Uint8Array(16)));
  return await hmac(salt, a) === await hmac(salt, b);
}

/** What a signature covers: from `v1/` on, so that it holds wherever the app is mounted. */
function signedText(url: URL): string {
  const query = new URLSearchParams(url.search);
  query.delete("sig");
  query.sort();
  return `${url.pathname.slice(url.pathname.lastIndexOf("/v1/") + 1)}?${query}`;
}

/**
 * Signs an address of a picture or its events, so that it may be fetched without a key.
 * @param expires seconds since 1970
 */
export async function signAddress(address: URL, secret: string, expires: number): Promise<URL> {
  const url = new URL(address);
  url.searchParams.set("expires", String(expires));
  url.searchParams.set("sig", await hmac(secret, signedText(url)));
  return url;
}

export class Access {
  constructor(readonly options: AccessOptions) {}

  /**
   * Who asks for a generation.
   * @throws Problem 401 where a key is needed and none that fits was given
   */
  async generation(request: Request): Promise<Standing> {
    if (await this.#hasKey(request)) return "trusted";
    const { keys, pictures = "public" } = this.options;
    if (!keys?.length && pictures === "public") return "public";
    throw unauthorized("expected a key (Authorization: Bearer …)");
  }

  /**
   * Who asks for a picture or its events.
   * @throws Problem 401 or 403 where it is not for the public
   */
  async picture(request: Request): Promise<Standing> {
    const { signingKey, pictures = "public" } = this.options;
    const url = new URL(request.url);
    const sig = url.searchParams.get("sig");
    if (sig !== null) {
      if (!signingKey || !await equal(sig, await hmac(signingKey, signedText(url)))) {
        throw forbidden("sig", "the signature of this address", sig);
      }
      const expires = url.searchParams.get("expires");
      if (!(Number(expires) * 1000 > Date.now())) {
        throw forbidden("expires", "a time to come, in seconds since 1970", expires);
      }
      return "trusted";
    }
    if (await this.#hasKey(request)) return "trusted";
    if (pictures === "public") return "public";
    throw unauthorized("expected a signed address, or a key (Authorization: Bearer …)");
  }

  async #hasKey(request: Request): Promise<boolean> {
    const given = /^Bearer +(\S+) *$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (given === undefined) return false;
    let fits = false;
    for (const key of this.options.keys ?? []) fits = await equal(given, key) || fits;
    return fits;
  }
}

function forbidden(field: string, expected: string, found: string | null): Problem {
  const { message, errors } = invalid(field, expected, found?.slice(0, 100));
  return new Problem(403, "unauthorized", message, { errors });
}

function unauthorized(detail: string): Problem {
  return new Problem(401, "unauthorized", detail, { headers: { "www-authenticate": "Bearer" } });
}
