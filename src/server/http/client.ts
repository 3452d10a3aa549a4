/** Who is asking, for the rate limit. */
import type { Context } from "npm:hono@4.13.19";
import { InputError } from "../../errors.ts";

/**
 * The client's network address: Cloudflare's header where the platform sets it, else the connection's.
 * Headers that any client can write are not believed; behind a proxy give `createApp`
 * {@link clientBehindProxy}.
 */
export function clientAddress(c: Context): string {
  if ((globalThis.navigator as Navigator | undefined)?.userAgent === "Cloudflare-Workers") {
    return network(c.req.header("cf-connecting-ip") ?? "unknown");
  }
  const { remoteAddr } = (c.env ?? {}) as { remoteAddr?: { hostname?: string } };
  return network(remoteAddr?.hostname ?? "unknown");
}

/**
 * The address that a proxy in front wrote into `header`: of a list its last entry, since those before
 * it came from the client, who may write what it likes.
 * @throws InputError for what is no header's name
 */
export function clientBehindProxy(header: string): (request: Request) => string {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(header)) {
    throw new InputError(
      `proxy: expected a header's name like X-Forwarded-For, found ${JSON.stringify(header)}`,
    );
  }
  return (request) => {
    const last = (request.headers.get(header) ?? "").split(",").at(-1)!.trim();
    return network(last || "unknown");
  };
}

/** One subscriber has 2⁶⁴ IPv6 addresses: they count as one. */
function network(address: string): string {
  if (!address.includes(":")) return address;
  const [head] = address.split("::");
  return head.split(":").slice(0, 4).join(":") || address;
}
