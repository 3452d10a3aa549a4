/** POST /v1/images/generations: OpenAI's shape, with the seed, sampler and class beside it. */
import type { Context, Hono } from "npm:hono@4.13.19";
import { signAddress, type Standing } from "./access.ts";
import { readJson } from "./body.ts";
import { describe, type Generation, readGeneration } from "./generation.ts";
import { streamed } from "./generation_events.ts";
import { base64 } from "../work/picture.ts";
import { addressOf, type Recipe } from "../work/recipe.ts";
import { chargeTo, type Services, whileConnected } from "./services.ts";
import type { Charge } from "../work/picture_service.ts";
import { validate } from "./validate.ts";

/** Seconds for which the address in an answer with `response_format: "url"` is signed. */
const URL_LIFETIME = 3600;

export function generationRoutes(app: Hono, services: Services): void {
  app.post("/v1/images/generations", (c) => generate(services, c));
}

async function generate(services: Services, c: Context): Promise<Response> {
  const standing = await services.access.generation(c.req.raw);
  const body = await readJson(c.req.raw, services.limits);
  const fields = validate(services.schemas.generation, body);
  const generation = await readGeneration(services, fields);
  const charge = chargeTo(services, c, standing);
  if (fields.stream) return await streamed(services, generation, charge, c.get("requestId"));
  const data = generation.format === "url"
    ? await addresses(services, generation, c, standing)
    : await whileConnected(c.req.raw, (signal) => pictures(services, generation, charge, signal));
  const created = Math.floor(Date.now() / 1000);
  return c.json({ created, size: generation.size, output_format: "png", data });
}

async function pictures(
  { studio }: Services,
  { orders, model }: Generation,
  charge: Charge,
  signal: AbortSignal,
): Promise<Record<string, unknown>[]> {
  const pngs = await Promise.all(await studio.pictures(orders, signal, charge));
  return pngs.map((png, i) => ({ b64_json: base64(png), ...describe(orders[i].recipe, model) }));
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
  const address = async (recipe: Recipe) => {
    const url = new URL(addressOf(recipe, model), base);
    return secret === undefined ? url : await signAddress(url, secret, expires);
  };
  return await Promise.all(orders.map(async ({ recipe }) => ({
    url: (await address(recipe)).href,
    ...describe(recipe, model),
  })));
}
