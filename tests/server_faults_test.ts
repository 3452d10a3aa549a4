/** A network that throws: who is told, and what becomes of it. */
import { assert, assertEquals } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { createApp, type Scheduler } from "../src/server/mod.ts";
import { fakeModel, until } from "./server_fake.ts";
import { metric, parseEvents } from "./server_http.ts";

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
  assertEquals(model.batches, [3, 3, 3, 3, 3, 3], "five steps together, and the third twice");
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

Deno.test("an engine that hangs is replaced after the deadline, and its pictures are right", async () => {
  const alone =
    await (await createApp({ models: { fake: fakeModel() } }).request("/v1/images/1.png"))
      .bytes();
  const never = new Promise<void>(() => {});
  const hanging = fakeModel({ before: (evaluation) => evaluation === 3 ? never : undefined });
  const next = fakeModel();
  const app = createApp({
    models: { fake: hanging },
    limits: { deadlineMs: 100 },
    reopen: () => Promise.resolve(next),
  });
  const late = await app.request("/v1/images/1.png");
  assertEquals([late.status, (await late.json()).error.code], [503, "deadline"]);
  await until(() => next.evaluations > 0, "the next engine is asked");
  assertEquals(await (await app.request("/v1/images/1.png")).bytes(), alone);
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_reopened_total{weights="fake"}'), 1);
  assertEquals(metric(text, "denoise_queue_cost"), 0);
});

Deno.test("an engine that hangs and cannot be replaced is not ready, and keeps no drain", async () => {
  const never = new Promise<void>(() => {});
  const hanging = fakeModel({ before: (evaluation) => evaluation > 1 ? never : undefined });
  const app = createApp({ models: { fake: hanging }, limits: { deadlineMs: 50 } });
  await app.warmUp();
  assertEquals((await app.request("/readyz")).status, 200);
  const late = await app.request("/v1/images/1.png");
  assertEquals(late.status, 503);
  for (let tries = 0; (await app.request("/readyz")).status === 200; tries++) {
    assert(tries < 100, "never noticed");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const before = hanging.evaluations;
  const stuck = app.request("/v1/images/2.png");
  await until(() => hanging.evaluations > before, "another evaluation");
  assertEquals(await app.drain(0), false);
  assertEquals((await stuck).status, 503);
});

Deno.test("why weights cannot be opened again is the log's affair: never a 422, never told", async () => {
  const secret = "https://weights.internal/faces.zip?token=SECRET: could not be fetched";
  let broken = false;
  const model = fakeModel({
    before: () => {
      if (broken) throw new InputError(secret);
    },
  });
  const log: string[] = [];
  const app = createApp({
    models: { fake: model },
    reopen: () => Promise.reject(new InputError(secret)),
    log: (line) => log.push(JSON.stringify(line)),
  });
  await app.warmUp();
  broken = true;
  for (const path of ["1.png", "2.png", "3/events", "4.png"]) {
    const response = await app.request(`/v1/images/${path}`);
    const text = await response.text();
    if (path.endsWith(".png")) assertEquals(response.status, 500, path);
    assert(!text.includes("SECRET") && text.includes('"network"'), text);
  }
  assert(log.some((line) => line.includes("SECRET")), "the log has the cause");
});

Deno.test("weights that are others when they are opened again are not drawn with", async () => {
  const dying = fakeModel({
    before: () => {
      throw new Error("the worker is gone");
    },
  });
  const other = fakeModel({ hash: "f".repeat(64) });
  const app = createApp({ models: { fake: dying }, reopen: () => Promise.resolve(other) });
  assertEquals((await app.request("/v1/images/1.png")).status, 500);
  assertEquals((await app.request("/readyz")).status, 503);
  assertEquals(other.evaluations, 0);
});

Deno.test("a plug-in that throws what a client could have caused is not the client's fault", async () => {
  const { schedulers } = await import("../schedulers/mod.ts");
  const failing: Scheduler = {
    name: "failing",
    api: 1,
    // deno-lint-ignore require-yield
    async *sampler(run) {
      await run.denoise(run.x, run.timesteps[0]);
      if (run.x.length > 1) throw new InputError("/srv/tables/secret.bin: not found");
      return run.x;
    },
  };
  const models = { fake: fakeModel() };
  const app = createApp({ models, schedulers: { ...schedulers, failing } });
  const response = await app.request("/v1/images/1.png?scheduler=failing");
  const text = await response.text();
  assertEquals(response.status, 500);
  assert(!text.includes("secret"), text);
});
