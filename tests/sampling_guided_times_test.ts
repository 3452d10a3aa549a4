/** Guidance between two timesteps alone: what is asked of the network, and every way to say so. */
import { assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { guidedText, guidedType, isGuided } from "../src/diffusion/guided.ts";
import { scheduleFor } from "../src/diffusion/mod.ts";
import { FieldError, InputError } from "../src/errors.ts";
import { decodePng } from "../src/image/png.ts";
import { etag } from "../src/recipe/etag.ts";
import { fromText, RECIPE_KEYWORD, toText } from "../src/recipe/recipe.ts";
import { type RecipeRequest, resolve } from "../src/recipe/resolve.ts";
import { denoiserOf } from "../src/sampling/denoiser.ts";
import { countEvaluations } from "../src/sampling/evaluations.ts";
import { planRun } from "../src/sampling/plan.ts";
import { sample } from "../src/sampling/sample.ts";
import { createApp } from "../src/server/mod.ts";
import { parseCard } from "../src/weights/read/card.ts";
import { schedulers } from "../schedulers/mod.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { answer, fakeNetwork, type FakeOptions } from "./sampling_network.ts";
import { fakeModel } from "./server_fake.ts";

const classes: FakeOptions = { labels: ["a", "b"], nullLabel: 2 };
const recommended = { scheduler: "ddim", steps: 10, guidance: 3, guided: [170, 880] } as const;

Deno.test("a network is guided from the first to the last of its timesteps, and never at 1", () => {
  const asked = { guidance: 3, guided: [170, 880] } as const;
  const at = [0, 169.9, 170, 500, 880, 880.1, 999];
  assertEquals(at.map((t) => isGuided(asked, t)), [false, false, true, true, true, false, false]);
  assertEquals(at.map((t) => isGuided({ guidance: 3 }, t)), at.map(() => true));
  assertEquals(at.map((t) => isGuided({ ...asked, guidance: 1 }, t)), at.map(() => false));
  assertEquals(isGuided({ guidance: 0, guided: [5, 5] }, 5), true);
});

Deno.test("outside of them the network is asked for the class alone", async () => {
  const x = new Float32Array(16).map((_, i) => i / 8 - 1);
  for (const [t, both] of [[169, false], [170, true], [880, true], [881, false]] as const) {
    const network = fakeNetwork(classes);
    const { scheduler: config } = network;
    const levels = { schedule: scheduleFor(config), config, modelTime: (t: number) => t };
    const conditioning = { label: 1, guidance: 3, guided: [170, 880] } as const;
    const { eps } = await denoiserOf(network, levels, conditioning).denoise(x, t);
    assertEquals(network.asked.map(({ labels }) => labels), [both ? [1, 2] : [1]], `t = ${t}`);
    eps.forEach((value, i) => {
      const cond = answer(x[i], t, 1), uncond = answer(x[i], t, 2);
      assertAlmostEquals(value, both ? uncond + 3 * (cond - uncond) : cond, 1e-6);
    });
  }
});

Deno.test("evaluations are counted before a run as they are asked for in it", async () => {
  for (const name of ["ddim", "heun", "dpmpp"]) {
    for (const mix of [undefined, { label: 0, share: 0.3 }]) {
      const network = fakeNetwork({ ...classes, recommended });
      const request = { scheduler: schedulers[name], steps: 10 };
      await Array.fromAsync(sample(network, { ...request, seeds: [1], labels: 1, mix }));
      const asked = network.asked.reduce((sum, { t }) => sum + t.length, 0);
      const plan = planRun(network.scheduler, request);
      const { guidance, guided } = recommended;
      assertEquals(await countEvaluations(plan, { guidance, guided, mix }), asked, name);
      const always = await countEvaluations(plan, { guidance, mix });
      assertEquals(asked < always, true, `${asked} of ${always}`);
    }
  }
});

const recipeOf = (request: Omit<RecipeRequest, "seed">, facts: FakeOptions = { recommended }) =>
  resolve({ ...fakeNetwork({ ...classes, ...facts }), hash: "ab" }, schedulers, {
    seed: 7,
    ...request,
  });

Deno.test("when is what is asked for, else what the weights recommend, else always", () => {
  assertEquals(recipeOf({}).guided, [170, 880]);
  assertEquals(recipeOf({ guidance: 2 }).guided, [170, 880]);
  assertEquals(recipeOf({ guided: [0, 999] }).guided, [0, 999]);
  assertEquals(recipeOf({}, {}).guided, undefined);
  assertEquals(recipeOf({ guidance: 2, guided: [5, 9] }, {}).guided, [5, 9]);
  assertEquals("guided" in recipeOf({ guidance: 1, guided: [5, 9] }), false, "nothing is guided");
});

Deno.test("a recipe, its text and its ETag say when", () => {
  const [some, all] = [recipeOf({}), recipeOf({ guided: [0, 999] })];
  assertEquals(fromText(toText([some, some]), "a.png"), [some, some]);
  assertEquals(etag(some) === etag(all), false);
  const wrong = toText([some]).replace("[170,880]", "[880,170]");
  assertThrows(() => fromText(wrong, "a.png"), InputError, "a.png: recipe: guided: expected two");
});

Deno.test("what is no interval of the network's timesteps is refused", () => {
  for (const guided of [[880, 170], [5], [1, 2, 3], [-1, 5], [NaN, 5], "170-880", 5]) {
    assertThrows(() => recipeOf({ guided } as never), FieldError, "guided: expected two timesteps");
    const card = { _denoise: { recommended: { ...recommended, guided } } };
    assertThrows(() => parseCard(card, 3, "model_index.json"), InputError, "_denoise: recommended");
  }
  assertThrows(() => recipeOf({ guided: [1000, 2000] }), FieldError, "from 0 to 999");
  assertEquals(recipeOf({ guided: [999, 2000] }).guided, [999, 2000]);
  const card = { _denoise: { recommended } };
  assertEquals(parseCard(card, 3, "model_index.json").recommended, recommended);
});

Deno.test("its text is two numbers with a hyphen between", () => {
  assertEquals(guidedType.fromText("170-880"), [170, 880]);
  assertEquals(guidedType.fromText(" 0.5 - 9 "), [0.5, 9]);
  assertEquals(guidedText([170, 880]), "170-880");
  assertEquals(guidedType.accepts([500, 500]), true, "one timestep alone");
  assertEquals(guidedType.fromText("1-2-3"), "1-2-3", "to be told as it was given");
  for (const text of ["", "170", "170-", "-5-9", "1-2-3", "a-b", "9-5"]) {
    assertEquals(guidedType.accepts(guidedType.fromText(text)), false, text);
  }
});

Deno.test("sample --guided, and a picture made again from its own", async () => {
  await using folder = await temporaryFolder();
  const weights = new URL("./golden/class_conditional", import.meta.url).pathname;
  const once = `${folder.path}/once.png`, again = `${folder.path}/again.png`;
  const tiny = ["sample", "--weights", weights, "--backend", "native", "--threads", "1"];
  const flags = ["--steps", "3", "--null-label", "3", "--guidance", "4", "--label", "1"];
  const made = await cli([...tiny, ...flags, "--seed", "5", "--guided", "300-700", "--out", once]);
  assertEquals([made.code, made.out], [0, ""], made.err);
  const read = async (path: string) => decodePng(await Deno.readFile(path), path);
  const first = await read(once);
  assertEquals(fromText(first.text[RECIPE_KEYWORD], once)[0].guided, [300, 700]);
  assertEquals((await cli([...tiny, "--from", once, "--out", again])).code, 0);
  assertEquals((await read(again)).pixels, first.pixels);
  await cli([...tiny, ...flags, "--seed", "5", "--out", again, "--force"]);
  assertEquals((await read(again)).pixels.join() === first.pixels.join(), false);

  const wrong = await cli([...tiny, ...flags, "--guided", "700-300", "--out", again]);
  assertEquals(wrong.code, 2);
  assertMatch(wrong.err, /--guided: expected two timesteps.*, found "700-300"/);
});

Deno.test("?guided= in an address, in the address that is for ever, and in a generation", async () => {
  const model = { ...fakeModel({ labels: ["a", "b"], nullLabel: 2 }), recommended };
  const app = createApp({ models: { fake: model } });
  const get = async (query: string) => {
    const response = await app.request(`/v1/images/7.png?${query}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { response, bytes, at: response.headers.get("content-location") };
  };
  const [own, some, all] = [await get(""), await get("guided=300-500"), await get("guided=0-999")];
  assertMatch(own.at!, /guidance=3&guided=170-880&/);
  assertMatch(some.at!, /guided=300-500&/);
  assertEquals(
    new Set([own, some, all].map(({ response }) => response.headers.get("etag"))).size,
    3,
  );
  assertEquals(await (await app.request(`/v1/images/${some.at}`)).bytes(), some.bytes);
  assertEquals((await get("guidance=1")).at!.includes("guided"), false);

  for (const wrong of ["500-300", "x", "1000-2000"]) {
    const { response, bytes } = await get(`guided=${wrong}`);
    assertEquals(response.status, 422);
    assertMatch(new TextDecoder().decode(bytes), /guided: expected /);
  }
  const generation = await app.request("/v1/images/generations", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "a hero", seed: 7, guided: "300-500" }),
  });
  const { data: [{ guided }] } = await generation.json();
  assertEquals(guided, "300-500");
});
