/** The app: models in, a Hono app out, on web standards alone. */
import { type Context, Hono } from "npm:hono@4.13.19";
import { cors } from "npm:hono@4.13.19/cors";
import { methodNotAllowed } from "npm:hono@4.13.19/method-not-allowed";
import { requestId } from "npm:hono@4.13.19/request-id";
import { secureHeaders } from "npm:hono@4.13.19/secure-headers";
import type { Scheduler } from "../../diffusion/mod.ts";
import type { Log } from "../log.ts";
import { excerpt, Problem } from "../problem.ts";
import type { Limits } from "../work/limits.ts";
import type { ServedModel } from "../work/served_model.ts";
import type { AccessOptions } from "./access.ts";
import { createServices } from "./create_services.ts";
import { generationRoute } from "./generations.ts";
import { leaveLengthOpen } from "./head.ts";
import { requireHost } from "./host.ts";
import { imageRoutes } from "./images.ts";
import { modelRoutes } from "./models.ts";
import { observe } from "./observe.ts";
import { openApiRoute } from "./openapi.ts";
import { type Operation, operationRoutes } from "./operation.ts";
import { contentSecurityPolicy, pageRoutes, servePage } from "./page.ts";
import { restorationRoutes } from "./restorations.ts";
import type { Route } from "./route.ts";

/** What {@link createApp} is made from. */
export interface AppOptions extends AccessOptions {
  /** Weights by the name that requests use; the first is the default. */
  readonly models: Readonly<Record<string, ServedModel>>;
  /** Numbers to put in place of {@link defaultLimits}. */
  readonly limits?: Partial<Limits>;
  /** Scheduler plug-ins by name; default the built-in ones. */
  readonly schedulers?: Readonly<Record<string, Scheduler>>;
  /**
   * Names the code of the plug-ins that are not built in, in ETags: give another text whenever it
   * changes. Default a random one, so that browsers ask anew after each start.
   */
  readonly schedulersVersion?: string;
  /** Opens weights again after their engine broke; without it they stay broken. */
  readonly reopen?: (name: string) => Promise<ServedModel>;
  /** Takes the structured log. */
  readonly log?: Log;
  /** Origins that browsers may call from; default all. */
  readonly corsOrigins?: "*" | readonly string[];
  /** Where visitors reach the app, for addresses in answers; default what the request says. */
  readonly publicUrl?: string;
  /** Names the client that the rate limit counts; default its network address. */
  readonly client?: (request: Request) => string;
  /** Whether to serve the page at "/"; default true. */
  readonly page?: boolean;
}

/** A Hono app, to serve or to mount: `parent.route("/pictures", app)`. */
export type DenoiseApp = Hono & {
  /** Makes each network's first evaluation; `/readyz` says no until it is done. */
  warmUp(): Promise<void>;
  /**
   * Takes no more work, lets what runs go on for at most `graceMs`, then ends it.
   * @returns whether everything was finished in time
   */
  drain(graceMs: number): Promise<boolean>;
};

/**
 * An HTTP service of pictures: images by address, OpenAI's generations, events, operation, the page.
 * It uses web standards only and runs wherever Hono does.
 *
 * @throws InputError where there are no models, or a plug-in's option collides with a parameter
 *
 * @example
 * ```ts ignore
 * import { load } from "@denoise/denoise";
 * import { createApp } from "@denoise/denoise/server";
 * Deno.serve(createApp({ models: { digits: await load("digits") } }).fetch);
 * ```
 */
export function createApp(options: AppOptions): DenoiseApp {
  const services = createServices(options);
  const app = new Hono();
  app.use("*", requestId());
  app.use("*", observe(services));
  app.use(
    "*",
    secureHeaders({
      contentSecurityPolicy,
      // Pictures are there to be shown on other people's pages.
      crossOriginResourcePolicy: "cross-origin",
      xFrameOptions: false,
      // These bind the whole origin, which may be another app's that mounts this one.
      strictTransportSecurity: false,
      originAgentCluster: false,
    }),
  );
  app.use("*", requireHost);
  const { corsOrigins = "*" } = options;
  const crossOrigin = cors({
    origin: corsOrigins === "*" ? "*" : [...corsOrigins],
    allowMethods: ["GET", "HEAD", "POST"],
    exposeHeaders: ["etag", "content-location", "retry-after", "x-request-id"],
    maxAge: 86_400,
  });
  app.use("/v1/*", crossOrigin);
  app.use("/openapi.json", crossOrigin);
  app.use(
    "*",
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => services.fail(otherMethod(c, methods), c),
    }),
  );
  if (options.page !== false) app.use("*", servePage);
  app.onError((error, c) => services.fail(error, c));
  app.notFound((c) => services.fail(notFound(c), c));

  const { routes: operated, operation } = operationRoutes(services);
  const api = [
    ...imageRoutes(services),
    generationRoute(services),
    ...restorationRoutes(services),
    ...modelRoutes(services),
    ...operated,
  ];
  mount(app, [...api, openApiRoute(services, api)]);
  if (options.page !== false) mount(app, pageRoutes());
  leaveLengthOpen(app);
  return Object.assign(app, operation satisfies Operation);
}

function mount(app: Hono, routes: readonly Route[]): void {
  for (const { method, path, handle } of routes) app[method](path, handle);
}

function notFound(c: Context): Problem {
  return new Problem(404, "not_found", `nothing at ${c.req.method} ${excerpt(c.req.path, 200)}`);
}

function otherMethod(c: Context, methods: readonly string[]): Problem {
  const allow = methods.join(", ");
  return new Problem(405, "method", `expected ${allow}, found ${excerpt(c.req.method)}`, {
    headers: { allow },
  });
}
