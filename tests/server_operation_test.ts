/** What operators see and set. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";
import { heldTime } from "./held_time.ts";
import { generations, metric } from "./server_http.ts";

const labels = ["cat", "dog", "eel"];

Deno.test("metrics count requests, evaluations, batches, pictures and failures by reason", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  await Promise.all([1, 2, 3].map((seed) => app.request(`/v1/images/${seed}.png`)));
  await app.request("/v1/images/1.png?steps=0");
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_images_total{weights="fake"}'), 3);
  assertEquals(metric(text, 'denoise_evaluations_total{weights="fake"}'), 5);
  assertEquals(metric(text, 'denoise_batch_size_bucket{weights="fake",le="2"}'), 0);
  assertEquals(metric(text, 'denoise_batch_size_bucket{weights="fake",le="4"}'), 5);
  assertEquals(metric(text, 'denoise_batch_size_sum{weights="fake"}'), 15);
  assertEquals(metric(text, 'denoise_failures_total{reason="invalid"}'), 1);
  assertStringIncludes(
    text,
    'denoise_failures_total{reason="network"} 0',
    "seen before it happens",
  );
  assertEquals(metric(text, "denoise_queue_cost"), 0);
  const route = "/v1/images/:file{[^/]+\\\\.png}";
  assertEquals(
    metric(text, `denoise_http_requests_total{method="GET",route="${route}",status="200"}`),
    3,
  );
});

Deno.test("ready after the warm-up; alive before", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  assertEquals((await app.request("/livez")).status, 200);
  await app.warmUp();
  const ready = await app.request("/readyz");
  assertEquals([ready.status, (await ready.json()).weights], [200, { fake: "ready" }]);
});

Deno.test("who asks whether it is ready waits a tenth of a second for the warm-up, not for its end", async () => {
  using time = heldTime();
  const never = new Promise<void>(() => {});
  const app = createApp({ models: { fake: fakeModel({ before: () => never }) } });
  const asked = Promise.resolve(app.request("/readyz"));
  await time.pass(99);
  assertEquals(await Promise.race([asked, "nothing yet"]), "nothing yet");
  await time.pass(1);
  const answer = await Promise.race([asked, "nothing yet"]);
  assert(answer instanceof Response, "it has waited longer");
  assertEquals([answer.status, (await answer.json()).status], [503, "starting"]);
  const clocks = time.timers.size;
  const warm = createApp({ models: { fake: fakeModel() } });
  assertEquals((await warm.request("/readyz")).status, 200);
  assertEquals(time.timers.size, clocks, "who is ready at once leaves no clock running");
});

Deno.test("a drain takes as long as the work, at most its grace, and leaves no clock running", async () => {
  using time = heldTime();
  const idle = createApp({ models: { fake: fakeModel() } });
  assertEquals(await idle.drain(2000), true);
  assertEquals(time.timers.size, 0);

  const never = new Promise<void>(() => {});
  const app = createApp({ models: { fake: fakeModel({ before: () => never }) } });
  const asked = Promise.resolve(app.request("/v1/images/1.png"));
  await time.pass(0);
  const drained = app.drain(2000);
  await time.pass(1999);
  assertEquals(await Promise.race([drained, "not yet"]), "not yet");
  await time.pass(1);
  assertEquals(await Promise.race([drained, "not yet"]), false);
  const answer = await asked;
  const { detail, error } = await answer.json();
  assertEquals([answer.status, error.code, answer.headers.get("retry-after")], [
    503,
    "draining",
    "5",
  ]);
  assertEquals(detail, "this server is shutting down; ask again");
});

Deno.test("requests have ids, and a line of log each", async () => {
  const lines: Record<string, unknown>[] = [];
  const app = createApp({ models: { fake: fakeModel() }, log: (line) => lines.push(line) });
  const headers = { "x-request-id": "abc-123" };
  const response = await app.request("/v1/images/7.png?steps=0", { headers });
  assertEquals(response.headers.get("x-request-id"), "abc-123");
  assertEquals((await response.json()).instance, "urn:request:abc-123");
  const { milliseconds, ...line } = lines.at(-1)!;
  assertEquals(line, {
    level: "info",
    message: "request",
    requestId: "abc-123",
    method: "GET",
    path: "/v1/images/7.png",
    status: 422,
    reason: "invalid",
  });
  assert(Number(milliseconds) >= 0);
});

Deno.test("models lists what is loaded, and openapi.json what may be asked", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels }) }, limits: { maxSteps: 77 } });
  const { data: [model] } = await (await app.request("/v1/models")).json();
  assertEquals([model.id, model.object, model.denoise.labels], ["fake", "model", labels]);
  const { paths } = await (await app.request("/openapi.json")).json();
  const parameters: { name: string; schema: Record<string, unknown> }[] =
    paths["/v1/images/{seed}.png"].get.parameters;
  const schema = (name: string) => parameters.find((p) => p.name === name)?.schema;
  assertEquals([schema("steps")!.minimum, schema("steps")!.maximum], [1, 77]);
  assertEquals([schema("eta")!.minimum, schema("eta")!.maximum], [0, 1]);
  const body = paths[generations].post.requestBody.content["application/json"].schema;
  assertEquals(body.required, ["prompt"]);
  assertEquals(body.additionalProperties, false);
});

Deno.test("an app without ddim draws with the scheduler that it has", async () => {
  const { ddpm } = builtIn;
  const model = { ...fakeModel(), recommended: undefined };
  const app = createApp({ models: { a: model }, schedulers: { ddpm } });
  const response = await app.request("/v1/images/7.png?steps=3");
  assertEquals(response.status, 200);
  assertStringIncludes(response.headers.get("content-location")!, "scheduler=ddpm");
  await response.body?.cancel();
});

Deno.test("openapi.json describes every route of the app, and no other", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const { paths } = await (await app.request("/openapi.json")).json() as {
    paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
  };
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).filter((method) => method !== "head").map((m) => `${m} ${path}`)
  );
  const routes = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) =>
    `${method.toLowerCase()} ${
      path.replace(/:file\{\[\^\/\]\+\\\.(\w+)\}/, "{seed}.$1").replace(
        /:(\w+)(\{[^}]*\})?/g,
        "{$1}",
      )
    }`
  ).filter((route) => !/^get \/(page\.\w+\.(js|css))?$/.test(route));
  assertEquals(described.sort(), routes.sort());
  assert(described.length >= 14, `${described.length} routes`);
});

Deno.test("one model is described as in the list; another name is a 404", async () => {
  const app = createApp({ models: { fake: fakeModel(), other: fakeModel() } });
  const { data } = await (await app.request("/v1/models")).json();
  assertEquals(await (await app.request("/v1/models/other")).json(), data[1]);
  assertEquals((await app.request("/v1/models/dall-e-3")).status, 404);
});

Deno.test("max_steps is what each scheduler takes; one more is a 422 before anything is charged", async () => {
  const model = fakeModel();
  const app = createApp({
    models: { fake: model },
    limits: { maxSteps: 5000, maxCost: 20_000 },
  });
  const { denoise } = await (await app.request("/v1/models/fake")).json();
  assertEquals(denoise.schedulers.dpmpp.max_steps, 999);
  for (const [name, { max_steps }] of Object.entries<{ max_steps: number }>(denoise.schedulers)) {
    const head = (steps: number) =>
      app.request(`/v1/images/7.png?scheduler=${name}&steps=${steps}`, { method: "HEAD" });
    assertEquals((await head(max_steps)).status, 200, `${name} ${max_steps}`);
    const events = await app.request(
      `/v1/images/7/events?scheduler=${name}&steps=${max_steps + 1}`,
    );
    assertEquals(events.status, 422, `${name} ${max_steps + 1}`);
  }
  assertEquals(model.evaluations, 0);
});

Deno.test("what binds a whole origin is left to whom the origin belongs", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const path of ["/", "/v1/images/7.png", "/livez"]) {
    const { headers, body } = await app.request(`https://shop.example${path}`);
    await body?.cancel();
    assertEquals(headers.get("strict-transport-security"), null, path);
    assertEquals(headers.get("origin-agent-cluster"), null, path);
  }
});

Deno.test("createApp refuses what could not work", () => {
  assertThrows(() => createApp({ models: {} }), Error, "at least one model");
  assertThrows(() => createApp({ models: { "a/b": fakeModel() } }), Error, "a/b");
  assertThrows(
    () => createApp({ models: { a: fakeModel() }, limits: { maxQueue: 0 } }),
    Error,
    "limits.maxQueue",
  );
  assertThrows(
    () => createApp({ models: { a: fakeModel() }, publicUrl: "example.org" }),
    Error,
    "publicUrl",
  );
  const steps = { type: "number", description: "", default: 1 } as const;
  const mine = { name: "mine", api: 1, options: { steps } } as const;
  const schedulers = { ...builtIn, mine };
  assertThrows(() => createApp({ models: { a: fakeModel() }, schedulers }), Error, '"steps"');
  const { ddpm } = builtIn;
  assertThrows(
    () => createApp({ models: { a: fakeModel() }, schedulers: { ddpm } }),
    Error,
    'the scheduler "ddim", which "a" recommends',
  );
  assertThrows(() => createApp({ models: { a: fakeModel() }, schedulers: {} }), Error, "scheduler");
});

Deno.test("the app runs where there is neither Deno nor node: only serve.ts knows its process", async () => {
  const wrong: string[] = [];
  let read = 0;
  const look = async (folder: URL) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) await look(new URL(`${name}/`, folder));
      if (!name.endsWith(".ts") || name === "serve.ts") continue;
      read++;
      const text = await Deno.readTextFile(new URL(name, folder));
      const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
      if (/\bDeno\.|from "node:/.test(code)) wrong.push(name);
    }
  };
  await look(new URL("../src/server/", import.meta.url));
  assertEquals(wrong, []);
  assert(read > 30, "the folders are looked through");
});
