/** The app: models in, a Hono app out, on web standards alone. */
import { type Context, Hono } from "npm:hono@4.13.19";
import { cors } from "npm:hono@4.13.19/cors";
import { requestId } from "npm:hono@4.13.19/request-id";
import { secureHeaders } from "npm:hono@4.13.19/secure-headers";
import { schedulers as builtInSchedulers } from "../../../schedulers/mod.ts";
import type { Scheduler } from "../../diffusion/mod.ts";
import { InputError } from "../../errors.ts";
import { Access, type AccessOptions } from "./access.ts";
import { clientAddress } from "./client.ts";
import { Engine } from "../work/engine.ts";
import { generationRoutes } from "./generations.ts";
import { imageRoutes } from "./images.ts";
import { defaultLimits, type Limits } from "../work/limits.ts";
import type { Log } from "./log.ts";
import { Gauge, Metrics } from "./metrics.ts";
import { leaveLengthOpen, refuseOtherMethods } from "./methods.ts";
import { failure, observe } from "./observe.ts";
import { openApiRoutes } from "./openapi.ts";
import { operationRoutes } from "./operation.ts";
import { contentSecurityPolicy, pageRoutes } from "./page.ts";
import { Problem } from "./problem.ts";
import { RateLimit } from "./rate_limit.ts";
import { createSchemas } from "./schema.ts";
import type { ServedModel } from "../work/served_model.ts";
import type { Services } from "./services.ts";
import { Studio } from "../work/picture_service.ts";

/** What {@link createApp} is made from. */
export interface AppOptions extends AccessOptions {
  /** Weights by the name that requests use; the first is the default. */
  readonly models: Readonly<Record<string, ServedModel>>;
  /** Numbers to put in place of {@link defaultLimits}. */
  readonly limits?: Partial<Limits>;
  /** Scheduler plug-ins by name; default the built-in ones. */
  readonly schedulers?: Readonly<Record<string, Scheduler>>;
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
 * ```ts ignore
 * import { load } from "denoise";
 * import { createApp } from "denoise/server";
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
    }),
  );
  const { corsOrigins = "*" } = options;
  app.use(
    "*",
    cors({
      origin: corsOrigins === "*" ? "*" : [...corsOrigins],
      exposeHeaders: ["etag", "content-location", "retry-after", "x-request-id"],
      maxAge: 86_400,
    }),
  );
  app.onError((error, c) => services.fail(error, c));
  app.notFound((c) => services.fail(notFound(c), c));
  imageRoutes(app, services);
  generationRoutes(app, services);
  openApiRoutes(app, services);
  const operation = operationRoutes(app, services);
  if (options.page !== false) pageRoutes(app);
  refuseOtherMethods(app);
  leaveLengthOpen(app);
  return Object.assign(app, operation);
}

function createServices(options: AppOptions): Services {
  const { models, schedulers = builtInSchedulers, log = () => {}, reopen } = options;
  const { client: named } = options;
  const names = Object.keys(models);
  if (names.length === 0) throw new InputError("createApp: expected at least one model in models");
  const odd = names.find((name) => !/^[\w.-]{1,64}$/.test(name));
  if (odd !== undefined) {
    throw new InputError(
      `createApp: expected a model's name in letters, digits, ".", "_", "-", found "${odd}"`,
    );
  }
  const limits = checkLimits({ ...defaultLimits, ...options.limits });
  const metrics = new Metrics();
  // Nobody waits for an evaluation that takes longer than a picture may.
  const { maxBatch, deadlineMs: hangMs } = limits;
  const engines = new Map(names.map((name) => [
    name,
    new Engine(name, models[name], {
      maxBatch,
      hangMs,
      metrics,
      log,
      ...(reopen ? { reopen: () => reopen(name) } : {}),
    }),
  ]));
  const catalog = { models: new Map(Object.entries(models)), schedulers, limits };
  const studio = new Studio(catalog, engines, metrics);
  addGauges(metrics, studio, engines);
  return {
    catalog,
    limits,
    schemas: createSchemas(catalog),
    engines,
    studio,
    metrics,
    access: new Access(options),
    rateLimit: new RateLimit(limits.publicCostPerMinute),
    log,
    client: named ? (c) => named(c.req.raw) : clientAddress,
    signingKey: options.signingKey,
    signPictures: options.pictures === "signed",
    publicUrl: readPublicUrl(options.publicUrl),
    fail: failure(metrics, log),
  };
}

function readPublicUrl(text: string | undefined): URL | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text.endsWith("/") ? text : `${text}/`);
  if (url?.protocol === "https:" || url?.protocol === "http:") return url;
  throw new InputError(`publicUrl: expected an address like https://example.org/, found "${text}"`);
}

function checkLimits(limits: Limits): Limits {
  for (const [name, value] of Object.entries(limits)) {
    if (!(Number.isFinite(value) && value >= (name === "cacheBytes" ? 0 : 1))) {
      throw new InputError(`limits.${name}: expected a positive number, found ${value}`);
    }
  }
  // What the empty queue has no room for must not be told to come again.
  return { ...limits, maxCost: Math.min(limits.maxCost, limits.maxQueue) };
}

function addGauges(metrics: Metrics, studio: Studio, engines: ReadonlyMap<string, Engine>) {
  const { admission, cache } = studio;
  const one = (read: () => number) => () => [[{}, read()]] as const;
  metrics.gauges.push(
    new Gauge("denoise_queue_cost", "Evaluations admitted and not done", one(() => admission.cost)),
    new Gauge(
      "denoise_images_waiting",
      "Pictures that wait to start",
      one(() => admission.waiting),
    ),
    new Gauge("denoise_images_running", "Pictures between steps", one(() => admission.running)),
    new Gauge("denoise_cache_bytes", "Bytes of remembered pictures", one(() => cache.bytes)),
    new Gauge(
      "denoise_calls_pending",
      "Calls that wait for a network evaluation",
      () => [...engines].map(([weights, { batcher }]) => [{ weights }, batcher.pending] as const),
    ),
    new Gauge(
      "denoise_ready",
      "Whether a network has been warmed up and is whole",
      () => [...engines].map(([weights, { ready }]) => [{ weights }, ready ? 1 : 0] as const),
    ),
  );
}

function notFound(c: Context): Problem {
  return new Problem(404, "not_found", `nothing at ${c.req.method} ${c.req.path.slice(0, 200)}`);
}
