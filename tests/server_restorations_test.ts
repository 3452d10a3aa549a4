/** Edits, variations and restorations over HTTP. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import OpenAI, { toFile } from "npm:openai@7.57.0";
import type { Pixels } from "../src/image/pixels.ts";
import { decodePng, encodePng } from "../src/image/png.ts";
import { createApp } from "../src/server/mod.ts";
import { frozenClock } from "./frozen_clock.ts";
import {
  edits,
  file,
  form,
  hole,
  imagesOf,
  model,
  restorations,
  stripes,
  variations,
} from "./restoration_forms.ts";
import { fakeModel } from "./server_fake.ts";
import { decode, parseEvents } from "./server_http.ts";

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
  using _ = frozenClock();
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
    const again = await app.request(restorations, form({ ...parts, steps: "3", seed: "1" }));
    const { created, size, output_format } = await again.json();
    assertEquals(created, Math.floor(Date.now() / 1000));
    assertEquals([size, output_format], ["size" in parts ? "16x16" : "8x8", "png"]);
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

Deno.test("a stream shows as many previews as are asked for, at most one a step", async () => {
  const app = createApp({ models: { fake: model() } });
  const parts = { image: file(stripes()), mask: file(hole()), n: "2", steps: "6", stream: "true" };
  for (const [asked, shown] of [["0", 0], ["6", 6], ["50", 6]] as const) {
    const response = await app.request(edits, form({ ...parts, partial_images: asked }));
    const events = parseEvents(await response.text());
    for (const index of [0, 1]) {
      const of = events.filter(({ event, data }) =>
        event.endsWith("partial_image") && JSON.parse(data).index === index
      ).map(({ data }) => JSON.parse(data));
      assertEquals(of.map((data) => data.partial_image_index), [...Array(shown).keys()]);
      assertEquals(new Set(of.map((data) => data.b64_json)).size, shown);
    }
    assertEquals(events.filter(({ event }) => event.endsWith("completed")).length, 2);
  }
  const many = await app.request(edits, form({ ...parts, partial_images: "1001" }));
  assertEquals(many.status, 422);
  await many.body?.cancel();
});

Deno.test("weights that answer at every timestep restore, whichever are loaded first", async () => {
  const few = {
    ...fakeModel({ labels: ["ant"], nullLabel: 1 }),
    distilled: { teacher: "./there", guidance: 2, steps: 4 },
  };
  const parts = { image: file(stripes()), mask: file(hole()), steps: "3", seed: "1" };
  const alone = createApp({ models: { few } });
  const app = createApp({ models: { few, whole: model() } });
  const [made] = await imagesOf(await app.request(edits, form({ ...parts, prompt: "eel" })));
  assertMatch(made.weights, /^whole@/);
  assertEquals(made.label, "eel");
  // A class of weights that are not asked says nothing.
  const [other] = await imagesOf(await app.request(edits, form({ ...parts, prompt: "ant" })));
  assertEquals(other.b64_json, (await imagesOf(await app.request(edits, form(parts))))[0].b64_json);
  const { data } = await (await app.request("/v1/models")).json();
  // deno-lint-ignore no-explicit-any
  assertEquals(data.map(({ denoise }: any) => [denoise.restores, denoise.guidance]), [
    [false, false],
    [true, true],
  ]);
  const { image, mask } = parts;
  const asked: [string, Record<string, string | File>][] = [
    [edits, { image, mask }],
    [variations, { image }],
    [restorations, { image, noise: "0.1" }],
  ];
  for (const [path, parts] of asked) {
    for (
      const [asking, expected] of [[
        alone,
        /^weights .* as the teacher of "few" does; none are loaded here$/,
      ], [
        app,
        /^weights that answer at every timestep \(whole\), not in 4 steps alone$/,
      ]] as const
    ) {
      const response = await asking.request(path, form({ ...parts, model: "few" }));
      const { errors, detail } = await response.json();
      assertEquals([response.status, errors[0].field], [422, "model"], detail);
      assertMatch(errors[0].expected, expected);
      assert(!detail.includes("there"), "nothing of the operator's files");
    }
  }
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

Deno.test("keys, the rate limit and the queue bind restorations as they do generations", async () => {
  using _ = frozenClock();
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

Deno.test("every restoring route is in /openapi.json with its files", async () => {
  const app = createApp({ models: { fake: model() } });
  const { paths } = await (await app.request("/openapi.json")).json();
  for (const path of [edits, variations, restorations]) {
    const { schema } = paths[path].post.requestBody.content["multipart/form-data"];
    assertEquals(schema.required, ["image"]);
    assertEquals(schema.properties.image.format, "binary");
  }
});
