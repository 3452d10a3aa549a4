/** Who may ask: bearer keys, signed addresses, and the public within a rate limit. */
import { base64url } from "./recipe.ts";
import { Problem } from "./problem.ts";

/** Who needs a key or a signature. */
export interface AccessOptions {
  /** Bearer keys; without any, nobody needs one. */
  readonly keys?: readonly string[];
  /** The secret of signed addresses; see {@link signAddress}. */
  readonly signingKey?: string;
  /** "public" (the default) within caps and the rate limit, or only to keys and signed addresses. */
  readonly pictures?: "public" | "signed";
}

/** How a request got in: the public is limited in rate, the others are not. */
export type Standing = "public" | "trusted";

const encoder = new TextEncoder();

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

  /** @throws Problem 401 where a key is needed and none that fits was given */
  async requireKey(request: Request): Promise<void> {
    if (!this.options.keys?.length || await this.#hasKey(request)) return;
    throw unauthorized("expected a key (Authorization: Bearer …)");
  }

  /** @throws Problem 401 or 403 where a picture is not for the public */
  async picture(request: Request): Promise<Standing> {
    const { signingKey, pictures = "public" } = this.options;
    const url = new URL(request.url);
    const sig = url.searchParams.get("sig");
    if (sig !== null) {
      if (!signingKey || !await equal(sig, await hmac(signingKey, signedText(url)))) {
        throw new Problem(403, "unauthorized", "sig: the signature does not fit this address");
      }
      const expires = Number(url.searchParams.get("expires"));
      if (!(expires * 1000 > Date.now())) {
        throw new Problem(403, "unauthorized", "expires: this address is no longer good");
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

function unauthorized(detail: string): Problem {
  return new Problem(401, "unauthorized", detail, { headers: { "www-authenticate": "Bearer" } });
}
