/** Headers that browsers, caches and clients go by. */
import { assert, assertEquals } from "@std/assert";
import { type Context, Hono } from "npm:hono@4.13.19";
import { leaveLengthOpen } from "../src/server/http/head.ts";
import { requireHost } from "../src/server/http/host.ts";
import { createApp, signAddress } from "../src/server/mod.ts";
import { FAKE_HASH, fakeModel, until } from "./server_fake.ts";
import { generations, metric, post } from "./server_http.ts";

const origin = "https://a.example";

Deno.test("browsers of the origins that are named may call the API, others may not", async () => {
  const models = { fake: fakeModel() };
  const corsOrigins = [origin, "https://b.example"];
  const named = createApp({ models, corsOrigins });
  corsOrigins.push("https://evil.example");
  const allowed = async (app: ReturnType<typeof createApp>, path: string, from: string) => {
    const { headers, body } = await app.request(path, { headers: { origin: from } });
    await body?.cancel();
    return headers.get("access-control-allow-origin");
  };
  for (const path of ["/v1/models", "/openapi.json", "/v1/images/1.png?steps=1"]) {
    assertEquals(await allowed(named, path, origin), origin, path);
    assertEquals(await allowed(named, path, "https://evil.example"), null, path);
    assertEquals(await allowed(createApp({ models }), path, origin), "*", path);
  }
  assertEquals(await allowed(named, "/livez", origin), null);
});

Deno.test("a page elsewhere can read a picture's ETag and address, when to come again, and the request's id", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const { headers } = await app.request("/v1/models", { headers: { origin } });
  const exposed = headers.get("access-control-expose-headers")!.split(",");
  assertEquals(exposed.toSorted(), ["content-location", "etag", "retry-after", "x-request-id"]);
  const preflight = await app.request(generations, {
    method: "OPTIONS",
    headers: { origin, "access-control-request-method": "POST" },
  });
  assertEquals(preflight.headers.get("access-control-max-age"), "86400");
});

Deno.test("pictures may be shown anywhere, and the page in frames of its own origin alone", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const { headers, body } = await app.request("/");
  await body?.cancel();
  assertEquals(headers.get("x-frame-options"), null);
  const policy = headers.get("content-security-policy")!;
  for (const rule of ["default-src 'self'", "frame-ancestors 'self'", "base-uri 'none'"]) {
    assert(policy.includes(rule), policy);
  }
  assert(policy.includes("img-src 'self' data: blob:"), policy);
  const resource = (await app.request("/livez")).headers.get("cross-origin-resource-policy");
  assertEquals(resource, "cross-origin");
});

Deno.test("what may be kept, by whom and how long", async () => {
  const models = { fake: fakeModel({ labels: ["cat"] }) };
  const signed = { models, keys: ["k"], signingKey: "s", pictures: "signed" as const };
  const open = createApp({ models, keys: ["k"], signingKey: "s" }), closed = createApp(signed);
  const authorization = "Bearer k";
  const control = async (app: typeof open, path: string, init: RequestInit = {}) => {
    const { headers, body } = await app.request(path, { headers: { authorization }, ...init });
    await body?.cancel();
    return headers.get("cache-control");
  };
  const pinned = `/v1/images/7.png?steps=1&weights=fake@${FAKE_HASH}`;
  const cases: [string, string, string][] = [
    ["/v1/images/7.png?steps=1", "public, no-cache", "private, no-cache"],
    [pinned, "public, max-age=31536000, immutable", "private, max-age=31536000, immutable"],
    ["/v1/models", "no-cache", "no-cache"],
    ["/v1/models/fake", "no-cache", "no-cache"],
    ["/openapi.json", "no-cache", "no-cache"],
    ["/", "no-cache", "no-cache"],
    ["/livez", "no-store", "no-store"],
    ["/readyz", "no-store", "no-store"],
    ["/metrics", "no-store", "no-store"],
    ["/v1/images/7/events?steps=1", "no-store", "no-store"],
    ["/v1/images/7.png?steps=0", "no-store", "no-store"],
    ["/nothing", "no-store", "no-store"],
  ];
  for (const [path, ours, theirs] of cases) {
    assertEquals([await control(open, path), await control(closed, path)], [ours, theirs], path);
  }
  const body = { prompt: "x", steps: 1 };
  for (const more of [{}, { response_format: "url" }]) {
    const init = post({ ...body, ...more }, { authorization });
    assertEquals(await control(open, generations, init), "no-store");
  }
});

Deno.test("what is asked again unchanged is a 304 with the headers of the picture, counted as reused", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const path = "/v1/images/7.png?steps=2&scale=3";
  const head = await app.request(path, { method: "HEAD" });
  assertEquals(model.evaluations, 0, "HEAD makes nothing");
  const got = await app.request(path);
  const etag = got.headers.get("etag")!;
  const same = await app.request(path, { headers: { "if-none-match": etag } });
  assertEquals([same.status, await same.text()], [304, ""]);
  for (const name of ["etag", "cache-control", "content-location"]) {
    const value = got.headers.get(name);
    assert(value !== null, name);
    assertEquals([head.headers.get(name), same.headers.get(name)], [value, value], name);
  }
  assertEquals(got.headers.get("content-type"), "image/png");
  assertEquals(Number(got.headers.get("content-length")), (await got.bytes()).length);
  await (await app.request(path)).bytes();
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_reused_total{by="not_modified"}'), 1);
  assertEquals(metric(text, 'denoise_reused_total{by="cache"}'), 1);
  assertEquals(metric(text, 'denoise_images_total{weights="fake"}'), 1);
});

Deno.test("HEAD tells a length where it is known, and none where it is not: never that there is nothing", async () => {
  const app = new Hono();
  app.get("/known", (c) => c.body("abc", 200, { "content-length": "3", "x-own": "1" }));
  app.get("/open", (c) => c.body("abc", 200, { "x-own": "1" }));
  app.get("/unchanged", () => new Response(null, { status: 304, headers: { "x-own": "1" } }));
  leaveLengthOpen(app);
  const ask = async (path: string, method: string) => {
    const { status, headers, body } = await app.fetch(new Request(`http://x${path}`, { method }));
    const text = body && await new Response(body).text();
    return [status, headers.get("x-own"), headers.get("content-length"), text];
  };
  // A stream without an end in sight has no length, a body that is null has the length 0.
  assertEquals(await ask("/known", "HEAD"), [200, "1", "3", null]);
  assertEquals(await ask("/open", "HEAD"), [200, "1", null, ""]);
  assertEquals(await ask("/unchanged", "HEAD"), [304, "1", null, null]);
  assertEquals((await ask("/nothing", "HEAD")).slice(0, 2), [404, null]);
  assertEquals((await ask("/nothing", "HEAD"))[3], null);
  assertEquals(await ask("/open", "GET"), [200, "1", null, "abc"]);
  const served = createApp({ models: { fake: fakeModel() } });
  const { headers } = await served.request("/v1/images/7.png", { method: "HEAD" });
  const init = { method: "HEAD", headers: { "if-none-match": headers.get("etag")! } };
  assertEquals((await served.request("/v1/images/7.png", init)).status, 304);
});

Deno.test("an address that cannot be read is a 400, whatever its Host", async () => {
  const ask = async (url: string, host?: string) => {
    let passed = false;
    const raw = { headers: new Headers(host === undefined ? {} : { host }) };
    const next = () => Promise.resolve(void (passed = true));
    await requireHost({ req: { raw, url } } as unknown as Context, next).catch((error) => {
      assertEquals([error.status, error.reason], [400, "malformed"]);
    });
    return passed;
  };
  assertEquals(await ask("http://x/", "x:80"), true);
  assertEquals(await ask("http://x/"), true);
  assertEquals(await ask("http://x:99999/", "x:99999"), false, "a port that is none");
  assertEquals(await ask("http://a b/", "x"), false);
  assertEquals(await ask("http://x/", `${"x".repeat(255)}:1`), true);
  assertEquals(await ask("http://x/", "x".repeat(256)), false);
});

Deno.test("two who ask for one picture at once: the second is counted as joined, and pays nothing", async () => {
  let open!: () => void;
  const held = new Promise<void>((resolve) => open = resolve);
  const model = fakeModel({ before: () => held });
  const clock = Date.now;
  Date.now = () => 0;
  try {
    const app = createApp({
      models: { fake: model },
      limits: { publicCostPerMinute: 5 },
      client: () => "one",
    });
    const first = app.request("/v1/images/1.png");
    await until(() => model.evaluations === 1, "the first evaluation");
    const second = app.request("/v1/images/1.png");
    await new Promise((resolve) => setTimeout(resolve));
    open();
    assertEquals([(await first).status, (await second).status], [200, 200]);
    const text = await (await app.request("/metrics")).text();
    assertEquals(metric(text, 'denoise_reused_total{by="joined"}'), 1);
    assertEquals(metric(text, 'denoise_reused_total{by="cache"}'), 0);
    assertEquals((await app.request("/v1/images/2.png")).status, 429);
  } finally {
    Date.now = clock;
  }
});

Deno.test("who is refused is told how to come in", async () => {
  const models = { fake: fakeModel() };
  const app = createApp({ models, keys: ["first", "last"], signingKey: "s", pictures: "signed" });
  const key = "expected a key (Authorization: Bearer …)";
  const either = "expected a signed address, or a key (Authorization: Bearer …)";
  const closed: [path: string, detail: string, init?: RequestInit][] = [
    ["/v1/images/1.png", either],
    ["/v1/images/1/events", either],
    ["/v1/models", key],
    ["/metrics", key],
    [generations, key, post({ prompt: "x" })],
  ];
  for (const [path, detail, init] of closed) {
    const response = await app.request(path, init);
    const { status, headers } = response;
    assertEquals([status, headers.get("www-authenticate")], [401, "Bearer"], path);
    assertEquals((await response.json()).detail, detail, path);
  }
  const status = async (authorization: string) => {
    const response = await app.request("/v1/models", { headers: { authorization } });
    await response.body?.cancel();
    return response.status;
  };
  for (const right of ["Bearer first", "Bearer last", "bearer first", "BEARER  last "]) {
    assertEquals(await status(right), 200, right);
  }
  for (const wrong of ["first", "Bearer", "Bearer firs", "Bearer First", "Bearer first last"]) {
    assertEquals(await status(wrong), 401, wrong);
  }
  const problem = async (query: string) => {
    const response = await app.request(`/v1/images/1.png?${query}`);
    const { errors: [{ field, expected, found }] } = await response.json();
    return [response.status, field, expected, found];
  };
  const forged = [403, "sig", "the signature of this address", "x"];
  assertEquals(await problem("sig=x&expires=9999999999"), forged);
  const headers = { authorization: "Bearer first" };
  const keyed = await app.request("/v1/images/1.png?sig=x", { headers });
  await keyed.body?.cancel();
  assertEquals(keyed.status, 403, "a key makes no wrong signature right");
  const now = Math.floor(Date.now() / 1000);
  const at = (name: string) => new URL(`http://here/v1/images/${name}`);
  const past = await signAddress(at("1.png"), "s", now - 1);
  const late = [403, "expires", "a time to come, in seconds since 1970", String(now - 1)];
  assertEquals(await problem(past.search.slice(1)), late);
  // What is percent-encoded in the address is one picture with what is not.
  for (const name of ["a@b.png", "a%40b.png", "100%.png"]) {
    const signed = await signAddress(at(`${name}?steps=1`), "s", now + 60);
    assertEquals(signed.searchParams.get("expires"), String(now + 60));
    const response = await app.request(signed.href);
    await response.body?.cancel();
    assertEquals(response.status, 200, name);
  }
});

Deno.test("what events are answered with is told to HEAD, too, and no answer to them is kept", async () => {
  const models = { fake: fakeModel() };
  const app = createApp({ models });
  const path = "/v1/images/7/events?steps=1";
  const names = ["content-type", "cache-control", "x-accel-buffering"];
  const of = async (init: RequestInit) => {
    const { status, headers, body } = await app.request(path, init);
    await body?.cancel();
    return [status, ...names.map((name) => headers.get(name))];
  };
  assertEquals(await of({ method: "GET" }), [200, "text/event-stream", "no-store", "no"]);
  assertEquals(await of({ method: "HEAD" }), [200, "text/event-stream", "no-store", "no"]);
  // It is for who has had the last event: a proxy that keeps it would end other people's streams.
  const ended = { headers: { "last-event-id": "done" } };
  assertEquals(await of(ended), [204, null, "no-store", null]);
  const closed = createApp({ models, signingKey: "s", pictures: "signed" });
  const stranger = await closed.request(path, ended);
  await stranger.body?.cancel();
  assertEquals(stranger.status, 401, "nor is a stranger told so");
});

Deno.test("a signature is good to the second that it names, and signing leaves the address as it is", async () => {
  const { now } = Date;
  const at = 1_800_000_000;
  const models = { fake: fakeModel() };
  const app = createApp({ models, keys: ["k"], signingKey: "s", pictures: "signed" });
  const address = new URL("http://here/v1/images/7.png?steps=1");
  const before = address.href;
  const signed = await signAddress(address, "s", at);
  assertEquals([address.href, signed.searchParams.get("expires")], [before, `${at}`]);
  const status = async (milliseconds: number) => {
    Date.now = () => milliseconds;
    const response = await app.request(signed.href);
    await response.body?.cancel();
    return response.status;
  };
  try {
    const times = [1000 * at - 1000, 1000 * at - 1, 1000 * at, 1000 * at + 1];
    const statuses = [];
    for (const time of times) statuses.push(await status(time));
    assertEquals(statuses, [200, 200, 403, 403]);
    Date.now = () => 1000 * at + 999;
    const body = { prompt: "x", steps: 1, response_format: "url" };
    const asked = await app.request(generations, post(body, { authorization: "Bearer k" }));
    const { data: [{ url }] } = await asked.json();
    assertEquals(new URL(url).searchParams.get("expires"), String(at + 3600), "for an hour");
  } finally {
    Date.now = now;
  }
});

Deno.test("a Host is a name or an address, and perhaps a port of up to five digits", async () => {
  const ask = async (host: string) => {
    let passed = false;
    const raw = { headers: new Headers({ host }) };
    const context = { req: { raw, url: "http://x/" } } as unknown as Context;
    const next = () => Promise.resolve(void (passed = true));
    const error = await requireHost(context, next).catch((error) => error);
    const told = `host: expected a host's name and perhaps a port, found ${JSON.stringify(host)}`;
    if (error) assertEquals([error.status, error.message], [400, told]);
    return passed;
  };
  const right = [
    "a.b-c_d",
    "A:0",
    "x:",
    "x:12345",
    "[::1]",
    "[::FFFF:1.2.3.4]:80",
    `[${":".repeat(45)}]`,
  ];
  for (const host of right) assertEquals(await ask(host), true, host);
  const wrong = [
    "x:123456",
    "[]",
    "[::1]:123456",
    `[${":".repeat(46)}]`,
    "[::g]",
    "::1",
    "x:a",
    "a/b",
  ];
  for (const host of wrong) assertEquals(await ask(host), false, host);
});
