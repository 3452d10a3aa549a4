/** Edits, variations and restorations over HTTP. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import OpenAI, { toFile } from "npm:openai@7.57.0";
import type { Pixels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { createApp } from "../src/server/mod.ts";
import { fakeModel } from "./server_fake.ts";
import { decode, parseEvents } from "./server_http.ts";

const labels = ["cat", "dog", "eel"];
const model = () => fakeModel({ labels, nullLabel: 3 });

function stripes(width = 8, height = 8): Pixels {
  const pixels = Uint8Array.from({ length: width * height }, (_, p) => p % 3 === 0 ? 230 : 20);
  return { pixels, width, height, channels: 1 };
}

/** The right half is the hole: white, or transparent. */
function hole(width = 8, height = 8, transparent = false): Pixels {
  const right = (p: number) => p % width >= width / 2;
  const pixels = transparent
    ? Uint8Array.from(
      { length: 2 * width * height },
      (_, i) => i % 2 === 0 ? 9 : right(i >> 1) ? 0 : 255,
    )
    : Uint8Array.from({ length: width * height }, (_, p) => right(p) ? 255 : 0);
  return { pixels, width, height, channels: transparent ? 2 : 1 };
}

const file = (picture: Pixels, name = "a.png") =>
  new File([encodePng(picture)], name, { type: "image/png" });

function form(parts: Record<string, string | File | File[]>): RequestInit {
  const body = new FormData();
  for (const [name, value] of Object.entries(parts)) {
    for (const part of [value].flat()) body.append(name, part);
  }
  return { method: "POST", body };
}

const edits = "/v1/images/edits", restorations = "/v1/restorations";
const variations = "/v1/images/variations";

async function imagesOf(response: Response) {
  const answer = await response.json();
  assertEquals(response.status, 200, JSON.stringify(answer));
  return answer.data as Record<string, string>[];
}

Deno.test("an edit fills the hole and keeps the rest, the same for a seed, and each seed its own", async () => {
  const app = createApp({ models: { fake: model() } });
  for (const mask of [hole(), hole(8, 8, true)]) {
    const parts = { image: file(stripes()), mask: file(mask), n: "2", seed: "7", steps: "5" };
    const [one, other] = await imagesOf(await app.request(edits, form(parts)));
    const picture = decodePng(decode(one.b64_json));
    const { pixels } = stripes();
    assert(picture.pixels.every((level, p) => p % 8 >= 4 || level === pixels[p]), "what was kept");
    assert(picture.pixels.some((level, p) => p % 8 >= 4 && level !== pixels[p]), "what was filled");
    assert(one.b64_json !== other.b64_json);
    assertEquals([one.seed, other.seed], [7, 8] as unknown as string[]);
    assertMatch(one.etag, /inputs\.measurement=[0-9a-f]{64}/);
    const recipe = JSON.parse(picture.text.denoise);
    assertMatch(recipe.inputs[0].measurement, /^[0-9a-f]{64}$/);
    const [again] = await imagesOf(await app.request(edits, form({ ...parts, n: "1" })));
    assertEquals(again.b64_json, one.b64_json);
  }
});

Deno.test("an edit of another picture, or under another mask, is not taken from the cache", async () => {
  const app = createApp({ models: { fake: model() } });
  const made = new Set<string>();
  const other = { ...stripes(), pixels: stripes().pixels.map((level) => 255 - level) };
  const lower = { ...hole(), pixels: hole().pixels.map((_, p) => p < 32 ? 0 : 255) };
  for (const image of [stripes(), other]) {
    for (const mask of [hole(), lower]) {
      const parts = { image: file(image), mask: file(mask), seed: "1", steps: "3" };
      const [{ b64_json }] = await imagesOf(await app.request(edits, form(parts)));
      made.add(b64_json);
    }
  }
  assertEquals(made.size, 4);
});

Deno.test("several images are edited, each with its own transparency as the mask", async () => {
  const app = createApp({ models: { fake: model() } });
  const own = hole(8, 8, true);
  const flipped = {
    ...own,
    pixels: own.pixels.map((_, i) => i % 2 === 0 ? 200 : (i >> 1) % 8 < 4 ? 0 : 255),
  };
  const parts = { "image[]": [file(own), file(flipped)], n: "2", seed: "1", steps: "3" };
  const images = await imagesOf(await app.request(edits, form(parts)));
  assertEquals(images.length, 4);
  const first = decodePng(decode(images[0].b64_json)),
    third = decodePng(decode(images[2].b64_json));
  assert(first.pixels.every((level, p) => p % 8 >= 4 || level === 9));
  assert(third.pixels.every((level, p) => p % 8 < 4 || level === 200));
});

Deno.test("a prompt that is a class says what the picture shows; without one no class does", async () => {
  const app = createApp({ models: { fake: model() } });
  const parts = { image: file(stripes()), mask: file(hole()), seed: "1", steps: "3" };
  const [none] = await imagesOf(await app.request(edits, form({ ...parts, prompt: "nice" })));
  const [eel] = await imagesOf(await app.request(edits, form({ ...parts, prompt: "eel" })));
  const [same] = await imagesOf(await app.request(edits, form({ ...parts, label: "eel" })));
  assertEquals(eel.label, "eel");
  assertEquals(eel.b64_json, same.b64_json);
  assert(none.b64_json !== eel.b64_json);
});

Deno.test("a variation is near the picture at little strength, and far at much", async () => {
  const app = createApp({ models: { fake: model() } });
  const distance = async (strength: string) => {
    const parts = { image: file(stripes()), strength, seed: "3", steps: "10" };
    const [{ b64_json }] = await imagesOf(await app.request(variations, form(parts)));
    const { pixels } = stripes();
    return decodePng(decode(b64_json)).pixels.reduce((d, v, p) => d + Math.abs(v - pixels[p]), 0);
  };
  const [little, much] = [await distance("0.02"), await distance("0.9")];
  assert(little < much / 2, `${little} ${much}`);
});

Deno.test("restorations: scale, blur, noise and masks, alone and together", async () => {
  const app = createApp({ models: { fake: model() } });
  const small = { ...stripes(4, 4) };
  const asked: Record<string, string | File>[] = [
    { image: file(small), scale: "2" },
    { image: file(small), scale: "2:bicubic" },
    { image: file(small), scale: "2", mask: file(hole(4, 4)) },
    { image: file(stripes()), blur: "gaussian:1" },
    { image: file(stripes()), blur: "motion:3:45", noise: "0.05" },
    { image: file(stripes()), noise: "auto" },
    { image: file(stripes()), noise: "0.2", sampler: "ddrm", options: '{"eta": 0.5}' },
    { image: file(stripes()), mask: file(hole()), size: "16x16" },
  ];
  for (const parts of asked) {
    const response = await app.request(restorations, form({ ...parts, steps: "3", seed: "1" }));
    const [{ b64_json }] = await imagesOf(response);
    assertEquals(decodePng(decode(b64_json)).width, "size" in parts ? 16 : 8);
  }
});

Deno.test("an edit as events: previews, then the picture that the answer has", async () => {
  const app = createApp({ models: { fake: model() } });
  const parts = { image: file(stripes()), mask: file(hole()), seed: "5", steps: "4" };
  const streamed = await app.request(
    edits,
    form({ ...parts, stream: "true", partial_images: "2" }),
  );
  assertEquals(streamed.headers.get("content-type"), "text/event-stream");
  const events = parseEvents(await streamed.text());
  assertEquals(events.map(({ event }) => event), [
    "image_edit.partial_image",
    "image_edit.partial_image",
    "image_edit.completed",
    "done",
  ]);
  const [{ b64_json }] = await imagesOf(await app.request(edits, form(parts)));
  assertEquals(JSON.parse(events[2].data).b64_json, b64_json);
});

Deno.test("the OpenAI client edits and varies a picture", async () => {
  const app = createApp({ models: { fake: model() } });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.fetch);
  try {
    const client = new OpenAI({
      apiKey: "none",
      baseURL: `http://127.0.0.1:${server.addr.port}/v1`,
      maxRetries: 0,
    });
    const upload = (picture: Pixels, name: string) =>
      toFile(encodePng(picture), name, { type: "image/png" });
    const edited = await client.images.edit({
      image: await upload(stripes(), "stripes.png"),
      mask: await upload(hole(8, 8, true), "mask.png"),
      prompt: "dog",
      n: 2,
      size: "auto",
    });
    assertEquals(edited.data!.length, 2);
    assertEquals(decodePng(decode(edited.data![0].b64_json!)).width, 8);
    const several = await client.images.edit({
      image: [await upload(hole(8, 8, true), "a.png"), await upload(hole(8, 8, true), "b.png")],
      prompt: "x",
    });
    assertEquals(several.data!.length, 2);
    const varied = await client.images.createVariation({
      image: await upload(stripes(), "stripes.png"),
      n: 1,
    });
    assertEquals(decodePng(decode(varied.data![0].b64_json!)).height, 8);
    const stream = await client.images.edit({
      image: await upload(stripes(), "stripes.png"),
      mask: await upload(hole(), "mask.png"),
      prompt: "x",
      stream: true,
      partial_images: 1,
    });
    const types = [];
    for await (const event of stream) types.push(event.type);
    assertEquals(types, ["image_edit.partial_image", "image_edit.completed"]);
  } finally {
    await server.shutdown();
  }
});

/** A PNG's header saying other numbers than its data. */
function announced(width: number, height: number): Uint8Array<ArrayBuffer> {
  const bytes = encodePng(stripes());
  const view = new DataView(bytes.buffer);
  view.setUint32(16, width);
  view.setUint32(20, height);
  let crc = ~0;
  for (const byte of bytes.subarray(12, 29)) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
  }
  view.setUint32(29, ~crc >>> 0);
  return bytes;
}

const damaged = (bytes: Uint8Array<ArrayBuffer>, name = "x.png") => new File([bytes], name);

Deno.test("hostile and mistaken uploads each have their answer, before any evaluation", async () => {
  const fake = model();
  const app = createApp({ models: { fake } });
  const image = file(stripes()), mask = file(hole());
  const text = damaged(new TextEncoder().encode("<svg onload=alert(1)>"), "a.svg");
  const cases: [string, Record<string, string | File | File[]>, number, string][] = [
    [edits, { mask }, 422, "image"],
    [edits, { image }, 422, "mask"],
    [edits, { image, mask: file(hole(9, 9)) }, 422, "mask"],
    [edits, { image, mask: file({ ...hole(), pixels: new Uint8Array(64) }) }, 422, "mask"],
    [edits, { image, mask: [mask, mask] }, 422, "mask"],
    [edits, { image: text, mask }, 422, "image"],
    [edits, { image, mask: text }, 422, "mask"],
    [edits, { image: damaged(new Uint8Array()), mask }, 422, "image"],
    [edits, { image: damaged(announced(30_000, 30_000)), mask }, 422, "image"],
    [edits, { image: damaged(announced(0, 8)), mask }, 422, "image"],
    [edits, { image: damaged(encodePng(stripes()).slice(0, 50)), mask }, 422, "image"],
    [edits, { image: damaged(Uint8Array.of(0xff, 0xd8, 0xff, 0xd9)), mask }, 422, "image"],
    [edits, { image: "text", mask }, 422, "image"],
    [edits, { image, mask, virus: image }, 422, "virus"],
    [edits, { image, mask, colour: "red" }, 422, "colour"],
    [edits, { image, mask, n: "0" }, 422, "n"],
    [edits, { image, mask, n: "many" }, 422, "n"],
    [edits, { image, mask, n: "11" }, 422, "n"],
    [edits, { "image[]": Array(6).fill(image), mask, n: "2" }, 422, "n"],
    [edits, { "image[]": Array(11).fill(image), mask }, 422, "image"],
    [edits, { image, mask, steps: "5000" }, 422, "steps"],
    [edits, { image, mask, steps: "1000", n: "10" }, 422, "steps"],
    [edits, { image, mask, label: "cow" }, 422, "label"],
    [edits, { image, mask, model: "other" }, 404, "weights"],
    [edits, { image, mask, size: "7x7" }, 422, "size"],
    [edits, { image, mask, size: "100000x100000" }, 422, "size"],
    [edits, { image, mask, sampler: "https://evil.example/x.ts" }, 422, "sampler"],
    [edits, { image, mask, sampler: "__proto__" }, 422, "sampler"],
    [edits, { image, mask, sampler: "ddrm", options: '{"eta": 7}' }, 422, "eta"],
    [edits, { image, mask, sampler: "ddrm", options: '{"theta": 7}' }, 422, "theta"],
    [edits, { image, mask, options: "[1" }, 422, "options"],
    [edits, { image, mask, sampler: "pigdm", steps: "3" }, 422, "sampler"],
    [variations, { image, strength: "2" }, 422, "strength"],
    [variations, { image, mask }, 422, "mask"],
    [restorations, { image }, 422, "mask"],
    [restorations, { image, scale: "3" }, 422, "scale"],
    [restorations, { image, scale: "1e9" }, 422, "scale"],
    [restorations, { image, blur: "gaussian:NaN" }, 422, "blur"],
    [restorations, { image, blur: "gaussian:1e9" }, 422, ""],
    [restorations, { image, blur: "gaussian:1", mask }, 422, ""],
    [restorations, { image, colour: "true" }, 422, ""],
    [restorations, { image, noise: "-1" }, 422, "noise"],
    [restorations, { image, noise: "0.1", sampler: "repaint" }, 422, ""],
  ];
  for (const [path, parts, status, field] of cases) {
    const response = await app.request(path, form(parts));
    const problem = await response.json();
    const what = `${path} ${JSON.stringify(parts)}: ${JSON.stringify(problem)}`;
    assertEquals(response.status, status, what);
    assertEquals(response.headers.get("content-type"), "application/problem+json", what);
    if (field) assertEquals(problem.errors?.[0]?.field, field, what);
    assert(!/stack|\.ts:|\/src\//.test(JSON.stringify(problem)), what);
  }
  assertEquals(fake.evaluations, 0);
});

Deno.test("odd but rightful uploads are restored: 16 bits, a palette, 20,000 × 1, all hidden", async () => {
  const app = createApp({ models: { fake: model() } });
  const { encode } = await import("npm:fast-png@8.0.0");
  const deep = encode({
    width: 8,
    height: 8,
    channels: 1,
    depth: 16,
    data: Uint16Array.from({ length: 64 }, (_, p) => p * 1000),
  });
  const everything = file({ ...hole(), pixels: new Uint8Array(64).fill(255) });
  const long = { pixels: new Uint8Array(20_000).fill(7), width: 20_000, height: 1, channels: 1 };
  const mask = file(hole());
  const asked: [string, Record<string, string | File>][] = [
    [edits, { image: damaged(deep as Uint8Array<ArrayBuffer>), mask }],
    [edits, { image: file(stripes()), mask: everything }],
    [restorations, { image: file(long), noise: "0.1" }],
    [edits, { image: file(stripes(64, 32)), mask: file(hole(64, 32)) }],
  ];
  for (const [path, parts] of asked) {
    const response = await app.request(path, form({ ...parts, steps: "3", seed: "1" }));
    const [{ b64_json }] = await imagesOf(response);
    assertEquals(decodePng(decode(b64_json)).width, 8);
  }
});

Deno.test("a form that is none, too large, of another type or late has its own status", async () => {
  const app = createApp({
    models: { fake: model() },
    limits: { maxUploadBytes: 2000, uploadTimeoutMs: 30 },
  });
  const status = async (init: RequestInit) => {
    const response = await app.request(edits, init);
    assertEquals(response.headers.get("content-type"), "application/problem+json");
    await response.body?.cancel();
    return response.status;
  };
  const multipart = { "content-type": "multipart/form-data; boundary=x" };
  const body = (text: BodyInit, headers: Record<string, string> = multipart) =>
    status({ method: "POST", headers, body: text });
  assertEquals(await body("{}", { "content-type": "application/json" }), 415);
  assertEquals(await body("a=b", { "content-type": "application/x-www-form-urlencoded" }), 415);
  assertEquals(await body("nothing of the kind"), 400);
  assertEquals(await body(""), 400);
  assertEquals(await body("--x--", { ...multipart, "content-encoding": "gzip" }), 415);
  assertEquals(await status(form({ image: damaged(new Uint8Array(3000)) })), 413);
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(500)),
  });
  assertEquals(await body(endless), 413);
  assertEquals(await body(new ReadableStream({})), 408);
  const many = new FormData();
  for (let i = 0; i < 100; i++) many.append(`x${i}`, "1");
  assertEquals(
    await (await createApp({ models: { fake: model() } }).request(edits, {
      method: "POST",
      body: many,
    })).status,
    422,
  );
});

Deno.test("keys, the rate limit and the queue bind restorations as they do generations", async () => {
  const parts = () => form({ image: file(stripes()), mask: file(hole()), seed: "1", steps: "10" });
  const guarded = createApp({ models: { fake: model() }, keys: ["secret"] });
  assertEquals((await guarded.request(edits, parts())).status, 401);
  const { body } = parts();
  const init = { method: "POST", body, headers: { authorization: "Bearer secret" } };
  assertEquals((await guarded.request(edits, init)).status, 200);
  const limited = createApp({
    models: { fake: model() },
    limits: { publicCostPerMinute: 15 },
    client: () => "one",
  });
  assertEquals((await limited.request(edits, parts())).status, 200);
  const again = await limited.request(
    edits,
    form({
      ...{ image: file(stripes()), mask: file(hole()), seed: "2", steps: "10" },
    }),
  );
  assertEquals(again.status, 429);
  const full = createApp({ models: { fake: model() }, limits: { maxQueue: 5, maxCost: 5 } });
  assertEquals((await full.request(edits, parts())).status, 422);
});

Deno.test("millions of pixels in a few bytes are paid for as they are decoded", async () => {
  const large = file({
    pixels: new Uint8Array(2048 * 2048),
    width: 2048,
    height: 2048,
    channels: 1,
  });
  assert(large.size < 16_384);
  const app = createApp({
    models: { fake: model() },
    limits: { publicCostPerMinute: 150 },
    client: () => "one",
  });
  // 64 evaluations each: the third is not allowed, and seven are never decoded.
  const response = await app.request(edits, form({ image: Array(10).fill(large) }));
  assertEquals(response.status, 429);
  const other = createApp({ models: { fake: model() }, client: () => "one" });
  const refused = await other.request(edits, form({ image: Array(10).fill(large) }));
  assertEquals(refused.status, 422);
});

Deno.test("every restoring route is in /openapi.json with its files", async () => {
  const app = createApp({ models: { fake: model() } });
  const { paths } = await (await app.request("/openapi.json")).json();
  for (const path of [edits, variations, restorations]) {
    const { schema } = paths[path].post.requestBody.content["multipart/form-data"];
    assertEquals(schema.required, ["image"]);
    assertEquals(schema.properties.image.format, "binary");
  }
});
