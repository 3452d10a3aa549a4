/** How large a picture is to be, what it starts from, and how its recipe is written, at their edges. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import type { Scheduler } from "../src/diffusion/mod.ts";
import { FieldError, InputError } from "../src/errors.ts";
import {
  checkConditioning,
  classCount,
  defaultLabel,
  isLabel,
  labelIndex,
  labelName,
  labelNamed,
  mostEvaluations,
} from "../src/recipe/conditioning.ts";
import { etag } from "../src/recipe/etag.ts";
import { checkInputs, hashesOf, tensorInput, valuesOf } from "../src/recipe/inputs.ts";
import { optionsFromText, optionType, resolveOptions } from "../src/recipe/options.ts";
import { fromText, type Recipe, toText } from "../src/recipe/recipe.ts";
import { resolve } from "../src/recipe/resolve.ts";
import { enlargementTo, sizeFromText, sizeOfFile } from "../src/recipe/size.ts";
import { schedulers } from "../schedulers/mod.ts";
import { fakeNetwork } from "./sampling_network.ts";

Deno.test("a size is a width and a height, or one number for both", () => {
  const sizes: [text: string, size: readonly [number, number] | undefined][] = [
    ["128", [128, 128]],
    ["128x96", [128, 96]],
    [" 128 × 96 ", [128, 96]],
    ["128X96", [128, 96]],
    ["99999", [99999, 99999]],
    ["100000", undefined],
    ["128x", undefined],
    ["x96", undefined],
    ["128x96x3", undefined],
    ["12.5", undefined],
    ["-3", undefined],
    ["", undefined],
  ];
  for (const [text, size] of sizes) assertEquals(sizeFromText(text), size, text);
});

Deno.test("a picture is the largest whole multiple that fits its size, with its ground around it", () => {
  const shape = [1, 10, 20] as const; // 20 wide and 10 high
  const to = (width: number, height: number) => enlargementTo(shape, [width, height]);
  assertEquals(to(20, 10), {});
  assertEquals(to(60, 30), { scale: 3 });
  assertEquals(to(70, 30), { scale: 3, size: [70, 30] });
  assertEquals(to(60, 100), { scale: 3, size: [60, 100] });
  assertEquals(to(39, 29), { size: [39, 29] });
  assertEquals(to(256 * 20, 256 * 10), { scale: 256 });
  for (
    const [width, height] of [
      [19, 10],
      [20, 9],
      [256 * 20 + 1, 10],
      [20, 256 * 10 + 1],
      [20.5, 10],
      [20, 10.5],
      [0, 0],
      [NaN, 10],
    ]
  ) {
    const error = assertThrows(() => to(width, height), FieldError);
    assertEquals(error.field, "size");
    assertMatch(error.message, /a width and height from 20x10 to 5120x2560, found/);
  }
  assertEquals(enlargementTo(shape, [40, 20], 2), { scale: 2 });
  assertThrows(() => enlargementTo(shape, [60, 20], 2), FieldError, "from 20x10 to 40x20");
  assertEquals([sizeOfFile(shape, {}), sizeOfFile(shape, { scale: 3 })], [[20, 10], [60, 30]]);
  assertEquals(sizeOfFile(shape, { scale: 3, size: [70, 31] }), [70, 31]);
});

const hash = "ab".repeat(32);
const network = { ...fakeNetwork({ shape: [1, 10, 20] }), hash };
const recipeOf = (request: Record<string, unknown>) =>
  resolve(network, schedulers, { seed: 1, ...request });

Deno.test("a recipe has a scale or a size, not both, and neither where nothing is enlarged", () => {
  const of = (request: Record<string, unknown>) => {
    const { scale, size } = recipeOf(request);
    return [scale, size];
  };
  assertEquals(of({}), [undefined, undefined]);
  assertEquals(of({ scale: 1 }), [undefined, undefined]);
  assertEquals(of({ scale: 256 }), [256, undefined]);
  assertEquals(of({ size: 45 }), [2, [45, 45]]);
  assertEquals(of({ size: [40, 20], scale: 1 }), [2, undefined]);
  for (const scale of [0, 257, 1.5, -1]) {
    assertThrows(() => of({ scale }), FieldError, "scale: expected a whole number from 1 to 256");
  }
  assertThrows(
    () => of({ size: [40, 20], scale: 2 }),
    FieldError,
    "size: expected none beside a scale",
  );
});

Deno.test("the ETag tells apart pictures by size, scale and mixture, whatever the order of names", () => {
  const tag = (request: Record<string, unknown>) => etag(recipeOf(request));
  const requests = [{}, { scale: 2 }, { size: 40 }, { size: 41 }, { mix: { seed: 9 } }, {
    mix: { seed: 8 },
  }];
  assertEquals(new Set(requests.map(tag)).size, requests.length);
  const recipe = recipeOf({});
  assertEquals(
    etag({ ...recipe, options: { a: 1, b: 2 }, inputs: { x: "1", y: "2" } }),
    etag({ ...recipe, options: { b: 2, a: 1 }, inputs: { y: "2", x: "1" } }),
  );
  assertNotEquals(
    etag({ ...recipe, inputs: { x: "1" } }),
    etag({ ...recipe, options: { x: "1" } }),
  );
  assertMatch(etag(recipe), /^"[\x21\x23-\x7e]+"$/, "what HTTP allows");
});

Deno.test("a recipe is written in ASCII, and read back letter for letter", () => {
  const recipe: Recipe = { ...recipeOf({}), source: "Zauberlehrling Ü é \u007f \u0001 🧙" };
  const text = toText([recipe]);
  assertMatch(text, /^[\x20-\x7e]*$/);
  assertEquals(fromText(text, "a.png"), [recipe]);
  const facts = JSON.parse(text);
  assertEquals(["labels" in facts, "mixes" in facts, "inputs" in facts], [false, false, false]);
});

Deno.test("a recipe of another version, or a damaged one, is not guessed at", () => {
  const facts = JSON.parse(toText([recipeOf({})]));
  const read = (change: Record<string, unknown>) => () =>
    fromText(JSON.stringify({ ...facts, ...change }), "a.png");
  assertEquals(read({ later: "key" })().length, 1, "keys it does not know are passed over");
  for (const api of [2, "1", null]) {
    assertThrows(read({ api }), FieldError, "a.png: recipe: api: expected 1, the recipe's version");
  }
  assertThrows(read({ api: undefined }), FieldError, "api");
  assertThrows(
    () => fromText("{", "a.png"),
    InputError,
    "a.png: the recipe in the picture is damaged",
  );
  const wrong: [Record<string, unknown>, string][] = [
    [{ seeds: [2 ** 32] }, "seeds"],
    [{ seeds: 3 }, "seeds"],
    [{ seeds: [1], labels: [-1] }, "labels"],
    [{ steps: -1 }, "steps"],
    [{ steps: 1.5 }, "steps"],
    [{ guidance: "2" }, "guidance"],
    [{ scale: 0 }, "scale"],
    [{ size: [40] }, "size"],
    [{ size: [40, 0] }, "size"],
    [{ options: { eta: null } }, "options"],
    [{ timesteps: [] }, "timesteps"],
    [{ inputs: [{ mask: 3 }] }, "inputs"],
    [{ weights: undefined }, "weights"],
  ];
  for (const [change, field] of wrong) {
    assertEquals(assertThrows(read(change), FieldError).field, field, JSON.stringify(change));
  }
});

Deno.test("an input is known by its shape and its numbers", async () => {
  const data = Float32Array.of(1, 2, 3, 4);
  const sha = async (data: Float32Array, shape?: number[]) =>
    (await tensorInput(data, shape)).sha256;
  const all = [
    await sha(data),
    await sha(data, [2, 2]),
    await sha(data, [1, 4]),
    await sha(data.with(3, 5)),
    await sha(data.subarray(1)),
  ];
  assertEquals(new Set(all).size, all.length);
  assertEquals(await sha(data, [4]), all[0]);
  const part = new Float32Array([9, 1, 2, 3, 4]).subarray(1);
  assertEquals(await sha(part), all[0], "a view is its own numbers alone");
});

Deno.test("a sampler is given the inputs that it names, neither fewer nor others", async () => {
  const input = await tensorInput(Float32Array.of(1));
  const sampler = { name: "s", api: 1 as const, needs: ["mask", "vjp"] };
  checkInputs(sampler, { mask: input });
  checkInputs({ name: "plain", api: 1 });
  const field = (given?: Record<string, typeof input>) =>
    assertThrows(() => checkInputs(sampler, given), FieldError).field;
  assertThrows(
    () => checkInputs(sampler),
    FieldError,
    'inputs.mask: expected one: "s" starts from it, found nothing',
  );
  const two = { ...sampler, needs: ["mask", "hint"] };
  assertThrows(() => checkInputs(two, { mask: input }), FieldError, "inputs.hint: expected one");
  const known = 'inputs: expected inputs of "s" (mask, hint), found "x"';
  assertThrows(
    () => checkInputs(two, { mask: input, hint: input, x: input }),
    FieldError,
    known,
  );
  assertEquals([field(), field({}), field({ mask: input, hint: input })], [
    "inputs.mask",
    "inputs.mask",
    "inputs",
  ]);
  assertEquals(field({ mask: input, vjp: input }), "inputs", "gradients are the engine's");
  assertThrows(
    () => checkInputs({ name: "p", api: 1 }, { mask: input }),
    FieldError,
    `inputs of "p" (none)`,
  );
  assertThrows(() => checkInputs(sampler, { mask: input, hint: input }), FieldError, `"s" (mask)`);
  assertEquals(Object.keys(hashesOf({ b: input, a: input })!), ["a", "b"]);
  assertEquals([hashesOf({}), hashesOf(), valuesOf()], [undefined, undefined, {}]);
  assertEquals(valuesOf({ a: input }), { a: input.value });
});

Deno.test("an option that is undefined is at its default; text becomes its type, or stays to be refused", () => {
  const { ddim } = schedulers;
  assertEquals(resolveOptions(ddim, { eta: undefined }), { eta: 0, clipped_eps: "never" });
  assertThrows(() => resolveOptions(ddim, { eta: null }), FieldError, "options.eta");
  assertEquals(optionsFromText(ddim, { eta: "0.5", clipped_eps: "always", other: "7" }), {
    eta: 0.5,
    clipped_eps: "always",
    other: "7",
  });
  const field = (scheduler: Scheduler, given: Record<string, unknown>) =>
    assertThrows(() => resolveOptions(scheduler, given), FieldError).message;
  assertEquals(
    field(ddim, { eat: 1 }),
    'options.eat: expected an option of "ddim" (eta, clipped_eps), found 1',
  );
  const plain = { name: "plain", api: 1 as const };
  assertEquals(
    field(plain, { toString: undefined }),
    'options.toString: expected an option of "plain" (none), found nothing',
  );
  assertEquals([resolveOptions(plain), resolveOptions(plain, {})], [{}, {}]);
  assertEquals(optionsFromText(ddim, { eta: 0.5, clipped_eps: true }), {
    eta: 0.5,
    clipped_eps: true,
  });
  assertEquals(optionsFromText(plain, { eta: "0.5" }), { eta: "0.5" });
  assertEquals(optionsFromText(ddim, { eta: "much" }), { eta: "much" });
  assertEquals(optionsFromText(schedulers.dpmpp, { clip: "false" }), { clip: false });
});

Deno.test("an option takes what its description says, to the ends of its range", () => {
  const common = { description: "", default: 1 };
  const cases: [Parameters<typeof optionType>[0], string, unknown[], unknown[]][] = [
    [{ ...common, type: "number" }, "a number", [0.5, -3], ["1", NaN]],
    [{ ...common, type: "number", minimum: 0 }, "a number of at least 0", [0], [-0.1]],
    [{ ...common, type: "integer", maximum: 9 }, "a whole number of at most 9", [9, -9], [10, 0.5]],
    [{ ...common, type: "integer", minimum: 1, maximum: 9 }, "a whole number from 1 to 9", [1, 9], [
      0,
      10,
    ]],
    [{ ...common, type: "boolean" }, "true or false", [true, false], ["true", 1]],
    [{ ...common, type: "string" }, "text", ["", "a"], [1, true]],
    [{ ...common, type: "string", enum: ["a", "b"] }, "one of a, b", ["a", "b"], ["c", ""]],
    [{ ...common, type: "integer", enum: [2, 4] }, "one of 2, 4", [2, 4], [3, "2"]],
  ];
  for (const [schema, expected, accepted, refused] of cases) {
    const { accepts, expected: told } = optionType(schema);
    assertEquals(told, expected);
    assertEquals([accepted.map(accepts), refused.map(accepts)], [
      accepted.map(() => true),
      refused.map(() => false),
    ], expected);
  }
});

const labelled = fakeNetwork({ labels: ["wizard", "orc", "2"], nullLabel: 3 });

Deno.test("classes are their names, in any Unicode form, and their indices, the null class among them", () => {
  assertEquals(classCount(labelled), 4);
  assertEquals(classCount(fakeNetwork({ labels: ["a", "b"], nullLabel: 1 })), 2);
  assertEquals([classCount(fakeNetwork({ labels: ["a"] })), classCount(fakeNetwork())], [1, 0]);
  assertEquals(["orc", "2", "3", "0", 2, 3].map((label) => labelIndex(labelled, label)), [
    1,
    2,
    3,
    0,
    2,
    3,
  ]);
  for (const label of ["elf", "4", 4, -1, 1.5, "", "-1", "1.0", "constructor"]) {
    assertEquals(isLabel(labelled, label), false, `${label}`);
    assertThrows(
      () => labelIndex(labelled, label),
      FieldError,
      "label: expected a class (wizard, orc, 2)",
    );
  }
  assertThrows(() => labelIndex(fakeNetwork(), "0"), FieldError, "know no classes");
  const accented = ["é".normalize("NFC"), "o"];
  assertEquals([labelNamed(accented, "é".normalize("NFD")), labelNamed(accented, "e")], [0, -1]);
  const forms = ["NFD", "NFC"].map((form) => "é".normalize(form));
  assertEquals(forms.map((name) => labelNamed(forms, name)), [0, 1], "its very letters go before");
  assertEquals([labelName(labelled, 1), labelName(labelled, 3), labelName(fakeNetwork(), 0)], [
    "orc",
    "3",
    "0",
  ]);
  assertEquals([0, 4, 2 ** 32 - 1].map((seed) => defaultLabel(labelled, seed)), [0, 1, 0]);
  assertEquals(defaultLabel(fakeNetwork(), 5), undefined);
  const many = fakeNetwork({ labels: Array.from({ length: 21 }, (_, i) => `c${i}`) });
  assertThrows(() => labelIndex(many, "x"), FieldError, "c18, c19, …) or its index");
  const twenty = fakeNetwork({ labels: Array.from({ length: 20 }, (_, i) => `c${i}`) });
  assertThrows(() => labelIndex(twenty, "x"), FieldError, "c18, c19) or its index");
});

Deno.test("a network is asked for its classes, for a second one, and for none, or it is refused", () => {
  const check = (conditioning: Parameters<typeof checkConditioning>[1], of = labelled) =>
    checkConditioning(of, conditioning);
  check({ label: 0, guidance: 1 });
  check({ label: 3, guidance: 0.5, mix: { label: 1, share: 0.5 } });
  check({ guidance: 1 }, fakeNetwork());
  const unsaid = fakeNetwork({ labels: ["a", "b"] });
  check({ label: 0, guidance: 2, nullLabel: 1 }, unsaid);
  const field = (conditioning: Parameters<typeof checkConditioning>[1], of = labelled) =>
    assertThrows(() => check(conditioning, of), FieldError).field;
  assertEquals(field({ guidance: 1 }), "label");
  assertEquals(field({ label: 4, guidance: 1 }), "label");
  assertEquals(field({ label: 0, guidance: 1, mix: { label: 9, share: 0.5 } }), "label");
  assertEquals(field({ label: 0, guidance: 1 }, fakeNetwork()), "label");
  for (const nullLabel of [4, -1, 0.5]) {
    assertEquals(field({ label: 0, guidance: 1, nullLabel }), "nullLabel");
  }
  for (const guidance of [0, 0.5, 2]) {
    assertEquals(field({ label: 0, guidance }, unsaid), "guidance");
    assertEquals(field({ guidance }, fakeNetwork()), "guidance");
    const distilled = { teacher: "t", guidance: 2 };
    assertEquals(
      field({ label: 0, guidance }, fakeNetwork({ ...labelled, distilled })),
      "guidance",
    );
  }
  const told = (conditioning: Parameters<typeof checkConditioning>[1], of = labelled) =>
    assertThrows(() => check(conditioning, of), FieldError).expected;
  const distilled = fakeNetwork({ ...labelled, distilled: { teacher: "t", guidance: 3 } });
  check({ label: 0, guidance: 1 }, distilled);
  assertMatch(
    told({ label: 0, guidance: 2 }, distilled),
    /^1 or none: these weights were distilled from t with guidance 3 folded in, .*, or take t$/,
  );
  assertEquals(told({ label: 0, guidance: 1, nullLabel: 4 }), "0 to 3");
  const none = "none: these weights know no classes";
  assertEquals(told({ guidance: 1, nullLabel: 0 }, fakeNetwork()), none);
  assertMatch(told({ guidance: 2 }, fakeNetwork()), /^1: these weights know no classes/);
  assertMatch(told({ label: 0, guidance: 2 }, unsaid), /^1, or nullLabel beside it/);
  assertEquals(told({ label: 0, guidance: NaN }), "a number");
  assertEquals(told({ guidance: 1 }), "a class (wizard, orc, 2) or its index");
  const each = (guidance: number, label?: number) =>
    mostEvaluations({ guidance, mix: { label, share: 0.5 } });
  assertEquals([each(1), each(2), each(1, 0), each(0, 0)], [1, 2, 2, 3]);
  assert(mostEvaluations({ guidance: 1 }) === 1);
});
