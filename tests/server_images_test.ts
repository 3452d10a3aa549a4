import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { decodePng } from "../src/image/png.ts";
import { createApp } from "../src/server/mod.ts";
import { edits, file, form, hole, stripes } from "./restoration_forms.ts";
import { FAKE_HASH, fakeModel } from "./server_fake.ts";
import { generations, metric, parseEvents, post } from "./server_http.ts";

async function png(response: Response) {
  const body = await response.bytes();
  assertEquals(response.status, 200, new TextDecoder().decode(body.subarray(0, 500)));
  assertEquals(response.headers.get("content-type"), "image/png");
  return decodePng(body);
}

Deno.test("an address gives the same picture every time, and another seed another", async () => {
  const app = createApp({ models: { fake: fakeModel() }, limits: { cacheBytes: 0 } });
  const first = await png(await app.request("/v1/images/7.png"));
  assertEquals([first.width, first.height, first.channels], [8, 8, 1]);
  assertEquals((await png(await app.request("/v1/images/7.png"))).pixels, first.pixels);
  assertNotEquals((await png(await app.request("/v1/images/8.png"))).pixels, first.pixels);
});

Deno.test("every parameter of an address changes the picture or its size", async () => {
  const labels = ["cat", "dog"];
  const app = createApp({ models: { fake: fakeModel({ labels, nullLabel: 2 }) } });
  const plain = await png(await app.request("/v1/images/7.png?label=cat"));
  for (
    const query of [
      "label=dog",
      "label=cat&steps=7",
      "label=cat&scheduler=dpmpp",
      "label=cat&schedule=cosine",
      "label=cat&guidance=2",
      "label=cat&eta=0.5",
    ]
  ) {
    const other = await png(await app.request(`/v1/images/7.png?${query}`));
    assertNotEquals(other.pixels, plain.pixels, query);
  }
  const large = await png(await app.request("/v1/images/7.png?label=cat&scale=3"));
  assertEquals([large.width, large.height], [24, 24]);
  assertEquals(large.pixels[0], plain.pixels[0]);
  assertEquals(large.pixels[24 * 24 - 1], plain.pixels[63]);
});

Deno.test("a picture's recipe travels in its PNG", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const { text } = await png(await app.request("/v1/images/7.png?eta=0.25&steps=3"));
  const recipe = JSON.parse(text.denoise);
  assertEquals([recipe.weights, recipe.seeds, recipe.steps], [FAKE_HASH, [7], 3]);
  assertEquals(recipe.options.eta, 0.25);
});

Deno.test("a name is hashed to a seed, whatever its case and the space around it", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const alice = await app.request("/v1/images/alice@example.com.png");
  const same = await app.request("/v1/images/%20Alice%40Example.com%20.png");
  const odd = await app.request("/v1/images/a%3Fb%0Ac%25.png");
  const bob = await app.request("/v1/images/bob@example.com.png");
  const pixels = (await png(alice)).pixels;
  assertEquals((await png(same)).pixels, pixels);
  assertNotEquals((await png(bob)).pixels, pixels);
  assertNotEquals((await png(odd)).pixels, pixels);
});

Deno.test("a name with a slash is refused: what is relative to its address would be elsewhere", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  for (const [path, status] of [["a%2Fb.png", 422], ["a%2Fb/events", 422], ["a/b.png", 404]]) {
    const response = await app.request(`/v1/images/${path}`);
    assertEquals(response.status, status, String(path));
    await response.body?.cancel();
  }
  const url = "http://here/v1/images/alice@example.com.png";
  const response = await app.request(url);
  const pinned = new URL(response.headers.get("content-location")!, url);
  assertEquals((await png(await app.request(pinned.href))).pixels, (await png(response)).pixels);
});

Deno.test("every class has an address: whatever its name is, and however it is spelt", async () => {
  const long = "x".repeat(140);
  const labels = ["cat", "cat", long, "cafe\u0301", "7", ""];
  const app = createApp({ models: { fake: fakeModel({ labels }) } });
  for (let label = 0; label < labels.length; label++) {
    // Seed n has class n mod 6 where none is named.
    const named = await app.request(`/v1/images/${6 + label}.png`);
    const address = named.headers.get("content-location")!;
    const pinned = await app.request(`/v1/images/${address}`);
    assertEquals(pinned.headers.get("etag"), named.headers.get("etag"), labels[label]);
    assertEquals((await png(pinned)).pixels, (await png(named)).pixels);
  }
  const composed = await app.request(`/v1/images/1.png?label=${encodeURIComponent("caf\u00e9")}`);
  const other = await app.request("/v1/images/1.png?label=3");
  assertEquals(composed.headers.get("etag"), other.headers.get("etag"));
});

Deno.test("the ETag of a plug-in's picture is its code's, and no address of it is for ever", async () => {
  const { schedulers } = await import("../schedulers/mod.ts");
  const mine = { ...schedulers.ddim, name: "mine" };
  const make = (schedulersVersion?: string) =>
    createApp({
      models: { fake: fakeModel() },
      schedulers: { ...schedulers, mine },
      schedulersVersion,
    });
  const head = async (app: ReturnType<typeof make>, scheduler: string) => {
    const weights = `fake@${FAKE_HASH}`;
    const path = `/v1/images/7.png?scheduler=${scheduler}&weights=${weights}`;
    const { headers } = await app.request(path, { method: "HEAD" });
    return [headers.get("etag"), headers.get("cache-control")];
  };
  const [etag, control] = await head(make(), "mine");
  assertEquals(control, "public, no-cache");
  assertNotEquals((await head(make(), "mine"))[0], etag, "another start, perhaps another code");
  assertEquals(await head(make("1.0"), "mine"), await head(make("1.0"), "mine"));
  assertNotEquals((await head(make("1.1"), "mine"))[0], (await head(make("1.0"), "mine"))[0]);
  assertEquals(await head(make(), "ddim"), await head(make("1.1"), "ddim"));
  assertEquals((await head(make(), "ddim"))[1], "public, max-age=31536000, immutable");
});

Deno.test("the ETag is known before inference: If-None-Match costs no evaluation", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const head = await app.request("/v1/images/7.png", { method: "HEAD" });
  assertEquals(head.status, 200);
  assertEquals(await head.text(), "");
  const etag = head.headers.get("etag")!;
  for (const tag of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
    const headers = { "if-none-match": tag };
    assertEquals((await app.request("/v1/images/7.png", { headers })).status, 304, tag);
  }
  assertEquals(model.evaluations, 0);
  const got = await app.request("/v1/images/7.png", { headers: { "if-none-match": '"other"' } });
  assertEquals([got.status, got.headers.get("etag")], [200, etag]);
  await got.body?.cancel();
});

Deno.test("the ETag changes with whatever changes the picture, and with nothing else", async () => {
  const etag = async (model: ReturnType<typeof fakeModel>, query: string) => {
    const app = createApp({ models: { fake: model } });
    const response = await app.request(`/v1/images/${query}`, { method: "HEAD" });
    assertEquals(response.status, 200, query);
    return response.headers.get("etag");
  };
  const model = fakeModel();
  const plain = await etag(model, "7.png");
  assertEquals(await etag(model, "7.png?scheduler=ddim&steps=5&eta=0&scale=1"), plain);
  assertEquals(await etag(model, `7.png?weights=fake@${FAKE_HASH}`), plain);
  for (const query of ["8.png", "7.png?steps=6", "7.png?eta=1", "7.png?scale=2"]) {
    assertNotEquals(await etag(model, query), plain, query);
  }
  assertNotEquals(await etag(fakeModel({ hash: "f".repeat(64) }), "7.png"), plain);
  assertNotEquals(await etag({ ...fakeModel(), backend: "other" }, "7.png"), plain);
});

Deno.test("one set of weights under two names: bytes that differ have ETags that differ", async () => {
  const app = createApp({ models: { one: fakeModel(), two: fakeModel() } });
  const [one, two] = await Promise.all(
    ["one", "two"].map((name) => app.request(`/v1/images/7.png?weights=${name}`)),
  );
  assertNotEquals(one.headers.get("etag"), two.headers.get("etag"));
  assertEquals((await png(one)).pixels, (await png(two)).pixels);
});

Deno.test("only an address that names the weights' hash is immutable", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const control = async (query: string) => {
    const response = await app.request(`/v1/images/7.png${query}`, { method: "HEAD" });
    return response.headers.get("cache-control");
  };
  assertEquals(await control(""), "public, no-cache");
  assertEquals(await control("?weights=fake"), "public, no-cache");
  const pinned = "public, max-age=31536000, immutable";
  assertEquals(await control(`?weights=fake@${FAKE_HASH.slice(0, 16)}`), pinned);
});

Deno.test("Content-Location is the pinned address of the same picture", async () => {
  const labels = ["cat", "dog"];
  const app = createApp({ models: { fake: fakeModel({ labels, nullLabel: 2 }) } });
  const loose = await app.request("/v1/images/alice.png?guidance=3&eta=0.5&scale=2");
  const address = loose.headers.get("content-location")!;
  const pinned = await app.request(`/v1/images/${address}`);
  assertEquals(pinned.headers.get("etag"), loose.headers.get("etag"));
  assertEquals(pinned.headers.get("cache-control"), "public, max-age=31536000, immutable");
  assertEquals(await pinned.bytes(), await loose.bytes());
});

Deno.test("weights that were replaced are not found, never silently another picture", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const weights of ["other", `fake@${"f".repeat(64)}`, "fake@0123", "../etc", "https://x"]) {
    const response = await app.request(`/v1/images/7.png?weights=${encodeURIComponent(weights)}`);
    assertEquals(response.status, 404, weights);
    const problem = await response.json();
    assertEquals(problem.errors[0].field, "weights");
    assert(problem.errors[0].expected.includes("fake"));
  }
});

Deno.test("several weights are served at once; the first is the default", async () => {
  const small = fakeModel(), large = fakeModel({ shape: [3, 16, 16], hash: "b".repeat(64) });
  const app = createApp({ models: { small, large } });
  assertEquals((await png(await app.request("/v1/images/7.png"))).width, 8);
  const picture = await png(await app.request("/v1/images/7.png?weights=large"));
  assertEquals([picture.width, picture.channels], [16, 3]);
});

Deno.test("on every route a request is of the weights that it names: their classes, size, sampler and numbers", async () => {
  const labels = ["ant", "bee"], recommended = { scheduler: "heun", steps: 3 };
  const small = fakeModel({ labels: ["cat", "ant"] });
  const other = fakeModel({ shape: [1, 16, 16], hash: "b".repeat(64), labels, nullLabel: 2 });
  const app = createApp({ models: { small, other: { ...other, recommended } } });
  const location = async (query: string) => {
    const { headers, body } = await app.request(`/v1/images/7.png?${query}`, { method: "HEAD" });
    await body?.cancel();
    return new URLSearchParams(headers.get("content-location")!.split("?")[1]);
  };
  const pinned = await location("weights=other&label=1");
  const told = ["weights", "label", "scheduler", "steps"].map((name) => pinned.get(name));
  assertEquals(told, ["other@bbbbbbbbbbbbbbbb", "bee", "heun", "3"]);
  assertEquals((await location("label=1")).get("label"), "ant");
  const mixed = await location("weights=other&label=bee%2Bant");
  assertEquals([mixed.get("label"), mixed.get("mix")], ["bee+ant", "0.5"]);

  const events = await app.request("/v1/images/7/events?weights=other&label=1&preview=none");
  const done = JSON.parse(parseEvents(await events.text()).at(-1)!.data);
  assertEquals([done.label, done.scheduler, done.steps], ["bee", "heun", 3]);

  const body = { prompt: "bee", model: "other", seed: 7 };
  const { size, data } = await (await app.request(generations, post(body))).json();
  const [{ weights, label, scheduler, steps }] = data;
  assertEquals([size, weights, label, scheduler, String(steps)], ["16x16", ...told]);
  const url = await app.request(generations, post({ ...body, response_format: "url" }));
  const { data: [{ url: address }] } = await url.json();
  assertEquals((await app.request(address)).headers.get("etag"), done.etag);

  const files = { image: file(stripes(16, 16)), mask: file(hole(16, 16)) };
  const edit = form({ ...files, prompt: "bee", model: "other", steps: "2" });
  const edited = await (await app.request(edits, edit)).json();
  assertEquals([edited.size, edited.data[0].weights, edited.data[0].label], [
    "16x16",
    "other@bbbbbbbbbbbbbbbb",
    "bee",
  ]);

  const text = await (await app.request("/metrics")).text();
  const made = (weights: string) => metric(text, `denoise_images_total{weights="${weights}"}`);
  assertEquals([made("small"), small.evaluations], [0, 0]);
  assertEquals(made("other"), 2, "the events', which is kept for the next ones, and the edit's");
  const { paths } = await (await app.request("/openapi.json")).json();
  const { parameters } = paths["/v1/images/{seed}.png"].get;
  const described = parameters.find(({ name }: { name: string }) => name === "label");
  assertEquals(described.description, "a class, or two with + between: cat, ant, bee");
});

Deno.test("a finished picture is remembered, within the bytes allowed", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const first = await (await app.request("/v1/images/7.png")).bytes();
  const evaluations = model.evaluations;
  assertEquals(await (await app.request("/v1/images/7.png")).bytes(), first);
  assertEquals(model.evaluations, evaluations);

  const frugal = fakeModel();
  const two = createApp({
    models: { fake: frugal },
    limits: { cacheBytes: Math.round(2.5 * first.length) },
  });
  for (const seed of [7, 8, 9]) await (await two.request(`/v1/images/${seed}.png`)).bytes();
  assertEquals(frugal.evaluations, 15);
  await (await two.request("/v1/images/9.png")).bytes();
  assertEquals(frugal.evaluations, 15);
  await (await two.request("/v1/images/7.png")).bytes();
  assertEquals(frugal.evaluations, 20);
  // 9 and 7 are kept; asking for 9 makes 7 the one that was used longest ago.
  for (const seed of [9, 8, 9]) await (await two.request(`/v1/images/${seed}.png`)).bytes();
  assertEquals(frugal.evaluations, 25);
});

Deno.test("mounted in another Hono app, addresses and pictures stay the same", async () => {
  const { Hono } = await import("npm:hono@4.13.19");
  const app = createApp({ models: { fake: fakeModel() } });
  const parent = new Hono().get("/hello", (c) => c.text("mine")).route("/pictures", app);
  const alone = await (await app.request("/v1/images/7.png")).bytes();
  assertEquals(await (await parent.request("/pictures/v1/images/7.png")).bytes(), alone);
  assertEquals(await (await parent.request("/hello")).text(), "mine");
  assertEquals((await parent.request("/pictures/v1/images/7.png?steps=x")).status, 422);
});
