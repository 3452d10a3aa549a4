/** What forms ask to be restored: defaults, what goes before what, what is paid, what is refused. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { schedulers as builtIn } from "../schedulers/mod.ts";
import { restorers } from "../schedulers/restoration/mod.ts";
import { createGenerator } from "../src/diffusion/mod.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { createApp, type DenoiseApp, type ServedModel } from "../src/server/mod.ts";
import { frozenClock } from "./frozen_clock.ts";
import {
  edits,
  file,
  form,
  hole,
  model,
  restorations,
  stripes,
  variations,
} from "./restoration_forms.ts";
import { fakeModel, gate, until } from "./server_fake.ts";
import { decode, parseEvents } from "./server_http.ts";
import { decodePng } from "../src/image/png.ts";

type Parts = Record<string, string | File | File[]>;

// deno-lint-ignore no-explicit-any
type Told = any;

async function ask(app: DenoiseApp, path: string, parts: Parts): Promise<Told[]> {
  const response = await app.request(path, form(parts));
  const answer = await response.json();
  assertEquals(response.status, 200, JSON.stringify(answer));
  return answer.data;
}

async function refused(app: DenoiseApp, path: string, parts: Parts) {
  const response = await app.request(path, form(parts));
  const { errors } = await response.json();
  return [response.status, errors?.[0].field, errors?.[0].expected];
}

const make = (options = {}, fake: ServedModel = model()) =>
  createApp({ models: { fake }, ...options });

/** Half of it transparent. */
const torn = () => file(hole(8, 8, true));
const image = () => file(stripes()), mask = () => file(hole());

Deno.test("a variation takes 50 steps of a half's strength, where nobody says otherwise", async () => {
  const app = make();
  const common = { image: image(), seed: "3" };
  const [plain] = await ask(app, variations, common);
  assertEquals([plain.scheduler, plain.steps, plain.strength], ["sdedit", 50, 0.5]);
  const [other] = await ask(app, variations, { ...common, steps: "7", strength: "0.25" });
  assertEquals([other.steps, other.strength], [7, 0.25]);
  assertEquals(plain.label, undefined, "no class that anybody named");
  const [named] = await ask(app, variations, { ...common, steps: "3", prompt: "eel" });
  assertEquals(named.label, "eel");
  assertMatch(named.etag, /inputs\.measurement=/);
  for (const strength of ["0", "1.1", "x"]) {
    assertEquals((await refused(app, variations, { ...common, strength }))[1], "strength");
  }
});

Deno.test("an edit's class is its label, else its prompt, else none; a label goes before a prompt", async () => {
  const app = make();
  const common = { image: image(), mask: mask(), seed: "1", steps: "3" };
  const label = async (more: Parts) => (await ask(app, edits, { ...common, ...more }))[0].label;
  assertEquals(await label({ prompt: "eel" }), "eel");
  assertEquals(await label({ prompt: " eel " }), "eel");
  assertEquals(await label({ prompt: "eel", label: "cat" }), "cat");
  assertEquals(await label({ prompt: "anything", label: "1" }), "dog");
  assertEquals(await label({ prompt: "cow" }), undefined);
  assertEquals(await label({}), undefined);
  const accented = make({}, fakeModel({ labels: ["the\u0301"], nullLabel: 1 }));
  for (const prompt of ["th\u00e9", "the\u0301"]) {
    const [{ label }] = await ask(accented, edits, { ...common, prompt });
    assertEquals(label, "the\u0301", "in whatever Unicode form");
  }
  // Weights without a class that means none have one by the seed.
  const without = make({}, fakeModel({ labels: ["ant", "bee"] }));
  assertEquals((await ask(without, edits, { ...common, seed: "3" }))[0].label, "bee");
});

Deno.test("an edit takes what OpenAI's clients send and has no use for, and is not kept", async () => {
  const app = make();
  const unread = {
    ...{ quality: "high", background: "auto", moderation: "low", input_fidelity: "high" },
    ...{ output_compression: "90", user: "u", response_format: "b64_json", output_format: "png" },
  };
  const parts = { image: image(), mask: mask(), seed: "1", steps: "3", ...unread };
  const response = await app.request(edits, form(parts));
  await response.body?.cancel();
  assertEquals([response.status, response.headers.get("cache-control")], [200, "no-store"]);
  const stray = await refused(app, edits, { ...parts, virus: image() });
  assertEquals(stray, [422, "virus", "no such file, but image, mask"]);
});

Deno.test("a form without its picture, or without what is to be filled, is told what is missing", async () => {
  const app = make();
  const picture = "a file, a PNG or JPEG picture";
  for (const path of [edits, variations, restorations]) {
    assertEquals(await refused(app, path, { steps: "3" }), [422, "image", picture], path);
  }
  const hole = "a file, or transparent pixels in the image";
  assertEquals(await refused(app, edits, { image: image() }), [422, "mask", hole]);
  for (const path of [edits, restorations]) {
    const two = await refused(app, path, { image: image(), mask: [mask(), mask()] });
    assertEquals(two, [422, "mask", "one file"], path);
  }
});

Deno.test("guidance is off unless it is asked for, whatever the weights recommend", async () => {
  const recommended = { scheduler: "ddim", steps: 5, guidance: 2 };
  const app = make({}, { ...model(), recommended });
  const common = { image: image(), mask: mask(), seed: "1", steps: "3", label: "cat" };
  assertEquals((await ask(app, edits, common))[0].guidance, 1);
  assertEquals((await ask(app, edits, { ...common, guidance: "3" }))[0].guidance, 3);
  const [none] = await ask(app, edits, { ...common, guidance: "0", seed: "0" });
  assertEquals([none.guidance, none.seed], [0, 0], "0 is a number that was named");
});

Deno.test("sampler, steps and options are those of the form, else by what is missing", async () => {
  const app = make();
  const common = { image: image(), noise: "0.2", seed: "1" };
  const [byLoss] = await ask(app, restorations, common);
  assert(byLoss.steps > 1 && byLoss.scheduler !== undefined);
  const [own] = await ask(app, restorations, {
    ...common,
    ...{ sampler: "ddrm", steps: "4", options: '{"eta": 0.25}' },
  });
  assertEquals([own.scheduler, own.steps, own.eta], ["ddrm", 4, 0.25]);
  const [half] = await ask(app, restorations, { ...common, steps: "4" });
  assertEquals([half.scheduler, half.steps], [byLoss.scheduler, 4]);
  const inpainted = { image: image(), mask: mask(), seed: "1", steps: "4" };
  const [usual] = await ask(app, edits, inpainted);
  const name = Object.keys(usual).find((key) =>
    typeof usual[key] === "number" && ["start", "eta"].includes(key)
  )!;
  const value = usual[name] === 0.75 ? 0.5 : 0.75;
  const [changed] = await ask(app, edits, {
    ...inpainted,
    options: JSON.stringify({ [name]: value }),
  });
  assertEquals(
    [changed.scheduler, changed[name]],
    [usual.scheduler, value],
    "of the usual sampler",
  );
  for (const options of ["[1]", "3", "null", '"x"', "{", ""]) {
    const told = await refused(app, edits, { ...inpainted, options });
    assertEquals(told, [422, "options", 'a JSON object such as {"eta": 0.5}'], options);
  }
  const steps = await refused(app, edits, { ...inpainted, options: '{"theta": 1}' });
  assertEquals(steps.slice(0, 2), [422, "theta"]);
});

Deno.test("the options of the usual sampler are for who names neither it nor options; else they are its own", async () => {
  const app = make();
  const { start, end } = restorers.ddnm.options!;
  const cases: [more: Parts, start: unknown, end: unknown][] = [
    [{}, 0.5, 0.1],
    [{ sampler: "ddnm" }, start.default, end.default],
    [{ options: '{"end": 0.2}' }, start.default, 0.2],
    [{ sampler: "ddnm", options: '{"start": 0.75}' }, 0.75, end.default],
  ];
  for (const [more, start, end] of cases) {
    const parts = { image: file(stripes(2, 2)), scale: "4", steps: "3", seed: "1", ...more };
    const [told] = await ask(app, restorations, parts);
    assertEquals([told.scheduler, told.start, told.end], ["ddnm", start, end]);
  }
});

Deno.test("answers count their seeds up from picture to picture alike, and are each their own", async () => {
  const app = make();
  const parts = { "image[]": [torn(), torn()], n: "2", seed: String(2 ** 32 - 1), steps: "3" };
  const answers = await ask(app, edits, parts);
  assertEquals(answers.map(({ seed }) => seed), [2 ** 32 - 1, 0, 2 ** 32 - 1, 0]);
  assert(answers[0].b64_json !== answers[1].b64_json);
  const etags = answers.map(({ etag }) => etag);
  assertEquals([new Set(etags).size, etags[2], etags[3]], [2, etags[0], etags[1]]);
  assertEquals(answers[0].b64_json, answers[2].b64_json, "the same picture and seed");
});

Deno.test("a mask of its own goes before the image's transparency, which is enough alone on every route that fills", async () => {
  const app = make();
  const left = { ...hole(), pixels: hole().pixels.map((level) => 255 - level) };
  const levels = async (path: string, parts: Parts) => {
    const [{ b64_json }] = await ask(app, path, { seed: "1", steps: "3", ...parts });
    return decodePng(decode(b64_json)).pixels;
  };
  const original = stripes().pixels;
  const kept = (pixels: Uint8Array, of: ArrayLike<number>, right: boolean) =>
    pixels.every((level, p) => (p % 8 >= 4) !== right || level === of[p]);
  for (const path of [edits, restorations]) {
    const masked = await levels(path, { image: image(), mask: file(left) });
    assert(kept(masked, original, true) && !kept(masked, original, false), path);
    const own = await levels(path, { image: torn() });
    assert(own.every((level, p) => p % 8 >= 4 || level === 9), path);
  }
  const none = "what was lost: mask, scale, blur, colour or noise";
  assertEquals(await refused(app, restorations, { image: image() }), [422, "mask", none]);
  const colour: ServedModel = { ...fakeModel({ shape: [3, 8, 8] }), recommended: undefined };
  const grey = await ask(make({}, colour), restorations, {
    image: image(),
    colour: "true",
    steps: "3",
  });
  assertEquals(decodePng(decode(grey[0].b64_json)).channels, 3, "colours alone may be lost");
  const nothing = { image: image(), colour: "false" };
  assertEquals(await refused(make({}, colour), restorations, nothing), [422, "mask", none]);
});

Deno.test("a sampler that asks for gradients is for engines that run them", async () => {
  const vjp: NonNullable<ServedModel["vjp"]> = (x, _t, u) => Promise.resolve(u.slice(0, x.length));
  const parts = { image: image(), noise: "0.2", sampler: "dps", steps: "2", seed: "1" };
  const needs = [422, "sampler", "one that needs no gradients, which are not had here"];
  assertEquals(await refused(make(), restorations, parts), needs);
  const webgpu = { ...model(), vjp, backend: "webgpu" };
  assertEquals(await refused(make({}, webgpu), restorations, parts), needs);
  for (const backend of ["native", "wasm"]) {
    const [{ scheduler }] = await ask(make({}, { ...model(), vjp, backend }), restorations, parts);
    assertEquals(scheduler, "dps");
  }
});

Deno.test("what a sampler cannot do with the noise of a picture is told before any work", async () => {
  const fake = model();
  const app = make({}, fake);
  const parts = { image: image(), mask: mask(), noise: "0.1", sampler: "repaint", steps: "3" };
  const response = await app.request(restorations, form(parts));
  const { detail } = await response.json();
  assertEquals([response.status, fake.evaluations], [422, 0]);
  assertMatch(detail, /repaint/);
});

Deno.test("bytes, pixels, answers and previews are paid for; caps are on all answers together", async () => {
  using _ = frozenClock();
  const large: Pixels = { pixels: new Uint8Array(512 * 512), width: 512, height: 512, channels: 1 };
  // Noise does not compress: the file is as large as its pixels.
  const generator = createGenerator(1);
  large.pixels.forEach((_, p) => large.pixels[p] = generator.uint32() & 255);
  const bytes = file(large);
  const reading = 1 + Math.floor(bytes.size / 65_536);
  assert(reading >= 3, `${bytes.size} bytes`);
  const small = { image: image(), noise: "0.2", steps: "4", seed: "1", sampler: "ddrm" };
  const pays = async (limit: number, parts: Parts) => {
    const app = make({ limits: { publicCostPerMinute: limit }, client: () => "one" });
    const first = await app.request(restorations, form(parts));
    await first.body?.cancel();
    const next = await app.request("/v1/images/1.png?steps=1");
    await next.body?.cancel();
    return [first.status, next.status];
  };
  assertEquals(await pays(5, small), [200, 429], "1 for reading, 4 for the steps");
  assertEquals(await pays(6, small), [200, 200]);
  const long = { ...small, steps: "64" };
  assertEquals(await pays(66, long), [200, 429], "1 for reading, 1 for counting, 64 for the steps");
  assertEquals(await pays(67, long), [200, 200]);
  assertEquals(await pays(9, { ...small, n: "2" }), [200, 429]);
  assertEquals(await pays(10, { ...small, n: "2" }), [200, 200]);
  const heavy = { ...small, image: bytes };
  const all = reading + 4 + 4;
  assertEquals(await pays(all, heavy), [200, 429], "and 4 for 512² pixels");
  assertEquals(await pays(all + 1, heavy), [200, 200]);
  const capped = make({ limits: { maxPixels: 8 * 8 * 3, maxCost: 11 } });
  const several = (count: number) => ({
    ...small,
    "image[]": Array.from({ length: count }, image),
  });
  const { image: _image, ...two } = several(2);
  assertEquals((await ask(capped, restorations, two)).length, 2);
  assertEquals(await pays(5, two), [200, 429], "one picture that is sent twice is made once");
  assertEquals(await pays(6, two), [200, 200]);
  const { image: _more, ...four } = several(4);
  assertEquals((await refused(capped, restorations, four)).slice(0, 2), [422, "n"]);
  assertEquals((await refused(capped, restorations, { ...small, n: "3" })).slice(0, 2), [
    422,
    "steps",
  ]);
  const { image: __, ...six } = several(6);
  const wide = make({ limits: { maxPixels: 255 } });
  assertEquals(await refused(wide, restorations, { ...small, size: "16x16" }), [
    422,
    "size",
    "at most 255 pixels in one request",
  ]);
  const pair = make({ limits: { maxImages: 2 } });
  assertEquals((await ask(pair, restorations, two)).length, 2, "as many files as there may be");
  assertEquals((await ask(pair, restorations, { ...small, n: "2" })).length, 2, "or answers");
  const files = await refused(pair, restorations, four);
  assertEquals(files, [422, "image", "at most 2 files"]);
  const many = await refused(make(), restorations, { ...six, n: "2" });
  assertEquals(many, [422, "n", "at most 10 answers in one request"]);
});

Deno.test("pictures that have lost more take more steps: together they are what a request may cost", async () => {
  const corner = stripes();
  const alpha = (p: number) => p === 0 ? 0 : 255;
  const pixels = Uint8Array.from({ length: 128 }, (_, i) => i % 2 ? alpha(i >> 1) : 9);
  const little = () => file({ ...corner, pixels, channels: 2 });
  const orders = [[little(), torn()], [torn(), little()]];
  const alone = await Promise.all([little(), torn()].map(async (image) => {
    const [{ steps }] = await ask(make(), edits, { image, seed: "1" });
    return steps;
  }));
  assertEquals(alone, [20, 100]);
  for (const images of orders) {
    const parts = { "image[]": images, seed: "1" };
    assertEquals((await ask(make({ limits: { maxCost: 120 } }), edits, parts)).length, 2);
    assertEquals(await refused(make({ limits: { maxCost: 119 } }), edits, parts), [
      422,
      "steps",
      "at most 119 evaluations in one request",
    ]);
  }
});

Deno.test("a server that is full reads no picture", async () => {
  let open!: () => void;
  const held = new Promise<void>((resolve) => open = resolve);
  const app = make({ limits: { maxQueue: 4 } }, fakeModel({ before: () => held }));
  const first = app.request("/v1/images/1.png?steps=4");
  await new Promise((resolve) => setTimeout(resolve, 5));
  const response = await app.request(
    edits,
    form({ image: new File(["x"], "no picture"), mask: mask() }),
  );
  assertEquals([response.status, (await response.json()).error.code], [503, "overloaded"]);
  open();
  assertEquals((await first).status, 200);
});

Deno.test("who leaves a restoration ends its work", async () => {
  const { open, wait } = gate();
  const fake = fakeModel({ before: () => wait });
  const app = make({}, fake);
  const leaving = new AbortController();
  const parts = form({ image: image(), mask: mask(), steps: "5" });
  const asked = app.request(
    new Request(`http://x${edits}`, { ...parts, signal: leaving.signal }),
  );
  await until(() => fake.evaluations === 1, "the first evaluation");
  leaving.abort();
  assertEquals((await asked).status, 499);
  open();
  await app.drain(60_000);
  assertEquals(fake.evaluations, 1);
});

Deno.test("a plug-in that has the name of a restoring sampler is another: it changes no restoration's ETag", async () => {
  const sdedit = { ...builtIn.ddim, name: "sdedit" };
  const options = { schedulers: { ...builtIn, sdedit }, schedulersVersion: "v1" };
  const parts = { image: image(), seed: "1", steps: "3" };
  const [[plain], [beside]] = [
    await ask(make(), variations, parts),
    await ask(make(options), variations, parts),
  ];
  assertEquals([beside.scheduler, beside.etag, beside.b64_json], [
    "sdedit",
    plain.etag,
    plain.b64_json,
  ]);
});

Deno.test("a stream of restorations costs its previews, and tells its kind", async () => {
  const app = make();
  const parts = { image: image(), mask: mask(), steps: "4", stream: "true", partial_images: "1" };
  const events = parseEvents(await (await app.request(restorations, form(parts))).text());
  assertEquals(events.map(({ event }) => event), [
    "image_edit.partial_image",
    "image_edit.completed",
    "done",
  ]);
  using _ = frozenClock();
  const size = "512x512";
  const pays = async (limit: number, more: Parts) => {
    const app = make({ limits: { publicCostPerMinute: limit }, client: () => "one" });
    const first = await app.request(restorations, form({ ...parts, size, ...more }));
    await first.text();
    const next = await app.request("/v1/images/1.png?steps=1");
    await next.body?.cancel();
    return [first.status, next.status];
  };
  // 1 for reading, 4 steps, 4 for 512² pixels, and 4 for the same once before.
  assertEquals(await pays(13, {}), [200, 429]);
  assertEquals(await pays(14, {}), [200, 200]);
  assertEquals(await pays(10, { partial_images: "0" }), [200, 200]);
  // What is not a stream shows none, whatever it asks for.
  assertEquals(await pays(9, { stream: "false" }), [200, 429]);
  assertEquals(await pays(10, { stream: "false" }), [200, 200]);
});
