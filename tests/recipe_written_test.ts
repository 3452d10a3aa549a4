/** How a recipe is written, to the letter: others read it, and caches know pictures by it. */
import { assertEquals, assertThrows } from "@std/assert";
import { FieldError } from "../src/errors.ts";
import { etag } from "../src/recipe/etag.ts";
import { tensorInput } from "../src/recipe/inputs.ts";
import { fromText, type Recipe, toText } from "../src/recipe/recipe.ts";

/** Everything that a recipe may say. */
const full: Recipe = {
  weights: "ab".repeat(32),
  source: "digits",
  scheduler: "mine",
  plugin: "v1",
  schedule: "cosine",
  steps: 2,
  timesteps: [900, 100],
  options: { eta: 0.5, clip: false, mode: "a b" },
  guidance: 2,
  guided: [100, 800],
  nullLabel: 3,
  scale: 2,
  size: [30, 25],
  backend: "wasm",
  seed: 7,
  label: 1,
  mix: { seed: 9, label: 2, share: 0.25 },
  inputs: { x_T: "00", mask: "ff" },
};

/** Only what a recipe has to say. */
const bare: Recipe = {
  weights: "c",
  scheduler: "ddim",
  steps: 0,
  options: {},
  guidance: 1,
  seed: 2 ** 32 - 1,
};

Deno.test("an ETag is the recipe itself, its names in one order, with the version of what pictures are made by", () => {
  const told = [
    "picture=2",
    `weights=${"ab".repeat(16)}`,
    "timesteps=900+100&source=digits&scheduler=mine&plugin=v1&schedule=cosine&steps=2&guidance=2",
    "guided=100%2C800&nullLabel=3&scale=2&size=30%2C25&backend=wasm&seed=7&label=1",
    "format=gif",
    "options.clip=false&options.eta=0.5&options.mode=a+b",
    "mix.label=2&mix.seed=9&mix.share=0.25",
    "inputs.mask=ff&inputs.x_T=00",
  ];
  assertEquals(etag(full, { format: "gif" }), `"${told.join("&")}"`);
  const least = "picture=2&weights=c&scheduler=ddim&steps=0&guidance=1&seed=4294967295";
  assertEquals(etag(bare), `"${least}"`);
});

Deno.test("whatever a recipe says is read again from its text, of one picture and of several", () => {
  const { mix: _, ...unmixed } = full;
  for (const recipes of [[full], [bare], [full, { ...unmixed, seed: 8, label: 0 }]]) {
    assertEquals(fromText(toText(recipes), "a.png"), recipes);
  }
  assertEquals(JSON.parse(toText([full, { ...unmixed, seed: 8 }])), {
    api: 1,
    weights: full.weights,
    source: "digits",
    scheduler: "mine",
    schedule: "cosine",
    steps: 2,
    timesteps: [900, 100],
    options: { eta: 0.5, clip: false, mode: "a b" },
    seeds: [7, 8],
    labels: [1, 1],
    mixes: [{ seed: 9, label: 2, share: 0.25 }, null],
    guidance: 2,
    guided: [100, 800],
    nullLabel: 3,
    backend: "wasm",
    scale: 2,
    size: [30, 25],
    plugin: "v1",
    inputs: [full.inputs, full.inputs],
  });
});

Deno.test("each key of a recipe's text is looked at before it is believed", () => {
  const facts = JSON.parse(toText([full]));
  const wrong: Record<string, unknown[]> = {
    weights: [1, null],
    source: [3],
    scheduler: [null],
    plugin: [1],
    schedule: [false],
    steps: ["2", null],
    timesteps: [["a"], 900, null],
    options: [[], null, { eta: [1] }],
    seeds: [[-1], ["7"], [0.5], [], [7, 8]],
    labels: [[0.5], [null], [1, 2]],
    mixes: [[{}], [{ share: -0.1 }], [{ share: 1, seed: 2 ** 32 }], [{ share: 1, label: -1 }], [1]],
    guidance: [null, "2"],
    guided: [[1], [2, 1], "100-800"],
    nullLabel: [-1, 0.5],
    scale: [1.5, 0],
    size: [[1, 2, 3], [0, 1], 30],
    backend: [4],
    inputs: [[], [[]], {}],
  };
  for (const [key, values] of Object.entries(wrong)) {
    for (const value of values) {
      const text = JSON.stringify({ ...facts, [key]: value });
      // So many seeds are there as the lists beside them have: of another number these are wrong.
      const fields = key === "seeds" ? ["seeds", "labels"] : [key];
      const { field, message } = assertThrows(() => fromText(text, "a.png"), FieldError);
      assertEquals(fields.includes(field), true, `${key}: ${JSON.stringify(value)}: ${message}`);
      assertEquals(message.startsWith("a.png: recipe: "), true, message);
    }
  }
  for (const json of ["[]", "3", "null"]) {
    assertThrows(
      () => fromText(json, "a.png"),
      FieldError,
      "a.png: recipe: expected a JSON object",
    );
  }
});

Deno.test("an input's hash is SHA-256 of its shape in words and its numbers as little-endian float32", async () => {
  const data = Float32Array.of(1, -2.5);
  const bytes = new Uint8Array([
    ...new TextEncoder().encode("float32 [1,2]\n"),
    ...new Uint8Array(8),
  ]);
  const view = new DataView(bytes.buffer, bytes.length - 8);
  view.setFloat32(0, 1, true);
  view.setFloat32(4, -2.5, true);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  const { sha256, value } = await tensorInput(data, [1, 2]);
  assertEquals([sha256, value === data], [digest, true]);
});
