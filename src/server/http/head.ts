/** HEAD answers without a false length. */
import type { Hono } from "npm:hono@4.13.19";

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
