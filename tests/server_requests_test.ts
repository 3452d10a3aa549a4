import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { createApp, signAddress } from "../src/server/mod.ts";
import { fakeModel, metric, parseEvents } from "./server_fake.ts";

const labels = ["cat", "dog", "eel"];

function post(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  };
}

const generations = "/v1/images/generations";

function decode(b64: string): Uint8Array {
  return Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
}

Deno.test("a problem names the field, what was expected and what was found", async () => {
  const model = fakeModel({ labels });
  const app = createApp({ models: { fake: model }, limits: { maxSteps: 100, maxCost: 150 } });
  const cases: [string, string, string, unknown][] = [
    ["steps=0", "steps", "at least 1", 0],
    ["steps=101", "steps", "at most 100", 101],
    ["steps=ten", "steps", "a number", "ten"],
    ["steps=", "steps", "a number", ""],
    ["steps=2.5", "steps", "a whole number", 2.5],
    ["steps=1&steps=2", "steps", "a number", "a list"],
    ["scheduler=magic", "scheduler", "ddim", "magic"],
    ["schedule=https://evil.example/x.ts", "schedule", "cosine", "https://evil.example/x.ts"],
    ["label=cow", "label", "cat, dog, eel", "cow"],
    ["label=3", "label", "cat, dog, eel", "3"],
    ["guidance=2", "guidance", "no class", 2],
    ["guidance=NaN", "guidance", "a number", "NaN"],
    ["scale=100", "scale", "at most 64", 100],
    ["eta=7", "eta", "at most 1", 7],
    ["eta=yes", "eta", "a number", "yes"],
    ["scheduler=linear&eta=1", "eta", "linear", 1],
    ["colour=red", "colour", "no such parameter", "red"],
    ["__proto__=1", "__proto__", "no such parameter", "1"],
  ];
  for (const [query, field, expected, found] of cases) {
    const response = await app.request(`/v1/images/7.png?${query}`);
    const problem = await response.json();
    assertEquals(response.status, 422, query);
    assertEquals(response.headers.get("content-type"), "application/problem+json");
    assertEquals(problem.status, 422);
    assertEquals(problem.errors[0].field, field, query);
    assertStringIncludes(problem.errors[0].expected, expected, query);
    assertEquals(String(problem.errors[0].found), String(found), query);
    assertStringIncludes(problem.detail, field);
  }
  assertEquals(model.evaluations, 0);
});

Deno.test("numbers that are no seeds are refused, not wrapped round to another's picture", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const name of ["4294967296", "-1", "1.5", "99999999999999999999"]) {
    const response = await app.request(`/v1/images/${name}.png`);
    assertEquals(response.status, 422, name);
    assertEquals((await response.json()).errors[0].field, "seed");
  }
  assertEquals((await app.request("/v1/images/4294967295.png")).status, 200);
  assertEquals((await app.request("/v1/images/%20.png")).status, 422);
  assertEquals((await app.request(`/v1/images/${"x".repeat(1100)}.png`)).status, 422);
});

Deno.test("n × steps and n × pixels are capped before any work", async () => {
  const model = fakeModel();
  const limits = { maxCost: 40, maxPixels: 1000 };
  const app = createApp({ models: { fake: model }, limits });
  for (
    const [body, field] of [
      [{ prompt: "x", n: 5, steps: 10 }, "steps"],
      [{ prompt: "x", n: 4, size: "16x16" }, "n"],
      [{ prompt: "x", size: "40x40" }, "scale"],
      [{ prompt: "x", n: 11 }, "n"],
    ] as const
  ) {
    const response = await app.request(generations, post(body));
    assertEquals(response.status, 422);
    assertEquals((await response.json()).errors[0].field, field);
  }
  assertEquals((await app.request("/v1/images/1.png?scheduler=heun&steps=30")).status, 422);
  assertEquals(model.evaluations, 0);
  assertEquals(
    (await app.request(generations, post({ prompt: "x", n: 4, steps: 10 }))).status,
    200,
  );
});

Deno.test("a body that is no JSON, too large, of another type or late has its own status", async () => {
  const app = createApp({
    models: { fake: fakeModel() },
    limits: { maxBodyBytes: 200, bodyTimeoutMs: 30 },
  });
  const status = async (init: RequestInit) => {
    const response = await app.request(generations, init);
    assertEquals(response.headers.get("content-type"), "application/problem+json");
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status(post("{")), 400);
  assertEquals(await status(post("")), 400);
  assertEquals(await status({ ...post(""), body: new Uint8Array([0x22, 0xff, 0x22]) }), 400);
  assertEquals(await status(post("[]")), 422);
  assertEquals(await status(post("null")), 422);
  assertEquals(await status({ ...post("{}"), headers: { "content-type": "text/plain" } }), 415);
  assertEquals(await status({ method: "POST", body: new FormData() }), 415);
  assertEquals(await status(post({ prompt: "x".repeat(300) })), 413);
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("          ")),
  });
  assertEquals(await status({ ...post(""), body: endless }), 413);
  const silent = new ReadableStream({});
  assertEquals(await status({ ...post(""), body: silent }), 408);
});

Deno.test("what is nowhere is a 404, and says so", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const path of ["/v1/images/7.jpg", "/v1/images/", "/nothing", "/v1/images/7.png/more"]) {
    const response = await app.request(path);
    assertEquals(response.status, 404, path);
    assertEquals((await response.json()).type, "urn:denoise:problem:not_found");
  }
});

Deno.test("generations answer in OpenAI's shape, with what made each picture beside it", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels, nullLabel: 3 }) } });
  const body = { prompt: "a fine day", n: 3, size: "16x16", label: "eel", guidance: 2 };
  const answer = await (await app.request(generations, post(body))).json();
  assertEquals(answer.data.length, 3);
  assert(Math.abs(answer.created - Date.now() / 1000) < 60);
  for (const [i, image] of answer.data.entries()) {
    assertEquals(image.seed, answer.data[0].seed + i);
    assertEquals([image.label, image.guidance, image.scheduler, image.steps], [
      "eel",
      2,
      "ddim",
      5,
    ]);
    assertEquals(image.revised_prompt, `label eel, seed ${image.seed}`);
    const address = `/v1/images/${image.seed}.png?scale=2&label=eel&guidance=2`;
    assertEquals(decode(image.b64_json), await (await app.request(address)).bytes());
  }
});

Deno.test("a prompt that names a label selects it, any other is hashed to the seed", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels }) } });
  const image = async (body: unknown) => {
    const response = await app.request(generations, post(body));
    assertEquals(response.status, 200);
    return (await response.json()).data[0];
  };
  assertEquals((await image({ prompt: "dog", seed: 5 })).revised_prompt, "label dog, seed 5");
  assertEquals((await image({ prompt: " eel " })).label, "eel");
  const hashed = await image({ prompt: "alice@example.com" });
  const avatar = await app.request("/v1/images/alice@example.com.png");
  assertEquals(decode(hashed.b64_json), await avatar.bytes());
  assertEquals((await image({ prompt: "x", seed: "alice@example.com" })).seed, hashed.seed);
  assertEquals((await image({ prompt: "cat", label: 1, seed: 5 })).label, "dog");
});

Deno.test("response_format url gives an address that is the picture", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const body = { prompt: "x", response_format: "url", size: "24x24" };
  const { data: [image] } = await (await app.request(generations, post(body))).json();
  assertEquals(model.evaluations, 0);
  const picture = await app.request(image.url);
  assertEquals(picture.headers.get("cache-control"), "public, max-age=31536000, immutable");
  const { data: [same] } =
    await (await app.request(generations, post({ prompt: "x", size: "24x24" }))).json();
  assertEquals(await picture.bytes(), decode(same.b64_json));
});

Deno.test("sizes that are no multiple of the weights' own are refused", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const size of ["9x9", "8x16", "0x0", "large", "1e1x8", "99999x99999"]) {
    const response = await app.request(generations, post({ prompt: "x", size }));
    assertEquals(response.status, 422, size);
    assertEquals((await response.json()).error.param, "size");
  }
  assertEquals((await app.request(generations, post({ prompt: "x", size: "auto" }))).status, 200);
});

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
  const full = await app.request("/v1/images/7/events?steps=4");
  assertEquals(full.status, 503);
  assert(Number(full.headers.get("retry-after")) >= 1);
});

Deno.test("bearer keys guard POST; pictures stay public", async () => {
  const app = createApp({ models: { fake: fakeModel() }, keys: ["one", "two"] });
  const body = { prompt: "x" };
  const status = async (headers: Record<string, string>) =>
    (await app.request(generations, post(body, headers))).status;
  assertEquals(await status({}), 401);
  assertEquals(await status({ authorization: "Bearer three" }), 401);
  assertEquals(await status({ authorization: "Basic two" }), 401);
  assertEquals(await status({ authorization: "Bearer two" }), 200);
  assertEquals((await app.request("/v1/images/7.png")).status, 200);
});

Deno.test("signed pictures need a signature or a key; a changed address is refused", async () => {
  const signingKey = "secret";
  const app = createApp({
    models: { fake: fakeModel() },
    keys: ["one"],
    signingKey,
    pictures: "signed",
  });
  const address = new URL("http://localhost/v1/images/7.png?steps=3");
  assertEquals((await app.request(address.href)).status, 401);
  const authorization = "Bearer one";
  assertEquals((await app.request(address.href, { headers: { authorization } })).status, 200);
  const soon = Math.floor(Date.now() / 1000) + 60;
  const signed = await signAddress(address, signingKey, soon);
  const response = await app.request(signed.href);
  assertEquals([response.status, response.headers.get("cache-control")], [
    200,
    "private, no-cache",
  ]);
  for (const [name, value] of [["steps", "4"], ["expires", String(soon + 1)], ["sig", "x"]]) {
    const changed = new URL(signed);
    changed.searchParams.set(name, value);
    assertEquals((await app.request(changed.href)).status, 403, name);
  }
  const past = await signAddress(address, signingKey, 1000);
  assertEquals((await app.request(past.href)).status, 403);
  const body = post({ prompt: "x", response_format: "url" }, { authorization });
  const { data: [{ url }] } = await (await app.request(generations, body)).json();
  assertEquals((await app.request(url)).status, 200);
});

Deno.test("the public is limited by cost; what costs nothing and who has a key is not", async () => {
  const app = createApp({
    models: { fake: fakeModel() },
    keys: ["one"],
    limits: { publicCostPerMinute: 12 },
    client: (request) => request.headers.get("x-test-client") ?? "",
  });
  const status = async (seed: number, headers: Record<string, string> = {}) => {
    const response = await app.request(`/v1/images/${seed}.png`, { headers });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals([await status(1), await status(2), await status(3)], [200, 200, 429]);
  const refused = await app.request("/v1/images/3.png");
  assertEquals(refused.headers.get("retry-after"), "15");
  assertEquals(await status(1), 200);
  assertEquals(await status(3, { authorization: "Bearer one" }), 200);
  assertEquals(await status(4, { "x-test-client": "another" }), 200);
});

Deno.test("metrics count requests, evaluations, batches, pictures and failures by reason", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  await Promise.all([1, 2, 3].map((seed) => app.request(`/v1/images/${seed}.png`)));
  await app.request("/v1/images/1.png?steps=0");
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_images_total{weights="fake"}'), 3);
  // Three times five calls; how they fall into evaluations depends on when the requests arrive.
  const evaluations = metric(text, 'denoise_evaluations_total{weights="fake"}')!;
  assert(evaluations >= 5 && evaluations < 15, `${evaluations} evaluations`);
  assertEquals(metric(text, 'denoise_batch_size_bucket{weights="fake",le="4"}'), evaluations);
  assertEquals(metric(text, 'denoise_batch_size_sum{weights="fake"}'), 15);
  assertEquals(metric(text, 'denoise_failures_total{reason="invalid"}'), 1);
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
  const { requestId, method, path, status } = lines.at(-1)!;
  assertEquals([requestId, method, path, status], ["abc-123", "GET", "/v1/images/7.png", 422]);
});

Deno.test("browsers elsewhere may show pictures and call the API", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const response = await app.request("/v1/images/7.png", {
    headers: { origin: "https://a.example" },
  });
  assertEquals(response.headers.get("access-control-allow-origin"), "*");
  assertEquals(response.headers.get("cross-origin-resource-policy"), "cross-origin");
  assertEquals(response.headers.get("x-content-type-options"), "nosniff");
  const preflight = await app.request(generations, {
    method: "OPTIONS",
    headers: {
      origin: "https://a.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization,content-type",
    },
  });
  assertEquals(preflight.status, 204);
  assertStringIncludes(preflight.headers.get("access-control-allow-headers")!, "authorization");
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

Deno.test("createApp refuses what could not work", async () => {
  const { assertThrows } = await import("@std/assert");
  assertThrows(() => createApp({ models: {} }), Error, "at least one model");
  assertThrows(() => createApp({ models: { "a/b": fakeModel() } }), Error, "a/b");
  assertThrows(
    () => createApp({ models: { a: fakeModel() }, limits: { maxQueue: 0 } }),
    Error,
    "limits.maxQueue",
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
