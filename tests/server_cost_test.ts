/** What a picture costs, and who pays. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { createApp, type Scheduler } from "../src/server/mod.ts";
import { createServices } from "../src/server/http/create_services.ts";
import { RateLimit } from "../src/server/http/rate_limit.ts";
import { Admission } from "../src/server/work/admission.ts";
import { Orders } from "../src/server/work/cost.ts";
import { resolve } from "../src/server/work/recipe.ts";
import { frozenClock } from "./frozen_clock.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, post } from "./server_http.ts";

const options = (minimum: number, maximum: number) => ({
  type: "integer" as const,
  description: "",
  default: 1,
  minimum,
  maximum,
});

/** Asks `repeats` times at each step, as RePaint does. */
const repeat: Scheduler = {
  name: "repeat",
  api: 1,
  options: { repeats: options(1, 100) },
  async *sampler(run) {
    let { x } = run;
    for (const t of run.timesteps) {
      let x_0 = x;
      for (let k = 0; k < Number(run.options.repeats); k++) ({ x_0 } = await run.denoise(x, t));
      x = x_0;
      yield { t, x, x_0 };
    }
    return x;
  },
};

Deno.test("the cost of a picture is its own: options that ask more cost more", async () => {
  using _ = frozenClock();
  const model = fakeModel();
  const app = createApp({
    models: { fake: model },
    schedulers: { ...builtIn, repeat },
    limits: { maxCost: 50, publicCostPerMinute: 60 },
  });
  const status = async (seed: number, query: string) => {
    const response = await app.request(`/v1/images/${seed}.png?scheduler=repeat&${query}`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status(1, "steps=5"), 200);
  assertEquals(await status(2, "steps=50&repeats=100"), 422, "more than one request may cost");
  assertEquals(model.evaluations, 5);
  assertEquals(await status(3, "steps=5&repeats=10"), 200);
  assertEquals(model.evaluations, 55);
  assertEquals(await status(4, "steps=6"), 429, "60 a minute");
});

Deno.test("a request that fails leaves no cost behind for others", async () => {
  const mine = { ...builtIn.ipndm, name: "mine", options: { order: options(1, 9) } };
  let broken = true;
  const fragile: Scheduler = {
    name: "fragile",
    api: 1,
    timesteps: (n) => {
      if (broken) throw new Error("not now");
      return Array.from({ length: n }, (_, i) => n - 1 - i);
    },
  };
  const models = { fake: fakeModel() };
  const app = createApp({ models, schedulers: { ...builtIn, mine, fragile } });
  const status = async (query: string) => {
    const response = await app.request(`/v1/images/7.png?${query}`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status("scheduler=ipndm&order=7"), 422);
  assertEquals(await status("scheduler=mine&order=7"), 200);
  assertEquals(await status("scheduler=ipndm&order=2"), 200);
  assertEquals(await status("scheduler=ipndm"), 200);
  assertEquals(await status("scheduler=fragile"), 500);
  broken = false;
  assertEquals(await status("scheduler=fragile"), 200);
});

Deno.test("weights that learned few timesteps are served by every scheduler", async () => {
  const scheduler = parseSchedulerConfig({ num_train_timesteps: 4 }, "fake");
  const app = createApp({ models: { fake: { ...fakeModel(), scheduler } } });
  for (const name of Object.keys(builtIn)) {
    const response = await app.request(`/v1/images/7.png?scheduler=${name}&steps=2`);
    assertEquals(response.status, 200, `${name}: ${await response.text()}`);
  }
});

Deno.test("what is counted is what is asked, for every scheduler", async () => {
  using _ = frozenClock();
  for (const name of Object.keys(builtIn)) {
    for (const steps of [1, 7, 20]) {
      const model = fakeModel({ labels: ["a"], nullLabel: 1 });
      const make = (limit: number) =>
        createApp({ models: { fake: model }, limits: { publicCostPerMinute: limit } });
      const path = `/v1/images/7.png?scheduler=${name}&steps=${steps}&guidance=2`;
      const response = await make(1e6).request(path);
      assertEquals(response.status, 200, `${name} ${steps}`);
      await response.body?.cancel();
      const calls = model.batches.reduce((a, b) => a + b);
      const app = make(calls);
      assertEquals((await app.request(path)).status, 200);
      assertEquals((await app.request("/v1/images/8.png?steps=1")).status, 429, `${name} ${steps}`);
    }
  }
});

Deno.test("counting is work, too: ever new options of long runs are paid for, by HEAD as well", async () => {
  using _ = frozenClock();
  const model = fakeModel();
  const app = createApp({ models: { fake: model }, limits: { publicCostPerMinute: 30 } });
  const head = async (eta: number) => {
    const path = `/v1/images/7.png?scheduler=ddim&steps=960&eta=${eta}`;
    return (await app.request(path, { method: "HEAD" })).status;
  };
  // 960 / 64 = 15 a run; one that was counted is free.
  assertEquals([await head(0.1), await head(0.1), await head(0.2)], [200, 200, 200]);
  assertEquals([await head(0.3), await head(0.2)], [429, 200]);
  assertEquals(model.evaluations, 0);
  // Guided, each step is two.
  const guided = createApp({
    models: { fake: fakeModel({ labels: ["a"], nullLabel: 1 }) },
    limits: { publicCostPerMinute: 45 },
  });
  const two = async (eta: number, guidance: number) => {
    const path = `/v1/images/7.png?steps=960&eta=${eta}&guidance=${guidance}`;
    return (await guided.request(path, { method: "HEAD" })).status;
  };
  assertEquals([await two(0.1, 2), await two(0.1, 1), await two(0.2, 1)], [200, 200, 429]);
  // So does who asks for events or for addresses, and has nothing made.
  const ways: ((app: typeof guided, eta: number) => Response | Promise<Response>)[] = [
    (app, eta) => app.request(`/v1/images/7/events?steps=960&eta=${eta}`, { method: "HEAD" }),
    (app, eta) =>
      app.request(generations, post({ prompt: "x", steps: 960, eta, response_format: "url" })),
  ];
  for (const way of ways) {
    const app = createApp({ models: { fake: fakeModel() }, limits: { publicCostPerMinute: 30 } });
    const statuses = [];
    for (const eta of [0.1, 0.1, 0.2, 0.3]) {
      const { status, body } = await way(app, eta);
      await body?.cancel();
      statuses.push(status);
    }
    assertEquals(statuses, [200, 200, 200, 429]);
  }
});

Deno.test("of a long making no more than 48 frames are shown, of a short one all, and each is paid for", async () => {
  const { orders, catalog } = createServices({ models: { fake: fakeModel() } });
  for (const [steps, most] of [[1, 0], [12, 11], [1000, 45]]) {
    const recipe = resolve(catalog, { scheduler: "ddim", steps }, 7);
    const of = async (format: "png" | "gif" | "apng") => {
      const { shown, pixels } = await orders.of(recipe, () => {}, { format });
      return [shown.size, pixels / 64];
    };
    // The noise and the picture are beside the steps that are shown; an APNG has the picture twice.
    const frames = [await of("png"), await of("gif"), await of("apng")];
    assertEquals(frames, [[0, 1], [most, most + 2], [most, most + 3]], `${steps} steps`);
  }
});

Deno.test("a sampler that asks the network nothing costs an evaluation all the same", async () => {
  using _ = frozenClock();
  const idle: Scheduler = {
    name: "idle",
    api: 1,
    // deno-lint-ignore require-yield
    async *sampler(run) {
      return await Promise.resolve(run.x);
    },
  };
  const models = { fake: fakeModel() }, schedulers = { ...builtIn, idle };
  const app = createApp({ models, schedulers, limits: { publicCostPerMinute: 2 } });
  const ask = async (seed: number) =>
    (await app.request(`/v1/images/${seed}.png?scheduler=idle&steps=1`)).status;
  assertEquals([await ask(1), await ask(2), await ask(3)], [200, 200, 429]);
});

Deno.test("a sampler that asks more when it is guided costs more then", async () => {
  using _ = frozenClock();
  const wary: Scheduler = {
    name: "wary",
    api: 1,
    async *sampler(run) {
      const [t] = run.timesteps;
      const { x_0 } = await run.denoise(run.x, t);
      if (run.guided) await run.denoise(run.x, t);
      yield { t, x: x_0, x_0 };
      return x_0;
    },
  };
  const model = fakeModel({ labels: ["a"], nullLabel: 1 });
  const limits = { publicCostPerMinute: 5 };
  const app = createApp({ models: { fake: model }, schedulers: { ...builtIn, wary }, limits });
  const status = async (query: string) => {
    const response = await app.request(`/v1/images/7.png?scheduler=wary&${query}`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals([await status("steps=1"), await status("steps=1&guidance=3")], [200, 200]);
  assertEquals(await status("steps=2"), 429, "1 + 4 were taken");
});

Deno.test("enlarged pixels cost, too: of one step they are most of the work", async () => {
  using _ = frozenClock();
  const model = fakeModel({ shape: [1, 32, 32] });
  const ask = async (limit: number, body: unknown) => {
    const app = createApp({ models: { fake: model }, limits: { publicCostPerMinute: limit } });
    const first = await app.request(generations, post(body));
    await first.body?.cancel();
    const second = await app.request("/v1/images/1.png?steps=1");
    await second.body?.cancel();
    return [first.status, second.status];
  };
  // 1 evaluation and 2048² / 65,536 = 64 more.
  const large = { prompt: "x", steps: 1, size: "2048x2048" };
  assertEquals(await ask(65, large), [200, 429]);
  assertEquals(await ask(66, large), [200, 200]);
  // Four previews' worth of 512²: (1 + 3) × 4.
  const stream = { prompt: "x", steps: 4, size: "512x512", stream: true, partial_images: 3 };
  assertEquals(await ask(20, stream), [200, 429]);
  assertEquals(await ask(21, stream), [200, 200]);
  // Previews of what is not a stream are never made.
  assertEquals(await ask(8, { ...stream, stream: false }), [200, 429]);
  assertEquals(await ask(9, { ...stream, stream: false }), [200, 200]);
  // Small pictures cost their evaluations.
  assertEquals(await ask(2, { prompt: "x", steps: 1, size: "224x224" }), [200, 200]);
});

Deno.test("a request larger than the rate is possible once the whole of it is saved, and then refills", () => {
  let now = 0;
  const limit = new RateLimit(60, () => now);
  limit.take("a", 100);
  assertThrows(() => limit.take("a", 1), Error, "60 evaluations a minute");
  now += 1000;
  // 100 were taken of 60: the debt of 40 is paid first.
  assertThrows(() => limit.take("a", 1));
  now += 40_000;
  limit.take("a", 1);
  now += 1500;
  assertThrows(() => limit.take("a", 2), Error, "found 2 more with 1 left");
  limit.take("b", 60);
});

Deno.test("what costs nothing is never limited, and makes nobody be forgotten", () => {
  const limit = new RateLimit(60, () => 0);
  // More than a minute's worth may be asked for at once, and leaves a debt.
  limit.take("deep", 200);
  assertThrows(() => limit.take("deep", 1), Error, "at most 60 evaluations a minute");
  limit.take("deep", 0);
  for (let i = 0; i <= 10_000; i++) limit.take(`reader ${i}`, 0);
  assertThrows(() => limit.take("deep", 1), Error, "at most 60 evaluations a minute");
});

Deno.test("the rate limit remembers 10,000 clients, and forgets who was not seen longest", () => {
  const limit = new RateLimit(1, () => 0);
  for (let i = 0; i < 10_000; i++) limit.take(`client ${i}`, 1);
  assertThrows(() => limit.take("client 0", 1));
  limit.take("another", 1);
  assertThrows(() => limit.take("client 0", 1), Error, "1 evaluations");
  limit.take("client 1", 1);
});

Deno.test("a run is planned once for all the images of a request, and for the next one", async () => {
  let planned = 0;
  const counted: Scheduler = {
    ...builtIn.dpmpp,
    name: "counted",
    timesteps: (...all) => (planned++, builtIn.dpmpp.timesteps!(...all)),
  };
  const models = { fake: fakeModel() };
  const app = createApp({ models, schedulers: { ...builtIn, counted } });
  const body = { prompt: "x", scheduler: "counted", n: 3, steps: 4 };
  const response = await app.request(generations, post(body));
  assertEquals([response.status, planned], [200, 1]);
  await response.body?.cancel();
  await (await app.request("/v1/images/9.png?scheduler=counted&steps=4&clip=true")).text();
  assertEquals(planned, 1);
  await (await app.request("/v1/images/9.png?scheduler=counted&steps=4&clip=false")).text();
  assertEquals(planned, 2);
});

Deno.test("who leaves the line of waiting images is passed over, and takes no slot", async () => {
  const admission = new Admission({ maxQueue: 10, maxRunning: 1 }, () => 1);
  const [first, leaving, next] = [1, 1, 1].map((cost) => admission.enter(cost));
  const { signal } = new AbortController();
  const gone = new AbortController();
  await first.acquire(signal);
  const left = leaving.acquire(gone.signal);
  const started = next.acquire(signal);
  gone.abort(new Error("gone"));
  await assertRejects(() => left, Error, "gone");
  leaving.release();
  assertEquals([admission.running, admission.waiting], [1, 1]);
  first.release();
  await Promise.race([started, new Promise((resolve) => setTimeout(resolve, 0))]);
  assertEquals([admission.running, admission.waiting], [1, 0]);
  next.release();
  assertEquals([admission.running, admission.cost], [0, 0]);
});

Deno.test("so many runs are remembered, the newest ones", async () => {
  let planned = 0;
  const counted: Scheduler = {
    ...builtIn.ddim,
    name: "counted",
    timesteps: () => (planned++, [0]),
  };
  const schedulers = { ...builtIn, counted };
  const { catalog } = createServices({ models: { fake: fakeModel() }, schedulers });
  const orders = new Orders(catalog, 3);
  const recipe = resolve(catalog, { scheduler: "counted", steps: 1 }, 7);
  const of = async (i: number) =>
    void await orders.of({ ...recipe, options: { ...recipe.options, eta: i / 10 } }, () => {});
  for (let i = 0; i <= 3; i++) await of(i);
  assertEquals(planned, 4);
  await of(1);
  assertEquals(planned, 4, "one of the newest three");
  await of(0);
  assertEquals(planned, 5, "the oldest was forgotten");
});
