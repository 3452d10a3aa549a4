/** A client's network address, which the rate limit counts by. */
import type { Context } from "npm:hono@4.13.19";
import { getRuntimeKey } from "npm:hono@4.13.19/adapter";
import ipaddr from "npm:ipaddr.js@2.5.0";
import { InputError, shown } from "../../errors.ts";

/**
 * The client's network address: Cloudflare's header where the platform sets it, else the connection's.
 * Headers that any client can write are not believed; behind a proxy give `createApp`
 * {@link clientBehindProxy}.
 */
export function clientAddress(c: Context): string {
  if (getRuntimeKey() === "workerd") return network(c.req.header("cf-connecting-ip"));
  // As hono's conninfo for Deno reads it; that module asks for Deno itself when it is imported.
  const { remoteAddr } = (c.env ?? {}) as { remoteAddr?: { hostname?: string } };
  return network(remoteAddr?.hostname);
}

/**
 * The address that a proxy in front wrote into `header`: of a list its last entry, since those before
 * it came from the client, who may write what it likes. `Forwarded` (RFC 7239) is read by its rules.
 * @throws InputError for what is no header's name
 */
export function clientBehindProxy(header: string): (request: Request) => string {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(header)) {
    throw new InputError(
      `proxy: expected a header's name like X-Forwarded-For, found ${shown(header)}`,
    );
  }
  const forwarded = header.toLowerCase() === "forwarded";
  return (request) => {
    const last = (request.headers.get(header) ?? "").split(",").at(-1)!.trim();
    return network(forwarded ? /(?:^|;)\s*for="?([^";\s]+)/i.exec(last)?.[1] : last);
  };
}

/**
 * Whom an address belongs to: without its port and in one spelling; of IPv6 the network, since one
 * subscriber has 2⁶⁴ addresses. What is no address shares one bucket.
 */
function network(text = ""): string {
  const host = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? text.replace(/^([^:]*):\d+$/, "$1");
  if (!ipaddr.isValid(host)) return "unknown";
  const address = ipaddr.process(host);
  if (!(address instanceof ipaddr.IPv6)) return address.toString();
  return address.parts.slice(0, 4).map((part) => part.toString(16)).join(":");
}
