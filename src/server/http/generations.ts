/** POST /v1/images/generations: OpenAI's shape, with the seed, sampler and class beside it. */
import type { Context } from "npm:hono@4.13.19";
import { z } from "npm:zod@4.6.7";
import { base64 } from "../work/picture.ts";
import type { Charge } from "../work/cost.ts";
import { addressOf, type ServedRecipe } from "../work/recipe.ts";
import { signAddress, type Standing } from "./access.ts";
import { readJson } from "./body.ts";
import { generationEvents } from "./generation_events.ts";
import { describeImage, type Generation, readGeneration } from "./read_generation.ts";
import { jsonSchema, type Route } from "./route.ts";
import { chargeTo, type Services, streamTo, whileConnected } from "./services.ts";
import { validate } from "./validate.ts";

/** Seconds for which the address in an answer with `response_format: "url"` is signed. */
const URL_LIFETIME = 3600;

const images = z.object({
  created: z.int(),
  size: z.string(),
  output_format: z.string(),
  data: z.array(z.looseObject({
    b64_json: z.string().optional(),
    url: z.string().optional(),
    revised_prompt: z.string(),
    seed: z.int(),
  })),
});

export function generationRoute(services: Services): Route {
  return {
    method: "post",
    path: "/v1/images/generations",
    handle: (c) => generate(services, c),
    operation: () => ({
      operationId: "createImage",
      summary: "OpenAI's image generation",
      security: services.access.security("generation"),
      requestBody: {
        required: true,
        content: {
          "application/json": { schema: jsonSchema(services.schemas.described.generation()) },
        },
      },
      responses: {
        "200": {
          description: "pictures, or with stream their events",
          content: {
            "application/json": { schema: jsonSchema(images) },
            "text/event-stream": { schema: { type: "string" } },
          },
        },
      },
      problems: [401, 404, 408, 413, 415, 422, 429, 500, 503],
    }),
  };
}

async function generate(services: Services, c: Context): Promise<Response> {
  const standing = await services.access.generation(c.req.raw);
  const body = await readJson(c.req.raw, services.limits);
  const fields = validate(services.schemas.generation(), body);
  const charge = chargeTo(services, c, standing);
  const generation = await readGeneration(services, fields, charge);
  if (fields.stream) {
    return streamTo(services, c, standing, (controller, charge) => {
      const runs = services.pictures.steps(generation.orders, controller, charge);
      return generationEvents(services, generation, runs, c.get("requestId"));
    });
  }
  const data = generation.format === "url"
    ? await addresses(services, generation, c, standing)
    : await whileConnected(c.req.raw, (signal) => pictures(services, generation, charge, signal));
  const created = Math.floor(Date.now() / 1000);
  return c.json({ created, size: generation.size, output_format: "png", data }, 200, {
    "cache-control": "no-store",
  });
}

async function pictures(
  services: Services,
  { orders, model }: Generation,
  charge: Charge,
  signal: AbortSignal,
): Promise<Record<string, unknown>[]> {
  const pngs = await Promise.all(services.pictures.pictures(orders, signal, charge));
  return pngs.map((png, i) => ({
    b64_json: base64(png),
    ...describeImage(orders[i].recipe, model),
  }));
}

/** An address is the picture: it is made when it is fetched, and the same every time. */
async function addresses(
  { publicUrl, signingKey }: Services,
  { orders, model }: Generation,
  c: Context,
  standing: Standing,
): Promise<Record<string, unknown>[]> {
  const here = new URL(c.req.url);
  const base = publicUrl ?? new URL(here.pathname.replace(/v1\/images\/generations$/, ""), here);
  const expires = Math.floor(Date.now() / 1000) + URL_LIFETIME;
  // A signature frees from the rate limit, so the public gets none.
  const secret = standing === "trusted" ? signingKey : undefined;
  const address = async (recipe: ServedRecipe) => {
    const url = new URL(addressOf(recipe, model), base);
    return secret === undefined ? url : await signAddress(url, secret, expires);
  };
  return await Promise.all(orders.map(async ({ recipe }) => ({
    url: (await address(recipe)).href,
    ...describeImage(recipe, model),
  })));
}
