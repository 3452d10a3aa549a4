/** Pictures on their way, as server-sent events. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { OpenStreams } from "../src/server/http/events.ts";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";
import { decode, generations, metric, parseEvents, post } from "./server_http.ts";

Deno.test("a stream of generations shows previews of each image, then the pictures", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const body = { prompt: "x", n: 2, stream: true, partial_images: 2, steps: 9 };
  const response = await app.request(generations, post(body));
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  const events = parseEvents(await response.text());
  const { data } = await (await app.request(generations, post({ ...body, stream: false }))).json();
  for (const index of [0, 1]) {
    const own = events.slice(0, -1).map(({ data }) => JSON.parse(data))
      .filter((event) => event.index === index);
    assertEquals(own.map(({ type }) => type), [
      "image_generation.partial_image",
      "image_generation.partial_image",
      "image_generation.completed",
    ]);
    assertEquals(own.map((event) => event.partial_image_index), [0, 1, undefined]);
    assertEquals(own[2].b64_json, data[index].b64_json);
  }
  assertEquals(events.at(-1)!.data, "[DONE]");
});

Deno.test("events tell each step, then give the picture of the address", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const response = await app.request("/v1/images/7/events?steps=4&preview=both");
  const events = parseEvents(await response.text());
  assertEquals(events.map(({ event }) => event), [
    "queued",
    "step",
    "step",
    "step",
    "step",
    "done",
  ]);
  const steps = events.slice(1, 5).map(({ data }) => JSON.parse(data));
  assertEquals(steps.map(({ step, t }) => [step, t]), [[1, 750], [2, 500], [3, 250], [4, 0]]);
  for (const { preview, x_t } of steps) {
    assertStringIncludes(preview, "data:image/png;base64,");
    assertStringIncludes(x_t, "data:image/png;base64,");
  }
  const done = JSON.parse(events[5].data);
  const picture = await app.request(`/${done.address}`);
  assertEquals(picture.headers.get("etag"), done.etag);
  assertEquals(decode(done.image.split(",")[1]), await picture.bytes());
});

Deno.test("an EventSource that connects again after the end is told to stop", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const headers = { "last-event-id": "done" };
  assertEquals((await app.request("/v1/images/7/events", { headers })).status, 204);
  assertEquals(model.evaluations, 0);
});

Deno.test("HEAD of an event stream starts no work", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const head = await app.request("/v1/images/7/events", { method: "HEAD" });
  assertEquals([head.status, head.headers.get("content-type")], [200, "text/event-stream"]);
  const metrics = await (await app.request("/metrics")).text();
  assertEquals([model.evaluations, metric(metrics, "denoise_queue_cost")], [0, 0]);
});

Deno.test("a stream's failure before its first event has its status", async () => {
  const app = createApp({ models: { fake: fakeModel() }, limits: { maxQueue: 3 } });
  assertEquals((await app.request("/v1/images/7/events?steps=0")).status, 422);
  assertEquals((await app.request("/v1/images/7/events?steps=4")).status, 422, "never fits");
  const first = await app.request("/v1/images/7/events?steps=3");
  const full = await app.request("/v1/images/8/events?steps=3");
  assertEquals(full.status, 503);
  assert(Number(full.headers.get("retry-after")) >= 1);
  await first.body?.cancel();
});

Deno.test("a stream that ends twice gives its place back once", () => {
  const streams = new OpenStreams(16);
  const [first] = [streams.enter("a"), streams.enter("a"), streams.enter("b")];
  assertThrows(() => streams.enter("a"), Error, "at most 2 open streams a client");
  first();
  first();
  assertEquals(streams.open, 2);
  streams.enter("a");
  assertThrows(() => streams.enter("a"), Error, "at most 2 open streams a client");
});
