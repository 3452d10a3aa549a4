/** A generation as server-sent events: previews and pictures of several images, as they come. */
import type { Recipe } from "../../recipe/recipe.ts";
import { base64, encodePreview } from "../work/picture.ts";
import type { Step } from "../work/picture_service.ts";
import { errorEvent, type ServerEvent } from "./events.ts";
import { describeImage, type Generation } from "./read_generation.ts";
import type { Services } from "./services.ts";

/** Previews and pictures of every run, then "[DONE]"; or an error. */
export async function* generationEvents(
  services: Services,
  generation: Generation,
  runs: readonly AsyncGenerator<Step, Uint8Array>[],
  requestId?: string,
  kind: "image_generation" | "image_edit" = "image_generation",
): AsyncGenerator<ServerEvent, void> {
  try {
    yield* merge(runs.map((run, index) => imageEvents(generation, run, index, kind)));
    yield { event: "done", data: "[DONE]" };
  } catch (error) {
    yield errorEvent(services, error, requestId);
  }
}

/** One image's events: previews spread evenly over its steps, then the picture. */
async function* imageEvents(
  { orders, model, size, partialImages }: Generation,
  run: AsyncGenerator<Step, Uint8Array>,
  index: number,
  kind: string,
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
      const type = `${kind}.completed`;
      const image = { b64_json: base64(next.value), ...describeImage(recipe, model) };
      yield { event: type, data: { type, ...image, ...common, usage: usage(recipe) } };
      return;
    }
    const { step, steps, x_0, shape } = next.value;
    if (shown < partialImages && step >= (shown + 1) * steps / (partialImages + 1)) {
      const type = `${kind}.partial_image`;
      const b64_json = base64(encodePreview(x_0, shape, recipe));
      yield { event: type, data: { type, b64_json, partial_image_index: shown++, ...common } };
    }
  }
}

/** OpenAI's clients expect token counts; there are no tokens here. */
function usage({ steps }: Recipe): Record<string, unknown> {
  return { input_tokens: 0, output_tokens: 0, total_tokens: 0, steps };
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
