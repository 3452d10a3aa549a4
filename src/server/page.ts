/** The page at "/" and its two files. */
import type { Hono } from "npm:hono@4.13.19";

/** What the page may load: itself, and pictures it has in memory. */
export const contentSecurityPolicy: Record<string, string[]> = {
  defaultSrc: ["'self'"],
  imgSrc: ["'self'", "data:", "blob:"],
  baseUri: ["'none'"],
  frameAncestors: ["'self'"],
};

export function pageRoutes(app: Hono): void {
  app.get("/", (c) => c.html("<!doctype html>"));
}
