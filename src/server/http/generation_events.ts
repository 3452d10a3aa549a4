/** A generation as server-sent events: previews and pictures of several images, as they come. */
import { clientLeft, errorEvent, eventStream, type ServerEvent } from "./events.ts";
import { describe, type Generation } from "./generation.ts";
import { base64, encodePreview } from "../work/picture.ts";
import type { Recipe } from "../work/recipe.ts";
import type { Services } from "./services.ts";
import type { Charge, Step } from "../work/picture_service.ts";

/** @throws Problem 429 or 503 before the first event where there is no room for all images */
export async function streamed(
  services: Services,
  generation: Generation,
  charge: Charge,
  requestId?: string,
): Promise<Response> {
  const { orders, partialImages } = generation;
  const controller = new AbortController();
  const runs = await services.studio.steps(orders, controller, charge);
  const events = merge(runs.map((run, index) => tell(generation, run, index, partialImages)));
  return eventStream(
    ending(services, events, controller, requestId),
    () => clientLeft(services, controller),
  );
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
    created_at: Math.floor(Date.now() / 1000),
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
