/** What the routes share, made from an app's options and checked. */
import { schedulers as builtInSchedulers } from "../../../schedulers/mod.ts";
import { InputError } from "../../errors.ts";
import { Gauge, Metrics } from "../metrics.ts";
import { Orders } from "../work/cost.ts";
import { Engine } from "../work/engine.ts";
import { defaultLimits, type Limits } from "../work/limits.ts";
import { PictureService } from "../work/picture_service.ts";
import type { Catalog } from "../work/recipe.ts";
import { Access } from "./access.ts";
import type { AppOptions } from "./app.ts";
import { clientAddress } from "./client.ts";
import { OpenStreams } from "./events.ts";
import { failure } from "./observe.ts";
import { RateLimit } from "./rate_limit.ts";
import { schemasOf } from "./schema.ts";
import type { Services } from "./services.ts";

/** @throws InputError for options that could not work */
export function createServices(options: AppOptions): Services {
  const { models, log = () => {}, reopen, client: named } = options;
  const limits = checkLimits({ ...defaultLimits, ...options.limits });
  const catalog = createCatalog(options, limits);
  const metrics = new Metrics();
  // Nobody waits for an evaluation that takes longer than a picture may.
  const { maxBatch, deadlineMs: hangMs } = limits;
  const engines = new Map(
    Object.keys(models).map((name) => [
      name,
      new Engine(name, models[name], {
        maxBatch,
        hangMs,
        metrics,
        log,
        ...(reopen ? { reopen: () => reopen(name) } : {}),
      }),
    ]),
  );
  const pictures = new PictureService(limits, engines, metrics);
  const streams = new OpenStreams(limits.maxStreams);
  addGauges(metrics, pictures, streams, engines);
  return {
    catalog,
    limits,
    schemas: schemasOf(catalog),
    engines,
    orders: new Orders(catalog),
    pictures,
    metrics,
    access: new Access(options),
    rateLimit: new RateLimit(limits.publicCostPerMinute),
    streams,
    log,
    client: named ? (c) => named(c.req.raw) : clientAddress,
    signingKey: options.signingKey,
    signPictures: options.pictures === "signed",
    publicUrl: readPublicUrl(options.publicUrl),
    fail: failure(log),
  };
}

function createCatalog(options: AppOptions, limits: Limits): Catalog {
  const { models, schedulers = builtInSchedulers } = options;
  const names = Object.keys(models);
  if (names.length === 0) throw new InputError("createApp: expected at least one model in models");
  const odd = names.find((name) => !/^[\w.-]{1,64}$/.test(name));
  if (odd !== undefined) {
    throw new InputError(
      `createApp: expected a model's name in letters, digits, ".", "_", "-", found "${odd}"`,
    );
  }
  const offered = Object.keys(schedulers);
  if (offered.length === 0) {
    throw new InputError("createApp: expected at least one scheduler in schedulers");
  }
  for (const [key, { name }] of Object.entries(schedulers)) {
    if (key === name) continue;
    throw new InputError(
      `createApp: expected schedulers by their names, found "${key}": "${name}"`,
    );
  }
  for (const name of names) {
    const scheduler = models[name].recommended?.scheduler;
    if (scheduler === undefined || Object.hasOwn(schedulers, scheduler)) continue;
    throw new InputError(
      `createApp: expected the scheduler "${scheduler}", which "${name}" recommends, among ` +
        `schedulers, found ${offered.join(", ")}; add it, or give the model another recommended`,
    );
  }
  const builtIn = (name: string) =>
    Object.hasOwn(builtInSchedulers, name) && builtInSchedulers[name] === schedulers[name];
  const version = options.schedulersVersion ?? crypto.randomUUID();
  const plugins = offered.filter((name) => !builtIn(name)).map((name) => [name, version]);
  return {
    models: new Map(Object.entries(models)),
    schedulers,
    plugins: Object.fromEntries(plugins),
    limits,
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

function addGauges(
  metrics: Metrics,
  { admission, cache }: PictureService,
  streams: OpenStreams,
  engines: ReadonlyMap<string, Engine>,
): void {
  const one = (read: () => number) => () => [[{}, read()]] as const;
  metrics.gauges.push(
    new Gauge("denoise_queue_cost", "Evaluations admitted and not done", one(() => admission.cost)),
    new Gauge(
      "denoise_images_waiting",
      "Pictures queued",
      one(() => admission.waiting),
    ),
    new Gauge("denoise_images_running", "Pictures between steps", one(() => admission.running)),
    new Gauge("denoise_streams_open", "Event streams that are open", one(() => streams.open)),
    new Gauge("denoise_cache_bytes", "Bytes of cached pictures", one(() => cache.bytes)),
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
