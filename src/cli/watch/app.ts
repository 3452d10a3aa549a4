/** The page of a run and what it shows, over HTTP. */
import { Hono } from "npm:hono@4.13.19";
import { secureHeaders } from "npm:hono@4.13.19/secure-headers";
import { css, html, js } from "./page/assets.ts";
import type { RunFolder } from "./run_state.ts";

export interface WatchOptions {
  /** Whether the run is over; pages then ask a last time. */
  readonly ended: () => boolean;
  /** Told when a page has asked how far the run is. */
  readonly onAsked?: () => void;
}

/** `/`, its two files, `/state.json`, `/loss.svg` and `/samples/UPDATE.png`; `?stage=` is one of the state's. */
export function watchApp(run: RunFolder, { ended, onAsked }: WatchOptions): Hono {
  const app = new Hono();
  app.use(secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      imgSrc: ["'self'", "data:"],
      baseUri: ["'none'"],
      frameAncestors: ["'self'"],
    },
    strictTransportSecurity: false,
  }));
  // A name that somebody else lets point here is not this page's: its pages could read the run.
  app.use(async (c, next) => {
    const { hostname } = new URL(c.req.url);
    if (!["127.0.0.1", "localhost", "[::1]"].includes(hostname)) {
      return c.text("expected the address that was printed\n", 421);
    }
    await next();
    c.header("cache-control", "no-store");
  });
  app.get("/", (c) => c.html(html.replace("{{css}}", "page.css").replace("{{js}}", "page.js")));
  app.get("/page.css", (c) => c.body(css, 200, { "content-type": "text/css; charset=utf-8" }));
  app.get("/page.js", (c) => c.body(js, 200, { "content-type": "text/javascript; charset=utf-8" }));
  app.get("/state.json", async (c) => {
    // Asked before the files are read, so that the last answer has all of them.
    const over = ended();
    const state = await run.state();
    onAsked?.();
    return c.json({ ...state, ended: over });
  });
  app.get("/loss.svg", async (c) => {
    const stage = stageOf(c.req.query("stage"));
    if (stage === undefined) return c.notFound();
    return c.body(await run.plot(stage), 200, { "content-type": "image/svg+xml" });
  });
  app.get("/samples/:file{\\d{1,8}\\.png}", async (c) => {
    const stage = stageOf(c.req.query("stage"));
    const png = stage === undefined
      ? undefined
      : await run.grid(stage, parseInt(c.req.param("file"), 10));
    return png ? c.body(png, 200, { "content-type": "image/png" }) : c.notFound();
  });
  return app;
}

/** A stage's name; undefined for what could be another folder. */
function stageOf(text = ""): string | undefined {
  return /^(guided|steps-\d{1,6}|tuned)?$/.test(text) ? text : undefined;
}
