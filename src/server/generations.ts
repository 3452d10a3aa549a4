/** POST /v1/images/generations: OpenAI's shape, with the seed, sampler and class beside it. */
import type { Context, Hono } from "npm:hono@4.13.19";
import { signAddress } from "./access.ts";
import { readJson } from "./body.ts";
import { clientLeft, errorEvent, eventStream, type ServerEvent } from "./events.ts";
import { base64, encodePreview } from "./picture.ts";
import { invalid } from "./problem.ts";
import { addressOf, etagOf, findWeights, type Recipe, resolve } from "./recipe.ts";
import { recipeRequest, validate } from "./schema.ts";
import { hashToSeed, MAX_SEED, nextSeed, seedOf } from "./seed.ts";
import { labelIndex, labelNames, type ServedModel } from "./served_model.ts";
import { checkCaps, type Services, whileConnected } from "./services.ts";
import type { Order, Step } from "./studio.ts";

/** Seconds for which the address in an answer with `response_format: "url"` is signed. */
const URL_LIFETIME = 3600;

export function generationRoutes(app: Hono, services: Services): void {
  app.post("/v1/images/generations", (c) => generate(services, c));
}

interface Generation {
  readonly orders: readonly Order[];
  readonly model: ServedModel;
  readonly size: string;
  readonly format: "b64_json" | "url";
  readonly partialImages: number;
}

async function generate(services: Services, c: Context): Promise<Response> {
  await services.access.requireKey(c.req.raw);
  const body = await readJson(c.req.raw, services.limits);
  const fields = validate(services.schemas.generation, body);
  const generation = await readGeneration(services, fields);
  if (fields.stream) return await streamed(services, generation, c.get("requestId"));
  const data = await whileConnected(c.req.raw, (signal) => make(services, generation, c, signal));
  return c.json({ created: now(), size: generation.size, output_format: "png", data });
}

async function readGeneration(
  services: Services,
  fields: Record<string, unknown>,
): Promise<Generation> {
  const { catalog, limits, schemas } = services;
  const request = recipeRequest(fields, schemas.optionNames);
  const { model } = findWeights(catalog, request.weights);
  const prompt = (fields.prompt as string).trim();
  if (prompt === "") throw invalid("prompt", "some text", fields.prompt);
  const named = labelNames(model).includes(prompt) ? labelIndex(model, prompt) : undefined;
  const label = request.label ?? (named === undefined ? undefined : prompt);
  const first = firstSeed(fields.seed, named === undefined ? prompt : undefined, limits);
  const { scale, size } = readSize(fields.size as string | undefined, model);
  const n = (fields.n as number | undefined) ?? 1;
  const orders = await Promise.all(Array.from({ length: n }, async (_, i) => {
    const recipe = resolve(catalog, { ...request, label, scale }, nextSeed(first, i));
    return { recipe, etag: await etagOf(recipe) };
  }));
  await checkCaps(services, orders[0].recipe, n);
  return {
    orders,
    model,
    size,
    format: (fields.response_format ?? "b64_json") as Generation["format"],
    partialImages: (fields.partial_images as number | undefined) ?? 0,
  };
}

/** A prompt that is only a class says nothing of the seed, which is then any. */
function firstSeed(
  seed: unknown,
  text: string | undefined,
  { maxNameLength }: Services["limits"],
): number {
  if (typeof seed === "number") return seed;
  if (typeof seed === "string") return seedOf(seed, maxNameLength);
  if (text !== undefined) return hashToSeed(text);
  return crypto.getRandomValues(new Uint32Array(1))[0] % (MAX_SEED + 1);
}

/** "64x64" as a multiple of the model's own size. */
function readSize(size: string | undefined, model: ServedModel): { scale: number; size: string } {
  const [, height, width] = model.shape;
  if (size === undefined || size === "auto") return { scale: 1, size: `${width}x${height}` };
  const [, w, h] = /^(\d{1,5})x(\d{1,5})$/.exec(size) ?? [];
  const scale = Number(w) / width;
  if (!Number.isInteger(scale) || scale < 1 || scale !== Number(h) / height) {
    throw invalid("size", `"auto" or an integer multiple of ${width}x${height}`, size);
  }
  return { scale, size };
}

async function make(
  services: Services,
  { orders, model, format }: Generation,
  c: Context,
  signal: AbortSignal,
): Promise<Record<string, unknown>[]> {
  if (format === "url") {
    return await Promise.all(orders.map(async ({ recipe }) => ({
      url: await absolute(services, recipe, model, c),
      ...describe(recipe, model),
    })));
  }
  const pictures = await services.studio.pictures(orders, signal, () => {});
  const pngs = await Promise.all(pictures);
  return pngs.map((png, i) => ({ b64_json: base64(png), ...describe(orders[i].recipe, model) }));
}

/** The address is the picture: it is made when it is fetched, and the same every time. */
async function absolute(
  { publicUrl, signingKey }: Services,
  recipe: Recipe,
  model: ServedModel,
  c: Context,
): Promise<string> {
  const here = new URL(c.req.url);
  const base = publicUrl ?? new URL(here.pathname.replace(/v1\/images\/generations$/, ""), here);
  const url = new URL(addressOf(recipe, model), base);
  return signingKey ? (await signAddress(url, signingKey, now() + URL_LIFETIME)).href : url.href;
}

function describe(recipe: Recipe, model: ServedModel): Record<string, unknown> {
  const { seed, scheduler, schedule, steps, guidance, options, weights } = recipe;
  const label = recipe.label === undefined ? undefined : model.labels![recipe.label];
  const chosen = label === undefined ? "" : `label ${label}, `;
  return {
    revised_prompt: `${chosen}seed ${seed}`,
    seed,
    weights: `${weights}@${model.hash.slice(0, 16)}`,
    scheduler,
    ...(schedule === undefined ? {} : { schedule }),
    steps,
    ...(label === undefined ? {} : { label }),
    guidance,
    ...options,
  };
}

async function streamed(
  services: Services,
  generation: Generation,
  requestId?: string,
): Promise<Response> {
  const { orders, partialImages } = generation;
  const controller = new AbortController();
  services.studio.admission.check(await totalCost(services, orders));
  const runs = await Promise.all(
    orders.map((order) => services.studio.steps(order, controller, () => {})),
  ).catch((error) => {
    controller.abort(error);
    throw error;
  });
  const events = merge(runs.map((run, index) => tell(generation, run, index, partialImages)));
  return eventStream(
    ending(services, events, controller, requestId),
    () => clientLeft(services, controller),
  );
}

async function totalCost({ studio }: Services, orders: readonly Order[]): Promise<number> {
  const costs = await Promise.all(orders.map(({ recipe }) => studio.evaluations(recipe)));
  return costs.reduce((a, b) => a + b);
}

/** One image's events: previews spread evenly over its steps, then the picture. */
async function* tell(
  { orders, model, size }: Generation,
  run: AsyncGenerator<Step, Uint8Array>,
  index: number,
  partialImages: number,
): AsyncGenerator<ServerEvent, void> {
  const { recipe } = orders[index];
  const common = {
    created_at: now(),
    size,
    quality: "auto",
    background: "opaque",
    output_format: "png",
    index,
  };
  let shown = 0;
  for (;;) {
    const next = await run.next();
    if (next.done) {
      const type = "image_generation.completed";
      const image = { b64_json: base64(next.value), ...describe(recipe, model) };
      yield { event: type, data: { type, ...image, ...common, usage: usage(recipe) } };
      return;
    }
    const { step, steps, x_0, shape } = next.value;
    if (shown < partialImages && step >= (shown + 1) * steps / (partialImages + 1)) {
      const type = "image_generation.partial_image";
      const b64_json = base64(encodePreview(x_0, shape, recipe.scale));
      yield { event: type, data: { type, b64_json, partial_image_index: shown++, ...common } };
    }
  }
}

/** OpenAI's clients expect token counts; there are no tokens here. */
function usage({ steps }: Recipe): Record<string, unknown> {
  return { input_tokens: 0, output_tokens: 0, total_tokens: 0, steps };
}

async function* ending(
  services: Services,
  events: AsyncGenerator<ServerEvent, void>,
  controller: AbortController,
  requestId?: string,
): AsyncGenerator<ServerEvent, void> {
  try {
    yield* events;
    yield { event: "done", data: "[DONE]" };
  } catch (error) {
    yield errorEvent(services, error, requestId);
  } finally {
    controller.abort(new DOMException("the stream ended", "AbortError"));
  }
}

/** The events of several images as they come. */
async function* merge(
  streams: readonly AsyncGenerator<ServerEvent, void>[],
): AsyncGenerator<ServerEvent, void> {
  const pull = (i: number) => {
    const pulled = streams[i].next().then((next) => ({ i, next }));
    // Once one stream has failed nobody waits for the others.
    pulled.catch(() => {});
    return pulled;
  };
  const pending = new Map(streams.map((_, i) => [i, pull(i)]));
  while (pending.size > 0) {
    const { i, next } = await Promise.race(pending.values());
    if (next.done) {
      pending.delete(i);
    } else {
      pending.set(i, pull(i));
      yield next.value;
    }
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
