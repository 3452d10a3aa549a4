/** Who may ask, how often, and from where. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { clientBehindProxy, createApp, signAddress } from "../src/server/mod.ts";
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

Deno.test("behind a proxy a client is the last address of its header: the others it can make up", () => {
  const client = clientBehindProxy("x-forwarded-for");
  const of = (value?: string) =>
    client(new Request("http://here/", { headers: value ? { "x-forwarded-for": value } : {} }));
  assertEquals(of("203.0.113.7"), "203.0.113.7");
  assertEquals(of("1.2.3.4, 203.0.113.7"), "203.0.113.7");
  assertEquals(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2");
  assertEquals(of(), "unknown");
});

Deno.test("without keys generations are public: limited by cost like pictures, and never signed", async () => {
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
  assertStringIncludes(preflight.headers.get("access-control-allow-headers")!, "authorization");
});
