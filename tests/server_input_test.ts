/** What a request may say, and what it is told where it may not. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { decodePng } from "../src/image/png.ts";
import { number, whole } from "../src/schema.ts";
import { createApp, type Scheduler } from "../src/server/mod.ts";
import { Problem } from "../src/server/problem.ts";
import { seedOf } from "../src/server/work/seed.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, post } from "./server_http.ts";

const labels = ["cat", "dog", "eel"];

Deno.test("few-step weights take no guidance and no steps but their own", async () => {
  const distilled = { teacher: "fake", guidance: 2, steps: 4 };
  const scheduler = { ...fakeModel().scheduler, timestep_spacing: "trailing" as const };
  const recommended = { scheduler: "ddim", steps: 4 };
  const model = { ...fakeModel({ labels }), scheduler, distilled, recommended };
  const app = createApp({ models: { few: model } });
  const answer = async (query: string) => await app.request(`/v1/images/7.png?${query}`);
  assertEquals((await answer("")).status, 200);
  assertEquals((await answer("steps=2")).status, 200);
  for (
    const [query, field, expected] of [
      ["guidance=2", "guidance", '1: "few" has guidance 2 folded in'],
      ["steps=10", "steps", '4, the steps "few" was distilled to'],
      ["scheduler=cosine", "scheduler", 'none: "few" was distilled to timesteps of its own'],
      ["schedule=cosine", "schedule", 'none: "few" was distilled to timesteps of its own'],
    ]
  ) {
    const response = await answer(query);
    assertEquals(response.status, 422, query);
    const [error] = (await response.json()).errors;
    assertEquals([error.field, error.expected], [field, expected]);
    assertEquals(String(error.found), query.split("=")[1]);
  }
});

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
    ["eta=7", "eta", "a number from 0 to 1", 7],
    ["eta=yes", "eta", "a number", "yes"],
    ["scheduler=linear&eta=1", "eta", "linear", 1],
    ["label=", "label", "at least 1 character", ""],
    ["colour=red", "colour", "no such parameter, but weights, scheduler,", "red"],
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
      [{ prompt: "x", size: "40x40" }, "size"],
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
  assertEquals(await status(post("{}", { "content-encoding": "gzip" })), 415);
  assertEquals(await status(post({ prompt: "x".repeat(300) })), 413);
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("          ")),
  });
  assertEquals(await status({ ...post(""), body: endless }), 413);
  const silent = new ReadableStream({});
  assertEquals(await status({ ...post(""), body: silent }), 408);
  const { detail } = await (await app.request(generations, post("{"))).json();
  assert(detail.startsWith("body: expected JSON in UTF-8; Expected property name"), detail);
});

Deno.test("what is nowhere is a 404, and says so", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const path of ["/v1/images/7.jpg", "/v1/images/", "/nothing", "/v1/images/7.png/more"]) {
    const response = await app.request(path);
    assertEquals(response.status, 404, path);
    assertEquals((await response.json()).type, "urn:denoise:problem:not_found");
  }
});

Deno.test("a method that an address does not have is a 405 naming those it has", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (
    const [method, path, allow] of [
      ["GET", generations, "POST"],
      ["PUT", generations, "POST"],
      ["DELETE", "/v1/images/7.png", "GET, HEAD"],
      ["POST", "/v1/images/7/events", "GET, HEAD"],
      ["POST", "/metrics", "GET, HEAD"],
    ]
  ) {
    const response = await app.request(path, { method });
    assertEquals([response.status, response.headers.get("allow")], [405, allow], path);
    assertEquals((await response.json()).error.code, "method");
  }
});

Deno.test("an option's text is read by the type that its scheduler gives it", async () => {
  const mode = (type: "string" | "integer" | "boolean", values?: (string | number)[]) => ({
    type,
    description: "",
    default: values?.[0] ?? (type === "boolean" ? true : "1e3"),
    ...(values ? { enum: values } : {}),
  });
  const plugin = (name: string, option: ReturnType<typeof mode>): Scheduler => ({
    ...builtIn.ddpm,
    name,
    options: { mode: option },
  });
  const schedulers = {
    ...builtIn,
    words: plugin("words", mode("string", ["1", "true", "x"])),
    free: plugin("free", mode("string")),
    numbers: plugin("numbers", mode("integer", [1, 2])),
    flags: plugin("flags", mode("boolean")),
  };
  const app = createApp({ models: { fake: fakeModel() }, schedulers });
  const right = ["words=1", "words=true", "words=x", "free=", "free=12", "free=true", "free=1e3"];
  for (const choice of [...right, "numbers=2", "flags=false", "flags=true"]) {
    const [scheduler, value] = choice.split("=");
    const response = await app.request(`/v1/images/7.png?scheduler=${scheduler}&mode=${value}`);
    assertEquals(response.status, 200, choice);
    const { text } = decodePng(await response.bytes());
    assertEquals(String(JSON.parse(text.denoise).options.mode), value, choice);
    const pinned = await app.request(`/v1/images/${response.headers.get("content-location")}`);
    assertEquals(pinned.headers.get("etag"), response.headers.get("etag"), choice);
    await pinned.body?.cancel();
  }
  for (const choice of ["words=2", "numbers=x", "numbers=3", "flags=1", "numbers=1&mode=2"]) {
    const [scheduler, ...value] = choice.split("=");
    const query = `scheduler=${scheduler}&mode=${value.join("=")}`;
    const response = await app.request(`/v1/images/7.png?${query}`);
    assertEquals(response.status, 422, choice);
    assertEquals((await response.json()).errors[0].field, "mode");
  }
  const json = async (scheduler: string, mode: unknown) =>
    (await app.request(generations, post({ prompt: "x", scheduler, mode }))).status;
  assertEquals([await json("words", "1"), await json("words", 1)], [200, 422]);
  assertEquals([await json("numbers", 1), await json("numbers", "1")], [200, 422]);
  assertEquals([await json("numbers", null), await json("ddim", 1)], [200, 422]);
});

Deno.test("answers are not larger than their questions, whatever is repeated of these", async () => {
  const labels = Array.from({ length: 3000 }, (_, i) => `a class with a long name, number ${i}`);
  const app = createApp({ models: { fake: fakeModel({ labels }) } });
  const many = Array.from({ length: 5000 }, (_, i) => `unknown${i}`);
  const long = "k".repeat(15_000);
  const questions: [string, RequestInit?][] = [
    [`/v1/images/7.png?${many.join("&")}`],
    [`/v1/images/7.png?${long}=1`],
    [`/v1/images/7.png?label=${"x".repeat(150)}`],
    [`/v1/images/7.png?label=nothing`],
    [`/v1/images/${long}.png`],
    [`/v1/images/7.png?weights=${"x".repeat(190)}@${long}`],
    [`/${long}`],
    [`/v1/models/${long}`],
    [generations, post(Object.fromEntries(many.slice(0, 1000).map((name) => [name, 1])))],
    [generations, post({ prompt: "x", [long]: 1 })],
    [generations, post({ prompt: "x", size: long, label: long, scheduler: long })],
    [generations, post(`{"${"\\".repeat(15_000)}`)],
    [generations, { ...post({}), headers: { "content-type": long } }],
    [generations, post({}, { "content-encoding": long })],
    ["/", { headers: { host: long } }],
  ];
  for (const [path, init] of questions) {
    const response = await app.request(path, init);
    const text = await response.text();
    const shown = `${path.slice(0, 60)}: ${response.status}, ${text.length} characters`;
    assert(response.status >= 400 && response.status < 500, shown);
    assert(text.length < 8000, shown);
  }
});

Deno.test("a name of a million digits and a letter is refused like a short one", () => {
  // With a pattern that tries every division of the digits this never ends.
  const name = `${"1".repeat(1_000_000)}x`;
  assertThrows(() => seedOf(name, 1000), Problem, "1 to 1000 characters");
  assertEquals(seedOf(name, 2_000_000), seedOf(` ${name.toUpperCase()}`, 2_000_000));
  assertEquals(number().fromText(name), name);
  assertEquals(whole().fromText(name), name);
});

Deno.test("a Host that is none is a 400, and chooses no path", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const host of ["a b", "[", "x:99999999", "%", "x/metrics?", "x#", "x\\metrics", "u@x"]) {
    for (const path of ["/", "/v1/images/7.png", "/metrics"]) {
      const response = await app.request(path, { headers: { host } });
      assertEquals(response.status, 400, `${host} ${path}`);
      assertEquals((await response.json()).error.code, "malformed");
    }
  }
  for (
    const host of ["localhost:8000", "example.org", "my_service", "[::1]:8000", "127.0.0.1", ""]
  ) {
    assertEquals((await app.request("/livez", { headers: { host } })).status, 200, host);
  }
});

Deno.test("content codings are told apart without regard to case", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const status = async (coding: string) =>
    (await app.request(generations, post({ prompt: "x" }, { "content-encoding": coding }))).status;
  assertEquals([await status("Identity"), await status("IDENTITY"), await status("GZip")], [
    200,
    200,
    415,
  ]);
});
