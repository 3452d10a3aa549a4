/** What every route shares. */
import type { Context } from "npm:hono@4.13.19";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { invalid, Problem } from "../problem.ts";
import type { Charge, Order, Orders } from "../work/cost.ts";
import type { Engine } from "../work/engine.ts";
import type { Limits } from "../work/limits.ts";
import type { PictureService } from "../work/picture_service.ts";
import type { Catalog } from "../work/recipe.ts";
import type { Access, Standing } from "./access.ts";
import { eventStream, type OpenStreams, type ServerEvent } from "./events.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { Schemas } from "./schema.ts";

export interface Services {
  readonly catalog: Catalog;
  readonly limits: Limits;
  readonly schemas: Schemas;
  readonly engines: ReadonlyMap<string, Engine>;
  readonly orders: Orders;
  readonly pictures: PictureService;
  readonly metrics: Metrics;
  readonly access: Access;
  readonly rateLimit: RateLimit;
  readonly streams: OpenStreams;
  readonly log: Log;
  readonly client: (context: Context) => string;
  readonly signingKey?: string;
  readonly signPictures: boolean;
  readonly publicUrl?: URL;
  /** Answers what a handler threw. */
  readonly fail: (error: unknown, context: Context) => Response;
}

/** Charges a request's work to its client's share, if it has one. */
export function chargeTo(
  { rateLimit, client }: Services,
  context: Context,
  standing: Standing,
): Charge {
  return standing === "trusted" ? () => {} : (cost) => rateLimit.take(client(context), cost);
}

/**
 * @param enlarging the field that says how large the pictures are to be
 * @throws Problem 422 where the images are together more than one request may ask for
 */
export function checkCaps(
  { limits }: Services,
  orders: readonly Order[],
  enlarging: "scale" | "size",
): void {
  const pixels = orders.reduce((sum, order) => sum + order.pixels, 0);
  if (pixels > limits.maxPixels) {
    throw invalid(
      orders.length > 1 ? "n" : enlarging,
      `at most ${limits.maxPixels} pixels in one request`,
      pixels,
    );
  }
  const cost = orders.reduce((sum, order) => sum + order.cost, 0);
  if (cost > limits.maxCost) {
    throw invalid("steps", `at most ${limits.maxCost} evaluations in one request`, cost);
  }
}

/**
 * Runs work that ends when the client leaves. While a response is pending, the request's signal can
 * only mean that; afterwards runtimes abort it on success too, so by then nobody listens.
 */
export async function whileConnected<T>(
  request: Request,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const gone = () => controller.abort(new Problem(499, "disconnected", "the client left"));
  if (request.signal.aborted) gone();
  request.signal.addEventListener("abort", gone, { once: true });
  try {
    return await work(controller.signal);
  } finally {
    request.signal.removeEventListener("abort", gone);
  }
}

/**
 * An event stream for a request, which has one of the places there are for such.
 * @param start begins the work, which ends when the controller aborts
 */
export function streamTo(
  services: Services,
  context: Context,
  standing: Standing,
  start: (controller: AbortController, charge: Charge) => AsyncGenerator<ServerEvent, void>,
): Response {
  const { streams, client, metrics } = services;
  const onEnd = streams.enter(standing === "trusted" ? undefined : client(context));
  const controller = new AbortController();
  try {
    const events = start(controller, chargeTo(services, context, standing));
    return eventStream(events, { controller, onEnd, metrics });
  } catch (error) {
    onEnd();
    throw error;
  }
}
