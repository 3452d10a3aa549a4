import { assert, assertEquals } from "@std/assert";
import { createApp } from "../src/server/mod.ts";
import { fakeModel, gate, metric, parseEvents, until } from "./server_fake.ts";

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

Deno.test("a stream that is never read holds only its own place, until the deadline", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model }, limits: { maxRunning: 2, deadlineMs: 500 } });
  const unread = await app.request("/v1/images/1/events?steps=900");
  const other = await app.request("/v1/images/2.png");
  assertEquals(other.status, 200);
  assert(model.evaluations < 10, "the unread stream does not run ahead");
  await new Promise((resolve) => setTimeout(resolve, 520));
  assertEquals(
    metric(await (await app.request("/metrics")).text(), "denoise_images_running"),
    0,
  );
  const events = parseEvents(await unread.text());
  assertEquals(events.at(-1)!.event, "error");
  assertEquals(JSON.parse(events.at(-1)!.data).error.code, "deadline");
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
  const model = fakeModel({ latency: 20 });
  const app = createApp({ models: { fake: model }, limits: { maxRunning: 3 } });
  const finished: number[] = [];
  await Promise.all(Array.from({ length: 12 }, async (_, seed) => {
    // Requests of the same moment hash their addresses side by side and have no order.
    await new Promise((resolve) => setTimeout(resolve, 10 * seed));
    await app.request(`/v1/images/${seed}.png`);
    finished.push(seed);
  }));
  // Three run at once and may overtake each other on their last steps, but nobody else in the line.
  const places = finished.map((seed, place) => Math.abs(place - seed));
  assert(Math.max(...places) < 3, `finished in the order ${finished}`);
  assertEquals(Math.max(...model.batches), 3);
});

Deno.test("a picture that is not done by its deadline is given up", async () => {
  const model = fakeModel({ latency: 20 });
  const app = createApp({ models: { fake: model }, limits: { deadlineMs: 50 } });
  const response = await app.request("/v1/images/1.png?steps=500");
  assertEquals([response.status, (await response.json()).error.code], [503, "deadline"]);
  const { evaluations } = model;
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert(model.evaluations <= evaluations + 1, "no work goes on after the answer");
});

Deno.test("a network that throws mid-run fails the requests in that evaluation alone", async () => {
  let broken = false;
  const log: string[] = [];
  const model = fakeModel({
    before: (evaluation) => {
      if (evaluation === 3 || evaluation === 4 || broken) {
        throw new Error("out of memory at /secret/path");
      }
    },
  });
  const app = createApp({ models: { fake: model }, log: (l) => log.push(JSON.stringify(l)) });
  const failed = await app.request("/v1/images/1.png");
  const problem = await failed.json();
  assertEquals([failed.status, problem.error.code], [500, "network"]);
  assert(!JSON.stringify(problem).includes("secret"), "nothing of the cause is told");
  assert(log.some((line) => line.includes("/secret/path")), "the log has the cause");
  assertEquals((await app.request("/v1/images/1.png")).status, 200);
  broken = true;
  const events = parseEvents(await (await app.request("/v1/images/2/events")).text());
  assertEquals(events.map(({ event }) => event), ["queued", "error"]);
  broken = false;
  assertEquals((await app.request("/v1/images/2.png")).status, 200);
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, "denoise_queue_cost"), 0);
  assertEquals(metric(text, 'denoise_failures_total{reason="network"}'), 2);
});

Deno.test("an engine that died is opened again and no request fails", async () => {
  const alive = fakeModel();
  const alone = await (await createApp({ models: { fake: alive } }).request("/v1/images/1.png"))
    .bytes();
  let closed = 0;
  const dying = {
    ...fakeModel({
      before: (evaluation) => {
        if (evaluation >= 3) throw new Error("the worker is gone");
      },
    }),
    close: () => Promise.resolve(void closed++),
  };
  const next = fakeModel();
  const app = createApp({ models: { fake: dying }, reopen: () => Promise.resolve(next) });
  const response = await app.request("/v1/images/1.png");
  assertEquals(await response.bytes(), alone);
  assertEquals([response.status, closed, dying.batches.length, next.evaluations], [200, 1, 4, 3]);
});

Deno.test("an evaluation that failed once is asked once more, and no request fails", async () => {
  const alive = createApp({ models: { fake: fakeModel() } });
  const model = fakeModel({
    before: (evaluation) => {
      if (evaluation === 3) throw new Error("the worker died");
    },
  });
  const app = createApp({ models: { fake: model } });
  const seeds = [1, 2, 3];
  const pictures = (from: typeof app) =>
    Promise.all(
      seeds.map(async (seed) => await (await from.request(`/v1/images/${seed}.png`)).bytes()),
    );
  assertEquals(await pictures(app), await pictures(alive));
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_retried_total{weights="fake"}'), 1);
});

Deno.test("an engine that cannot be opened again is not ready, and is tried with each request", async () => {
  const dying = fakeModel({
    before: (evaluation) => {
      if (evaluation > 1) throw new Error("the worker is gone");
    },
  });
  let working = false;
  const app = createApp({
    models: { fake: dying },
    reopen: () => working ? Promise.resolve(fakeModel()) : Promise.reject(new Error("no memory")),
  });
  await app.warmUp();
  assertEquals((await app.request("/v1/images/1.png")).status, 500);
  assertEquals((await app.request("/readyz")).status, 503);
  assertEquals((await app.request("/v1/images/1.png")).status, 500);
  working = true;
  assertEquals((await app.request("/v1/images/1.png")).status, 200);
  assertEquals((await app.request("/readyz")).status, 200);
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
