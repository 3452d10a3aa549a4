/**
 * The model in a page: nothing is computed on a server, every visitor's browser draws for itself.
 * `deno run -A examples/page.ts`, then http://localhost:8000; any web server can hold these files.
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

/** A module and everything it imports in one file. */
async function bundled(module: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--no-lock", "--platform", "browser", "--minify", "--quiet"].concat(
      new URL(module, import.meta.url).pathname,
    ),
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The page, its script, the engine and the weights. */
export async function site(weights: URL = builtInWeights.digits): Promise<Hono> {
  const scripts: Record<string, string> = {
    "page.js": await bundled("./page_script.ts"),
    // It calls serveSimd() of src/backends/inline.ts when it is a worker.
    "engine.js": await bundled("../deploy/browser/engine_simd.ts"),
  };
  const app = new Hono();
  app.get("/", (c) => c.html(html));
  for (const [name, text] of Object.entries(scripts)) {
    app.get(`/${name}`, (c) => c.body(text, 200, { "content-type": "text/javascript" }));
  }
  app.get("/weights/:path{.+}", async (c) => {
    const file = new URL(c.req.param("path"), weights);
    if (!file.href.startsWith(weights.href)) return c.notFound();
    const bytes = await Deno.readFile(file).catch(() => undefined);
    return bytes ? c.body(bytes) : c.notFound();
  });
  return app;
}

if (import.meta.main) Deno.serve((await site()).fetch);
