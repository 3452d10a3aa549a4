/** The same app over a real socket, with real clients and the faults that only sockets have. */
import { assert, assertEquals } from "@std/assert";
import fc from "npm:fast-check@4.10.2";
import OpenAI from "npm:openai@7.57.0";
import { decodePng } from "../src/image/png.ts";
import { createApp, type DenoiseApp } from "../src/server/mod.ts";
import { type FakeModel, fakeModel, until } from "./server_fake.ts";
import { metric } from "./server_http.ts";

type Options = Partial<Parameters<typeof createApp>[0]>;

/** Runs `test` against a listening server and closes it. */
async function listening(
  model: FakeModel,
  options: Options,
  test: (base: URL, app: DenoiseApp) => Promise<void>,
): Promise<void> {
  const app = createApp({ models: { fake: model }, ...options });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.fetch);
  try {
    await test(new URL(`http://127.0.0.1:${server.addr.port}/`), app);
    assertEquals((await app.request("/livez")).status, 200);
  } finally {
    await server.shutdown();
  }
}

async function metricsOf(app: DenoiseApp): Promise<string> {
  return await (await app.request("/metrics")).text();
}

/** Nothing that a request took is still held. */
async function assertNothingLeaked(app: DenoiseApp): Promise<void> {
  const text = await metricsOf(app);
  for (const name of ["denoise_queue_cost", "denoise_images_waiting", "denoise_images_running"]) {
    assertEquals(metric(text, name), 0, name);
  }
  assertEquals(metric(text, 'denoise_failures_total{reason="internal"}'), 0);
}

/** Sends text over a connection of its own and reads the first bytes of the answer, if any. */
async function firstLine(base: URL, text: string): Promise<string> {
  const connection = await Deno.connect({ port: Number(base.port), hostname: base.hostname });
  const sent = connection.write(new TextEncoder().encode(text)).catch(() => 0);
  const answer = new Uint8Array(20);
  const length = await connection.read(answer).catch(() => 0);
  connection.close();
  await sent;
  return new TextDecoder().decode(answer.subarray(0, length ?? 0));
}

Deno.test("fetch gets a picture, its 304, its HEAD and its events", async () => {
  const model = fakeModel();
  await listening(model, {}, async (base) => {
    const address = new URL("v1/images/alice@example.com.png", base);
    const first = await fetch(address);
    assertEquals(decodePng(await first.bytes()).width, 8);
    const etag = first.headers.get("etag")!;
    const again = await fetch(address, { headers: { "if-none-match": etag } });
    assertEquals([again.status, await again.text()], [304, ""]);
    const head = await fetch(address, { method: "HEAD" });
    assertEquals([head.status, head.headers.get("etag")], [200, etag]);
    assertEquals(head.headers.get("content-length"), null, "the length is not known without work");
    const events = await fetch(new URL("v1/images/1/events?steps=3", base));
    assertEquals((await events.text()).match(/^event: \w+$/gm)?.length, 5);
  });
});

Deno.test("OpenAI's client generates, streams, and reads our errors", async () => {
  const labels = ["cat", "dog"];
  await listening(fakeModel({ labels }), { keys: ["sk-test"] }, async (base) => {
    const client = new OpenAI({
      apiKey: "sk-test",
      baseURL: new URL("v1", base).href,
      maxRetries: 0,
    });
    const images = await client.images.generate({ prompt: "dog", n: 2 });
    assertEquals(images.data?.length, 2);
    const { pixels } = decodePng(
      Uint8Array.from(atob(images.data![0].b64_json!), (c) => c.charCodeAt(0)),
    );
    assertEquals(pixels.length, 64);
    assert(images.data![0].revised_prompt!.startsWith("label dog, seed "));

    const byUrl = await client.images.generate({ prompt: "x", response_format: "url" });
    assertEquals((await fetch(byUrl.data![0].url!)).headers.get("content-type"), "image/png");
    await (await fetch(byUrl.data![0].url!)).body?.cancel();

    const seen: string[] = [];
    const stream = await client.images.generate({ prompt: "x", stream: true, partial_images: 2 });
    for await (const event of stream) seen.push(event.type);
    const partial = "image_generation.partial_image";
    assertEquals(seen, [partial, partial, "image_generation.completed"]);

    // Parameters of the client's own type that PNG by diffusion has no use for.
    const withAll = await client.images.generate({
      prompt: "x",
      style: "vivid",
      output_compression: 90,
      output_format: "png",
      quality: "high",
      background: "auto",
      moderation: "low",
      user: "u",
      size: "auto",
    });
    assertEquals(withAll.data?.length, 1);
    assertEquals((await client.models.retrieve("fake")).id, "fake");
    const unknown = await client.models.retrieve("dall-e-3").catch((error) => error);
    assert(unknown instanceof OpenAI.NotFoundError);
    assertEquals((await client.models.list()).data.map(({ id }) => id), ["fake"]);
    const refused = await client.images.generate({ prompt: "x", size: "7x7" as "auto" })
      .catch((error) => error);
    assert(refused instanceof OpenAI.UnprocessableEntityError);
    assertEquals(refused.param, "size");
    const stranger = new OpenAI({ apiKey: "sk-no", baseURL: client.baseURL, maxRetries: 0 });
    const denied = await stranger.images.generate({ prompt: "x" }).catch((error) => error);
    assert(denied instanceof OpenAI.AuthenticationError);
  });
});

Deno.test("a client killed mid-request or mid-stream frees its place before the next step", async () => {
  const model = fakeModel({ latency: 10 });
  await listening(model, { limits: { cacheBytes: 0 } }, async (base, app) => {
    for (const path of ["v1/images/1.png?steps=900", "v1/images/1/events?steps=900"]) {
      const before = model.evaluations;
      const connection = await Deno.connect({ port: Number(base.port), hostname: base.hostname });
      const request = `GET /${path} HTTP/1.1\r\nHost: ${base.host}\r\n\r\n`;
      await connection.write(new TextEncoder().encode(request));
      await until(() => model.evaluations > before + 2, "some steps");
      connection.close();
      const text = () => metricsOf(app);
      const end = Date.now() + 5000;
      while (metric(await text(), "denoise_images_running") > 0 && Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const left = model.evaluations;
      await new Promise((resolve) => setTimeout(resolve, 60));
      assert(model.evaluations <= left + 1, `${path}: ${model.evaluations - left} steps more`);
      await assertNothingLeaked(app);
    }
    assertEquals(metric(await metricsOf(app), 'denoise_failures_total{reason="disconnected"}'), 2);
  });
});

Deno.test("a request that succeeds is never taken for one whose client left", async () => {
  const model = fakeModel({ latency: 1 });
  await listening(model, {}, async (base, app) => {
    for (let seed = 0; seed < 20; seed++) {
      await (await fetch(new URL(`v1/images/${seed}.png`, base))).bytes();
      await (await fetch(new URL(`v1/images/${seed}/events`, base))).text();
    }
    assertEquals(metric(await metricsOf(app), 'denoise_failures_total{reason="disconnected"}'), 0);
    assertEquals(model.evaluations, 200);
  });
});

Deno.test("livez answers while 32 clients keep the network busy, and none of them fails", async () => {
  const model = fakeModel({ latency: 5, shape: [1, 28, 28] });
  await listening(model, { limits: { cacheBytes: 0 } }, async (base) => {
    let done = false;
    const clients = Array.from({ length: 32 }, async (_, i) => {
      for (let n = 0; !done; n++) {
        const address = new URL(`v1/images/${i * 1000 + n}.png?steps=20`, base);
        const response = await fetch(address);
        assertEquals(response.status, 200);
        await response.bytes();
      }
    });
    const before = model.evaluations;
    for (let i = 0; i < 100; i++) {
      const response = await fetch(new URL("livez", base));
      assertEquals([response.status, await response.text()], [200, "ok"]);
    }
    await until(() => model.evaluations > before, "work goes on beside it");
    done = true;
    await Promise.all(clients);
  });
});

Deno.test("slow-loris: clients that send a byte at a time do not keep others from their pictures", async () => {
  const model = fakeModel();
  await listening(model, { limits: { bodyTimeoutMs: 100 } }, async (base, app) => {
    const encoder = new TextEncoder();
    const slow = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      const connection = await Deno.connect({ port: Number(base.port), hostname: base.hostname });
      const head = i % 2
        ? `GET /v1/images/1.png HTTP/1.1\r\nHost: x\r\nX-Slow: `
        : `POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
          `Content-Length: 100\r\n\r\n{`;
      await connection.write(encoder.encode(head));
      return connection;
    }));
    const response = await fetch(new URL("v1/images/1.png", base));
    assertEquals(response.status, 200);
    await response.bytes();
    const answer = new Uint8Array(1000);
    const length = await slow[0].read(answer);
    const text = new TextDecoder().decode(answer.subarray(0, length ?? 0));
    assert(text.startsWith("HTTP/1.1 408 "), text);
    for (const connection of slow) connection.close();
    await assertNothingLeaked(app);
  });
});

Deno.test("malformed HTTP and oversized bodies are refused and the server stays up", async () => {
  const model = fakeModel();
  await listening(model, {}, async (base, app) => {
    const post =
      "POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    const declared = await firstLine(base, `${post}Content-Length: 1000000000\r\n\r\n{`);
    assert(declared.startsWith("HTTP/1.1 413"), declared);
    const chunk = `8000\r\n${" ".repeat(0x8000)}\r\n`;
    const endless = await firstLine(base, `${post}Transfer-Encoding: chunked\r\n\r\n${chunk}`);
    assert(endless.startsWith("HTTP/1.1 413"), endless);
    for (
      const text of [
        "GARBAGE\r\n\r\n",
        "GET /v1/images/1.png HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x/metrics?\r\n\r\n",
        "GET http://a%zz:99999/v1/images/1.png HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/images/1.png HTTP/1.1\r\nHost: [\r\n\r\n",
        "GET /v1/images/%zz.png?%E0%A4%A HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        `GET /v1/images/1.png HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(1e6)}\r\n\r\n`,
      ]
    ) {
      const line = await firstLine(base, text);
      assert(line === "" || /^HTTP\/1.1 4\d\d/.test(line), line);
    }
    await assertNothingLeaked(app);
  });
});

Deno.test("1,000 random requests, by the schema and off it: an answer each, never an internal error", async () => {
  const model = fakeModel({ labels: ["cat", "dog"], nullLabel: 2 });
  const limits = { publicCostPerMinute: 1e9, cacheBytes: 10_000 };
  await listening(model, { limits }, async (base, app) => {
    const scheduler = fc.constantFrom("linear", "cosine", "ddpm", "ddim", "dpmpp", "heun", "unipc");
    const good = {
      weights: fc.constant("fake"),
      scheduler,
      schedule: fc.constantFrom("linear", "cosine", "scaled_linear"),
      steps: fc.integer({ min: 1, max: 12 }),
      label: fc.constantFrom("cat", "dog", "0", "1"),
      guidance: fc.constantFrom(0, 0.5, 1, 3),
    };
    const odd = fc.oneof(
      fc.string({ maxLength: 30 }),
      fc.integer(),
      fc.double(),
      fc.constantFrom("null", "undefined", "NaN", "-0", "1e999", "../../etc/passwd", "\u0000"),
    );
    const query = fc.record(good, { requiredKeys: [] });
    const wildQuery = fc.dictionary(
      fc.oneof(
        fc.constantFrom(...Object.keys(good), "eta", "scale", "sig", "__proto__"),
        odd.map(String),
      ),
      odd,
      { maxKeys: 4 },
    );
    const seed = fc.oneof(fc.nat(), fc.emailAddress(), fc.string({ minLength: 1, maxLength: 20 }));
    const path = (seed: unknown, ending: string, query: Record<string, unknown>) => {
      const entries = Object.entries(query).map(([k, v]): [string, string] => [k, String(v)]);
      return `v1/images/${
        encodeURIComponent(String(seed).toWellFormed())
      }${ending}?${new URLSearchParams(entries)}`;
    };
    const get = fc.tuple(seed, fc.constantFrom(".png", "/events"), fc.oneof(query, wildQuery))
      .map(([seed, ending, query]) => ({
        path: path(seed, ending, query),
        init: {} as RequestInit,
      }));
    const body = fc.oneof(
      fc.record(
        { prompt: fc.string({ minLength: 1 }), n: fc.integer({ min: 1, max: 3 }), ...good },
        {
          requiredKeys: ["prompt"],
        },
      ),
      fc.record({
        prompt: odd,
        n: odd,
        size: odd,
        stream: fc.oneof(fc.boolean(), odd),
        response_format: fc.constantFrom("url", "b64_json", "x"),
        seed: odd,
      }, { requiredKeys: [] }),
      fc.jsonValue(),
    ).map((value) => JSON.stringify(value));
    const post = fc.oneof(body, fc.string()).map((body) => ({
      path: "v1/images/generations",
      init: { method: "POST", headers: { "content-type": "application/json" }, body },
    }));
    const requests = fc.sample(fc.oneof(get, post), { numRuns: 1000, seed: 42 });
    const counts = new Map<number, number>();
    const waiting = requests.values();
    await Promise.all(Array.from({ length: 16 }, async () => {
      for (const { path, init } of waiting) {
        const response = await fetch(new URL(path, base), init);
        const type = response.headers.get("content-type") ?? "";
        const text = await response.text();
        const shown = `${init.body ?? path} → ${response.status} ${text.slice(0, 200)}`;
        assert(response.status < 500, shown);
        if (response.status >= 400) {
          assertEquals(type, "application/problem+json", shown);
          assertEquals(JSON.parse(text).status, response.status, shown);
        }
        assert(!text.includes('"code":"internal"'), shown);
        counts.set(response.status, (counts.get(response.status) ?? 0) + 1);
      }
    }));
    assert((counts.get(200) ?? 0) > 200 && (counts.get(422) ?? 0) > 100, `${[...counts]}`);
    await assertNothingLeaked(app);
  });
});
