/** Pictures from strangers: hostile, mistaken and odd ones, before anything is computed. */
import { assert, assertEquals } from "@std/assert";
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
import { bytesOf, type PictureFixture, pngs } from "./image_fixtures.ts";
import { fakeModel } from "./server_fake.ts";
import { decode } from "./server_http.ts";

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

Deno.test("odd but rightful uploads are restored: 16 bits, 20,000 × 1, all hidden", async () => {
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

Deno.test("a palette, in picture and mask, is read as its colours and transparency", async () => {
  const app = createApp({ models: { fake: fakeModel({ shape: [3, 8, 8] }) } });
  const colours = pngs["2-bit palette"], transparent = pngs["palette with a transparent colour"];
  const indexed = (fixture: PictureFixture) => damaged(bytesOf(fixture.file));
  const direct = (fixture: PictureFixture) => file({ ...fixture, pixels: bytesOf(fixture.pixels) });
  const made = async (image: File, mask?: File) => {
    const parts = { image, ...(mask ? { mask } : {}), steps: "3", seed: "1" };
    const [{ b64_json }] = await imagesOf(await app.request(edits, form(parts)));
    return b64_json;
  };
  // A transparent entry is the hole; without one the bright entries are.
  const filled = [];
  for (const mask of [transparent, colours, undefined]) {
    const image = mask ? colours : transparent;
    const answer = await made(indexed(image), mask && indexed(mask));
    assertEquals(answer, await made(direct(image), mask && direct(mask)));
    filled.push(answer);
  }
  assertEquals(new Set(filled).size, 3);
});

Deno.test("a mask with an alpha channel that is opaque everywhere means its white pixels", async () => {
  const app = createApp({ models: { fake: model() } });
  const grey = hole();
  const pixels = Uint8Array.from(
    { length: 4 * 64 },
    (_, i) => i % 4 === 3 ? 255 : grey.pixels[i >> 2],
  );
  const canvas = file({ ...grey, pixels, channels: 4 });
  const answers = [];
  for (const mask of [file(grey), canvas]) {
    const parts = { image: file(stripes()), mask, steps: "3", seed: "1" };
    const [{ b64_json }] = await imagesOf(await app.request(edits, form(parts)));
    answers.push(b64_json);
  }
  assertEquals(answers[0], answers[1]);
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

Deno.test("millions of pixels in a few bytes are paid for as they are decoded", async () => {
  using _ = frozenClock();
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

Deno.test("each file of a form is paid for as it is decoded, on every route", async () => {
  using _ = frozenClock();
  const flat = (side: number) =>
    file({ pixels: new Uint8Array(side * side).fill(7), width: side, height: side, channels: 1 });
  const cost = async (path: string, parts: Record<string, File>) => {
    const limits = { publicCostPerMinute: 1000 };
    const app = createApp({ models: { fake: model() }, limits, client: () => "one" });
    const made = await app.request(path, form({ ...parts, steps: "4", seed: "1" }));
    assertEquals(made.status, 200, await made.text());
    const refused = await app.request("/v1/images/1.png?steps=1000");
    return 1000 - Number(/with (\d+) left$/.exec((await refused.json()).detail)![1]);
  };
  const asked: [path: string, mask: boolean][] = [
    [edits, true],
    [variations, false],
    [restorations, true],
  ];
  for (const [path, masked] of asked) {
    const [small, large] = [16, 256].map((side) =>
      cost(path, { image: flat(side), ...(masked ? { mask: file(hole(side, side)) } : {}) })
    );
    assertEquals(await large - await small, masked ? 2 : 1, path);
  }
});
