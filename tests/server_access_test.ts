/** Who may ask, how often, and from where. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { Context } from "npm:hono@4.13.19";
import { InputError } from "../src/errors.ts";
import { clientAddress } from "../src/server/http/client.ts";
import { clientBehindProxy, createApp, signAddress } from "../src/server/mod.ts";
import { createServices } from "../src/server/http/create_services.ts";
import { restorationRoutes } from "../src/server/http/restorations.ts";
import { frozenClock } from "./frozen_clock.ts";
import { edits, file, form, hole, model, stripes } from "./restoration_forms.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, post } from "./server_http.ts";

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

Deno.test("a signature opens one picture: under no other name, path or ending", async () => {
  const app = createApp({
    models: { fake: fakeModel() },
    signingKey: "secret",
    pictures: "signed",
  });
  const soon = Math.floor(Date.now() / 1000) + 60;
  const address = new URL("http://here/v1/images/alice@example.com.png?steps=3&eta=0.5");
  const { search } = await signAddress(address, "secret", soon);
  const status = async (path: string, query = search) => {
    const response = await app.request(`http://there${path}${query}`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await status("/v1/images/alice@example.com.png"), 200);
  assertEquals(await status("/v1/images/%61lice%40example.com.png"), 200, "the same name");
  const turned = new URLSearchParams([...new URLSearchParams(search)].reverse());
  assertEquals(await status("/v1/images/alice@example.com.png", `?${turned}`), 200);
  const others: [string, number][] = [
    ["/v1/images/bob/v1/images/alice@example.com.png", 404],
    ["/v1/images/bob%2Fv1%2Fimages%2Falice@example.com.png", 403],
    ["/v1/v1/images/alice@example.com.png", 404],
    ["/v1/images/Alice@example.com.png", 403],
    ["/v1/images/alice@example.com.png.png", 403],
    ["/v1/images/alice@example.com.png/events", 403],
    ["/v1/images/alice@example.com/events", 403],
    ["/v1/images/7.png", 403],
  ];
  for (const [path, expected] of others) assertEquals(await status(path), expected, path);
  const events = await signAddress(
    new URL("http://here/mounted/here/v1/images/7/events"),
    "secret",
    soon,
  );
  const { Hono } = await import("npm:hono@4.13.19");
  const parent = new Hono().route("/mounted/here", app);
  const response = await parent.request(events.href);
  await response.body?.cancel();
  assertEquals(response.status, 200);
  await assertRejects(
    () => signAddress(new URL("http://here/metrics"), "secret", soon),
    InputError,
    "signAddress: expected an address that ends in v1/images/NAME.png or v1/images/NAME/events, " +
      "found http://here/metrics",
  );
});

Deno.test("a signature is HMAC-SHA256 of the picture's path and sorted query, as any language writes it", async () => {
  const hmac = async (text: string) => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const how = { name: "HMAC", hash: "SHA-256" };
    const key = await crypto.subtle.importKey("raw", bytes("secret"), how, false, ["sign"]);
    const digest = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(text)));
    return digest.toBase64({ alphabet: "base64url", omitPadding: true });
  };
  const models = { fake: fakeModel() };
  const app = createApp({ models, signingKey: "secret", pictures: "signed" });
  const soon = Math.floor(Date.now() / 1000) + 60;
  const sig = await hmac(`v1/images/a%40b.png?expires=${soon}&scale=2&steps=3`);
  const signed = await signAddress(
    new URL("http://here/art/v1/images/a@b.png?steps=3&scale=2&expires=1&sig=old"),
    "secret",
    soon,
  );
  assertEquals(signed.searchParams.get("sig"), sig, "what was signed before is signed anew");
  const address = `/v1/images/a@b.png?steps=3&scale=2`;
  const ask = async (query: string, of = app) => {
    const response = await of.request(`${address}${query}`);
    const { errors } = response.ok ? {} as { errors?: undefined } : await response.json();
    await response.body?.cancel().catch(() => {});
    return [response.status, errors?.[0].field, errors?.[0].found];
  };
  assertEquals((await ask(`&expires=${soon}&sig=${sig}`))[0], 200);
  const timeless = await hmac("v1/images/a%40b.png?scale=2&steps=3");
  assertEquals(await ask(`&sig=${timeless}`), [403, "expires", null], "good for ever it is not");
  const never = await hmac("v1/images/a%40b.png?expires=x&scale=2&steps=3");
  assertEquals(await ask(`&expires=x&sig=${never}`), [403, "expires", "x"]);
  for (const wrong of ["", sig.slice(1), `${sig}A`]) {
    assertEquals((await ask(`&expires=${soon}&sig=${wrong}`)).slice(0, 2), [403, "sig"]);
  }
  // Where nothing is signed, what says that it is has no standing.
  const open = createApp({ models });
  assertEquals((await ask(`&expires=${soon}&sig=${sig}`, open)).slice(0, 2), [403, "sig"]);
  assertEquals((await ask("", open))[0], 200);
});

Deno.test("who has no key is told so before his body is read", async () => {
  const app = createApp({ models: { fake: fakeModel() }, keys: ["one"] });
  for (const path of [generations, "/v1/images/edits", "/v1/restorations"]) {
    let read = false;
    const body = new ReadableStream({ pull: () => void (read = true) }, { highWaterMark: 0 });
    const response = await app.request(path, { method: "POST", body });
    await response.body?.cancel();
    assertEquals([response.status, read], [401, false], path);
  }
});

Deno.test("a client is its connection's address; what it writes into headers is not believed", () => {
  const of = (hostname?: string, headers: Record<string, string> = {}, runtime?: string) => {
    const env = hostname === undefined ? undefined : { remoteAddr: { hostname } };
    const header = (name: string) => headers[name];
    const { userAgent } = navigator;
    if (runtime) {
      Object.defineProperty(navigator, "userAgent", { value: runtime, configurable: true });
    }
    try {
      return clientAddress({ env, req: { header } } as unknown as Context);
    } finally {
      Object.defineProperty(navigator, "userAgent", { value: userAgent, configurable: true });
    }
  };
  const forged = { "x-forwarded-for": "9.9.9.9", "cf-connecting-ip": "9.9.9.9" };
  assertEquals(of("203.0.113.7", forged), "203.0.113.7");
  assertEquals(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2");
  assertEquals(of("::ffff:203.0.113.7"), "203.0.113.7");
  assertEquals([of(), of("", forged)], ["unknown", "unknown"]);
  // Cloudflare writes its header over whatever came.
  assertEquals(of(undefined, forged, "Cloudflare-Workers"), "9.9.9.9");
  assertEquals(of("203.0.113.7", {}, "Cloudflare-Workers"), "unknown");
});

Deno.test("what is served is told to strangers only where pictures are public; metrics where nobody has a key", async () => {
  const models = { fake: fakeModel() };
  const status = async (options: Partial<Parameters<typeof createApp>[0]>, path: string) => {
    const app = createApp({ models, ...options });
    const stranger = await app.request(path);
    const headers = { authorization: "Bearer one" };
    const keyed = await app.request(path, { headers });
    await stranger.body?.cancel();
    await keyed.body?.cancel();
    return [stranger.status, keyed.status];
  };
  const open = {}, keys = { keys: ["one"] };
  const signed = { ...keys, signingKey: "s", pictures: "signed" as const };
  for (const path of ["/v1/models", "/v1/models/fake", "/openapi.json"]) {
    assertEquals(await status(open, path), [200, 200], path);
    assertEquals(await status(keys, path), [200, 200], path);
    assertEquals(await status(signed, path), [401, 200], path);
  }
  assertEquals(await status(open, "/metrics"), [200, 200]);
  assertEquals(await status({ keys: [] }, "/metrics"), [200, 200], "no keys are none");
  assertEquals(await status(keys, "/metrics"), [401, 200]);
  assertEquals(await status(signed, "/metrics"), [401, 200]);
  assertEquals(await status({ ...keys, metrics: "public" }, "/metrics"), [200, 200]);
  // Where nobody has a key, nobody may read what only a key opens.
  const signedAlone = { signingKey: "s", pictures: "signed" as const };
  for (const path of ["/v1/models", "/v1/models/fake", "/openapi.json", "/metrics"]) {
    assertEquals(await status(signedAlone, path), [401, 401], path);
  }
  assertEquals(await status({ ...signedAlone, metrics: "public" }, "/metrics"), [200, 200]);
  assertEquals(await status({ metrics: "key" }, "/metrics"), [401, 401]);
  assertEquals(await status({ ...keys, metrics: "key" }, "/metrics"), [401, 200]);
  assertEquals(await status(signed, "/livez"), [200, 200]);
  assertEquals(await status(signed, "/readyz"), [200, 200]);
});

Deno.test("openapi.json says of every route whether it is open as it answers a stranger", async () => {
  const models = { fake: fakeModel() };
  const keys = { keys: ["one"] };
  const signed = { signingKey: "s", pictures: "signed" as const };
  const public_ = { ...keys, metrics: "public" as const };
  for (const options of [{}, keys, public_, { ...keys, ...signed }]) {
    const app = createApp({ models, ...options });
    const headers = { authorization: "Bearer one" };
    const { paths } = await (await app.request("/openapi.json", { headers })).json();
    for (const [path, methods] of Object.entries<Record<string, { security: object[] }>>(paths)) {
      for (const [method, { security }] of Object.entries(methods)) {
        const address = path.replace("{seed}", "7").replace("{model}", "fake");
        const response = await app.request(address, { method: method.toUpperCase() });
        await response.body?.cancel();
        const open = security.some((way) => Object.keys(way).length === 0);
        const what = `${method} ${path} under ${JSON.stringify(options)}`;
        assertEquals(open, response.status !== 401, what);
      }
    }
  }
  // Where there are signatures and no keys, nobody can read it.
  for (const route of restorationRoutes(createServices({ models, ...signed }))) {
    assertEquals(route.operation!().security, [{ bearer: [] }], route.path);
  }
});

Deno.test("the public is limited by cost; what costs nothing and who has a key is not", async () => {
  using _ = frozenClock();
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

Deno.test("behind a proxy a client is the last address of its header: the others it can make up", () => {
  const client = clientBehindProxy("x-forwarded-for");
  const of = (value?: string) =>
    client(new Request("http://here/", { headers: value ? { "x-forwarded-for": value } : {} }));
  assertEquals(of("203.0.113.7"), "203.0.113.7");
  assertEquals(of("1.2.3.4, 203.0.113.7"), "203.0.113.7");
  assertEquals(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2");
  assertEquals(of(), "unknown");
  const pairs = [
    ["1.2.3.4:5001", "1.2.3.4"],
    ["1.2.3.4:5002", "1.2.3.4"],
    ["9.9.9.9, 203.0.113.9:51235", "203.0.113.9"],
    ["[2001:db8:1:2::9]:443", "2001:db8:1:2"],
    ["[2001:db8:1:2::9]", "2001:db8:1:2"],
    ["[2001:db8:1:2::9]:", "unknown"],
    ["1.2.3.4:", "unknown"],
    ["[2001:db8:ffff::1]:443", "2001:db8:ffff:0"],
    ["2001:0db8:0001:0002::1", "2001:db8:1:2"],
    ["2001:db8:1:2:0:0:0:9", "2001:db8:1:2"],
    ["::1", "0:0:0:0"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["fe80::1%eth0", "fe80:0:0:0"],
    ["_hidden", "unknown"],
    ["1.2.3.4:5001:6", "unknown"],
    ["", "unknown"],
  ];
  for (const [value, client] of pairs) assertEquals(of(value), client, value);
});

Deno.test("a proxy that writes Forwarded is read by its rules", () => {
  const client = clientBehindProxy("Forwarded");
  const of = (value: string) =>
    client(new Request("http://here/", { headers: { forwarded: value } }));
  assertEquals(of("for=1.2.3.4, for=203.0.113.7;proto=https;by=10.0.0.1"), "203.0.113.7");
  assertEquals(of('proto=http; For="[2001:db8:1:2::9]:4711"'), "2001:db8:1:2");
  assertEquals(of("for=unknown"), "unknown");
  assertEquals(of("proto=http;notfor=1.2.3.4"), "unknown", "another parameter");
  assertEquals(of("host=a;FOR=1.2.3.4:99"), "1.2.3.4");
});

Deno.test("without keys generations are public: limited by cost like pictures, and never signed", async () => {
  using _ = frozenClock();
  const app = createApp({
    models: { fake: fakeModel() },
    signingKey: "secret",
    limits: { publicCostPerMinute: 12 },
  });
  const ask = async (body: unknown) => await app.request(generations, post(body));
  const address = await (await ask({ prompt: "x", response_format: "url" })).json();
  assert(!new URL(address.data[0].url).searchParams.has("sig"));
  assertEquals((await ask({ prompt: "x", n: 2 })).status, 200);
  assertEquals((await ask({ prompt: "y" })).status, 429);
  assertEquals((await ask({ prompt: "y", stream: true })).status, 429);
});

Deno.test("a key frees from the rate and the share of streams, on every route", async () => {
  const app = createApp({
    models: { fake: model() },
    keys: ["one"],
    limits: { publicCostPerMinute: 1, maxStreams: 8 },
    client: () => "one",
  });
  const files = { image: file(stripes()), mask: file(hole()), steps: "3" };
  const body = { prompt: "x", steps: 3, n: 2 };
  const asked: [path: string, init: RequestInit][] = [
    ["/v1/images/1.png?steps=3", {}],
    ["/v1/images/1/events?steps=3", {}],
    [generations, post(body)],
    [generations, post({ ...body, stream: true })],
    [edits, form(files)],
    [edits, form({ ...files, stream: "true" })],
  ];
  for (const [path, init] of asked) {
    const headers = new Headers(init.headers);
    headers.set("authorization", "Bearer one");
    const answers = [0, 1].map(() => app.request(path, { ...init, headers }));
    for (const { status, body } of await Promise.all(answers)) {
      await body?.cancel();
      assertEquals(status, 200, path);
    }
  }
});

Deno.test("where pictures are signed and nobody has a key, nobody generates", async () => {
  const models = { fake: fakeModel() };
  const app = createApp({ models, signingKey: "secret", pictures: "signed" });
  assertEquals((await app.request(generations, post({ prompt: "x" }))).status, 401);
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
  assertEquals(preflight.headers.get("access-control-allow-methods"), "GET,HEAD,POST");
  const metrics = await app.request("/metrics", { headers: { origin: "https://a.example" } });
  assertEquals(metrics.headers.get("access-control-allow-origin"), null);
  assertStringIncludes(preflight.headers.get("access-control-allow-headers")!, "authorization");
});
