/** What HTTP asks of an address beside its routes: 405 for other methods, HEAD without a length. */
import type { Hono } from "npm:hono@4.13.19";
import { Problem } from "./problem.ts";

/** Refuses the methods that the routes so far do not have, naming those that they have. */
export function refuseOtherMethods(app: Hono): void {
  const routes = app.routes.filter(({ method }) => method !== "ALL");
  for (const [path, same] of Map.groupBy(routes, ({ path }) => path)) {
    const methods = same.flatMap(({ method }) => method === "GET" ? ["GET", "HEAD"] : [method]);
    const allow = methods.join(", ");
    app.all(path, (c) => {
      throw new Problem(405, "method", `expected ${allow}, found ${c.req.method}`, {
        headers: { allow },
      });
    });
  }
}

/**
 * Hono answers HEAD with a null body, to which Deno adds `content-length: 0`, as if GET had nothing
 * either. An empty stream has no length to tell.
 */
export function leaveLengthOpen(app: Hono): void {
  const { fetch } = app;
  app.fetch = async (request, ...rest) => {
    const response = await fetch(request, ...rest);
    const known = response.headers.has("content-length");
    if (request.method !== "HEAD" || response.status !== 200 || known) return response;
    const body = new ReadableStream({ start: (controller) => controller.close() });
    return new Response(body, response);
  };
}
