/** Event streams: how many there may be, what a generation tells, what is said of a failure. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { decodePng } from "../src/image/png.ts";
import { errorEvent, eventStream, OpenStreams } from "../src/server/http/events.ts";
import { Metrics } from "../src/server/metrics.ts";
import { createApp, type LogEntry, type Scheduler } from "../src/server/mod.ts";
import { Problem } from "../src/server/problem.ts";
import { waitFor } from "../src/server/work/shared_run.ts";
import { StepBuffer } from "../src/server/work/step_buffer.ts";
import { frozenClock } from "./frozen_clock.ts";
import { edits, file, form, hole, stripes } from "./restoration_forms.ts";
import { fakeModel, gate, until } from "./server_fake.ts";
import { decode, generations, metric, parseEvents, post } from "./server_http.ts";

function refused(work: () => unknown): [number, string, string] {
  const { status, message, headers } = assertThrows(work, Problem) as Problem;
  return [status, message, headers["retry-after"]];
}

Deno.test("a client has an eighth of the streams, at least one; who has a key has what there is", () => {
  for (const [max, share] of [[1, 1], [7, 1], [15, 1], [16, 2], [24, 3]]) {
    const streams = new OpenStreams(max);
    for (let i = 0; i < share; i++) streams.enter("one");
    const full = [429, `expected at most ${share} open streams a client`, "5"];
    assertEquals(refused(() => streams.enter("one")), full, `of ${max}`);
    for (let i = share; i < max; i++) streams.enter();
    assertEquals(streams.open, max);
    const none = [503, `${max} event streams are open already`, "5"];
    assertEquals(refused(() => streams.enter()), none);
    assertEquals(refused(() => streams.enter("another")), none);
    assertEquals(refused(() => streams.enter("one")), full, "a client's own share is told first");
  }
});

Deno.test("each place that is given back is one that may be taken, by the same client too", () => {
  const streams = new OpenStreams(16);
  const [first, second] = [streams.enter("a"), streams.enter("a")];
  first();
  assertEquals(streams.open, 1);
  const third = streams.enter("a");
  assertEquals(refused(() => streams.enter("a"))[0], 429, "one was given back, not both");
  second();
  third();
  assertEquals(streams.open, 0);
  // A client without streams is not remembered: there may be ever new ones.
  const forgotten: unknown[] = [];
  const { delete: remove } = Map.prototype;
  Map.prototype.delete = function (key) {
    forgotten.push(key);
    return remove.call(this, key);
  };
  try {
    const places = [streams.enter("b"), streams.enter("b")];
    for (const leave of places) leave();
    assertEquals(forgotten, ["b"]);
  } finally {
    Map.prototype.delete = remove;
  }
  const keyed = streams.enter();
  keyed();
  keyed();
  assertEquals(streams.open, 0);
});

Deno.test("the last event of a stream that failed says why, ends it for good, and is counted and logged", () => {
  const metrics = new Metrics();
  const lines: unknown[] = [];
  const log = (entry: unknown) => lines.push(entry);
  const failed = new Problem(500, "network", "broke", { cause: new Error("/secret") });
  const event = errorEvent({ metrics, log }, failed, "abc");
  assertEquals(event, { event: "error", id: "done", data: failed.document("abc") });
  assertEquals(metrics.failures.value({ reason: "network" }), 1);
  const entry = { level: "warn", message: "broke", reason: "network", requestId: "abc" };
  assertEquals(lines, [{ ...entry, error: "Error: /secret" }]);
  errorEvent({ metrics, log }, new Problem(503, "deadline", "late"));
  assertEquals(lines[1], {
    level: "warn",
    message: "late",
    reason: "deadline",
    requestId: undefined,
  });
  const left = new DOMException("gone", "AbortError");
  assertEquals(errorEvent({ metrics, log }, left).id, "done");
  assertEquals([lines.length, metrics.failures.value({ reason: "disconnected" })], [2, 0]);
});

Deno.test("a stream that failed names its request in its last event and in its line of log", async () => {
  const before = () => {
    throw new Error("gone");
  };
  const lines: LogEntry[] = [];
  const models = { fake: fakeModel({ before }) };
  const app = createApp({ models, log: (line) => lines.push(line) });
  const common = { steps: "1", stream: "true", image: file(stripes()), mask: file(hole()) };
  const asked: [string, RequestInit][] = [
    ["/v1/images/1/events?steps=1", {}],
    [generations, post({ prompt: "x", steps: 1, stream: true })],
    [edits, form(common)],
  ];
  for (const [path, init] of asked) {
    const id = `id-of-${path.length}`;
    const headers = new Headers(init.headers);
    headers.set("x-request-id", id);
    const response = await app.request(path, { ...init, headers });
    const { event, data } = parseEvents(await response.text()).at(-1)!;
    assertEquals([event, JSON.parse(data).instance], ["error", `urn:request:${id}`], path);
    const told = lines.filter(({ level, requestId }) => level === "warn" && requestId === id);
    assertEquals(told.map(({ reason }) => reason), ["network"], path);
  }
});

/** Each step has an x_t, an x_0 and an end of a level of its own, whatever the network says. */
const levels: Scheduler = {
  name: "levels",
  api: 1,
  async *sampler(run) {
    const filled = (value: number) => run.x.map(() => value);
    for (const [i, t] of run.timesteps.entries()) {
      await run.denoise(run.x, t);
      yield { t, x: filled(0.2 * i + 0.1), x_0: filled(-0.2 * i - 0.1) };
    }
    return filled(1);
  },
};

Deno.test("previews are the estimate of x_0; of events x_t beside it, both in the network's own size", async () => {
  const app = createApp({ models: { fake: fakeModel() }, schedulers: { ...builtIn, levels } });
  const shown = (text: string) => {
    const { width, height, pixels } = decodePng(decode(text.split(",").at(-1)!));
    return [width, height, ...new Set(pixels)];
  };
  const level = (x: number) => Math.round((x + 1) * 127.5);
  const query = "scheduler=levels&steps=2&scale=3&preview=both";
  const response = await app.request(`/v1/images/7/events?${query}`);
  const [, first, second, done] = parseEvents(await response.text())
    .map(({ data }) => JSON.parse(data));
  assertEquals([shown(first.preview), shown(first.x_t)], [[8, 8, level(-0.1)], [8, 8, level(0.1)]]);
  assertEquals([shown(second.preview), shown(second.x_t)], [
    [8, 8, level(-0.3)],
    [8, 8, level(0.3)],
  ]);
  assertEquals(shown(done.image), [24, 24, 255]);
  const body = { prompt: "x", scheduler: "levels", steps: 2, stream: true, partial_images: 1 };
  const events = await app.request(generations, post({ ...body, size: "16x16" }));
  const images = parseEvents(await events.text()).slice(0, -1).map(({ data }) => JSON.parse(data));
  const sizes = images.map(({ b64_json }) => shown(b64_json));
  assertEquals(sizes, [[16, 16, level(-0.1)], [16, 16, 255]]);
});

Deno.test("previews of a stream are spread evenly over its steps, as large as the picture", async () => {
  using _ = frozenClock();
  const app = createApp({ models: { fake: fakeModel() } });
  const model = fakeModel();
  const counting = createApp({ models: { fake: model } });
  const ask = async (app: ReturnType<typeof createApp>, steps: number, partial_images?: number) => {
    const body = { prompt: "x", seed: 3, stream: true, steps, size: "24x20", partial_images };
    return parseEvents(await (await app.request(generations, post(body))).text())
      .slice(0, -1).map(({ event, data }) => ({ event, ...JSON.parse(data) }));
  };
  const events = await ask(app, 4, 3);
  assertEquals(events.map(({ event }) => event), [
    ...new Array(3).fill("image_generation.partial_image"),
    "image_generation.completed",
  ]);
  for (const { event, type, b64_json, size, index, output_format, ...rest } of events) {
    assertEquals([type, size, index, output_format], [event, "24x20", 0, "png"]);
    assertEquals([rest.quality, rest.background], ["auto", "opaque"]);
    assertEquals(rest.created_at, Math.floor(Date.now() / 1000));
    const { width, height } = decodePng(decode(b64_json));
    assertEquals([width, height], [24, 20]);
  }
  assertEquals(events.map((event) => event.partial_image_index), [0, 1, 2, undefined]);
  const { usage, seed, steps } = events[3];
  assertEquals([usage, seed, steps], [
    { input_tokens: 0, output_tokens: 0, total_tokens: 0, steps: 4 },
    3,
    4,
  ]);
  assertEquals((await ask(counting, 3)).map(({ event }) => event), ["image_generation.completed"]);
});

Deno.test("a preview is shown at the step that is its share of the run, not a step later", async () => {
  const gates: (() => void)[] = [];
  const model = fakeModel({
    before: () => {
      const { open, wait } = gate();
      gates.push(open);
      return wait;
    },
  });
  const app = createApp({ models: { fake: model } });
  const body = { prompt: "x", seed: 1, stream: true, steps: 8, partial_images: 1 };
  const response = await app.request(generations, post(body));
  let text = "";
  const read = (async () => {
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) text += part;
  })();
  const shownAfter: number[] = [];
  for (let step = 1; step <= 8; step++) {
    await until(() => gates.length === step, `step ${step}`);
    if (text.includes("partial_image_index")) shownAfter.push(step - 1);
    gates[step - 1]();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await read;
  assertEquals(shownAfter[0], 4, "half way");
});

Deno.test("of several images one that fails ends the stream with its error, and all the work", async () => {
  const model = fakeModel({
    before: (evaluation) => {
      if (evaluation > 2) throw new Error("gone");
    },
  });
  const app = createApp({ models: { fake: model }, limits: { maxRunning: 1 } });
  const body = { prompt: "x", n: 3, stream: true, steps: 2 };
  const response = await app.request(generations, post(body));
  const events = parseEvents(await response.text());
  assertEquals(events.map(({ event }) => event), ["image_generation.completed", "error"]);
  assertEquals(JSON.parse(events[1].data).error.code, "network");
  const held = async () => {
    const text = await (await app.request("/metrics")).text();
    return ["denoise_queue_cost", "denoise_streams_open", "denoise_images_waiting"]
      .map((name) => metric(text, name)).join();
  };
  // The image that was being made is given up at its next step.
  for (let tries = 0; await held() !== "0,0,0"; tries++) {
    assert(tries < 200, `still held: ${await held()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
});

Deno.test("who leaves a generation's stream between two events leaves nothing behind that fails", async () => {
  const failures: unknown[] = [];
  const unhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    failures.push(event.reason);
  };
  addEventListener("unhandledrejection", unhandled);
  try {
    const model = fakeModel();
    const app = createApp({ models: { fake: model } });
    const body = { prompt: "x", n: 2, stream: true, steps: 50, partial_images: 3 };
    const reader = (await app.request(generations, post(body))).body!.getReader();
    await reader.read();
    await reader.cancel();
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve));
    assertEquals(failures, []);
    const text = await (await app.request("/metrics")).text();
    assertEquals(metric(text, "denoise_queue_cost"), 0);
    assertEquals(metric(text, 'denoise_failures_total{reason="disconnected"}'), 1);
  } finally {
    removeEventListener("unhandledrejection", unhandled);
  }
});

Deno.test("a stream begins with what is before it, numbers its events, and ends with what was made", async () => {
  const { open, wait } = gate();
  const labels = ["cat", "dog"];
  const model = fakeModel({ labels, nullLabel: 2, before: () => wait });
  const app = createApp({ models: { fake: model }, limits: { maxRunning: 1 } });
  const streams = [], queued = [];
  for (const seed of [1, 2]) {
    const query = "steps=2&guidance=2&label=dog&preview=none";
    const response = await app.request(`/v1/images/${seed}/events?${query}`);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    queued.push((await reader.read()).value);
    streams.push(reader);
  }
  assertEquals(queued, [
    'event: queued\ndata: {"evaluations_pending":4,"waiting":0,"running":1}\n\n',
    'event: queued\ndata: {"evaluations_pending":8,"waiting":1,"running":1}\n\n',
  ]);
  open();
  for (const [i, reader] of streams.entries()) {
    let text = "";
    for (let part; !(part = await reader.read()).done;) text += part.value;
    const events = text.split("\n\n").slice(0, -1);
    assertEquals(events.slice(0, 2), [
      'id: 1\nevent: step\ndata: {"step":1,"steps":2,"t":500}',
      'id: 2\nevent: step\ndata: {"step":2,"steps":2,"t":0}',
    ]);
    assertEquals(events[2].split("\n").slice(0, 2), ["id: done", "event: done"]);
    const { address, etag, image, ...told } = JSON.parse(events[2].split("data: ")[1]);
    const made = { seed: i + 1, scheduler: "ddim", steps: 2, label: "dog", guidance: 2 };
    assertEquals(told, made);
    const picture = await app.request(`/${address}`);
    assertEquals(picture.headers.get("etag"), etag);
    assertEquals(`data:image/png;base64,${(await picture.bytes()).toBase64()}`, image);
  }
});

Deno.test("events of a picture show what is asked for: the estimate, x_t beside it, or neither", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const keys = async (query: string, headers = {}) => {
    const response = await app.request(`/v1/images/7/events?steps=2${query}`, { headers });
    const events = parseEvents(await response.text());
    assertEquals(events.map(({ event }) => event), ["queued", "step", "step", "done"]);
    return Object.keys(JSON.parse(events[1].data)).join();
  };
  assertEquals(await keys(""), "step,steps,t,preview");
  assertEquals(await keys("&preview=x_0"), "step,steps,t,preview");
  assertEquals(await keys("&preview=both"), "step,steps,t,preview,x_t");
  assertEquals(await keys("&preview=none"), "step,steps,t");
  // A connection that broke in the middle begins again.
  assertEquals(await keys("&preview=none", { "last-event-id": "1" }), "step,steps,t");
  assertEquals((await app.request("/v1/images/7/events?preview=x_t")).status, 422);
  const { headers, body } = await app.request("/v1/images/7/events?steps=1");
  await body?.cancel();
  assertEquals(headers.get("x-accel-buffering"), "no");
});

Deno.test("who waits for a shared run leaves alone; the last to leave ends it with his reason", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const run = { picture: promise, controller: new AbortController(), waiters: 0 };
  const [a, b] = [new AbortController(), new AbortController()];
  const reason = (work: Promise<unknown>) => work.then(() => "none", (error) => error.message);
  const waiting = [waitFor(run, a.signal), waitFor(run, b.signal)].map(reason);
  assertEquals(run.waiters, 2);
  assertEquals(await reason(waitFor(run, AbortSignal.abort(new Error("before")))), "before");
  a.abort(new Error("a left"));
  assertEquals([run.waiters, run.controller.signal.aborted], [1, false]);
  b.abort(new Error("b left"));
  assertEquals([run.waiters, run.controller.signal.reason.message], [0, "b left"]);
  assertEquals(await Promise.all(waiting), ["a left", "b left"]);
  const kept = { picture: promise, controller: new AbortController(), waiters: 0 };
  const staying = new AbortController();
  const done = waitFor(kept, staying.signal);
  resolve("picture");
  assertEquals([await done, kept.waiters], ["picture", 0]);
  staying.abort();
  assertEquals([kept.waiters, kept.controller.signal.aborted], [0, false], "what is done is done");
  const failed = { ...kept, picture: Promise.reject(new Error("broke")) };
  assertEquals(await reason(waitFor(failed, new AbortController().signal)), "broke");
  assertEquals(failed.waiters, 0);
});

Deno.test("a run that failed stays failed, whatever is told of it later", async () => {
  const buffer = new StepBuffer<number, string>(10);
  buffer.push(1, 1);
  buffer.fail(new Error("first"));
  buffer.push(2, 1);
  buffer.end("result");
  const error = await buffer.read().next().catch((error) => error);
  assertEquals(error.message, "first");
  assert(error instanceof Error);
});

Deno.test("an event that nobody reads is not asked for: a slow reader gets what is new", async () => {
  let asked = 0;
  const events = async function* () {
    for (;;) yield await Promise.resolve({ event: "step", data: ++asked });
  };
  const controller = new AbortController();
  const { body } = eventStream(events(), { controller, onEnd: () => {}, metrics: new Metrics() });
  const reader = body!.getReader();
  for (let read = 0; read < 3; read++) {
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(asked, read);
    await reader.read();
  }
  await reader.cancel();
});
