/** The page at "/" and its two files, whose names say what is in them. */
import type { Hono } from "npm:hono@4.13.19";
import { css, html, js } from "../page/assets.ts";

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

export function pageRoutes(app: Hono): void {
  const script = `page.${nameOf(js)}.js`;
  const style = `page.${nameOf(css)}.css`;
  const page = html.replace("{{css}}", style).replace("{{js}}", script);
  app.get("/", (c) => {
    c.header("cache-control", "no-cache");
    return c.html(page);
  });
  const assets = [[script, "text/javascript", js], [style, "text/css", css]];
  for (const [name, type, text] of assets) {
    app.get(`/${name}`, (c) => {
      c.header("content-type", `${type}; charset=utf-8`);
      c.header("cache-control", "public, max-age=31536000, immutable");
      return c.body(text);
    });
  }
}
