/** Pictures in OpenAI's shape. */
import { assert, assertEquals } from "@std/assert";
import { decodePng } from "../src/image/png.ts";
import { createApp } from "../src/server/mod.ts";
import { frozenClock } from "./frozen_clock.ts";
import { fakeModel } from "./server_fake.ts";
import { decode, generations, post } from "./server_http.ts";

const labels = ["cat", "dog", "eel"];

Deno.test("generations answer in OpenAI's shape, with what made each picture beside it", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels, nullLabel: 3 }) } });
  using _ = frozenClock();
  const body = { prompt: "a fine day", n: 3, size: "16x16", label: "eel", guidance: 2 };
  const answer = await (await app.request(generations, post(body))).json();
  assertEquals(answer.data.length, 3);
  assertEquals([answer.created, answer.size, answer.output_format], [
    Math.floor(Date.now() / 1000),
    "16x16",
    "png",
  ]);
  for (const [i, image] of answer.data.entries()) {
    assertEquals(image.seed, answer.data[0].seed + i);
    assertEquals([image.label, image.guidance, image.scheduler, image.steps], [
      "eel",
      2,
      "ddim",
      5,
    ]);
    assertEquals(image.revised_prompt, `label eel, seed ${image.seed}`);
    const address = `/v1/images/${image.seed}.png?scale=2&label=eel&guidance=2`;
    assertEquals(decode(image.b64_json), await (await app.request(address)).bytes());
  }
});

Deno.test("a prompt that names a label selects it, any other is hashed to the seed", async () => {
  const app = createApp({ models: { fake: fakeModel({ labels }) } });
  const image = async (body: unknown) => {
    const response = await app.request(generations, post(body));
    assertEquals(response.status, 200);
    return (await response.json()).data[0];
  };
  assertEquals((await image({ prompt: "dog", seed: 5 })).revised_prompt, "label dog, seed 5");
  assertEquals((await image({ prompt: " eel " })).label, "eel");
  const hashed = await image({ prompt: "alice@example.com" });
  const avatar = await app.request("/v1/images/alice@example.com.png");
  assertEquals(decode(hashed.b64_json), await avatar.bytes());
  assertEquals((await image({ prompt: "x", seed: "alice@example.com" })).seed, hashed.seed);
  assertEquals((await image({ prompt: "cat", label: 1, seed: 5 })).label, "dog");
});

Deno.test("a prompt is a class in whatever Unicode form either is written", async () => {
  const forms = ["NFC", "NFD"] as const;
  for (const form of forms) {
    const labels = ["café", "thé"].map((name) => name.normalize(form));
    const app = createApp({ models: { fake: fakeModel({ labels }) } });
    for (const typed of forms) {
      for (
        const [prompt, label] of [["café", labels[0]], ["thé+café", labels.toReversed().join("+")]]
      ) {
        const body = { prompt: prompt.normalize(typed), seed: 3, steps: 1 };
        const { data: [image] } = await (await app.request(generations, post(body))).json();
        assertEquals(image.label, label, `${prompt}: ${form}, typed ${typed}`);
      }
    }
  }
});

Deno.test("response_format url gives an address that is the picture", async () => {
  const model = fakeModel();
  const app = createApp({ models: { fake: model } });
  const body = { prompt: "x", response_format: "url", size: "24x24" };
  const { data: [image] } = await (await app.request(generations, post(body))).json();
  assertEquals(model.evaluations, 0);
  const picture = await app.request(image.url);
  assertEquals(picture.headers.get("cache-control"), "public, max-age=31536000, immutable");
  const { data: [same] } =
    await (await app.request(generations, post({ prompt: "x", size: "24x24" }))).json();
  assertEquals(await picture.bytes(), decode(same.b64_json));
});

Deno.test("addresses in answers begin with the public one", async () => {
  const app = createApp({ models: { fake: fakeModel() }, publicUrl: "https://example.org/art" });
  const body = post({ prompt: "x", response_format: "url" });
  const { data: [image] } = await (await app.request(generations, body)).json();
  assert(image.url.startsWith(`https://example.org/art/v1/images/${image.seed}.png?`), image.url);
});

Deno.test("a size is that of the file, whole multiples of pixels on their ground; others are refused", async () => {
  const app = createApp({ models: { fake: fakeModel() } });
  for (const size of ["7x7", "8x7", "0x0", "large", "1e1x8", "99999x99999", "520x520"]) {
    const response = await app.request(generations, post({ prompt: "x", size }));
    assertEquals(response.status, 422, size);
    assertEquals((await response.json()).error.param, "size");
  }
  assertEquals((await app.request(generations, post({ prompt: "x", size: "auto" }))).status, 200);
  for (const [size, width, height] of [["16x16", 16, 16], ["20x11", 20, 11]] as const) {
    const response = await app.request(generations, post({ prompt: "x", size }));
    const { size: told, data: [{ b64_json }] } = await response.json();
    const picture = decodePng(Uint8Array.fromBase64(b64_json));
    assertEquals([told, picture.width, picture.height], [size, width, height]);
  }
});
