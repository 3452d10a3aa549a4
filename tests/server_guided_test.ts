/** When pictures are guided, as requests ask for it and answers tell it. */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { decodePng } from "../src/image/png.ts";
import { fromText } from "../src/recipe/recipe.ts";
import { createApp, type DenoiseApp } from "../src/server/mod.ts";
import { frozenClock } from "./frozen_clock.ts";
import { fakeModel } from "./server_fake.ts";
import { generations, post } from "./server_http.ts";

const labels = ["cat", "dog"];
const guided = { scheduler: "ddim", steps: 10, guidance: 2, guided: [100, 800] as const };
/** Weights that advise times to be guided at, or none. */
const model = (advice = true) => ({
  ...fakeModel({ labels, nullLabel: 2 }),
  recommended: { ...guided, ...(advice ? {} : { guided: undefined }) },
});

/** The times that a picture's own recipe tells, and the address that gives it for ever. */
async function made(app: DenoiseApp, query: string) {
  const response = await app.request(`/v1/images/7.png?${query}`);
  const body = await response.bytes();
  assertEquals(response.status, 200, query);
  const { text, pixels } = decodePng(body);
  const address = response.headers.get("content-location")!;
  const etag = response.headers.get("etag")!;
  const asked = new URLSearchParams(address.split("?")[1]).get("guided");
  return { told: fromText(text.denoise, "")[0].guided, asked, pixels, etag, address };
}

Deno.test("a picture is guided at the times of its address, else at those that the weights advise", async () => {
  const app = createApp({ models: { fake: model(), plain: model(false) } });
  const cases: [query: string, told: readonly number[] | undefined, address: string | null][] = [
    ["", [100, 800], "100-800"],
    ["guided=300-600", [300, 600], "300-600"],
    ["guided=0-999&guidance=3", [0, 999], "0-999"],
    ["guided=300-600&guidance=1", undefined, null],
    ["guidance=1", undefined, null],
    ["weights=plain", undefined, null],
    ["weights=plain&guided=0.5-20", [0.5, 20], "0.5-20"],
  ];
  const etags = new Set<string>();
  for (const [query, told, address] of cases) {
    const picture = await made(app, query);
    assertEquals([picture.told, picture.asked], [told, address], query);
    const { etag } = await made(app, picture.address.split("?")[1]);
    assertEquals(etag, picture.etag, "its address gives the same");
    etags.add(etag);
  }
  assertEquals(etags.size, cases.length - 1, "two are not guided at all");
  const narrow = await made(app, "guided=300-600"), wide = await made(app, "guided=0-999");
  assertNotEquals(narrow.pixels, wide.pixels);
});

Deno.test("times that are none are refused by name", async () => {
  const app = createApp({ models: { fake: model() } });
  const form = "two timesteps, the earlier first, as 170-880";
  const cases: [text: string, expected: string][] = [
    ["9", form],
    ["880-170", form],
    ["1-2-3", form],
    ["-5-3", form],
    ["a-b", form],
    ["", form],
    ["1000-1001", "timesteps from 0 to 999"],
    ["1".repeat(101), "at most 100 characters"],
  ];
  for (const [text, expected] of cases) {
    const asked = [
      app.request(`/v1/images/7.png?guided=${text}`),
      app.request(generations, post({ prompt: "x", guided: text })),
    ];
    for (const response of await Promise.all(asked)) {
      const { errors: [error] } = await response.json();
      assertEquals([response.status, error.field, error.expected], [422, "guided", expected], text);
    }
  }
});

Deno.test("generations and the list of models tell the times, where there are any", async () => {
  const app = createApp({ models: { fake: model(), plain: model(false) } });
  const told = async (body: Record<string, unknown>) => {
    const response = await app.request(generations, post({ prompt: "x", steps: 2, ...body }));
    const { data: [image] } = await response.json();
    return "guided" in image ? image.guided : "none";
  };
  assertEquals(await told({}), "100-800");
  assertEquals(await told({ guided: "300-600" }), "300-600");
  assertEquals(await told({ guidance: 1 }), "none");
  assertEquals(await told({ weights: "plain" }), "none");
  const { data } = await (await app.request("/v1/models")).json();
  // deno-lint-ignore no-explicit-any
  const advised = data.map(({ denoise }: any) => denoise.recommended.guided);
  assertEquals(advised, ["100-800", undefined]);
});

Deno.test("a picture that is guided at some of its times is asked and paid for at those alone", async () => {
  using _ = frozenClock();
  const status = async (limit: number, ...queries: string[]) => {
    const fake = fakeModel({ labels, nullLabel: 2 });
    const app = createApp({ models: { fake }, limits: { publicCostPerMinute: limit } });
    const statuses = [];
    for (const [i, query] of queries.entries()) {
      const response = await app.request(`/v1/images/${i}.png?${query}`);
      await response.body?.cancel();
      statuses.push(response.status);
    }
    return [statuses.at(-1), fake.batches.reduce((a, b) => a + b)];
  };
  // Of 900, 800 … 0 four are from 300 to 600: 10 + 4 evaluations; all ten are at any time: 20.
  const some = "steps=10&guidance=2&guided=300-600", all = "steps=10&guidance=2&guided=0-999";
  assertEquals(await status(14, some, "steps=1"), [429, 14]);
  assertEquals(await status(15, some, "steps=1"), [200, 15]);
  // The same run at other times is another one.
  assertEquals(await status(34, some, all, "steps=1"), [429, 34]);
  assertEquals(await status(35, some, all, "steps=1"), [200, 35]);
  assert((await status(20, all, "steps=1"))[0] === 429);
});
