/** Images by address: the picture of a seed, and its making as events. */
import type { Context, Hono } from "npm:hono@4.13.19";
import { z } from "npm:zod@4.6.7";
import { clientLeft, errorEvent, eventStream, type ServerEvent } from "./events.ts";
import { base64, encodePreview } from "../work/picture.ts";
import {
  addressOf,
  etagMatches,
  etagOf,
  findWeights,
  type Recipe,
  resolve,
} from "../work/recipe.ts";
import { queryOf, recipeRequest } from "./schema.ts";
import { seedOf } from "../work/seed.ts";
import { chargeTo, checkCaps, type Services, whileConnected } from "./services.ts";
import type { Order, Step } from "../work/picture_service.ts";
import { validate } from "./validate.ts";

/** Fields of the event stream's address beside those of a picture's. */
export const eventFields: z.ZodObject = z.object({
  preview: z.enum(["x_0", "both", "none"]).optional().describe(
    "pictures in each event: the estimate of x_0 (default), x_t beside it, or none",
  ),
});

export function imageRoutes(app: Hono, services: Services): void {
  app.get("/v1/images/:file{.+\\.png}", (c) => picture(services, c));
  app.get("/v1/images/:seed/events", (c) => events(services, c));
}

/** What an address asks for. */
async function readAddress(services: Services, name: string, query: Record<string, unknown>) {
  const { schemas, limits, catalog } = services;
  const fields = validate(schemas.picture, query);
  const request = recipeRequest(fields, schemas.optionNames);
  const recipe = resolve(catalog, request, seedOf(name, limits.maxNameLength));
  await checkCaps(services, recipe, 1, "scale");
  return { recipe, pinned: findWeights(catalog, request.weights).pinned };
}

async function picture(services: Services, c: Context): Promise<Response> {
  const request = c.req.raw;
  const standing = await services.access.picture(request);
  const name = c.req.param("file")!.slice(0, -".png".length);
  const { recipe, pinned } = await readAddress(services, name, queryOf(new URL(request.url)));
  const etag = etagOf(recipe);
  const shared = services.signPictures ? "private" : "public";
  const headers = {
    etag,
    "cache-control": pinned ? `${shared}, max-age=31536000, immutable` : `${shared}, no-cache`,
    "content-location": relativeTo(services, recipe),
  };
  if (etagMatches(request.headers.get("if-none-match"), etag)) {
    services.metrics.hits.inc({ by: "not_modified" });
    return new Response(null, { status: 304, headers });
  }
  const described = { ...headers, "content-type": "image/png" };
  if (request.method === "HEAD") return new Response(null, { headers: described });
  const png = await whileConnected(request, async (signal) => {
    const charge = chargeTo(services, c, standing);
    const [made] = await services.studio.pictures([{ recipe, etag }], signal, charge);
    return await made;
  });
  return new Response(png, { headers: { ...described, "content-length": String(png.length) } });
}

/** The pinned address, relative to `v1/images/`. */
function relativeTo({ engines }: Services, recipe: Recipe): string {
  return addressOf(recipe, engines.get(recipe.weights)!.model).replace("v1/images/", "");
}

async function events(services: Services, c: Context): Promise<Response> {
  const standing = await services.access.picture(c.req.raw);
  // An EventSource connects again after the last event; 204 tells it that there is no more.
  if (c.req.header("last-event-id") === "done") return new Response(null, { status: 204 });
  const { preview, ...query } = queryOf(new URL(c.req.url));
  const fields = validate(eventFields, { preview });
  const { recipe } = await readAddress(services, c.req.param("seed")!, query);
  const order = { recipe, etag: etagOf(recipe) };
  if (c.req.method === "HEAD") {
    return new Response(null, { headers: { "content-type": "text/event-stream" } });
  }
  const controller = new AbortController();
  const charge = chargeTo(services, c, standing);
  const [steps] = await services.studio.steps([order], controller, charge);
  const show = (fields.preview ?? "x_0") as Preview;
  return eventStream(
    narrate(services, order, steps, show, c.get("requestId")),
    () => clientLeft(services, controller),
  );
}

type Preview = "x_0" | "both" | "none";

async function* narrate(
  services: Services,
  { recipe, etag }: Order,
  steps: AsyncGenerator<Step, Uint8Array>,
  preview: Preview,
  requestId?: string,
): AsyncGenerator<ServerEvent, void> {
  try {
    const { cost, waiting, running } = services.studio.admission;
    yield { event: "queued", data: { evaluations_pending: cost, waiting, running } };
    for (;;) {
      const next = await steps.next();
      if (next.done) {
        yield { event: "done", id: "done", data: doneData(services, recipe, etag, next.value) };
        return;
      }
      const { step, steps: total, t, x, x_0, shape } = next.value;
      yield {
        event: "step",
        id: String(step),
        data: {
          step,
          steps: total,
          t,
          ...(preview === "none" ? {} : { preview: dataUrl(x_0, shape) }),
          ...(preview === "both" ? { x_t: dataUrl(x, shape) } : {}),
        },
      };
    }
  } catch (error) {
    yield errorEvent(services, error, requestId);
  } finally {
    await steps.return(new Uint8Array());
  }
}

function doneData(services: Services, recipe: Recipe, etag: string, png: Uint8Array) {
  const { model } = services.engines.get(recipe.weights)!;
  return {
    seed: recipe.seed,
    scheduler: recipe.scheduler,
    steps: recipe.steps,
    ...(recipe.label === undefined ? {} : { label: model.labels![recipe.label] }),
    guidance: recipe.guidance,
    etag,
    address: addressOf(recipe, model),
    image: `data:image/png;base64,${base64(png)}`,
  };
}

function dataUrl(x: Float32Array, shape: Step["shape"]): string {
  return `data:image/png;base64,${base64(encodePreview(x, shape))}`;
}
