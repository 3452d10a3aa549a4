/** Who may ask: bearer keys, signed addresses, and the public within a rate limit. */
import { InputError } from "../../errors.ts";
import { invalid, Problem } from "../problem.ts";

/** Who needs a key or a signature. */
export interface AccessOptions {
  /** Bearer keys for generations; without any, generations are as public as pictures are. */
  readonly keys?: readonly string[];
  /** The secret of signed addresses; see {@link signAddress}. */
  readonly signingKey?: string;
  /**
   * "public" (the default) within caps and the rate limit, or only to keys and signed addresses; then
   * `/v1/models` and `/openapi.json` need a key, too.
   */
  readonly pictures?: "public" | "signed";
  /** Who may read `/metrics`; default "key" where there are keys or pictures are signed, else "public". */
  readonly metrics?: "public" | "key";
}

/** How a request got in: the public is limited in rate, the others are not. */
export type Standing = "public" | "trusted";

const encoder = new TextEncoder();

async function hmac(secret: string, text: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, [
    "sign",
  ]);
  const digest = await crypto.subtle.sign("HMAC", key, encoder.encode(text));
  return new Uint8Array(digest).toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Compares without telling by its time how much was right: the digests differ anywhere or nowhere. */
async function equal(a: string, b: string): Promise<boolean> {
  const salt = crypto.getRandomValues(new Uint8Array(16)).toBase64();
  return await hmac(salt, a) === await hmac(salt, b);
}

/** What a signature covers: the resource as the route reads it, and every parameter but itself. */
function signedText(resource: string, parameters: URLSearchParams): string {
  const query = new URLSearchParams(parameters);
  query.delete("sig");
  query.sort();
  return `${resource}?${query}`;
}

/** The name of a picture, or of what belongs to it, in a signature: one for every spelling. */
export function pictureResource(name: string, kind: string): string {
  return `v1/images/${encodeURIComponent(name.toWellFormed())}${kind}`;
}

/**
 * Signs an address of a picture or its events, so that it may be fetched without a key.
 * @param expires seconds since 1970
 * @throws InputError for another address
 */
export async function signAddress(address: URL, secret: string, expires: number): Promise<URL> {
  const [, name, events = ""] = /\/v1\/images\/([^/]+?)(\/events)?$/.exec(address.pathname) ?? [];
  if (name === undefined) {
    throw new InputError(
      `signAddress: expected an address that ends in v1/images/NAME.png or v1/images/NAME/events, found ${address.href}`,
    );
  }
  const url = new URL(address);
  url.searchParams.set("expires", String(expires));
  const resource = pictureResource(decoded(name), events);
  url.searchParams.set("sig", await hmac(secret, signedText(resource, url.searchParams)));
  return url;
}

/** As the router decodes: what is not percent-encoded rightly stays as it is. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** What is asked for, as far as it matters who may. */
type Kind = "generation" | "picture" | "description" | "metrics";

export class Access {
  /** What everybody may ask for, without a key. */
  readonly #open: Readonly<Record<Kind, boolean>>;

  constructor(readonly options: AccessOptions) {
    const { keys, pictures = "public", metrics } = options;
    const picture = pictures === "public";
    const generation = picture && !keys?.length;
    this.#open = {
      generation,
      picture,
      description: picture,
      metrics: metrics === undefined ? generation : metrics === "public",
    };
  }

  /** Who may ask, in OpenAPI's words: {} is everybody. */
  security(kind: Kind): readonly Record<string, readonly string[]>[] {
    const signature = kind === "picture" ? [{ signature: [] }] : [];
    return [...(this.#open[kind] ? [{}] : []), { bearer: [] }, ...signature];
  }

  /**
   * Who asks for a generation.
   * @throws Problem 401 where a key is needed and none that fits was given
   */
  async generation(request: Request): Promise<Standing> {
    if (await this.#hasKey(request)) return "trusted";
    if (this.#open.generation) return "public";
    throw unauthorized("expected a key (Authorization: Bearer …)");
  }

  /**
   * Who asks for a picture or its events.
   * @param resource what the route read in the address, by {@link pictureResource}
   * @throws Problem 401 or 403 where it is not for the public
   */
  async picture(request: Request, resource: string): Promise<Standing> {
    const { signingKey } = this.options;
    const { searchParams } = new URL(request.url);
    const sig = searchParams.get("sig");
    if (sig !== null) {
      const right = signingKey && await hmac(signingKey, signedText(resource, searchParams));
      if (!right || !await equal(sig, right)) {
        throw forbidden("sig", "the signature of this address", sig);
      }
      const expires = searchParams.get("expires");
      if (!(Number(expires) * 1000 > Date.now())) {
        throw forbidden("expires", "a time to come, in seconds since 1970", expires);
      }
      return "trusted";
    }
    if (await this.#hasKey(request)) return "trusted";
    if (this.#open.picture) return "public";
    throw unauthorized("expected a signed address, or a key (Authorization: Bearer …)");
  }

  /** @throws Problem 401 where what is served here is not told to everybody */
  async description(request: Request): Promise<void> {
    if (!this.#open.description) await this.#requireKey(request);
  }

  /** @throws Problem 401 where the operator's numbers are not for everybody */
  async metrics(request: Request): Promise<void> {
    if (!this.#open.metrics) await this.#requireKey(request);
  }

  async #requireKey(request: Request): Promise<void> {
    if (await this.#hasKey(request)) return;
    throw unauthorized("expected a key (Authorization: Bearer …)");
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
  const { message, errors } = invalid(field, expected, found ?? undefined);
  return new Problem(403, "unauthorized", message, { errors });
}

function unauthorized(detail: string): Problem {
  return new Problem(401, "unauthorized", detail, { headers: { "www-authenticate": "Bearer" } });
}
