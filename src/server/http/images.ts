/** Images by address: the picture of a seed, and its making as events. */
import type { Context } from "npm:hono@4.13.19";
import { MAX_SEED } from "../../recipe/recipe.ts";
import type { Charge, Order } from "../work/cost.ts";
import { base64, encodePreview, type Format, FORMATS } from "../work/picture.ts";
import type { Step } from "../work/picture_service.ts";
import { addressOf, describeSubject, etagMatches, findWeights, resolve } from "../work/recipe.ts";
import { seedOf } from "../work/seed.ts";
import { pictureResource } from "./access.ts";
import { errorEvent, type ServerEvent, STREAM_HEADERS } from "./events.ts";
import { once } from "./once.ts";
import { recipeRequest } from "./recipe_request.ts";
import { answer, queryParameters, type Route } from "./route.ts";
import { eventFields, queryOf } from "./schema.ts";
import { chargeTo, checkCaps, type Services, streamTo, whileConnected } from "./services.ts";
import { validate } from "./validate.ts";

const seedParameter = {
  name: "seed",
  in: "path",
  required: true,
  description: `0 to ${MAX_SEED}, or a name without "/", which is hashed to a seed`,
  schema: { type: "string", minLength: 1 },
};

/** What is said of each file. */
const operations = {
  png: {
    operationId: "getPicture",
    summary: "A seed's picture",
    head: { operationId: "headPicture", summary: "Its headers, without computing it" },
  },
  gif: {
    operationId: "getPictureGif",
    summary: "Its making, from noise to the picture, in at most 256 colours a frame",
    head: { operationId: "headPictureGif", summary: "Its headers, without computing it" },
  },
  apng: {
    operationId: "getPictureApng",
    summary: "The same in all its colours; the finished picture where animation is not understood",
    head: { operationId: "headPictureApng", summary: "Its headers, without computing it" },
  },
} as const;

export function imageRoutes(services: Services): Route[] {
  const parameters = once(() => [
    seedParameter,
    ...queryParameters(services.schemas.described.picture()),
  ]);
  const security = services.access.security("picture");
  const files = (Object.keys(FORMATS) as Format[]).map((format): Route => ({
    method: "get",
    path: `/v1/images/:file{[^/]+\\.${format}}`,
    handle: (c) => picture(services, c, format),
    operation: () => ({
      path: `/v1/images/{seed}.${format}`,
      ...operations[format],
      parameters: parameters(),
      security,
      responses: {
        "200": {
          description: "the picture; immutable where the address names the weights' hash",
          headers: { etag: { schema: { type: "string" } } },
          content: { [FORMATS[format]]: { schema: { type: "string", format: "binary" } } },
        },
        "304": { description: "the picture that If-None-Match names; nothing was computed" },
      },
      problems: [401, 403, 404, 422, 429, 500, 503],
    }),
  }));
  return [...files, {
    method: "get",
    path: "/v1/images/:seed{[^/]+}/events",
    handle: (c) => events(services, c),
    operation: () => ({
      path: "/v1/images/{seed}/events",
      operationId: "getPictureEvents",
      summary: "A seed's reverse process: events queued, step …, then done or error",
      parameters: [...parameters(), ...queryParameters(eventFields)],
      security,
      responses: {
        "200": answer("server-sent events", "text/event-stream", { type: "string" }),
        "204": { description: "an EventSource that connected again after the last event" },
      },
      problems: [401, 403, 404, 422, 429, 500, 503],
    }),
  }];
}

/** What an address asks for. */
async function readAddress(
  services: Services,
  name: string,
  query: Record<string, unknown>,
  charge: Charge,
  format?: Format,
): Promise<{ order: Order; pinned: boolean }> {
  const { schemas, limits, catalog, orders } = services;
  const seed = seedOf(name, limits.maxNameLength);
  const fields = validate(schemas.picture(), query);
  const request = recipeRequest(services, fields, "address");
  const order = await orders.of(resolve(catalog, request, seed), charge, { format });
  checkCaps(services, [order], fields.size === undefined ? "scale" : "size");
  return { order, pinned: findWeights(catalog, request.weights).pinned };
}

async function picture(services: Services, c: Context, format: Format): Promise<Response> {
  const request = c.req.raw;
  const file = c.req.param("file")!;
  const standing = await services.access.picture(request, pictureResource(file, ""));
  const name = file.slice(0, -`.${format}`.length);
  const charge = chargeTo(services, c, standing);
  const query = queryOf(new URL(request.url));
  const { order, pinned } = await readAddress(services, name, query, charge, format);
  const { recipe, etag } = order;
  const shared = services.signPictures ? "private" : "public";
  // What a plug-in's name stands for may change with the next start.
  const forever = pinned && recipe.plugin === undefined;
  const headers = {
    etag,
    "cache-control": forever ? `${shared}, max-age=31536000, immutable` : `${shared}, no-cache`,
    "content-location": relativeTo(services, order),
  };
  if (etagMatches(request.headers.get("if-none-match"), etag)) {
    services.metrics.hits.inc({ by: "not_modified" });
    return new Response(null, { status: 304, headers });
  }
  const described = { ...headers, "content-type": FORMATS[format] };
  if (request.method === "HEAD") return new Response(null, { headers: described });
  const made = await whileConnected(request, async (signal) => {
    const [file] = services.pictures.pictures([order], signal, charge);
    return await file;
  });
  return new Response(made, { headers: { ...described, "content-length": String(made.length) } });
}

/** The pinned address, relative to `v1/images/`. */
function relativeTo({ engines }: Services, { recipe, format }: Order): string {
  const { model } = engines.get(recipe.source)!;
  return addressOf(recipe, model, `.${format}`).replace("v1/images/", "");
}

async function events(services: Services, c: Context): Promise<Response> {
  const name = c.req.param("seed")!;
  const standing = await services.access.picture(c.req.raw, pictureResource(name, "/events"));
  // An EventSource connects again after the last event; 204 tells it that there is no more.
  if (c.req.header("last-event-id") === "done") {
    return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
  }
  const { preview, ...query } = queryOf(new URL(c.req.url));
  const fields = validate(eventFields, { preview });
  const { order } = await readAddress(services, name, query, chargeTo(services, c, standing));
  if (c.req.method === "HEAD") return new Response(null, { headers: STREAM_HEADERS });
  const show = (fields.preview ?? "x_0") as Preview;
  return streamTo(services, c, standing, (controller, charge) => {
    const [steps] = services.pictures.steps([order], controller, charge);
    return stepEvents(services, order, steps, show, c.get("requestId"));
  });
}

type Preview = "x_0" | "both" | "none";

async function* stepEvents(
  services: Services,
  order: Order,
  steps: AsyncGenerator<Step, Uint8Array>,
  preview: Preview,
  requestId?: string,
): AsyncGenerator<ServerEvent, void> {
  try {
    const { cost, waiting, running } = services.pictures.admission;
    yield { event: "queued", data: { evaluations_pending: cost, waiting, running } };
    for (;;) {
      const next = await steps.next();
      if (next.done) {
        yield { event: "done", id: "done", data: doneData(services, order, next.value) };
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
  }
}

function doneData(services: Services, { recipe, etag }: Order, png: Uint8Array) {
  const { model } = services.engines.get(recipe.source)!;
  return {
    seed: recipe.seed,
    scheduler: recipe.scheduler,
    steps: recipe.steps,
    ...describeSubject(recipe, model),
    guidance: recipe.guidance,
    etag,
    address: addressOf(recipe, model),
    image: `data:image/png;base64,${base64(png)}`,
  };
}

function dataUrl(x: Float32Array, shape: Step["shape"]): string {
  return `data:image/png;base64,${base64(encodePreview(x, shape))}`;
}
