import { assert, assertEquals } from "@std/assert";
import { createApp } from "../src/server/mod.ts";
import { fakeModel, gate, until } from "./server_fake.ts";
import { metric, parseEvents } from "./server_http.ts";

/** A network that waits before each evaluation until the test lets it through. */
function stepped() {
  const gates: (() => void)[] = [];
  let flowing = false;
  const model = fakeModel({
    before: () => {
      const { open, wait } = gate();
      gates.push(open);
      if (flowing) open();
      return wait;
    },
  });
  let next = 0;
  return {
    model,
    /** Lets one evaluation through, when it has come. */
    async step() {
      await until(() => gates.length > next, `evaluation ${next + 1}`);
      gates[next++]();
    },
    /** Lets every evaluation through from now on. */
    flow() {
      flowing = true;
      for (const open of gates) open();
    },
  };
}

Deno.test("a request joins at the next evaluation, not after the others finish", async () => {
  const { model, step } = stepped();
  const app = createApp({ models: { fake: model } });
  const first = app.request("/v1/images/1.png");
  await step();
  await step();
  await until(() => model.evaluations === 3, "the third evaluation");
  const second = app.request("/v1/images/2.png?steps=2");
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (let i = 0; i < 3; i++) await step();
  assertEquals((await second).status, 200);
  assertEquals((await first).status, 200);
  assertEquals(model.batches, [1, 1, 1, 2, 2]);
});

Deno.test("a seed's picture under load is that seed's picture alone, bit for bit", async () => {
  const labels = ["cat", "dog"];
  const make = () => fakeModel({ labels, nullLabel: 2 });
  const addresses = Array.from({ length: 40 }, (_, i) => {
    const sampler = ["ddim", "linear", "dpmpp", "heun"][i % 4];
    return `/v1/images/${i}.png?scheduler=${sampler}&steps=${3 + i % 5}&guidance=${1 + i % 3}`;
  });
  const alone = [];
  for (const address of addresses) {
    alone.push(await (await createApp({ models: { fake: make() } }).request(address)).bytes());
  }
  const model = make();
  const busy = createApp({ models: { fake: model } });
  const together = await Promise.all(
    addresses.map(async (address) => await (await busy.request(address)).bytes()),
  );
  assertEquals(together, alone);
  assert(Math.max(...model.batches) === 16, "evaluations were shared");
});

Deno.test("requests for one picture in flight share one run, and outlive each other", async () => {
  const { model, step } = stepped();
  const app = createApp({ models: { fake: model }, limits: { cacheBytes: 0 } });
  const leaving = new AbortController();
  const requests = [
    app.request(new Request("http://x/v1/images/1.png", { signal: leaving.signal })),
    app.request("/v1/images/1.png"),
    app.request("/v1/images/1.png?steps=5&scheduler=ddim"),
  ];
  await step();
  await until(() => model.evaluations === 2, "the second evaluation");
  leaving.abort();
  for (let i = 0; i < 4; i++) await step();
  const [gone, ...stayed] = await Promise.all(requests);
  assertEquals(gone.status, 499);
  for (const response of stayed) assertEquals(response.status, 200);
  assertEquals(model.batches, [1, 1, 1, 1, 1]);
});

Deno.test("a client that leaves frees its place before the next step", async () => {
  const { model, step } = stepped();
  const app = createApp({ models: { fake: model }, limits: { maxQueue: 1000, maxRunning: 1 } });
  const leaving = new AbortController();
  const request = new Request("http://x/v1/images/1.png?steps=900", { signal: leaving.signal });
  const long = app.request(request);
  await step();
  await until(() => model.evaluations === 2, "the second evaluation");
  leaving.abort();
  assertEquals((await long).status, 499);
  await step();
  const after = app.request("/v1/images/2.png?steps=2");
  await step();
  await step();
  assertEquals((await after).status, 200);
  assertEquals(model.evaluations, 4);
  assertEquals(metric(await (await app.request("/metrics")).text(), "denoise_queue_cost"), 0);
});

Deno.test("a reader that cancels its events frees its place before the next step", async () => {
  const { model, step } = stepped();
  const app = createApp({ models: { fake: model } });
  const response = await app.request("/v1/images/1/events?steps=900");
  const reader = response.body!.getReader();
  await step();
  await reader.read();
  await reader.read();
  const waiting = reader.read();
  await until(() => model.evaluations === 2, "the second evaluation");
  await reader.cancel();
  assertEquals((await waiting).done, true);
  await step();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(model.evaluations, 2);
  const metrics = async () => await (await app.request("/metrics")).text();
  assertEquals(metric(await metrics(), "denoise_queue_cost"), 0);
  assertEquals(metric(await metrics(), "denoise_images_running"), 0);
  assertEquals(metric(await metrics(), 'denoise_failures_total{reason="disconnected"}'), 1);
});

Deno.test("streams that are never read end without their readers, and keep nobody waiting", async () => {
  const model = fakeModel();
  const limits = { maxRunning: 4, maxQueue: 100, deadlineMs: 60_000 };
  const app = createApp({ models: { fake: model }, limits });
  const held = async () => {
    const text = await (await app.request("/metrics")).text();
    return ["denoise_images_running", "denoise_images_waiting", "denoise_queue_cost"]
      .map((name) => metric(text, name));
  };
  const unread: Response[] = [];
  for (let seed = 0; seed < 20; seed++) {
    unread.push(await app.request(`/v1/images/${seed}/events?steps=5`));
  }
  // The queue is full of their cost; it empties at the network's pace.
  for (let tries = 0; String(await held()) !== "0,0,0"; tries++) {
    assert(tries < 1000, `still held: ${await held()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const other = await app.request("/v1/images/99.png");
  assertEquals(other.status, 200);
  await other.body?.cancel();
  const events = parseEvents(await unread[7].text()).map(({ event }) => event);
  assertEquals(events, ["queued", "step", "step", "step", "step", "step", "done"]);
  for (const { body, bodyUsed } of unread) if (!bodyUsed) await body?.cancel();
});

Deno.test("a reader that is slow misses steps, never the picture; what waits for it is bounded", async () => {
  const model = fakeModel({ shape: [3, 64, 64] });
  const app = createApp({ models: { fake: model } });
  const response = await app.request("/v1/images/1/events?steps=200&preview=none");
  await until(() => model.evaluations === 200, "the run goes on without its reader");
  await new Promise((resolve) => setTimeout(resolve, 20));
  const events = parseEvents(await response.text());
  const steps = events.filter(({ event }) => event === "step")
    .map(({ data }) => JSON.parse(data).step);
  assertEquals(events.at(-1)!.event, "done");
  assertEquals(steps.at(-1), 200);
  // x and x_0 of 3 × 64 × 64 are 98,304 bytes, of which a MiB holds 10.
  assert(steps.length >= 10 && steps.length <= 12, `${steps.length} steps were kept`);
});

Deno.test("a stream that is not read is cut after the deadline", async () => {
  const app = createApp({ models: { fake: fakeModel() }, limits: { deadlineMs: 300 } });
  const response = await app.request("/v1/images/1/events?steps=900");
  const reader = response.body!.getReader();
  await new Promise((resolve) => setTimeout(resolve, 1600));
  const end = await reader.read().catch((error) => error);
  assertEquals(end.reason, "deadline");
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, "denoise_streams_open"), 0);
});

Deno.test("a slow reader's last event says that the deadline has passed", async () => {
  const app = createApp({ models: { fake: fakeModel() }, limits: { deadlineMs: 200 } });
  const response = await app.request("/v1/images/1/events?steps=5");
  await new Promise((resolve) => setTimeout(resolve, 400));
  const events = parseEvents(await response.text());
  assertEquals(JSON.parse(events.at(-1)!.data).error.code, "deadline");
});

Deno.test("open streams are limited, for one client to an eighth", async () => {
  const app = createApp({
    models: { fake: fakeModel() },
    limits: { maxStreams: 16 },
    client: (request) => request.headers.get("x-test-client") ?? "",
  });
  const open: Response[] = [];
  const ask = async (client: number) => {
    const headers = { "x-test-client": String(client) };
    const response = await app.request(`/v1/images/${open.length}/events?steps=2`, { headers });
    if (response.ok) open.push(response);
    else await response.body?.cancel();
    return response.status;
  };
  assertEquals([await ask(1), await ask(1), await ask(1)], [200, 200, 429]);
  for (let client = 2; client <= 8; client++) {
    assertEquals([await ask(client), await ask(client)], [200, 200]);
  }
  assertEquals(await ask(9), 503);
  await open.pop()!.body!.cancel();
  await open.pop()!.text();
  assertEquals([await ask(9), await ask(9), await ask(10)], [200, 200, 503]);
  for (const { body } of open) await body?.cancel();
  assertEquals(metric(await (await app.request("/metrics")).text(), "denoise_streams_open"), 0);
});

Deno.test("who joins a picture in the making has a deadline of his own", async () => {
  const { model, step } = stepped();
  const app = createApp({ models: { fake: model }, limits: { deadlineMs: 600 } });
  const first = app.request("/v1/images/1.png");
  await step();
  await new Promise((resolve) => setTimeout(resolve, 400));
  const second = app.request("/v1/images/1.png");
  const late = await first;
  assertEquals([late.status, (await late.json()).error.code], [503, "deadline"]);
  for (let i = 0; i < 4; i++) await step();
  assertEquals((await second).status, 200);
  assertEquals(model.batches, [1, 1, 1, 1, 1]);
});

Deno.test("who asks again for a picture whose last reader left gets it", async () => {
  const { model, step, flow } = stepped();
  const app = createApp({ models: { fake: model }, limits: { cacheBytes: 0 } });
  const leaving = new AbortController();
  const init = { signal: leaving.signal };
  const first = app.request(new Request("http://x/v1/images/1.png", init));
  await step();
  await until(() => model.evaluations === 2, "the second evaluation");
  leaving.abort();
  const second = app.request("/v1/images/1.png");
  assertEquals((await first).status, 499);
  flow();
  assertEquals((await second).status, 200);
});

Deno.test("the drain ends every image of a request, also after one of them is done", async () => {
  const { model, step } = stepped();
  const app = createApp({ models: { fake: model }, limits: { maxRunning: 1 } });
  const body = JSON.stringify({ prompt: "x", n: 2, steps: 1, stream: true });
  const headers = { "content-type": "application/json" };
  const response = await app.request("/v1/images/generations", { method: "POST", headers, body });
  await step();
  await until(() => model.evaluations === 2, "the second image's evaluation");
  assertEquals(await app.drain(0), false);
  const events = parseEvents(await response.text());
  assertEquals(JSON.parse(events.at(-1)!.data).error.code, "draining");
  await step();
});

Deno.test("a drain takes nothing from who has not read yet what was finished before", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const response = await app.request("/v1/images/1/events?steps=3");
  assertEquals(await app.drain(60_000), true);
  const events = parseEvents(await response.text()).map(({ event }) => event);
  assertEquals(events, ["queued", "step", "step", "step", "done"]);
});

Deno.test("a full queue answers 503 with Retry-After before any work starts", async () => {
  const { model, flow } = stepped();
  const app = createApp({ models: { fake: model }, limits: { maxQueue: 12 } });
  const first = app.request("/v1/images/1.png");
  const second = app.request("/v1/images/2.png");
  await until(() => model.evaluations === 1, "the first evaluation");
  const before = model.evaluations;
  const refused = await app.request("/v1/images/3.png");
  assertEquals(refused.status, 503);
  assert(Number(refused.headers.get("retry-after")) >= 1);
  assertEquals((await refused.json()).error.code, "overloaded");
  assertEquals(model.evaluations, before);
  const all = await app.request("/v1/images/generations", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "x", n: 2, steps: 2 }),
  });
  assertEquals(all.status, 503, "all of n or none");
  const small = app.request("/v1/images/4.png?steps=2");
  flow();
  const statuses = (await Promise.all([first, second, small])).map(({ status }) => status);
  assertEquals(statuses, [200, 200, 200]);
});

Deno.test("more images than may run wait in line, first come first served", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model }, limits: { maxRunning: 3 } });
  const finished: number[] = [];
  await Promise.all(Array.from({ length: 12 }, async (_, seed) => {
    await app.request(`/v1/images/${seed}.png`);
    finished.push(seed);
  }));
  assertEquals(finished, Array.from({ length: 12 }, (_, seed) => seed));
  assertEquals(model.batches, new Array(4 * 5).fill(3));
});

Deno.test("a picture that is not done by its deadline is given up", async () => {
  const model = fakeModel({ latency: 20 });
  const app = createApp({ models: { fake: model }, limits: { deadlineMs: 50 } });
  const response = await app.request("/v1/images/1.png?steps=500");
  const { detail, error } = await response.json();
  assertEquals([response.status, error.code], [503, "deadline"]);
  assertEquals(detail, "not finished within 0.05 s; ask again");
  assertEquals(response.headers.get("retry-after"), "5");
  const { evaluations } = model;
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert(model.evaluations <= evaluations + 1, "no work goes on after the answer");
});

Deno.test("drain lets work finish, takes no more, and ends what is left after the grace", async () => {
  const model = fakeModel({ latency: 5 });
  const app = createApp({ models: { fake: model } });
  const short = app.request("/v1/images/1.png");
  await until(() => model.evaluations > 0, "a first evaluation");
  const drained = app.drain(2000);
  assertEquals((await app.request("/readyz")).status, 503);
  const refused = await app.request("/v1/images/2.png");
  assertEquals([refused.status, (await refused.json()).error.code], [503, "draining"]);
  assertEquals([(await short).status, await drained], [200, true]);

  const slow = fakeModel({ latency: 5 });
  const other = createApp({ models: { fake: slow } });
  const long = other.request("/v1/images/1.png?steps=900");
  await until(() => slow.evaluations > 0, "a first evaluation");
  assertEquals(await other.drain(20), false);
  assertEquals((await long).status, 503);
});
