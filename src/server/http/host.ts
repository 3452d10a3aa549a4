/** Refuses requests whose Host is none. */
import type { MiddlewareHandler } from "npm:hono@4.13.19";
import { excerpt, Problem } from "../problem.ts";

/**
 * Runtimes put the address together from Host and the request's target: a Host with a "/" or "?" in it
 * would choose the path, past the rules of a proxy in front, and one with a space leaves no address.
 */
export const requireHost: MiddlewareHandler = async (c, next) => {
  const host = c.req.raw.headers.get("host") ?? "";
  const name = /^([\w.-]{0,255}|\[[0-9a-f:.]{1,45}\])(:\d{0,5})?$/i;
  if (!name.test(host) || !URL.canParse(c.req.url)) {
    throw new Problem(
      400,
      "malformed",
      `host: expected a host's name and perhaps a port, found ${JSON.stringify(excerpt(host))}`,
    );
  }
  await next();
};
