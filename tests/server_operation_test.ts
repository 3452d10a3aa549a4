/** What operators see and set. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";
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
  const route = "/v1/images/:file{.+\\\\.png}";
  assertEquals(
    metric(text, `denoise_http_requests_total{method="GET",route="${route}",status="200"}`),
    3,
  );
});

Deno.test("ready after the warm-up; alive before", async () => {
  let open!: () => void;
  const cold = new Promise<void>((resolve) => open = resolve);
  const app = createApp({ models: { fake: fakeModel({ before: () => cold }) } });
  assertEquals((await app.request("/livez")).status, 200);
  const starting = await app.request("/readyz");
  assertEquals([starting.status, (await starting.json()).status], [503, "starting"]);
  open();
  await app.warmUp();
  const ready = await app.request("/readyz");
  assertEquals([ready.status, (await ready.json()).weights], [200, { fake: "ready" }]);
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
  const schedulers = { mine: { name: "mine", api: 1, options: { steps } } } as const;
  assertThrows(() => createApp({ models: { a: fakeModel() }, schedulers }), Error, '"steps"');
});

Deno.test("the app runs where there is neither Deno nor node: only serve.ts knows its process", async () => {
  const folder = new URL("../src/server/", import.meta.url);
  const wrong: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (!isFile || name === "serve.ts") continue;
    const text = await Deno.readTextFile(new URL(name, folder));
    const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
    if (/\bDeno\.|from "node:/.test(code)) wrong.push(name);
  }
  assertEquals(wrong, []);
});
