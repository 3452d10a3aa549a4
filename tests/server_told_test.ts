/** What a server tells of itself: its numbers, its models, its description, its failures. */
import { assert, assertEquals } from "@std/assert";
import type { Context } from "npm:hono@4.13.19";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { failure } from "../src/server/http/observe.ts";
import { Metrics } from "../src/server/metrics.ts";
import { createApp, type LogEntry, type Scheduler } from "../src/server/mod.ts";
import { Problem, reasons } from "../src/server/problem.ts";
import { FAKE_HASH, fakeModel, gate, until } from "./server_fake.ts";
import { metric } from "./server_http.ts";

Deno.test("/metrics has these series, by which monitors know them", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const response = await app.request("/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const series = /^# HELP denoise_(\S+) (.*)\n# TYPE denoise_(\S+) (\S+)$/gm;
  const told = [...(await response.text()).matchAll(series)];
  assertEquals(told.map(([, name, help, again, type]) => [name === again && name, type, help]), [
    ["http_requests_total", "counter", "Requests by route and status"],
    ["failures_total", "counter", "Requests that failed, by reason"],
    ["images_total", "counter", "Pictures made, by weights"],
    [
      ...["reused_total", "counter"],
      "Pictures not made: not_modified, cache, or joined to the same picture in flight",
    ],
    ["evaluations_total", "counter", "Network evaluations"],
    ["retried_total", "counter", "Evaluations that failed and were asked again"],
    ["reopened_total", "counter", "Networks opened again after a crash"],
    ["batch_size", "histogram", "Images in one network evaluation"],
    ["evaluation_seconds", "histogram", "Time of one network evaluation"],
    [
      ...["http_request_seconds", "histogram"],
      "Time from a request to its response's headers, by route",
    ],
    ["queue_cost", "gauge", "Evaluations admitted and not done"],
    ["images_waiting", "gauge", "Pictures queued"],
    ["images_running", "gauge", "Pictures between steps"],
    ["streams_open", "gauge", "Event streams that are open"],
    ["cache_bytes", "gauge", "Bytes of cached pictures"],
    ["calls_pending", "gauge", "Calls that wait for a network evaluation"],
    ["ready", "gauge", "Whether a network has been warmed up and is whole"],
  ]);
  const { batch, stepSeconds, requestSeconds } = new Metrics();
  assertEquals(batch.bounds, [1, 2, 4, 8, 12, 16, 24, 32, 64]);
  const fine = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
  assertEquals(stepSeconds.bounds, fine);
  assertEquals(requestSeconds.bounds, [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]);
});

Deno.test("gauges are what is so now: queued, waiting, running, open, kept, pending", async () => {
  const { open, wait } = gate();
  let held = false;
  const model = fakeModel({ before: () => held ? wait : undefined });
  const limits = { maxRunning: 2, maxBatch: 1 };
  const app = createApp({ models: { fake: model, idle: fakeModel() }, limits });
  const gauges = async () => {
    const text = await (await app.request("/metrics")).text();
    const of = ["queue_cost", "images_waiting", "images_running", "streams_open", "cache_bytes"];
    const each = [
      'calls_pending{weights="fake"}',
      'ready{weights="fake"}',
      'ready{weights="idle"}',
    ];
    return [...of, ...each].map((name) => metric(text, `denoise_${name}`));
  };
  assertEquals(await gauges(), [0, 0, 0, 0, 0, 0, 0, 0]);
  const { length } = await (await app.request("/v1/images/0.png?steps=1")).bytes();
  assertEquals(await gauges(), [0, 0, 0, 0, length, 0, 1, 0]);
  held = true;
  const pictures = [1, 2].map((seed) => app.request(`/v1/images/${seed}.png?steps=5`));
  await until(() => model.evaluations === 2, "an evaluation");
  const events = await app.request("/v1/images/3/events?steps=7");
  await until(() => model.evaluations === 2, "no other evaluation");
  assertEquals(await gauges(), [17, 1, 2, 1, length, 1, 1, 0]);
  open();
  for (const picture of pictures) await (await picture).bytes();
  await events.text();
  const [cost, waiting, running, streams, kept, pending] = await gauges();
  assertEquals([cost, waiting, running, streams, pending], [0, 0, 0, 0, 0]);
  assert(kept > 2 * length, "three pictures and the one before");
});

Deno.test("a model is told with all that a page needs to ask for its pictures", async () => {
  const labels = ["cat", "dog"];
  const model = {
    ...fakeModel({ shape: [3, 8, 16], labels, nullLabel: 2 }),
    recommended: { scheduler: "dpmpp", steps: 7, guidance: 2.5, guided: [100, 800] as const },
  };
  let tries = 0;
  const refusing: Scheduler = {
    name: "refusing",
    api: 1,
    description: "never runs",
    timesteps: () => {
      tries++;
      throw new RangeError("no");
    },
  };
  /** Needs three timesteps more than it makes steps. */
  const wide: Scheduler = {
    ...builtIn.ddim,
    name: "wide",
    timesteps: (n, { T }) => {
      if (n > T - 3) throw new RangeError("too many");
      return Array.from({ length: n }, (_, i) => n - 1 - i);
    },
  };
  const schedulers = { dpmpp: builtIn.dpmpp, refusing, wide };
  const app = createApp({ models: { mine: model }, schedulers, limits: { maxCost: 5000 } });
  const { denoise, ...card } = await (await app.request("/v1/models/mine")).json();
  assertEquals(card, { id: "mine", object: "model", created: 0, owned_by: "denoise" });
  const { schedulers: offered, ...facts } = denoise;
  const { beta_schedule, beta_start, beta_end, num_train_timesteps } = model.scheduler;
  assertEquals(facts, {
    weights: `mine@${FAKE_HASH.slice(0, 16)}`,
    backend: "fake",
    shape: [3, 8, 16],
    labels,
    guidance: true,
    restores: true,
    recommended: { scheduler: "dpmpp", steps: 7, guidance: 2.5, guided: "100-800" },
    schedule: { beta_schedule, beta_start, beta_end, num_train_timesteps },
    max_steps: 999,
  });
  assertEquals(Object.keys(offered), ["dpmpp", "refusing", "wide"]);
  const { description, options } = builtIn.dpmpp;
  assertEquals(offered.dpmpp, { description, options, max_steps: 999 });
  assertEquals(offered.refusing, { description: "never runs", options: {}, max_steps: 1000 });
  assertEquals(offered.wide.max_steps, 997);
  const list = await (await app.request("/v1/models")).json();
  assertEquals(list, { object: "list", data: [{ ...card, denoise }] });
  assertEquals(tries, 4, "what cannot run is not tried a thousand times, nor for each who asks");
});

Deno.test("the whole description is tests/golden/openapi.json, which changes where the API is meant to", async () => {
  const mine: Scheduler = { name: "mine", api: 1 };
  const model = { ...fakeModel({ labels: ["cat", "dog"], nullLabel: 2 }), recommended: undefined };
  const app = createApp({ models: { fake: model }, schedulers: { mine } });
  const description = await (await app.request("/openapi.json")).json();
  // What every picture's address may say is told once.
  const { parameters } = description.paths["/v1/images/{seed}.png"].get;
  for (const methods of Object.values<Record<string, Told>>(description.paths)) {
    for (const operation of Object.values(methods)) {
      if (operation.operationId === "getPicture" || !operation.parameters) continue;
      const [first, rest] = [0, parameters.length].map((at) => operation.parameters.slice(at));
      const same = JSON.stringify(first.slice(0, parameters.length)) === JSON.stringify(parameters);
      if (same) operation.parameters = ["those of getPicture", ...rest];
    }
  }
  const file = new URL("./golden/openapi.json", import.meta.url);
  // After a change that is meant: DENOISE_NEW_GOLDEN=1 deno test -A tests/server_told_test.ts
  if (Deno.env.get("DENOISE_NEW_GOLDEN")) {
    await Deno.writeTextFile(file, JSON.stringify(description, null, 1) + "\n");
  }
  assertEquals(description, JSON.parse(await Deno.readTextFile(file)));
});

Deno.test("the description names every operation once, and what they share", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const document = await (await app.request("/openapi.json")).json();
  const operations: string[] = [];
  for (const [path, methods] of Object.entries<Record<string, Told>>(document.paths)) {
    for (const [method, { operationId, summary, responses }] of Object.entries(methods)) {
      operations.push(`${method} ${path} ${operationId}: ${Object.keys(responses).join(" ")}`);
      assert(summary.length > 5 && responses[400].$ref.endsWith("/Problem"), operationId);
    }
  }
  const picture = "200 304 400 401 403 404 422 429 500 503";
  const made = "200 400 401 404 408 413 415 422 429 500 503";
  assertEquals(operations, [
    `get /v1/images/{seed}.png getPicture: ${picture}`,
    `head /v1/images/{seed}.png headPicture: ${picture}`,
    `get /v1/images/{seed}.gif getPictureGif: ${picture}`,
    `head /v1/images/{seed}.gif headPictureGif: ${picture}`,
    `get /v1/images/{seed}.apng getPictureApng: ${picture}`,
    `head /v1/images/{seed}.apng headPictureApng: ${picture}`,
    "get /v1/images/{seed}/events getPictureEvents: 200 204 400 401 403 404 422 429 500 503",
    `post /v1/images/generations createImage: ${made}`,
    `post /v1/images/edits editImage: ${made}`,
    `post /v1/images/variations varyImage: ${made}`,
    `post /v1/restorations restore: ${made}`,
    "get /v1/models listModels: 200 400 401",
    "get /v1/models/{model} retrieveModel: 200 400 401 404",
    "get /livez live: 200 400",
    "get /readyz ready: 200 400 503",
    "get /metrics metrics: 200 400 401",
    "get /openapi.json getDescription: 200 400 401",
  ]);
  assertEquals([document.openapi, document.servers], ["3.1.0", [{ url: "." }]]);
  const { title, version, license } = document.info;
  assertEquals([title, version, license], ["denoise", "1", { name: "MIT", identifier: "MIT" }]);
  const { securitySchemes: { bearer, signature }, schemas: { Problem: problem } } =
    document.components;
  assertEquals(bearer, { type: "http", scheme: "bearer" });
  assertEquals([signature.type, signature.in, signature.name], ["apiKey", "query", "sig"]);
  assertEquals(problem.required, ["type", "title", "status", "detail", "error"]);
  const [model] = document.paths["/v1/models/{model}"].get.parameters;
  assertEquals([model.name, model.in, model.required], ["model", "path", true]);
  const gif = document.paths["/v1/images/{seed}.gif"].get;
  assertEquals(Object.keys(gif.responses[200].content), ["image/gif"]);
  const named = (of: Told) => of.parameters.map(({ name }: Told) => name);
  const events = document.paths["/v1/images/{seed}/events"].get;
  assertEquals(named(events), [...named(gif), "preview"]);
  const clipped = gif.parameters.find(({ name }: Told) => name === "clipped_eps");
  assertEquals(clipped.schema.enum, builtIn.ddim.options!.clipped_eps.enum);
});

Deno.test("an option is described by its own kind, among what every address may say", async () => {
  const common = { default: 1, minimum: undefined, maximum: undefined };
  const options = {
    count: { ...common, type: "integer", description: "how often", minimum: 1, maximum: 9 },
    least: { ...common, type: "number", description: "how much", minimum: 0.5 },
    any: { ...common, type: "number", description: "" },
    on: { ...common, type: "boolean", description: "whether", default: true },
    word: { ...common, type: "string", description: "what", default: "" },
    mode: { ...common, type: "string", description: "which", default: "a", enum: ["a", "b"] },
    power: { ...common, type: "integer", description: "of two", default: 2, enum: [2, 4] },
  } as const;
  const mine: Scheduler = { ...builtIn.ddpm, name: "mine", options };
  const model = { ...fakeModel(), recommended: undefined };
  const app = createApp({ models: { fake: model }, schedulers: { mine } });
  const { paths } = await (await app.request("/openapi.json")).json();
  const parameters: Told[] = paths["/v1/images/{seed}.png"].get.parameters;
  const own = parameters.filter(({ name }) => Object.hasOwn(options, name));
  assertEquals(own.map(({ name, schema, description }) => [name, schema, description]), [
    ["count", { type: "integer", minimum: 1, maximum: 9 }, "how often"],
    ["least", { type: "number", minimum: 0.5 }, "how much"],
    ["any", { type: "number" }, undefined],
    ["on", { type: "boolean" }, "whether"],
    ["word", { type: "string", maxLength: 1000 }, "what"],
    ["mode", { type: "string", enum: ["a", "b"] }, "which"],
    ["power", { type: "number", enum: [2, 4] }, "of two"],
  ]);
  const others = parameters.filter(({ name }) => !Object.hasOwn(options, name));
  assertEquals(
    others.map(({ name }) => name).join(),
    [
      ...[
        "seed",
        "weights",
        "scheduler",
        "schedule",
        "steps",
        "guidance",
        "guided",
        "label",
        "mix",
      ],
      ...["with", "scale", "size", "expires", "sig"],
    ].join(),
  );
  const where = parameters.map(({ name, in: place, required }) => `${name} ${place} ${required}`);
  assertEquals(where.slice(0, 2), ["seed path true", "weights query false"]);
  assert(where.slice(1).every((one) => one.endsWith(" query false")), where.join());
});

// deno-lint-ignore no-explicit-any
type Told = any;

Deno.test("of what handlers throw the log has the server's own faults, in full, and the answer the reason", async () => {
  const lines: LogEntry[] = [];
  const answer = async (error: unknown, requestId?: string) => {
    const kept = new Map<string, unknown>([["requestId", requestId]]);
    const context = { get: (key: string) => kept.get(key), set: kept.set.bind(kept) };
    const response = failure((line) => lines.push(line))(error, context as unknown as Context);
    return [response.status, kept.get("reason"), (await response.json()).instance];
  };
  assertEquals(await answer("a text", "id"), [500, "internal", "urn:request:id"]);
  const common = { level: "error" as const, requestId: "id" };
  const unforeseen = "an error that was not foreseen; the log has it";
  const internal = { ...common, message: unforeseen, reason: "internal" };
  assertEquals(lines, [{ ...internal, error: "a text" }]);
  const bare = Object.assign(new Error("no stack"), { stack: undefined });
  await answer(bare, "id");
  assertEquals(lines[1], { ...internal, error: "no stack" });
  await answer(new Problem(503, "network", "broke", { cause: new Error("why") }), "id");
  assertEquals([lines[2].message, lines[2].reason], ["broke", "network"]);
  assert(/^Error: why\n +at /.test(String(lines[2].error)));
  assertEquals(await answer(new Problem(503, "overloaded", "full")), [
    503,
    "overloaded",
    undefined,
  ]);
  await answer(new Problem(422, "invalid", "no", { cause: new Error("theirs") }));
  assertEquals(lines.length, 3, "what is no fault of the server's is not in the log");
});

Deno.test("what is nowhere and what has other methods says what was asked for, shortly", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const detail = async (path: string, method = "GET") =>
    (await (await app.request(path, { method })).json()).detail;
  assertEquals(await detail("/no/thing?x=1"), "nothing at GET /no/thing");
  assertEquals(await detail("/nothing", "DELETE"), "nothing at DELETE /nothing");
  assertEquals(await detail(`/${"x".repeat(300)}`), `nothing at GET /${"x".repeat(199)}…`);
  assertEquals(await detail("/livez", "POST"), "expected GET, HEAD, found POST");
});

Deno.test("every reason has a title, in which clients read what went wrong", () => {
  const told = reasons.map((reason) => [reason, new Problem(500, reason, "").document().title]);
  assertEquals(Object.fromEntries(told), {
    invalid: "A parameter does not fit",
    malformed: "The request cannot be read",
    too_large: "The body is too large",
    media_type: "The body's media type is not supported",
    slow_body: "The body took too long to arrive",
    not_found: "There is nothing at this address",
    method: "This address has other methods",
    unauthorized: "The request is not allowed",
    rate_limited: "Too many evaluations asked for",
    overloaded: "The server is full",
    draining: "The server is shutting down",
    deadline: "The picture was not finished in time",
    disconnected: "The client left",
    network: "The network failed",
    internal: "The server failed",
  });
});

Deno.test("the page's files are named by FNV-1a of what is in them", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const html = await (await app.request("/")).text();
  const files = [...html.matchAll(/(?:src|href)="(page\.(\w+)\.(js|css))"/g)];
  assertEquals(files.map(([, , , type]) => type).sort(), ["css", "js"]);
  for (const [, file, name, type] of files) {
    const response = await app.request(`/${file}`);
    const mime = type === "js" ? "text/javascript" : "text/css";
    assertEquals(response.headers.get("content-type"), `${mime}; charset=utf-8`);
    let hash = 0x811c9dc5n;
    for (const letter of (await response.text()).split("")) {
      hash = BigInt.asUintN(32, (hash ^ BigInt(letter.charCodeAt(0))) * 0x01000193n);
    }
    assertEquals(hash.toString(36), name, file);
  }
});
