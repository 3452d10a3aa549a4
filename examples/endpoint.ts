/**
 * Pictures in an app of one's own: the service under /pictures, and a page of greetings beside it.
 * `deno run -A examples/endpoint.ts`, then http://localhost:8000/hello/ada
 */
import { Hono } from "npm:hono@4.13.19";
import { load } from "../mod.ts";
import { createApp } from "../src/server/mod.ts";

/** The app, with any weights. */
export function greetings(pictures: ReturnType<typeof createApp>): Hono {
  const app = new Hono();
  app.route("/pictures", pictures);
  app.get("/hello/:name", (c) => {
    const name = c.req.param("name");
    const face = `/pictures/v1/images/${encodeURIComponent(name)}.png?scale=8`;
    const text = name.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
    return c.html(`<!doctype html><h1><img src="${face}" alt=""> Hello ${text}!</h1>`);
  });
  return app;
}

if (import.meta.main) {
  const app = greetings(createApp({ models: { digits: await load("digits") }, page: false }));
  Deno.serve(app.fetch);
}
