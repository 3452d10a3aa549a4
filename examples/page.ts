/**
 * The model in a page: nothing is computed on a server, every visitor's browser draws for itself.
 * `deno run -A examples/page.ts`, then http://localhost:8000; any web server can hold the three files.
 */
import { Hono } from "npm:hono@4.13.19";
import { builtInWeights } from "../mod.ts";

const html = `<!doctype html>
<meta charset="utf-8">
<title>A digit of your own</title>
<style>canvas { width: 280px; image-rendering: pixelated; cursor: pointer }</style>
<canvas></canvas>
<p>Click for another one.</p>
<script type="module" src="page.js"></script>`;

/** The script and everything it imports in one file. */
async function bundled(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--no-lock", "--platform", "browser", "--minify", "--quiet"].concat(
      new URL("./page_script.ts", import.meta.url).pathname,
    ),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The page, its script and the weights. */
export async function site(weights: URL = builtInWeights.digits): Promise<Hono> {
  const script = await bundled();
  const app = new Hono();
  app.get("/", (c) => c.html(html));
  app.get("/page.js", (c) => c.body(script, 200, { "content-type": "text/javascript" }));
  app.get("/weights/:path{.+}", async (c) => {
    const file = new URL(c.req.param("path"), weights);
    if (!file.href.startsWith(weights.href)) return c.notFound();
    const bytes = await Deno.readFile(file).catch(() => undefined);
    return bytes ? c.body(bytes) : c.notFound();
  });
  return app;
}

if (import.meta.main) Deno.serve((await site()).fetch);
