import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import type { Scheduler } from "../src/diffusion/mod.ts";
import { FieldError, InputError } from "../src/errors.ts";
import { decodePng } from "../src/image/png.ts";
import { etag } from "../src/recipe/etag.ts";
import { tensorInput } from "../src/recipe/inputs.ts";
import { fromText, RECIPE_KEYWORD, toText } from "../src/recipe/recipe.ts";
import { type RecipeRequest, resolve } from "../src/recipe/resolve.ts";
import { generate } from "../src/sampling/pictures.ts";
import { schedulers } from "../schedulers/mod.ts";
import { fakeNetwork, type FakeOptions } from "./sampling_network.ts";

const hash = "ab".repeat(32);
const classes: FakeOptions = { labels: ["wizard", "knight", "0"], nullLabel: 3 };
const recipeOf = (request: RecipeRequest, facts: FakeOptions = classes, more = {}) =>
  resolve({ ...fakeNetwork(facts), hash, ...more }, schedulers, request);

Deno.test("a recipe has every default filled in: the weights' advice, else ddim in 50 steps", () => {
  const plain = recipeOf({ seed: 7 });
  assertEquals(plain, {
    weights: hash,
    scheduler: "ddim",
    steps: 50,
    options: { eta: 0, clipped_eps: "never" },
    guidance: 1,
    seed: 7,
    label: 1,
  });
  const recommended = { scheduler: "unipc", steps: 12, guidance: 2 };
  const advised = recipeOf({ seed: 7 }, { ...classes, recommended });
  assertEquals([advised.scheduler, advised.steps, advised.guidance], ["unipc", 12, 2]);
  const asked = recipeOf({ seed: 7, scheduler: "heun", steps: 3, guidance: 1, scale: 4 }, {
    ...classes,
    recommended,
  });
  assertEquals([asked.scheduler, asked.steps, asked.guidance, asked.scale], ["heun", 3, 1, 4]);
});

Deno.test("timesteps given by hand are as many steps as they are, whatever the weights advise", () => {
  const recommended = { scheduler: "ddim", steps: 12 };
  const { steps, timesteps } = recipeOf({ seed: 7, timesteps: [900, 500, 0] }, { recommended });
  assertEquals([steps, timesteps], [3, [900, 500, 0]]);
  const both = recipeOf({ seed: 7, timesteps: [900, 500, 0], steps: 5 });
  assertEquals(both.steps, 3, "they go before a number of steps");
  assertThrows(() => recipeOf({ seed: 7, timesteps: [] }), FieldError, "steps");
});

Deno.test("pictures are guided at the times that are asked for, else at those the weights advise, where they are guided", () => {
  const recommended = { scheduler: "ddim", steps: 12, guidance: 2, guided: [100, 800] as const };
  const of = (request: Partial<RecipeRequest>) =>
    recipeOf({ seed: 7, ...request }, { ...classes, recommended }).guided;
  assertEquals(of({}), [100, 800]);
  assertEquals(of({ guided: [0, 999] }), [0, 999]);
  assertEquals(of({ guided: [999, 5000] }), [999, 5000], "its beginning is a timestep");
  assertEquals(of({ guidance: 1 }), undefined, "what is not guided is so at no time");
  assertEquals(recipeOf({ seed: 7, guidance: 2 }).guided, undefined, "at every time");
  const beyond = 'guided: expected timesteps from 0 to 999, found "1000-2000"';
  const advice = { ...recommended, guided: [1000, 2000] as const };
  for (const ask of [{ guided: [1000, 2000] as const }, {}]) {
    assertThrows(
      () => recipeOf({ seed: 7, ...ask }, { ...classes, recommended: advice }),
      FieldError,
      beyond,
    );
  }
  for (const guided of [[1000, 1000], [5, 4], [-1, 5], [1, NaN]] as const) {
    assertThrows(() => of({ guided }), FieldError, "guided: expected");
    assertThrows(() => of({ guided, guidance: 1 }), FieldError, "guided: expected");
  }
});

Deno.test("a picture's recipe has a class and inputs for every seed or for none", () => {
  const [first, second] = [recipeOf({ seed: 7 }), recipeOf({ seed: 8 })];
  const text = toText([first, second]);
  assertEquals(fromText(text, "a.png"), [first, second]);
  for (const more of [{ labels: [1] }, { labels: [1, 2, 0] }, { inputs: [{}] }]) {
    const wrong = JSON.stringify({ ...JSON.parse(text), ...more });
    assertThrows(() => fromText(wrong, "a.png"), FieldError, "as many as seeds");
  }
});

Deno.test("where neither the advice nor ddim is on offer, the first scheduler is taken", () => {
  const network = fakeNetwork({ recommended: { scheduler: "elsewhere", steps: 3 } });
  const { heun } = schedulers;
  assertEquals(resolve(network, { heun }, { seed: 0 }).scheduler, "heun");
  assertThrows(() => resolve(network, {}, { seed: 0 }), FieldError, "scheduler: expected one of");
  const { ddim } = schedulers;
  const { message } = assertThrows(
    () => resolve(network, { heun, ddim }, { seed: 0, scheduler: "toString" }),
    FieldError,
  );
  assertEquals(message, 'scheduler: expected one of heun, ddim, found "toString"');
});

Deno.test("a recipe says what the network says of itself: its hash, its engine", () => {
  const of = (facts: { hash?: string; backend?: string }) => {
    const { weights, backend } = resolve({ ...fakeNetwork(), ...facts }, schedulers, { seed: 0 });
    return [weights, backend];
  };
  assertEquals(of({ hash, backend: "wasm" }), [hash, "wasm"]);
  assertEquals(of({}), ["", undefined], "a network of nobody's weights");
});

Deno.test("weights are called by what may be told: no folders, no tokens", () => {
  const sourceOf = (source: string) => recipeOf({ seed: 0 }, {}, { source }).source;
  assertEquals(sourceOf("/home/ada/secret/faces/"), "faces");
  assertEquals(sourceOf("https://example.org/faces.zip?token=1"), "https://example.org/faces.zip");
  assertEquals(sourceOf("digits"), "digits");
  assertEquals(sourceOf("C:\\Users\\ada\\faces"), "faces");
  assertEquals(sourceOf("http://ada:secret@example.org/a/b/#c"), "http://example.org/a/b/");
  assertEquals(sourceOf("npm:@ada/faces@1.0.0"), "faces@1.0.0");
  assertEquals(sourceOf("/"), "/");
});

Deno.test("a class is asked for by name or index; a name goes before an index of the same look", () => {
  const label = (label: string | number) => recipeOf({ seed: 0, label }).label;
  assertEquals(["wizard", "knight", "0", "1", 0, 3].map(label), [0, 1, 2, 1, 0, 3]);
});

const aSeed = "a whole number from 0 to 4294967295";
const aClass = "a class (wizard, knight, 0) or its index";
const refused: [request: RecipeRequest, field: string, expected: string, found: string][] = [
  [{ seed: -1 }, "seed", aSeed, "-1"],
  [{ seed: 2 ** 32 }, "seed", aSeed, "4294967296"],
  [{ seed: 0.5 }, "seed", aSeed, "0.5"],
  [
    { seed: 0, scheduler: "dimm" },
    "scheduler",
    `one of ${Object.keys(schedulers).join(", ")}`,
    '"dimm"',
  ],
  [{ seed: 0, steps: 0 }, "steps", "a whole number of at least 1", "0"],
  [{ seed: 0, timesteps: [] }, "steps", "a whole number of at least 1", "0"],
  [{ seed: 0, scale: 1.5 }, "scale", "a whole number from 1 to 256", "1.5"],
  [{ seed: 0, scale: 2, size: 9 }, "size", "none beside a scale", "9"],
  [{ seed: 0, size: 3 }, "size", "a width and height from 4x4 to 1024x1024", '"3x3"'],
  [{ seed: 0, label: "witch" }, "label", aClass, '"witch"'],
  [{ seed: 0, label: 4 }, "label", aClass, "4"],
  [{ seed: 0, guidance: Infinity }, "guidance", "a number", "Infinity"],
  [{ seed: 0, nullLabel: 4 }, "nullLabel", "0 to 3", "4"],
  [{ seed: 0, options: { eta: 2 } }, "options.eta", "a number from 0 to 1", "2"],
  [{ seed: 0, options: { eat: 1 } }, "options.eat", 'an option of "ddim" (eta, clipped_eps)', "1"],
  [
    { seed: 0, inputs: { mask: { sha256: hash, value: 0 } } },
    "inputs",
    'inputs of "ddim" (none)',
    '"mask"',
  ],
  [{ seed: 0, mix: {} }, "mix", "something to mix with: another seed, or a second label", "0.5"],
  [{ seed: 0, mix: { seed: 0.5 } }, "seed", aSeed, "0.5"],
];
for (const [request, field, expected, found] of refused) {
  Deno.test(`refused by name: ${field} in ${JSON.stringify(request)}`, () => {
    const { message } = assertThrows(() => recipeOf(request), FieldError);
    assertEquals(message, `${field}: expected ${expected}, found ${found}`);
  });
}

Deno.test("every choice is in the ETag, and nothing else", async () => {
  const base: RecipeRequest = { seed: 1 };
  const others: RecipeRequest[] = [
    { seed: 2 },
    { seed: 1, label: 2 },
    { seed: 1, scheduler: "heun" },
    { seed: 1, schedule: "cosine" },
    { seed: 1, steps: 49 },
    { seed: 1, timesteps: [900, 100] },
    { seed: 1, timesteps: [900, 101] },
    { seed: 1, options: { eta: 1 } },
    { seed: 1, guidance: 2 },
    { seed: 1, guidance: 2, nullLabel: 0 },
    { seed: 1, scale: 2 },
  ];
  const tags = [base, ...others].map((request) => etag(recipeOf(request)));
  assertEquals(new Set(tags).size, tags.length);
  assertEquals(etag(recipeOf({ seed: 1, steps: 50, label: 1 })), tags[0]);
  const recipe = recipeOf(base);
  const inputs = { x_T: (await tensorInput(new Float32Array(16))).sha256 };
  assertNotEquals(etag({ ...recipe, inputs }), tags[0]);
  assertNotEquals(etag({ ...recipe, backend: "wasm" }), tags[0]);
  assertNotEquals(etag({ ...recipe, weights: "cd".repeat(32) }), tags[0]);
  assertNotEquals(etag(recipe, { format: "gif" }), tags[0]);
});

/** Adds a hint to the noise: what restoration samplers do, in small. */
const hinted: Scheduler = {
  name: "hinted",
  api: 1,
  needs: ["hint"],
  async *sampler(run) {
    const hint = run.inputs.hint as Float32Array;
    for (const t of run.timesteps) {
      const { x_0 } = await run.denoise(run.x, t);
      yield { t, x: x_0, x_0 };
    }
    return hint;
  },
};

Deno.test("inputs reach the sampler as they are, and the recipe as hashes", async () => {
  const network = fakeNetwork();
  const hints = [0.5, -0.5].map((value) => new Float32Array(16).fill(value));
  const inputs = await Promise.all(hints.map(async (hint) => ({ hint: await tensorInput(hint) })));
  const options = { seeds: [1, 2], scheduler: hinted, steps: 2 };
  const each = await generate(network, { ...options, inputs });
  assertEquals(each.map(({ pixels }) => pixels[0]), [191, 64]);
  assertEquals(
    each.map(({ recipe }) => recipe.inputs),
    inputs.map(({ hint }) => ({ hint: hint.sha256 })),
  );
  const same = await generate(network, { ...options, inputs: inputs[0] });
  assertEquals(same.map(({ pixels }) => pixels[0]), [191, 191]);

  await assertRejects(() => generate(network, options), FieldError, "inputs.hint: expected one");
  await assertRejects(
    () => generate(network, { ...options, inputs: [inputs[0]] }),
    InputError,
    "inputs: expected one for each of 2 seeds, found 1",
  );
});

Deno.test("a picture from another starting point says so in its recipe", async () => {
  const network = fakeNetwork();
  const x_T = [new Float32Array(16).fill(0.25)];
  const [plain] = await generate(network, { seeds: [1], steps: 2 });
  const [moved] = await generate(network, { seeds: [1], steps: 2, x_T });
  assertEquals(plain.recipe.inputs, undefined);
  assertEquals(moved.recipe.inputs, { x_T: (await tensorInput(x_T[0], [1, 4, 4])).sha256 });
  const png = await moved.png();
  assertEquals(fromText(decodePng(png, "a").text[RECIPE_KEYWORD], "a"), [moved.recipe]);
});

Deno.test("scale enlarges the finished picture, and its recipe knows", async () => {
  const network = fakeNetwork();
  const [small] = await generate(network, { seeds: [1], steps: 2 });
  const [large] = await generate(network, { seeds: [1], steps: 2, scale: 3 });
  assertEquals([large.width, large.height, large.recipe.scale], [12, 12, 3]);
  for (let y = 0; y < 12; y++) {
    for (let x = 0; x < 12; x++) {
      const from = Math.floor(y / 3) * 4 + Math.floor(x / 3);
      assertEquals(large.pixels[y * 12 + x], small.pixels[from]);
    }
  }
});
