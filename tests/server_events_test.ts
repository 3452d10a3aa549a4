/** Pictures on their way, as server-sent events. */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { eventStream, OpenStreams, type ServerEvent } from "../src/server/http/events.ts";
import { Metrics } from "../src/server/metrics.ts";
import { createApp } from "../src/server/mod.ts";
import { heldTime } from "./held_time.ts";
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
  assertEquals(steps.map(({ step, steps, t }) => [step, steps, t]), [
    [1, 4, 750],
    [2, 4, 500],
    [3, 4, 250],
    [4, 4, 0],
  ]);
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

/** Events that come when a test says so, and what became of their stream. */
function heldEvents() {
  const controller = new AbortController();
  const seen = { ends: 0, returned: false };
  let tell: (event: ServerEvent | undefined) => void = () => {};
  const events = async function* () {
    try {
      for (;;) {
        const event = await new Promise<ServerEvent | undefined>((resolve) => tell = resolve);
        if (event === undefined) return;
        yield event;
      }
    } finally {
      seen.returned = true;
    }
  };
  const metrics = new Metrics();
  const { body } = eventStream(events(), { controller, onEnd: () => seen.ends++, metrics });
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  return {
    controller,
    metrics,
    seen,
    reader,
    tell: (event?: ServerEvent) => tell(event),
    read: async () => (await reader.read()).value,
  };
}

Deno.test("a silent stream says every 15 seconds that it is there, and loses no event by it", async () => {
  using time = heldTime();
  const { controller, seen, read, tell } = heldEvents();
  const first = read();
  await time.pass(14_999);
  assertEquals(await Promise.race([first, "nothing yet"]), "nothing yet");
  await time.pass(1);
  assertEquals(await first, ": still here\n\n");
  const second = read();
  await time.pass(15_000);
  assertEquals(await second, ": still here\n\n");
  const third = read();
  await time.pass(10_000);
  tell({ event: "step", data: { step: 1 }, id: "1" });
  assertEquals(await third, 'id: 1\nevent: step\ndata: {"step":1}\n\n');
  const fourth = read();
  await time.pass(10_000);
  assertEquals(await Promise.race([fourth, "nothing yet"]), "nothing yet", "its silence is new");
  tell({ event: "done", data: "text" });
  assertEquals(await fourth, "event: done\ndata: text\n\n");
  const end = read();
  await time.pass(0);
  tell();
  assertEquals(await end, undefined);
  assertEquals(seen, { ends: 1, returned: true });
  assert(controller.signal.aborted, "its work has ended");
  assertEquals(time.timers.size, 0, "and its clocks");
});

Deno.test("a stream whose work is ended has a second for its last event, then it is cut", async () => {
  using time = heldTime();
  const unread = heldEvents();
  const cut = assertRejects(() => unread.read(), Error, "too late");
  await time.pass(0);
  unread.controller.abort(new Error("too late"));
  await time.pass(999);
  assertEquals(unread.seen.ends, 0);
  await time.pass(1);
  await cut;
  assertEquals(unread.seen.ends, 1);
  unread.tell({ event: "step", data: "too late" });
  await time.pass(0);
  assertEquals(unread.seen.returned, true, "its events are ended, too");

  const last = heldEvents();
  const event = last.read();
  await time.pass(0);
  last.controller.abort(new Error("too late"));
  last.tell({ event: "error", data: "gone" });
  assertEquals(await event, "event: error\ndata: gone\n\n");
  const end = last.read();
  await time.pass(0);
  last.tell();
  assertEquals(await end, undefined);
  await time.pass(1000);
  assertEquals(last.seen, { ends: 1, returned: true });
});

Deno.test("a client that leaves ends the work behind its stream, once", async () => {
  using time = heldTime();
  const { controller, metrics, reader, seen, read, tell } = heldEvents();
  const event = read();
  await time.pass(0);
  tell({ event: "step", data: 1 });
  await event;
  await reader.cancel();
  await time.pass(0);
  assertEquals((controller.signal.reason as Error).message, "the client left");
  assertEquals(seen.ends, 1);
  assertEquals(metrics.failures.value({ reason: "disconnected" }), 1);
  await time.pass(1000);
  assertEquals(seen.ends, 1, "what is cut was not ended twice");
  tell({ event: "step", data: "too late" });
  await time.pass(0);
  assertEquals(seen.returned, true, "its events are ended, too");
});

Deno.test("what is made, refused or given up leaves no clock running", async () => {
  using time = heldTime();
  const app = createApp({ models: { fake: fakeModel() } });
  const made = await app.request("/v1/images/7.png?steps=3");
  assertEquals((await made.bytes()).length > 0, true);
  assertEquals(time.timers.size, 0, "a picture");
  await (await app.request("/v1/images/7.png?steps=3")).bytes();
  assertEquals(time.timers.size, 0, "the same from the cache");
  await (await app.request("/v1/images/8/events?steps=3")).text();
  assertEquals(time.timers.size, 0, "its making");
  await (await app.request(generations, post({ prompt: "x", n: 2, steps: 3 }))).text();
  assertEquals(time.timers.size, 0, "several");
  assertEquals((await app.request(generations, post({ prompt: "" }))).status, 422);
  assertEquals(time.timers.size, 0, "none");
  const leaving = new AbortController();
  const given = app.request("/v1/images/9.png?steps=3", { signal: leaving.signal });
  leaving.abort();
  await Promise.resolve(given).catch(() => {});
  await time.pass(0);
  assertEquals(time.timers.size, 0, "one whose reader left");
});
