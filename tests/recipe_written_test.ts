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

Deno.test("a recipe's text is the same letters each time: facts in their order, what is left out left out", () => {
  const weights = full.weights;
  const facts = [
    `{"api":1,"weights":"${weights}","source":"digits","scheduler":"mine","schedule":"cosine","steps":2`,
    '"timesteps":[900,100],"options":{"eta":0.5,"clip":false,"mode":"a b"},"seeds":[7],"labels":[1]',
    '"mixes":[{"seed":9,"label":2,"share":0.25}],"guidance":2,"guided":[100,800],"nullLabel":3',
    '"backend":"wasm","scale":2,"size":[30,25],"plugin":"v1","inputs":[{"x_T":"00","mask":"ff"}]}',
  ];
  assertEquals(toText([full]), facts.join(","));
  const least =
    '{"api":1,"weights":"c","scheduler":"ddim","steps":0,"options":{},"seeds":[4294967295],"guidance":1}';
  assertEquals(toText([bare]), least);
  assertEquals(
    toText([{ ...bare, source: "é🧙\u007f" }]).match(/"source":"([^"]*)"/)![1],
    "\\u00e9\\ud83e\\uddd9\\u007f",
  );
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

Deno.test("what a key should have been is said in words, with what is there", () => {
  const facts = JSON.parse(toText([full]));
  const seed = "a whole number from 0 to 4294967295";
  const told: [change: Record<string, unknown>, says: string][] = [
    [{ weights: 1 }, "weights: expected text, found 1"],
    [{ scheduler: undefined }, "scheduler: expected text, found nothing"],
    [{ steps: -1 }, "steps: expected a whole number of at least 0, found -1"],
    [{ timesteps: 900 }, "timesteps: expected a list, each a number, found 900"],
    [{ options: [] }, "options: expected values by name, found []"],
    [{ options: null }, "options: expected values by name, found null"],
    [{ options: { eta: [1] } }, 'options: expected values by name, found {"eta":[1]}'],
    [{ seeds: [-1] }, `seeds: expected a list of seeds, each ${seed}, found [-1]`],
    [{ labels: [-1] }, "labels: expected a list of classes, found [-1]"],
    [{ mixes: [{}] }, "mixes: expected a list, each { seed?, label?, share }, or null, found [{}]"],
    [{ guidance: "2" }, 'guidance: expected a number, found "2"'],
    [
      { guided: [2, 1] },
      "guided: expected two timesteps, the earlier first, as 170-880, found [2,1]",
    ],
    [{ nullLabel: -1 }, "nullLabel: expected a whole number of at least 0, found -1"],
    [{ scale: 0 }, "scale: expected a whole number of at least 1, found 0"],
    [{ size: [30, 0] }, "size: expected [width, height], found [30,0]"],
    [{ inputs: [[]] }, "inputs: expected a list, each hashes by name, found [[]]"],
    [{ api: 2 }, "api: expected 1, the recipe's version, found 2"],
    [{ seeds: [7, 8] }, "labels: expected 2, as many as seeds, found [1]"],
    [
      { seeds: [7, 8], labels: [1, 1], mixes: [null] },
      "mixes: expected 2, as many as seeds, found [null]",
    ],
    [
      { seeds: [7, 8], labels: [1, 1], mixes: [null, null] },
      `inputs: expected 2, as many as seeds, found ${JSON.stringify([full.inputs])}`,
    ],
  ];
  for (const [change, says] of told) {
    const text = JSON.stringify({ ...facts, ...change });
    const { message } = assertThrows(() => fromText(text, "a.png"), FieldError);
    assertEquals(message, `a.png: recipe: ${says}`);
  }
  const none = { seeds: [], labels: [], mixes: undefined, inputs: undefined };
  assertEquals(fromText(JSON.stringify({ ...facts, ...none }), "a.png"), []);
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
