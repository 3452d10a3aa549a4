/** What a request's fields mean: which goes before which, what is read of texts, what is told of the answer. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { decodePng } from "../src/image/png.ts";
import { createApp, type DenoiseApp, type Scheduler } from "../src/server/mod.ts";
import { hashToSeed } from "../src/server/work/seed.ts";
import { frozenClock } from "./frozen_clock.ts";
import { fakeModel, until } from "./server_fake.ts";
import { decode, generations, metric, post } from "./server_http.ts";

const labels = ["cat", "dog", "eel"];
const make = (options = {}) =>
  createApp({ models: { fake: fakeModel({ labels, nullLabel: 3 }) }, ...options });

/** What is told of the first image. */
async function image(app: DenoiseApp, body: Record<string, unknown>, headers = {}) {
  const response = await app.request(
    generations,
    post({ prompt: "x", steps: 1, ...body }, headers),
  );
  const answer = await response.json();
  assertEquals(response.status, 200, JSON.stringify(answer));
  return answer.data[0];
}

/** The status, and the field, expectation and finding of the first error. */
async function refused(app: DenoiseApp, path: string, init?: RequestInit) {
  const response = await app.request(path, init);
  const { errors } = await response.json();
  const [{ field, expected, found }] = errors ?? [{}];
  return [response.status, field, expected, found];
}

Deno.test("a prompt is a class, two classes, or a name of a seed; fields go before it", async () => {
  const app = make();
  const cases: [Record<string, unknown>, Record<string, unknown>][] = [
    [{ prompt: "dog", seed: 5 }, { label: "dog", seed: 5, revised_prompt: "label dog, seed 5" }],
    [{ prompt: " eel ", seed: 0 }, { label: "eel", seed: 0 }],
    [{ prompt: "dog", label: "cat", seed: 5 }, { label: "cat", mix: undefined }],
    [{ prompt: "dog", label: 2, seed: 5 }, { label: "eel" }],
    [{ prompt: "dog", label: 0, seed: 5 }, { label: "cat" }],
    [{ prompt: "cat+dog", seed: 5 }, { label: "cat+dog", mix: 0.5 }],
    [{ prompt: "cat + dog", seed: 5, mix: 0.2 }, { label: "cat+dog", mix: 0.2 }],
    [{ prompt: "cat+dog", label: "eel", seed: 5 }, { label: "eel", mix: undefined }],
    [{ prompt: "Alice" }, { seed: hashToSeed("alice") }],
    [{ prompt: "Alice", seed: "Bob" }, { seed: hashToSeed("bob") }],
    [{ prompt: "cat", seed: 3, with: 9, mix: 0.25 }, {
      ...{ label: "cat", with: 9, mix: 0.25 },
      revised_prompt: "label cat, seed 3 with 9",
    }],
    [{ prompt: "Alice", seed: null, label: null, n: null, size: null }, {
      seed: hashToSeed("alice"),
    }],
  ];
  for (const [body, expected] of cases) {
    const told = await image(app, body);
    const chosen = Object.fromEntries(Object.keys(expected).map((key) => [key, told[key]]));
    assertEquals(chosen, expected, JSON.stringify(body));
  }
  const plain = createApp({ models: { fake: fakeModel() } });
  assertEquals((await image(plain, { seed: 5 })).revised_prompt, "seed 5");
  const seeds = new Set();
  for (let i = 0; i < 4; i++) seeds.add((await image(app, { prompt: "cat+dog" })).seed);
  assert(seeds.size > 1, "a prompt of classes says nothing of the seed");
  for (const prompt of ["", "  "]) {
    const told = await refused(app, generations, post({ prompt }));
    const expected = prompt === "" ? "at least 1 character" : "some text";
    assertEquals(told, [422, "prompt", expected, prompt]);
  }
});

Deno.test("an answer tells what it was made by", async () => {
  const app = make();
  const body = { seed: 4, label: "dog", schedule: "cosine", scheduler: "ddim", steps: 2, eta: 0.5 };
  const { b64_json: _, revised_prompt: __, ...told } = await image(app, { ...body, guidance: 2 });
  const { options: ___, clipped_eps: ____, ...rest } = { options: 0, clipped_eps: 0, ...told };
  assertEquals(rest, { ...rest, ...body, guidance: 2, weights: "fake@0123456789abcdef" });
  assert(!("schedule" in await image(app, { seed: 4 })));
});

Deno.test("weights may be named by either name; what is pinned is pinned in a body too", async () => {
  const hash = "b".repeat(64);
  const app = createApp({ models: { one: fakeModel(), two: fakeModel({ hash }) } });
  const cases: [Record<string, unknown>, string][] = [
    [{}, "one"],
    [{ model: "two" }, "two"],
    [{ weights: "two" }, "two"],
    [{ weights: "two", model: "one" }, "two"],
    [{ weights: "one", model: "two" }, "one"],
    [{ model: `two@${hash}` }, "two"],
  ];
  for (const [body, name] of cases) {
    assertEquals((await image(app, body)).weights.split("@")[0], name, JSON.stringify(body));
  }
  for (const name of ["model", "weights"]) {
    const [status, field] = await refused(app, generations, post({ prompt: "x", [name]: "three" }));
    assertEquals([status, field], [404, "weights"]);
  }
});

Deno.test("numbers in an address are written in digits, with a point, or with an exponent", async () => {
  const app = make();
  const guidance = async (text: string) => {
    const response = await app.request(`/v1/images/7.png?steps=1&guidance=${text}`);
    if (response.status !== 200) return (await response.json()).errors[0].found;
    const address = response.headers.get("content-location")!;
    await response.body?.cancel();
    return Number(new URLSearchParams(address.split("?")[1]).get("guidance"));
  };
  for (const [text, value] of [["2", 2], ["2.5", 2.5], ["5e-1", 0.5], ["1E1", 10], ["02", 2]]) {
    assertEquals(await guidance(String(text)), value, String(text));
  }
  for (const text of ["", "+2", "0x2", "2.", ".5", "1e999999", "Infinity", "2 "]) {
    assertEquals(await guidance(encodeURIComponent(text)), text, `"${text}" is no number`);
  }
  const scaled = await app.request("/v1/images/7.png?steps=1&scale=2");
  assertEquals(decodePng(await scaled.bytes()).width, 16);
});

Deno.test("what an address may say has bounds, and each is told", async () => {
  const long = "l".repeat(150);
  const models = { fake: fakeModel({ labels: [long, "dog", "x".repeat(150)], nullLabel: 3 }) };
  const app = createApp({ models, limits: { maxNameLength: 20, maxPixels: 71 * 71 } });
  const cases: [string, string, string][] = [
    ["guidance=20.1", "guidance", "at most 20"],
    ["guidance=-0.1", "guidance", "at least 0"],
    ["mix=1.01&with=9", "mix", "at most 1"],
    ["mix=-0.1&with=9", "mix", "at least 0"],
    ["scale=65", "scale", "at most 64"],
    ["scale=0", "scale", "at least 1"],
    ["scale=9", "scale", "at most 5041 pixels in one request"],
    ["size=72", "size", "at most 5041 pixels in one request"],
    [`with=${"w".repeat(21)}`, "with", "at most 20 characters"],
    ["with=a%2Fb", "with", 'a name without "/"'],
    [`label=${"x".repeat(302)}`, "label", "at most 301 characters"],
    [`weights=${"x".repeat(201)}`, "weights", "at most 200 characters"],
    [`size=${"1".repeat(21)}`, "size", "at most 20 characters"],
    ["size=1.5", "size", '"auto", or a width and height from 8x8 to 512x512'],
    ["expires=soon", "expires", "a number"],
  ];
  for (const [query, field, expected] of cases) {
    const told = await refused(app, `/v1/images/7.png?${query}`);
    assertEquals(told.slice(0, 3), [422, field, expected], query);
  }
  const both = await app.request(`/v1/images/7.png?steps=1&label=${long}%2B${"x".repeat(150)}`);
  assertEquals(both.status, 200, "two long names");
  for (
    const right of ["scale=8", "size=71", "size=auto", "guidance=20", "with=9&mix=1", "expires=1"]
  ) {
    const { status, body } = await app.request(`/v1/images/7.png?steps=1&${right}`);
    await body?.cancel();
    assertEquals(status, 200, right);
  }
  const many = post({ prompt: "x", n: 2, size: "56x56" });
  assertEquals((await refused(app, generations, many)).slice(0, 2), [422, "n"]);
});

Deno.test("an option is read by its own scheduler, and one of two schedulers is described by both", async () => {
  const option = (maximum: number) => ({
    type: "number" as const,
    description: "how strong",
    default: 1,
    minimum: 0,
    maximum,
  });
  const plugin = (name: string, maximum: number): Scheduler => ({
    ...builtIn.ddpm,
    name,
    options: { strength: option(maximum) },
  });
  const schedulers = { ...builtIn, weak: plugin("weak", 1), strong: plugin("strong", 9) };
  const app = make({ schedulers });
  const ask = async (query: string) =>
    (await refused(app, `/v1/images/7.png?steps=1&${query}`, { method: "HEAD" })
      .catch(() => [200]))[0];
  assertEquals(await ask("scheduler=strong&strength=5"), 200);
  const told = await refused(app, "/v1/images/7.png?steps=1&scheduler=weak&strength=5");
  assertEquals(told, [422, "strength", "a number from 0 to 1", 5]);
  const { paths } = await (await app.request("/openapi.json")).json();
  const { parameters } = paths["/v1/images/{seed}.png"].get;
  const { schema } = parameters.find(({ name }: { name: string }) => name === "strength");
  const bounds = schema.anyOf.map(({ minimum, maximum }: Record<string, number>) => [
    minimum,
    maximum,
  ]);
  assertEquals(bounds, [[0, 1], [0, 9]]);
  for (const body of [{ strength: 5, scheduler: "strong" }, { strength: null }]) {
    await image(app, body);
  }
});

Deno.test("apps side by side say what each of them knows", async () => {
  const expected = async (app: DenoiseApp, query: string) =>
    (await refused(app, `/v1/images/7.png?${query}`))[2];
  const one = make({ limits: { maxSteps: 10 } }), other = make({ limits: { maxSteps: 20 } });
  assertEquals(await expected(one, "steps=30"), "at most 10");
  assertEquals(await expected(other, "steps=30"), "at most 20");
  assertEquals(await expected(one, "steps=30"), "at most 10");
  const mine: Scheduler = { ...builtIn.ddim, name: "mine" };
  const more = make({ schedulers: { ...builtIn, mine } }), fewer = make();
  for (const [app, status] of [[more, 200], [fewer, 422], [more, 200]] as const) {
    const path = "/v1/images/7.png?scheduler=mine";
    assertEquals((await app.request(path, { method: "HEAD" })).status, status);
  }
  const label = async (app: DenoiseApp) => {
    const { paths } = await (await app.request("/openapi.json")).json();
    const { parameters } = paths["/v1/images/{seed}.png"].get;
    return parameters.find(({ name }: { name: string }) => name === "label").description;
  };
  assertEquals(await label(make()), "a class, or two with + between: cat, dog, eel");
  const ant = createApp({ models: { fake: fakeModel({ labels: ["ant"] }) } });
  assertEquals(await label(ant), "a class, or two with + between: ant");
  const none = createApp({ models: { fake: fakeModel() } });
  assertEquals(await label(none), "a class, by name or index, or two with + between");
  const long = `label=${"x".repeat(202)}`;
  assertEquals(await expected(ant, long), "at most 201 characters", "twice 100 at least");
});

Deno.test("addresses in answers are signed for an hour to who has a key, and lead to where the app is mounted", async () => {
  const { Hono } = await import("npm:hono@4.13.19");
  const app = make({ keys: ["k"], signingKey: "s", pictures: "signed" });
  const parent = new Hono().route("/art", app);
  const headers = { authorization: "Bearer k" };
  const body = { prompt: "x", steps: 1, response_format: "url", n: 2, seed: 7 };
  const response = await parent.request(`http://here/art${generations}`, post(body, headers));
  const { data } = await response.json();
  for (const [i, { url }] of data.entries()) {
    const { origin, pathname, searchParams } = new URL(url);
    assertEquals([origin, pathname], ["http://here", `/art/v1/images/${7 + i}.png`]);
    const seconds = Number(searchParams.get("expires")) - Date.now() / 1000;
    assert(seconds > 3500 && seconds <= 3600, `${seconds} s`);
    const picture = await parent.request(url);
    await picture.body?.cancel();
    assertEquals(picture.status, 200);
  }
  const open = make({ signingKey: "s", publicUrl: "https://a.example/b" });
  const { url } = await image(open, { response_format: "url", seed: 7 });
  assert(url.startsWith("https://a.example/b/v1/images/7.png?weights="), url);
  assert(!url.includes("sig="), "a signature frees from the rate limit: not for the public");
});

Deno.test("who leaves a generation ends its work; who is refused by a full server pays nothing", async () => {
  using _ = frozenClock();
  let open!: () => void;
  const held = new Promise<void>((resolve) => open = resolve);
  const model = fakeModel({ before: () => held });
  const app = createApp({
    models: { fake: model },
    limits: { maxQueue: 10, publicCostPerMinute: 20 },
    client: () => "one",
  });
  const leaving = new AbortController();
  const init = { ...post({ prompt: "x", n: 2, steps: 5 }), signal: leaving.signal };
  const gone = app.request(new Request(`http://x${generations}`, init));
  await until(() => model.evaluations === 1, "the first evaluation");
  for (let i = 0; i < 5; i++) {
    assertEquals((await app.request("/v1/images/1.png?steps=5")).status, 503);
  }
  leaving.abort();
  assertEquals((await gone).status, 499);
  open();
  const left = new AbortController();
  left.abort();
  const before = new Request("http://x/v1/images/3.png?steps=2", { signal: left.signal });
  assertEquals((await app.request(before)).status, 499, "who had left already");
  // 10 of 20 were taken by the first, 2 by the last: 8 are left.
  assertEquals((await app.request("/v1/images/1.png?steps=8")).status, 200);
  assertEquals((await app.request("/v1/images/2.png?steps=1")).status, 429);
  const text = await (await app.request("/metrics")).text();
  assertEquals(metric(text, 'denoise_images_total{weights="fake"}'), 1);
  assertEquals(metric(text, "denoise_queue_cost"), 0);
});

Deno.test("one picture that is asked for twice in a request is made and paid once", async () => {
  using _ = frozenClock();
  const model = fakeModel();
  const app = createApp({ models: { fake: model }, limits: { publicCostPerMinute: 9 } });
  const both = ["a", "a"].map((seed) => app.request(`/v1/images/${seed}.png?steps=4`));
  for (const response of await Promise.all(both)) assertEquals(response.status, 200);
  assertEquals(model.evaluations, 4);
  assertEquals((await app.request("/v1/images/b.png?steps=5")).status, 200);
});

Deno.test("runs are told apart by their weights: each is planned on its own timesteps", async () => {
  const short = {
    ...fakeModel(),
    scheduler: { ...fakeModel().scheduler, num_train_timesteps: 100 },
  };
  const app = createApp({ models: { long: fakeModel(), short } });
  const times = async (weights: string) => {
    const response = await app.request(
      `/v1/images/7/events?steps=2&preview=none&weights=${weights}`,
    );
    return [...(await response.text()).matchAll(/"t":(\d+)/g)].map(([, t]) => Number(t));
  };
  assertEquals([await times("long"), await times("short")], [[500, 0], [50, 0]]);
});

Deno.test("a sampler that never comes to its end is refused as too much, not counted for ever", async () => {
  const endless: Scheduler = {
    name: "endless",
    api: 1,
    async *sampler(run) {
      for (;;) {
        const { x_0 } = await run.denoise(run.x, run.timesteps[0]);
        if (run.x.length === 0) yield { t: 0, x: x_0, x_0 };
      }
    },
  };
  const app = make({ schedulers: { ...builtIn, endless }, limits: { maxCost: 100 } });
  const [status, field, expected] = await refused(
    app,
    "/v1/images/7.png?scheduler=endless&steps=1",
  );
  assertEquals([status, field, expected], [422, "steps", "at most 100 evaluations in one request"]);
});

Deno.test("previews and pictures of a request are one seed's each, counted up", async () => {
  const app = make();
  const body = { prompt: "x", n: 3, steps: 1, seed: 2 ** 32 - 2 };
  const { data } = await (await app.request(generations, post(body))).json();
  assertEquals(data.map(({ seed }: { seed: number }) => seed), [2 ** 32 - 2, 2 ** 32 - 1, 0]);
  const pictures = data.map(({ b64_json }: { b64_json: string }) => decode(b64_json).join());
  assertNotEquals(pictures[0], pictures[1]);
  const { b64_json } = await image(app, { seed: 0 });
  assertEquals(decode(b64_json).join(), pictures[2]);
});

Deno.test("a sampler that asks the network no more is ended, too, when its reader leaves", async () => {
  const seen = { steps: 0 };
  const idle: Scheduler = {
    name: "idle",
    api: 1,
    async *sampler(run) {
      const [t] = run.timesteps;
      const { x_0 } = await run.denoise(run.x, t);
      for (let step = 0; step < 100; step++) {
        if (run.x.length > 1) {
          seen.steps++;
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        yield { t, x: x_0, x_0 };
      }
      return x_0;
    },
  };
  const app = make({ schedulers: { ...builtIn, idle } });
  const leaving = new AbortController();
  const init = { signal: leaving.signal };
  const asked = app.request(new Request("http://x/v1/images/1.png?scheduler=idle", init));
  await until(() => seen.steps > 3, "some steps");
  leaving.abort();
  assertEquals((await asked).status, 499);
  const { steps } = seen;
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert(seen.steps <= steps + 1, `${seen.steps - steps} steps more`);
});

Deno.test("a run that was given up, when it ends, does not make the next one of its picture forgotten", async () => {
  const gates: (() => void)[] = [];
  const model = fakeModel({ before: () => new Promise((resolve) => gates.push(resolve)) });
  const app = createApp({ models: { fake: model }, limits: { cacheBytes: 0 } });
  const path = "http://x/v1/images/1.png?steps=1";
  const leaving = new AbortController();
  const first = app.request(new Request(path, { signal: leaving.signal }));
  await until(() => gates.length === 1, "the first evaluation");
  leaving.abort();
  const second = app.request(path);
  assertEquals((await first).status, 499);
  gates[0]();
  await until(() => gates.length === 2, "the evaluation of the second");
  const third = app.request(path);
  await new Promise((resolve) => setTimeout(resolve, 5));
  gates[1]();
  assertEquals([(await second).status, (await third).status, model.evaluations], [200, 200, 2]);
});
