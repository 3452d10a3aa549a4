/** The page at "/" and its two files, whose names say what is in them. */
import { basePath } from "npm:hono@4.13.19/route";
import type { Context, MiddlewareHandler } from "npm:hono@4.13.19";
import { css, html, js } from "../page/assets.ts";
import type { Route } from "./route.ts";

/** What the page may load: itself, and pictures it has in memory. */
export const contentSecurityPolicy: Record<string, string[]> = {
  defaultSrc: ["'self'"],
  imgSrc: ["'self'", "data:", "blob:"],
  baseUri: ["'none'"],
  frameAncestors: ["'self'"],
};

/** FNV-1a: a name for a file's content that is known without waiting. */
function nameOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}

const script = `page.${nameOf(js)}.js`;
const style = `page.${nameOf(css)}.css`;
const page = html.replace("{{css}}", style).replace("{{js}}", script);

export function pageRoutes(): Route[] {
  const assets = [[script, "text/javascript", js], [style, "text/css", css]];
  return [
    { method: "get", path: "/", handle: (c) => pageAt(c) ?? c.notFound() },
    ...assets.map(([name, type, text]): Route => ({
      method: "get",
      path: `/${name}`,
      handle: (c) =>
        c.body(text, 200, {
          "content-type": `${type}; charset=utf-8`,
          "cache-control": "public, max-age=31536000, immutable",
        }),
    })),
  ];
}

/** Mounted at /pictures the page is at /pictures/, which no route of the app can be. */
export const servePage: MiddlewareHandler = async (c, next) => {
  const reads = c.req.method === "GET" || c.req.method === "HEAD";
  return (reads ? pageAt(c) : undefined) ?? await next();
};

/** The page, whose links are relative to a folder, or the way to that folder. */
function pageAt(c: Context): Response | Promise<Response> | undefined {
  const base = basePath(c);
  const folder = base.endsWith("/") ? base : `${base}/`;
  const { path } = c.req;
  if (path === folder) return c.html(page, 200, { "cache-control": "no-cache" });
  if (`${path}/` !== folder) return undefined;
  const { search } = new URL(c.req.url);
  return c.redirect(`${path.slice(path.lastIndexOf("/") + 1)}/${search}`, 308);
}
