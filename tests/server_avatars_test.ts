/** Pictures by address as people ask for them: their making, sizes, mixtures. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import omggif from "npm:omggif@1.0.10";
import { decodePng } from "../src/image/png.ts";
import { noiseOf } from "../src/sampling/image.ts";
import { fromText } from "../src/recipe/recipe.ts";
import { createApp, type DenoiseApp, signAddress } from "../src/server/mod.ts";
import { toPixels } from "../mod.ts";
import { readApng } from "./apng.ts";
import { frozenClock } from "./frozen_clock.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, post } from "./server_http.ts";

const labels = ["wizard", "orc", "elf"];

async function bytes(app: DenoiseApp, address: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await app.request(address);
  const body = await response.bytes();
  assertEquals(response.status, 200, `${address} ${new TextDecoder().decode(body.slice(0, 300))}`);
  return body;
}

const picture = async (app: DenoiseApp, address: string) => decodePng(await bytes(app, address));

Deno.test("a .gif or .apng is the picture's making, from its noise to the picture's own pixels", async () => {
  const shape: [number, number, number] = [3, 8, 8];
  const app = createApp({ models: { fake: fakeModel({ shape, labels }) } });
  for (const query of ["steps=4", "steps=4&scale=3", "steps=4&size=29&label=orc%2Belf"]) {
    const png = await picture(app, `/v1/images/alice.png?${query}`);
    const { still, frames, plays } = readApng(await bytes(app, `/v1/images/alice.apng?${query}`));
    assertEquals(frames.length, 5, "x_T and every step");
    assertEquals(frames.map(({ delay }) => delay), [400, 400, 400, 400, 2000]);
    assertEquals(plays, 0);
    assertEquals(frames[4].pixels, png.pixels);
    assertEquals(still, png, "the picture and its recipe to who knows no animation");

    const gif = new omggif.GifReader(await bytes(app, `/v1/images/alice.gif?${query}`));
    assertEquals([gif.width, gif.height, gif.numFrames()], [png.width, png.height, 5]);
    assertEquals(gif.frameInfo(4).delay, 200);
    const shown = new Uint8Array(4 * png.width * png.height);
    gif.decodeAndBlitFrameRGBA(4, shown);
    // 64 colours and a ground are fewer than a palette has.
    assertEquals(shown.filter((_, i) => i % 4 < 3), png.pixels, query);
  }
  const { still, frames } = readApng(await bytes(app, "/v1/images/7.apng?steps=4"));
  const x_T = noiseOf({ seed: fromText(still.text.denoise, "")[0].seed }).randn(3 * 64);
  assertEquals(frames[0].pixels, toPixels(x_T, shape).pixels);
  assertNotEquals(frames[1].pixels, frames[2].pixels);
});

Deno.test("a making of many steps shows no more than 48 frames", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const { frames } = readApng(await bytes(app, "/v1/images/7.apng?steps=100"));
  assert(frames.length > 30 && frames.length <= 48, `${frames.length} frames`);
  const png = await picture(app, "/v1/images/7.png?steps=100");
  assertEquals(frames.at(-1)!.pixels, png.pixels);
});

Deno.test("a making has a type, an ETag and a pinned address of its own; HEAD makes nothing", async () => {
  const model = fakeModel({ labels });
  const app = createApp({ models: { fake: model } });
  const etags = new Set<string>();
  for (const [format, type] of [["png", "png"], ["gif", "gif"], ["apng", "apng"]]) {
    const address = `http://here/v1/images/alice@example.com.${format}?label=orc`;
    const before = model.evaluations;
    const head = await app.request(address, { method: "HEAD" });
    assertEquals(model.evaluations, before);
    const got = await app.request(address);
    assertEquals(got.headers.get("content-type"), `image/${type}`);
    for (const name of ["content-type", "etag", "cache-control", "content-location"]) {
      assertEquals(head.headers.get(name), got.headers.get(name), name);
    }
    const body = await got.bytes();
    assertEquals(got.headers.get("content-length"), String(body.length));
    const etag = got.headers.get("etag")!;
    etags.add(etag);
    const unchanged = await app.request(address, { headers: { "if-none-match": etag } });
    assertEquals(unchanged.status, 304);
    const pinned = await app.request(new URL(got.headers.get("content-location")!, address).href);
    assertEquals(pinned.headers.get("cache-control"), "public, max-age=31536000, immutable");
    assertEquals([pinned.headers.get("etag"), await pinned.bytes()], [etag, body]);
    assertEquals(model.evaluations, before + 5, "the second time it is kept");
  }
  assertEquals(etags.size, 3);
});

Deno.test("a signature is for one file, not for the same picture's others", async () => {
  const app = createApp({
    models: { fake: fakeModel() },
    signingKey: "secret",
    pictures: "signed",
  });
  const address = new URL("http://localhost/v1/images/7.gif?steps=3");
  assertEquals((await app.request(address.href)).status, 401);
  const signed = await signAddress(address, "secret", Math.floor(Date.now() / 1000) + 60);
  const response = await app.request(signed.href);
  assertEquals([response.status, response.headers.get("cache-control")], [
    200,
    "private, no-cache",
  ]);
  await response.body?.cancel();
  signed.pathname = signed.pathname.replace(".gif", ".apng");
  assertEquals((await app.request(signed.href)).status, 403);
});

Deno.test("a making costs the pixels of all its frames, and has no more of them than a request may", async () => {
  using _ = frozenClock();
  const status = async (publicCostPerMinute: number, address: string) => {
    const models = { fake: fakeModel({ shape: [1, 32, 32] }) };
    const app = createApp({ models, limits: { publicCostPerMinute } });
    const response = await app.request(address);
    return [response.status, await response.text()] as const;
  };
  // 3 evaluations; a frame of 256² is one more: noise, 3 steps, and in an APNG the picture as its still.
  for (const [file, cost] of [["png", 4], ["gif", 7], ["apng", 8]] as const) {
    const ask = async (limit: number) => {
      const models = { fake: fakeModel({ shape: [1, 32, 32] }) };
      const app = createApp({ models, limits: { publicCostPerMinute: limit } });
      const first = await app.request(`/v1/images/1.${file}?steps=3&scale=8`);
      const second = await app.request("/v1/images/2.png?steps=1");
      for (const { body } of [first, second]) await body?.cancel();
      return [first.status, second.status];
    };
    assertEquals(await ask(cost), [200, 429], file);
    assertEquals(await ask(cost + 1), [200, 200], file);
  }
  const [refused, problem] = await status(1e6, "/v1/images/1.gif?steps=100&size=512");
  assertEquals(refused, 422);
  assertEquals(JSON.parse(problem).errors[0].field, "size");
});

Deno.test("sizes: whole multiples of every pixel, the rest of the canvas in the picture's ground", async () => {
  const app = createApp({ models: { fake: fakeModel({ shape: [1, 28, 28] }) } });
  const own = await picture(app, "/v1/images/alice.png");
  for (const [size, scale, edge] of [[64, 2, 4], [128, 4, 8], [256, 9, 2], [512, 18, 4]]) {
    const { width, height, pixels } = await picture(app, `/v1/images/alice.png?size=${size}`);
    assertEquals([width, height], [size, size]);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const [i, j] = [x, y].map((at) => Math.floor((at - edge) / scale));
        const inside = i >= 0 && j >= 0 && i < 28 && j < 28;
        const expected = inside ? own.pixels[j * 28 + i] : pixels[0];
        if (pixels[y * size + x] !== expected) throw new Error(`${size}: (${x}, ${y})`);
      }
    }
  }
});

Deno.test("a size that is a multiple is the same file as by its scale; another is known by its recipe", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  const etag = async (query: string) => (await app.request(`/v1/images/7.png?${query}`)).headers;
  assertEquals((await etag("size=24")).get("etag"), (await etag("scale=3")).get("etag"));
  const odd = await etag("size=30x25");
  assertEquals(
    new URLSearchParams(odd.get("content-location")!.split("?")[1]).get("size"),
    "30x25",
  );
  const { text, width, height } = await picture(app, `/v1/images/${odd.get("content-location")}`);
  const [{ size, scale }] = fromText(text.denoise, "");
  assertEquals([size, scale, width, height], [[30, 25], 3, 30, 25]);
  for (const wrong of ["size=7", "size=8x7", "size=huge", "size=513", "size=16&scale=2", "size="]) {
    const response = await app.request(`/v1/images/7.png?${wrong}`);
    const problem = await response.json();
    assertEquals([response.status, problem.errors?.[0].field], [422, "size"], wrong);
  }
});

Deno.test("mixtures: of two classes, of two names, and where the pinned address leads", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels }) } });
  const wizard = await picture(app, "/v1/images/alice.png?label=wizard");
  const orc = await picture(app, "/v1/images/alice.png?label=orc");
  const half = await picture(app, "/v1/images/alice.png?label=wizard%2Borc");
  assertNotEquals(half.pixels, wizard.pixels);
  assertNotEquals(half.pixels, orc.pixels);
  // The plus of a form is a space.
  const typed = await picture(app, "/v1/images/alice.png?label=wizard+orc");
  assertEquals(typed.pixels, half.pixels);
  const all = await picture(app, "/v1/images/alice.png?label=wizard%2Borc&mix=1");
  assertEquals(all.pixels, orc.pixels);
  const bob = await picture(app, "/v1/images/bob.png");
  assertEquals(
    (await picture(app, "/v1/images/alice.png?with=bob&mix=1")).pixels,
    bob.pixels,
    "the other's class comes with it",
  );
  for (const query of ["with=bob&mix=0.3", "label=wizard%2Borc&with=bob", "with=bob&label=elf"]) {
    const response = await app.request(`/v1/images/alice.png?${query}`);
    const pinned = `/v1/images/${response.headers.get("content-location")}`;
    const again = await app.request(pinned);
    assertEquals(again.headers.get("etag"), response.headers.get("etag"), query);
    assertEquals(await again.bytes(), await response.bytes());
  }
  const plain = await app.request("/v1/images/alice.png?label=wizard");
  const nothing = await app.request("/v1/images/alice.png?label=wizard%2Borc&mix=0");
  assertEquals(nothing.headers.get("etag"), plain.headers.get("etag"));
});

Deno.test("mixtures cost an evaluation more a call, and are refused with a sentence", async () => {
  const model = fakeModel({ labels });
  const app = createApp({ models: { fake: model, none: fakeModel() } });
  await picture(app, "/v1/images/1.png?label=wizard%2Borc&steps=4");
  assertEquals(model.batches, [2, 2, 2, 2]);
  for (
    const [query, field, expected] of [
      ["mix=0.3", "mix", "something to mix with: another seed, or a second label"],
      ["mix=2&with=bob", "mix", "at most 1"],
      ["label=wizard%2Bwitch", "label", "one of wizard, orc, elf, or two with + between"],
      ["weights=none&label=wizard%2Borc", "label", 'nothing: "none" knows no classes'],
      ["with=-1", "with", "an integer from 0 to 4294967295, or a name"],
      ["with=", "with", "at least 1 character"],
    ]
  ) {
    const response = await app.request(`/v1/images/1.png?${query}`);
    const [error] = (await response.json()).errors;
    assertEquals([response.status, error.field, error.expected], [422, field, expected], query);
  }
});

Deno.test("OpenAI's shape takes mixtures, as fields or as the prompt, and says what it made", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels }) } });
  const ask = async (body: unknown) => {
    const response = await app.request(generations, post(body));
    assertEquals(response.status, 200);
    return (await response.json()).data[0];
  };
  const named = await ask({ prompt: "wizard+orc", seed: 3, with: "bob", mix: 0.25 });
  const fields = await ask({ prompt: "x", label: "wizard+orc", seed: 3, with: "bob", mix: 0.25 });
  assertEquals(named, fields);
  assertEquals([named.label, named.mix], ["wizard+orc", 0.25]);
  const { pixels } = decodePng(Uint8Array.fromBase64(named.b64_json));
  const address = "/v1/images/3.png?label=wizard%2Borc&with=bob&mix=0.25";
  assertEquals((await picture(app, address)).pixels, pixels);
  const { url } = await ask({ prompt: "wizard+orc", seed: 3, response_format: "url" });
  const plain = await picture(app, "/v1/images/3.png?label=wizard%2Borc");
  assertEquals((await picture(app, url)).pixels, plain.pixels);
});
