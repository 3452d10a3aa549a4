/** The page's parts that need no browser: answers as they come, and what pictures lose. */
/// <reference lib="dom" />
import { assert, assertEquals } from "@std/assert";
import { createGenerator } from "../src/diffusion/mod.ts";
import { ask, type Look } from "../src/server/page/answers.ts";
import { damages } from "../src/server/page/damage.ts";
import { detailOf } from "../src/server/page/dom.ts";
import { black, torn } from "../src/server/page/pixels.ts";
import { unreadable } from "../src/server/page/upload.ts";

const question = {
  path: "v1/restorations",
  fields: { steps: "4", n: "2" },
  files: { image: new Blob(["pixels"], { type: "image/png" }) },
};

/** Asks a server whose answer a test gives, in pieces of as many letters. */
async function asked(answer: string | Response | Error, pieces = 1000, signal = calm) {
  const { fetch } = globalThis;
  const seen: { path?: string; init?: RequestInit } = {};
  globalThis.fetch = ((path: string, init: RequestInit) => {
    Object.assign(seen, { path, init });
    if (answer instanceof Error) return Promise.reject(answer);
    if (answer instanceof Response) return Promise.resolve(answer);
    const bytes = new TextEncoder().encode(answer);
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += pieces) {
          controller.enqueue(bytes.slice(at, at + pieces));
        }
        controller.close();
      },
    });
    return Promise.resolve(new Response(body));
  }) as typeof globalThis.fetch;
  const looks: Look[] = [];
  try {
    for await (const look of ask(question, signal)) looks.push(look);
    return { looks, seen, failed: undefined };
  } catch (error) {
    return { looks, seen, failed: error as Error };
  } finally {
    globalThis.fetch = fetch;
  }
}

const calm = new AbortController().signal;
const event = (name: string, data: unknown) =>
  `event: ${name}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
const look = (index: number, text: string, more = {}) => ({ index, b64_json: btoa(text), ...more });

Deno.test("answers come as events, in whatever pieces: previews, then each as it is done", async () => {
  const done = { seed: 7, scheduler: "ddrm", steps: 4 };
  const stream = [
    event("image_edit.partial_image", look(1, "a")),
    ": still here\n\n",
    event("image_edit.completed", look(0, "bc", done)),
    event("done", "[DONE]"),
    event("image_edit.completed", look(1, "after the end")),
  ].join("");
  for (const pieces of [1, 7, 1000]) {
    const { looks, seen, failed } = await asked(stream, pieces);
    assertEquals(failed, undefined);
    const told = await Promise.all(looks.map(async ({ index, png, done }) => [
      index,
      png.type,
      await png.text(),
      done && [done.seed, done.scheduler, done.steps],
    ]));
    assertEquals(told, [
      [1, "image/png", "a", undefined],
      [0, "image/png", "bc", [7, "ddrm", 4]],
    ]);
    const { method, body, signal } = seen.init!;
    assertEquals([seen.path, method, signal], ["v1/restorations", "POST", calm]);
    const form = body as FormData;
    assertEquals([form.get("steps"), form.get("n")], ["4", "2"]);
    const image = form.get("image") as File;
    assertEquals([image.name, await image.text()], ["image.png", "pixels"]);
  }
});

Deno.test("why there are no answers is a sentence: the server's, or what became of the connection", async () => {
  const refusal = Response.json({ detail: "steps: expected at most 9" }, { status: 422 });
  const cases: [answer: string | Response | Error, sentence: string, looks: number][] = [
    [refusal, "steps: expected at most 9", 0],
    [new Response("<html>", { status: 502 }), "the server answered 502", 0],
    [new TypeError("NetworkError"), "the server cannot be reached", 0],
    [event("x.completed", look(0, "a")), "the connection broke; try again", 1],
    ["", "the connection broke; try again", 0],
    [
      event("x.partial_image", look(0, "a")) + event("error", { detail: "the network failed" }),
      "the network failed",
      1,
    ],
  ];
  for (const [answer, sentence, count] of cases) {
    const { looks, failed } = await asked(answer);
    assertEquals([failed?.message, looks.length], [sentence, count]);
  }
  const left = new DOMException("given up", "AbortError");
  const { failed } = await asked(left, 1, AbortSignal.abort());
  assert(failed === left, "who gave up is told nothing of the server");
  assertEquals(await detailOf(Response.json({}, { status: 500 })), "the server answered 500");
  assertEquals(unreadable(new Blob([], { type: "text/html" })).includes("(text/html)"), true);
  assertEquals(unreadable(new Blob([])).includes("(?)"), true);
});

/** 4 × 4 pixels, of colours that are each their own, or grey. */
function picture(grey = false): ImageData {
  const out = new ImageData(4, 4);
  for (let p = 0; p < 16; p++) {
    for (let c = 0; c < 3; c++) out.data[4 * p + c] = 10 * p + (grey ? 0 : 20 * c);
    out.data[4 * p + 3] = 255;
  }
  return out;
}

const near = (found: ArrayLike<number>, expected: number[], what: string) =>
  expected.forEach((value, i) =>
    assert(Math.abs(found[i] - value) <= 1, `${what}: ${found[i]} at ${i}, expected ${value}`)
  );

Deno.test("what may be lost, how much of it, and what the server is told of it", () => {
  const told = Object.entries(damages).map(([name, { amounts, usual, steps, tell, fields }]) => {
    assert(amounts.every((amount, i) => i === 0 || amount > amounts[i - 1]), name);
    const amount = amounts[usual];
    return [name, amounts.length, amount, steps, tell(amount), fields(amount)];
  });
  assertEquals(told, [
    ["blur", 7, 1.5, 20, "σ 1.5 pixels", { blur: "gaussian:1.5" }],
    ["small", 3, 4, 40, "1/4 each way", { scale: "4" }],
    ["grey", 1, 1, 40, "all of them", { colour: "true" }],
    ["noise", 8, 0.5, 20, "σ 0.5, pixels from −1 to 1", { noise: "0.5" }],
  ]);
});

Deno.test("a smaller picture is means of squares, a grey one luma, and the picture itself stays", () => {
  const before = picture();
  const small = damages.small.of(before, 2, 3);
  assertEquals([small.width, small.height], [2, 2]);
  // The mean of pixels 0, 1, 4, 5 is that of their numbers: 25.
  near(small.data, [25, 45, 65, 255, 45, 65, 85, 255, 105, 125, 145, 255], "small");
  const grey = damages.grey.of(before, 1, 3);
  // 0.587 · 20 + 0.114 · 40 = 16.3.
  near(grey.data, [16, 16, 16, 255, 26, 26, 26, 255], "grey");
  assertEquals([...before.data], [...picture().data]);
});

Deno.test("a blur keeps what is even, and spreads a point over both directions", () => {
  const even = new ImageData(9, 7);
  even.data.fill(100);
  const same = damages.blur.of(even, 1.5, 3);
  near(same.data, new Array(9 * 7 * 4).fill(100), "even");
  const point = new ImageData(9, 7);
  point.data.fill(255, 4 * (3 * 9 + 4), 4 * (3 * 9 + 4) + 4);
  const { data, width, height } = damages.blur.of(point, 0.75, 3);
  assertEquals([width, height], [9, 7]);
  const at = (x: number, y: number) => data[4 * (y * 9 + x)];
  const weight = (d: number) => Math.exp(-(d ** 2) / (2 * 0.75 ** 2));
  const sum = [-2, -1, 0, 1, 2].reduce((all, d) => all + weight(d), 0);
  near(
    [at(4, 3), at(5, 3), at(3, 3), at(4, 4), at(5, 4)],
    [0, 1, 1, 1, 2].map((d) => 255 * (d === 2 ? weight(1) ** 2 : weight(d)) / sum ** 2),
    "a point",
  );
  assertEquals(data[4 * (3 * 9 + 4) + 3], 255, "it is as opaque as before");
});

Deno.test("noise is as strong as it is called, the same every time, and grey on what is grey", () => {
  const even = () => {
    const out = new ImageData(4, 4);
    out.data.fill(128);
    return out;
  };
  for (const channels of [1, 3]) {
    const z = createGenerator(1).randn(channels * 16);
    const { data } = damages.noise.of(even(), 0.2, channels);
    for (let p = 0; p < 16; p++) {
      const expected = [0, 1, 2].map((c) => 128 + 25.5 * z[(channels === 1 ? 0 : c) * 16 + p]);
      near(data.subarray(4 * p), [...expected, 128], `${channels} channels, pixel ${p}`);
    }
  }
});

Deno.test("a hole is transparent, and its mask white on black", () => {
  const missing = new Uint8Array(16);
  missing[5] = 1;
  const { data } = torn(picture(), missing);
  assertEquals([...data.subarray(20, 24)], [0, 0, 0, 0]);
  assertEquals([...data.subarray(24, 28)], [60, 80, 100, 255]);
  const dark = black(picture());
  assertEquals([dark.width, dark.height], [4, 4]);
  assert(dark.data.every((level, i) => level === (i % 4 === 3 ? 255 : 0)));
});
