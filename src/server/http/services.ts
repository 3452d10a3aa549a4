/** What every route shares. */
import type { Context } from "npm:hono@4.13.19";
import type { Access, Standing } from "./access.ts";
import type { Engine } from "../work/engine.ts";
import type { Limits } from "../work/limits.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { invalid, Problem } from "./problem.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { Catalog, Recipe } from "../work/recipe.ts";
import type { Schemas } from "./schema.ts";
import type { Charge, Studio } from "../work/picture_service.ts";

export interface Services {
  readonly catalog: Catalog;
  readonly limits: Limits;
  readonly schemas: Schemas;
  readonly engines: ReadonlyMap<string, Engine>;
  readonly studio: Studio;
  readonly metrics: Metrics;
  readonly access: Access;
  readonly rateLimit: RateLimit;
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
 * @throws Problem 422 where n images by this recipe are more than one request may ask for
 */
export async function checkCaps(
  { limits, studio, engines }: Services,
  recipe: Recipe,
  n: number,
  enlarging: "scale" | "size",
): Promise<void> {
  const [, height, width] = engines.get(recipe.weights)!.model.shape;
  const pixels = n * height * width * recipe.scale ** 2;
  if (pixels > limits.maxPixels) {
    throw invalid(
      n > 1 ? "n" : enlarging,
      `at most ${limits.maxPixels} pixels in one request`,
      pixels,
    );
  }
  const cost = n * await studio.costs.of(recipe);
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
