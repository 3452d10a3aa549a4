/** What operators may set, and what follows from it; what they see in the log, the list and the description. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import { createServices } from "../src/server/http/create_services.ts";
import { RateLimit } from "../src/server/http/rate_limit.ts";
import { createApp, defaultLimits, type Scheduler } from "../src/server/mod.ts";
import { Problem } from "../src/server/problem.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, metric, parseEvents, post } from "./server_http.ts";

const models = { fake: fakeModel() };
type Options = Partial<Parameters<typeof createApp>[0]>;
const services = (options: Options = {}) => createServices({ models, ...options });

Deno.test("limits are positive, that of the cache may be 0, and no request may want more than the queue has", () => {
  for (const name of Object.keys(defaultLimits)) {
    for (const value of [-1, 0.5, NaN, Infinity, "5" as never]) {
      if (name === "cacheBytes" && value === 0.5) continue;
      const expected = `limits.${name}: expected a positive number, found ${value}`;
      assertThrows(() => services({ limits: { [name]: value } }), Error, expected);
    }
    if (name !== "cacheBytes") {
      assertThrows(() => services({ limits: { [name]: 0 } }), Error, name);
      assertEquals(services({ limits: { [name]: 1 } }).limits[name as "maxCost"], 1);
    }
  }
  assertEquals(services({ limits: { cacheBytes: 0 } }).limits.cacheBytes, 0);
  assertEquals(services().limits, defaultLimits);
  assertEquals(services({ limits: { maxQueue: 7 } }).limits.maxCost, 7);
  assertEquals(services({ limits: { maxCost: 7 } }).limits.maxCost, 7);
});

Deno.test("a small machine's defaults are those that the command's help and the README tell", async () => {
  assertEquals(defaultLimits, {
    maxImages: 10,
    maxSteps: 1000,
    maxCost: 4000,
    maxPixels: 4_194_304,
    maxQueue: 20_000,
    maxRunning: 64,
    maxStreams: 256,
    maxBatch: 16,
    deadlineMs: 60_000,
    bodyTimeoutMs: 5000,
    maxBodyBytes: 16_384,
    maxUploadBytes: 4_194_304,
    uploadTimeoutMs: 30_000,
    cacheBytes: 33_554_432,
    publicCostPerMinute: 12_000,
    maxNameLength: 1000,
  });
  const app = createApp({ models });
  const status = async (bytes: number) => {
    const body = JSON.stringify({ prompt: "x", n: 0, user: "" }).padEnd(bytes);
    return (await app.request(generations, post(body))).status;
  };
  assertEquals([await status(16_384), await status(16_385)], [422, 413]);
});

Deno.test("names, schedulers and the public address are looked at before anything is served", () => {
  const letters = `createApp: expected a model's name in letters, digits, ".", "_", "-", found`;
  const url = "publicUrl: expected an address like https://example.org/, found";
  const ddim =
    'createApp: expected the scheduler "ddim", which "fake" recommends, among schedulers';
  const refused: [Options, string][] = [
    [{ models: {} }, "createApp: expected at least one model in models"],
    [{ models: { "": fakeModel() } }, `${letters} ""`],
    [{ models: { "a b": fakeModel() } }, `${letters} "a b"`],
    [{ models: { ["x".repeat(65)]: fakeModel() } }, `${letters} "${"x".repeat(65)}"`],
    [{ schedulers: {} }, "createApp: expected at least one scheduler in schedulers"],
    [
      { schedulers: { mine: builtIn.ddim } },
      'createApp: expected schedulers by their names, found "mine": "ddim"',
    ],
    [{ schedulers: { heun: builtIn.heun } }, `${ddim}, found heun`],
    [{ publicUrl: "example.org" }, `${url} "example.org"`],
    [{ publicUrl: "ftp://example.org/" }, `${url} "ftp://example.org/"`],
    [{ publicUrl: "" }, `${url} ""`],
  ];
  for (const [options, message] of refused) {
    assertThrows(() => services(options), Error, message);
  }
  const { models: named } = services({ models: { "a.B-c_1": fakeModel() } }).catalog;
  assertEquals([...named.keys()], ["a.B-c_1"]);
  const addresses = ["http://a.example", "https://a.example/art", "https://a.example/art/"];
  assertEquals(addresses.map((publicUrl) => services({ publicUrl }).publicUrl!.href), [
    "http://a.example/",
    "https://a.example/art/",
    "https://a.example/art/",
  ]);
  assertEquals(services().publicUrl, undefined);
});

Deno.test("a plug-in has a version, also one that takes the name of a built-in; built-in ones have none", () => {
  const mine: Scheduler = { ...builtIn.ddim, name: "mine" };
  const schedulers = { ...builtIn, mine, ddim: { ...builtIn.ddim } };
  const { plugins } = services({ schedulers, schedulersVersion: "v1" }).catalog;
  assertEquals(plugins, { mine: "v1", ddim: "v1" });
  assertEquals(services({ schedulersVersion: "v1" }).catalog.plugins, {});
  const random = () => services({ schedulers }).catalog.plugins.mine;
  assert(random() !== random() && random().length > 10);
});

Deno.test("an engine is taken for hung after the time that a picture may take; pictures are private where they are signed", () => {
  const { engines, signPictures } = services({ limits: { deadlineMs: 77, bodyTimeoutMs: 5 } });
  assertEquals(engines.get("fake")!.options.hangMs, 77);
  assertEquals(engines.get("fake")!.options.reopen, undefined);
  assertEquals(signPictures, false);
  assertEquals(services({ signingKey: "s" }).signPictures, false);
  assertEquals(services({ signingKey: "s", pictures: "signed" }).signPictures, true);
});

Deno.test("weights are opened again by their own name", async () => {
  const dying = () =>
    fakeModel({
      before: () => {
        throw new Error("gone");
      },
    });
  const asked: string[] = [];
  const app = createApp({
    models: { one: dying(), two: dying() },
    reopen: (name) => (asked.push(name), Promise.resolve(fakeModel())),
  });
  assertEquals((await app.request("/v1/images/1.png?weights=two")).status, 200);
  assertEquals(asked, ["two"]);
  const text = await (await app.request("/metrics")).text();
  const ready = (name: string) => metric(text, `denoise_ready{weights="${name}"}`);
  assertEquals([ready("one"), ready("two")], [0, 1]);
});

Deno.test("two of three that are warm are not all: readyz says which", async () => {
  let works = false;
  const cold = fakeModel({
    before: () => {
      if (!works) throw new Error("no memory");
    },
  });
  const lines: Record<string, unknown>[] = [];
  const app = createApp({ models: { warm: fakeModel(), cold }, log: (line) => lines.push(line) });
  const ready = async () => {
    const response = await app.request("/readyz");
    return [response.status, await response.json()];
  };
  const weights = { warm: "ready", cold: "not ready" };
  assertEquals(await ready(), [503, { status: "starting", weights }]);
  const failed = lines.find(({ message }) => message === "warm-up failed")!;
  assertEquals(failed.level, "error");
  assert(String(failed.error).includes("the network failed"), String(failed.error));
  works = true;
  const both = { warm: "ready", cold: "ready" };
  assertEquals(await ready(), [200, { status: "ready", weights: both }]);
  assertEquals(await app.drain(0), true);
  assertEquals(await ready(), [503, { status: "draining", weights: both }]);
});

Deno.test("the log has a line a request: how bad it is, why, and how long it took", async () => {
  const lines: Record<string, unknown>[] = [];
  const model = fakeModel({
    latency: 15,
    before: (evaluation) => {
      if (evaluation > 2) throw new Error("gone");
    },
  });
  const app = createApp({ models: { fake: model }, log: (line) => lines.push(line) });
  const made = await app.request("/v1/images/1.png?steps=2");
  await made.body?.cancel();
  const { milliseconds, requestId, ...line } = lines.at(-1)!;
  const path = "/v1/images/1.png";
  assertEquals(line, { level: "info", message: "request", method: "GET", path, status: 200 });
  assertEquals(requestId, made.headers.get("x-request-id"));
  assert(Number(milliseconds) >= 25 && Number.isInteger(milliseconds), `${milliseconds} ms`);
  await (await app.request("/v1/images/2.png?steps=2")).body?.cancel();
  const { level, status, reason } = lines.at(-1)!;
  assertEquals([level, status, reason], ["warn", 500, "network"]);
  const fault = lines.at(-2)!;
  assertEquals([fault.level, fault.reason], ["error", "network"]);
  assert(/Error: gone\n +at /.test(String(fault.error)), "with its stack");
  await (await app.request(`/${"x".repeat(3000)}`)).body?.cancel();
  assertEquals(String(lines.at(-1)!.path).length, 500);
  await (await app.request("/livez", { method: "PURGE" })).body?.cancel();
  const text = await (await app.request("/metrics")).text();
  assert(text.includes('denoise_http_requests_total{method="other",route='), text.slice(0, 900));
  assertEquals(lines.findLast(({ path }) => path === "/livez")!.method, "PURGE", "the log has it");
  assert(!text.includes("PURGE"), "who invents methods makes no series");
  const route = "/v1/images/:file{[^/]+\\\\.png}";
  const seconds = metric(text, `denoise_http_request_seconds_sum{route="${route}"}`);
  assert(seconds >= 0.025 && seconds < 20, `${seconds} s`);
  assertEquals(metric(text, 'denoise_failures_total{reason="network"}'), 1);
});

Deno.test("the list says what weights recommend, take and are pinned by", async () => {
  const labels = ["cat"];
  const guided = {
    ...fakeModel({ labels, nullLabel: 1 }),
    recommended: { scheduler: "heun", steps: 9, guidance: 2.5 },
  };
  const distilled = {
    ...fakeModel({ labels, nullLabel: 1 }),
    distilled: { teacher: "t", guidance: 2, steps: 4 },
  };
  const plain = { ...fakeModel(), recommended: undefined };
  const short = { ...fakeModel(), scheduler: parseSchedulerConfig({ num_train_timesteps: 40 }) };
  const limits = { maxSteps: 50, maxCost: 45 };
  const app = createApp({ models: { guided, distilled, plain, short }, limits });
  const { data } = await (await app.request("/v1/models")).json();
  // deno-lint-ignore no-explicit-any
  const told = data.map(({ id, denoise: d }: any) => [
    ...[id, d.weights, d.guidance, d.restores, d.max_steps],
    ...[d.recommended.scheduler, d.recommended.steps, d.recommended.guidance],
  ]);
  assertEquals(told, [
    ["guided", "guided@0123456789abcdef", true, true, 45, "heun", 9, 2.5],
    ["distilled", "distilled@0123456789abcdef", false, false, 45, "ddim", 5, 1],
    ["plain", "plain@0123456789abcdef", false, true, 45, "ddim", 50, 1],
    ["short", "short@0123456789abcdef", false, true, 40, "ddim", 5, 1],
  ]);
  const few = createApp({ models: { plain }, limits: { maxSteps: 44, maxCost: 45 } });
  const { denoise } = await (await few.request("/v1/models/plain")).json();
  assertEquals(denoise.max_steps, 44, "no more than one picture may have");
  assertEquals(data[3].denoise.schedulers.dpmpp.max_steps, 39, "it needs a timestep more");
  const other = await (await app.request("/v1/models/other")).json();
  const expected = "one of the loaded weights (guided, distilled, plain, short)";
  assertEquals(other.errors, [{ field: "model", expected, found: "other" }]);
});

Deno.test("the description has HEAD where it is worth saying, what may go wrong, and who is let in", async () => {
  const app = createApp({ models, keys: ["k"] });
  const { paths, components } = await (await app.request("/openapi.json")).json();
  const picture = paths["/v1/images/{seed}.png"];
  assertEquals([picture.get.operationId, picture.head.operationId], ["getPicture", "headPicture"]);
  assertEquals(picture.head.parameters, picture.get.parameters);
  const ref = (name: string) => ({ $ref: `#/components/responses/${name}` });
  for (const status of [400, 401, 403, 404, 422, 500]) {
    assertEquals(picture.get.responses[status], ref("Problem"), String(status));
  }
  for (const status of [429, 503]) assertEquals(picture.get.responses[status], ref("Later"));
  assertEquals(Object.keys(components.responses.Later.headers), ["retry-after"]);
  const open = {}, bearer = { bearer: [] }, signature = { signature: [] };
  assertEquals(picture.get.security, [open, bearer, signature]);
  assertEquals(paths[generations].post.security, [bearer]);
  assertEquals(paths["/livez"].get.security, [open]);
  assertEquals(paths["/metrics"].get.security, [bearer]);
  const seed = picture.get.parameters[0];
  assertEquals([seed.name, seed.in, seed.required], ["seed", "path", true]);
  const steps = picture.get.parameters.find(({ name }: { name: string }) => name === "steps");
  assertEquals([steps.required, steps.description], [false, "denoising steps"]);
  const fields = paths[generations].post.requestBody.content["application/json"].schema.properties;
  for (const [name, field] of Object.entries<Record<string, unknown>>(fields)) {
    assert(field.description || ["response_format", "output_format", "background"].includes(name));
  }
  const created = paths[generations].post.responses[200].content["application/json"].schema;
  assertEquals(created.properties.created, { type: "integer" }, "no bounds that all numbers have");
});

Deno.test("mounted, the page is at its folder, to which the address without a slash leads, query and all", async () => {
  const { Hono } = await import("npm:hono@4.13.19");
  const parent = new Hono().route("/pictures", createApp({ models }));
  const moved = await parent.request("/pictures?seed=7&label=cat");
  assertEquals([moved.status, moved.headers.get("location")], [308, "pictures/?seed=7&label=cat"]);
  for (const method of ["GET", "HEAD"]) {
    const page = await parent.request("/pictures/", { method });
    await page.body?.cancel();
    assertEquals(page.headers.get("content-type"), "text/html; charset=UTF-8", method);
  }
  assertEquals((await parent.request("/pictures/", { method: "POST" })).status !== 200, true);
  const html = await (await parent.request("/pictures/")).text();
  for (const [, file] of html.matchAll(/(?:src|href)="(page\.\w+\.(?:js|css))"/g)) {
    const asset = await parent.request(`/pictures/${file}`);
    assertEquals(asset.headers.get("cache-control"), "public, max-age=31536000, immutable");
    assert((await asset.text()).length > 1000);
    const none = createApp({ models, page: false });
    assertEquals((await none.request(`/${file}`)).status, 404);
  }
  assertEquals((await createApp({ models, page: false }).request("/")).status, 404);
});

Deno.test("a rate refills evenly to a minute's worth and no further; a refusal says when to come again", () => {
  let now = 0;
  const limit = new RateLimit(60, () => now);
  const refused = (cost: number) => {
    const problem = assertThrows(() => limit.take("a", cost), Problem) as Problem;
    return [problem.status, Number(problem.headers["retry-after"])];
  };
  limit.take("a", 60);
  assertEquals(refused(1), [429, 1]);
  assertEquals(refused(30), [429, 30]);
  assertEquals(refused(600), [429, 60], "more than a minute's worth: when the whole is saved");
  now += 29_000;
  assertEquals(refused(30), [429, 1], "what is refused is not taken");
  now += 1000;
  limit.take("a", 30);
  now += 3_600_000;
  limit.take("a", 60);
  assertEquals(refused(1), [429, 1], "an hour saves no more than a minute");
  const { message } = assertThrows(() => limit.take("a", 2), Problem);
  assertEquals(
    message,
    "expected at most 60 evaluations a minute without a key, found 2 more with 0 left",
  );
});

Deno.test("a key frees from the shares of streams and of evaluations", async () => {
  const limits = { maxStreams: 8, publicCostPerMinute: 3 };
  const app = createApp({ models, keys: ["k"], limits, client: () => "one" });
  const headers = { authorization: "Bearer k" };
  const ask = (init = {}) => app.request("/v1/images/1/events?steps=2", init);
  const open = [await ask({ headers }), await ask({ headers }), await ask({ headers })];
  assertEquals(open.map(({ status }) => status), [200, 200, 200]);
  const mine = await ask();
  assertEquals([mine.status, (await ask()).status], [200, 429]);
  for (const { body } of [...open, mine]) await body?.cancel();
  const late = await ask();
  assertEquals(late.status, 429, "its evaluations are used up");
  assertEquals((await late.json()).error.code, "rate_limited");
  // A stream that is refused for its cost has no place among the streams.
  const text = await (await app.request("/metrics", { headers })).text();
  assertEquals(metric(text, "denoise_streams_open"), 0);
  assertEquals(parseEvents(await (await ask({ headers })).text()).at(-1)!.event, "done");
});

Deno.test("a model's name has up to 64 letters; a scheduler that is missing is told with those there are", () => {
  const name = "x".repeat(64);
  assertEquals([...services({ models: { [name]: fakeModel() } }).catalog.models.keys()], [name]);
  const { heun, ddpm } = builtIn;
  assertThrows(
    () => services({ schedulers: { heun, ddpm } }),
    Error,
    'createApp: expected the scheduler "ddim", which "fake" recommends, among schedulers, found heun, ' +
      "ddpm; add it, or give the model another recommended",
  );
  const recommended = { scheduler: "constructor", steps: 5 };
  assertThrows(
    () => services({ models: { fake: { ...fakeModel(), recommended } } }),
    Error,
    'expected the scheduler "constructor", which "fake" recommends',
  );
  assertEquals(services().orders.maxKnown, 1000, "runs that are remembered");
});

Deno.test("no option may have the name of anything that requests say already", () => {
  const option = { type: "number", description: "", default: 1 } as const;
  const of = (name: string) => {
    const mine: Scheduler = { name: "mine", api: 1, options: { [name]: option } };
    return services({ schedulers: { ...builtIn, mine } });
  };
  const taken = [
    ...["weights", "scheduler", "schedule", "steps", "guidance", "guided", "label", "mix", "with"],
    ...["scale", "size", "expires", "sig", "preview", "prompt", "model", "seed", "n", "stream"],
    ...["response_format", "partial_images", "output_format", "output_compression", "quality"],
    ...["style", "background", "moderation", "user"],
  ];
  for (const name of taken) {
    const says = `scheduler "mine": its option "${name}" has the name of a request parameter`;
    assertThrows(() => of(name), Error, says);
  }
  assertEquals(of("strength").schemas.optionNames.has("strength"), true);
});

Deno.test("a request is counted by its method, one that is made up as another", async () => {
  const app = createApp({ models });
  for (const method of ["GET", "HEAD", "POST", "OPTIONS", "PUT", "PURGE"]) {
    await (await app.request("/v1/models", { method })).body?.cancel();
  }
  const text = await (await app.request("/metrics")).text();
  const counted = [...text.matchAll(/^denoise_http_requests_total\{method="(\w+)".* (\d+)$/gm)];
  assertEquals(counted.map(([, method, count]) => `${method} ${count}`).sort(), [
    "GET 1",
    "HEAD 1",
    "OPTIONS 1",
    "POST 1",
    "other 2",
  ]);
  const long = await app.request("/livez", { method: "X".repeat(90) });
  assertEquals((await long.json()).detail, `expected GET, HEAD, found ${"X".repeat(80)}…`);
});
