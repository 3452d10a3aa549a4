/** What names pictures: weights and classes in a request, seeds by number and name, ETags and addresses. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { schedulers } from "../schedulers/mod.ts";
import { Problem } from "../src/server/problem.ts";
import { defaultLimits } from "../src/server/work/limits.ts";
import {
  addressOf,
  type Catalog,
  describeSubject,
  etagMatches,
  findWeights,
  type RecipeRequest,
  resolve,
  type ServedRecipe,
} from "../src/server/work/recipe.ts";
import { anySeed, hashToSeed, nextSeed, seedOf } from "../src/server/work/seed.ts";
import {
  labelIndex,
  labelsText,
  labelText,
  mixedLabels,
  type ServedModel,
} from "../src/server/work/served_model.ts";
import { FAKE_HASH, fakeModel } from "./server_fake.ts";

const labels = ["cat", "dog", "eel"];
const LAST = 2 ** 32 - 1;

function catalog(models: Record<string, ServedModel>): Catalog {
  const named = new Map(Object.entries(models));
  return { models: named, schedulers, plugins: { heun: "v1" }, limits: defaultLimits };
}

/** The field, what was expected and the status of a refusal. */
function refused(work: () => unknown): [string, string, number] {
  const error = assertThrows(work, Problem) as Problem;
  const [{ field, expected }] = error.errors!;
  return [field, expected, error.status];
}

Deno.test("weights are found by name, by name and the beginning of their hash, or are the first", () => {
  const one = fakeModel(), two = fakeModel({ hash: `a@${"b".repeat(62)}` });
  const all = catalog({ one, "two.v2-b_1": two });
  const found = (address?: string) => {
    const { name, model, pinned } = findWeights(all, address);
    assert(model === all.models.get(name));
    return [name, pinned];
  };
  assertEquals(found(), ["one", false]);
  assertEquals(found("two.v2-b_1"), ["two.v2-b_1", false]);
  for (const digits of [12, 16, 64]) {
    assertEquals(found(`one@${FAKE_HASH.slice(0, digits)}`), ["one", true], `${digits} digits`);
  }
  const short = FAKE_HASH.slice(0, 11), middle = FAKE_HASH.slice(1, 30), long = `${FAKE_HASH}0`;
  for (const hash of ["", short, middle, long, "f".repeat(64)]) {
    assertEquals(refused(() => findWeights(all, `one@${hash}`)), [
      "weights",
      'one@0123456789abcdef, the "one" loaded here',
      404,
    ]);
  }
  for (const name of ["", "three", "three@0123456789ab", "__proto__"]) {
    const expected = 'one of the loaded weights ("one", "two.v2-b_1")';
    assertEquals(refused(() => findWeights(all, name)), ["weights", expected, 404]);
  }
});

Deno.test("what weights can do bounds what is asked of them", () => {
  const distilled = { teacher: "t", guidance: 2, steps: 4 };
  const all = catalog({
    classes: fakeModel({ labels, nullLabel: 3 }),
    unguided: fakeModel({ labels }),
    plain: fakeModel(),
    few: { ...fakeModel({ labels, nullLabel: 3 }), distilled },
  });
  const of = (request: RecipeRequest) => resolve(all, request, 7);
  assertEquals(of({ weights: "plain", steps: 1000 }).steps, 1000, "as many as it learned");
  assertEquals(of({ weights: "plain" }).steps, 5, "what it recommends");
  assertEquals(of({ guidance: 2 }).guidance, 2);
  for (const weights of ["unguided", "plain", "few"]) {
    assertEquals(of({ weights, guidance: 1 }).guidance, 1);
  }
  assertEquals([of({ label: "eel" }).label, of({ label: 1 }).label, of({}).label], [2, 1, 7 % 3]);
  const mix = { seed: 9, label: "dog", share: 0.25 };
  assertEquals(of({ label: "cat", mix }).mix, { seed: 9, label: 1, share: 0.25 });
  assertEquals(of({ scheduler: "heun" }).plugin, "v1");
  assertEquals(of({ scheduler: "ddim" }).plugin, undefined);
  assertEquals(of({ size: [512, 512] }).scale, 64);
  const refusals: [RecipeRequest, string, string][] = [
    [{ steps: 1001 }, "steps", 'at most 1000, the steps "classes" learned'],
    [{ weights: "few", guidance: 2 }, "guidance", '1: "few" has guidance 2 folded in'],
    [{ weights: "few", guidance: 3 }, "guidance", '1: "few" has guidance 2 folded in'],
    [{ weights: "few", guidance: 0 }, "guidance", '1: "few" has guidance 2 folded in'],
    [
      { weights: "unguided", guidance: 0 },
      "guidance",
      '1: "unguided" has no label that means "no class"',
    ],
    [{ weights: "plain", label: 0 }, "label", 'nothing: "plain" knows no classes'],
    [{ label: 3 }, "label", "one of cat, dog, eel, or two with + between"],
    [{ mix: { label: "cow" } }, "label", "one of cat, dog, eel, or two with + between"],
    [{ size: [7, 8] }, "size", "a width and height from 8x8 to 512x512"],
    [{ size: [513, 8] }, "size", "a width and height from 8x8 to 512x512"],
  ];
  for (const [request, field, expected] of refusals) {
    const [named, told, status] = refused(() => of(request));
    assertEquals([named, told.slice(0, expected.length), status], [field, expected, 422]);
  }
});

Deno.test("If-None-Match names an ETag alone, in a list, as a weak one, or any", () => {
  const tag = '"a b"';
  for (const header of [tag, `W/${tag}`, `"x", ${tag}`, `"x",W/${tag} , "y"`, "*", " * "]) {
    assert(etagMatches(header, tag), header);
  }
  for (const header of [undefined, null, "", '"a"', 'W/"a"', "a b", '"x", "y"']) {
    assertEquals(etagMatches(header, tag), false, String(header));
  }
});

Deno.test("an address says everything that decides its picture, and nothing else", () => {
  const model = fakeModel({ labels, nullLabel: 3 });
  const all = catalog({ w: model, plain: fakeModel() });
  const address = (request: RecipeRequest, seed = 7, kind?: string) => {
    const recipe = resolve(all, request, seed);
    return addressOf(recipe, all.models.get(recipe.source)!, kind);
  };
  const weights = "weights=w%400123456789abcdef";
  const common = `${weights}&scheduler=ddim&steps=5&label=dog&guidance=1`;
  assertEquals(address({}).split("&eta")[0], `v1/images/7.png?${common}`);
  assertEquals(address({}, LAST, ".gif").split("?")[0], `v1/images/${LAST}.gif`);
  const query = (request: RecipeRequest) => {
    const [, text] = address(request).split("?");
    return Object.fromEntries(new URLSearchParams(text));
  };
  assertEquals(query({ weights: "plain", scheduler: "ipndm", options: { order: 2 } }), {
    weights: "plain@0123456789abcdef",
    scheduler: "ipndm",
    steps: "5",
    ...Object.fromEntries(
      Object.entries(resolve(all, { scheduler: "ipndm" }, 7).options)
        .map(([name, value]) => [name, String(value)]),
    ),
    order: "2",
  });
  const { schedule, steps, label, guidance, mix, with: other, scale, size, eta } = query({
    schedule: "cosine",
    steps: 3,
    label: "cat",
    guidance: 2.5,
    mix: { seed: 9, label: "eel", share: 0.25 },
    scale: 3,
    options: { eta: 0.5 },
  });
  assertEquals({ schedule, steps, label, guidance, mix, other, scale, size, eta }, {
    schedule: "cosine",
    steps: "3",
    label: "cat+eel",
    guidance: "2.5",
    mix: "0.25",
    other: "9",
    scale: "3",
    size: undefined,
    eta: "0.5",
  });
  const sized = query({ size: [30, 25] });
  assertEquals([sized.size, sized.scale], ["30x25", undefined]);
  const recipe = { ...resolve(all, {}, 7), mix: { label: 0, share: 0.5 } } as ServedRecipe;
  assertEquals(describeSubject(recipe, model), { label: "dog+cat", mix: 0.5 });
  assertEquals(describeSubject(resolve(all, { weights: "plain" }, 7), model), {});
  const unclassed = { ...resolve(all, {}, 7), label: 3 } as ServedRecipe;
  assertEquals(describeSubject(unclassed, model), {}, "the class that means none is no class");
});

Deno.test("a class is its name in any Unicode form, else its index", () => {
  const model = fakeModel({ labels: ["cat", "2", "caf\u00e9", "cat", "", "a+b"] });
  const asked = ["cat", 0, 1, "2", "cafe\u0301", "caf\u00e9", 3, "5", 5, "", "6", 6, "-1", "1.0"];
  const found = asked.map((label) => labelIndex(model, label));
  const none = undefined;
  assertEquals(found, [0, 0, 1, 1, 2, 2, 3, 5, 5, 4, none, none, none, none]);
  assertEquals(labelIndex(model, "Cat"), undefined);
  assertEquals(["000000000", "0000000000"].map((zeros) => labelIndex(model, zeros)), [0, none]);
  assertEquals(labelIndex(fakeModel(), 0), undefined);
  // What a class is told by is read as that class again.
  assertEquals([0, 1, 2, 3, 4, 5].map((i) => labelText(model, i)), [
    "cat",
    "2",
    "caf\u00e9",
    "3",
    "4",
    "a+b",
  ]);
  const pluses = fakeModel({ labels: ["a", "b", "a+b", "b+c", "c"] });
  assertEquals(labelsText(pluses, [4, 0]), "c+a");
  assertEquals(labelsText(pluses, [0, 1]), "0+1", '"a+b" is a class of its own');
  assertEquals(labelsText(pluses, [2, 4]), "2+4", "a+b+c is a and b+c first");
  assertEquals(labelsText(pluses, [2]), "a+b");
  assertEquals(mixedLabels(pluses, "c+a"), ["c", "a"]);
  assertEquals(mixedLabels(pluses, "c a"), undefined);
  assertEquals(mixedLabels(pluses, "c a", "address"), ["c", "a"]);
});

Deno.test("a number is its own seed, any other name is hashed, in whatever spelling", () => {
  for (const seed of [0, 7, LAST]) assertEquals(seedOf(String(seed), 10), seed);
  assertEquals(seedOf(" 12 ", 10), 12);
  const name = seedOf("Caf\u00e9", 10);
  for (const same of ["caf\u00e9", " CAFE\u0301 ", "cafe\u0301"]) {
    assertEquals(seedOf(same, 10), name);
  }
  assertEquals(hashToSeed(" Caf\u00e9 "), name);
  assert(seedOf("cafe", 10) !== name && Number.isInteger(name) && name >= 0 && name <= LAST);
  assertEquals(seedOf("x".repeat(10), 10), hashToSeed("x".repeat(10)), "as long as may be");
  const lengths = "a number or a name of 1 to 10 characters";
  const whole = `an integer from 0 to ${LAST}, or a name`;
  const cases: [string, string][] = [
    ["x".repeat(11), lengths],
    ["", lengths],
    ["  ", lengths],
    ["-1", whole],
    ["+1", whole],
    ["1.5", whole],
    [".5", whole],
    ["1.", whole],
    ["4294967296", whole],
    ["a/b", 'a name without "/"'],
    ["/", 'a name without "/"'],
  ];
  for (const [text, expected] of cases) {
    assertEquals(refused(() => seedOf(text, 10, "with")), ["with", expected, 422], text);
  }
});

Deno.test("seeds count up, and go round after the last", () => {
  assertEquals([0, 1, 2].map((n) => nextSeed(LAST - 1, n)), [LAST - 1, LAST, 0]);
  assertEquals(nextSeed(5, 0), 5);
  const any = Array.from({ length: 64 }, anySeed);
  assert(any.every((seed) => Number.isInteger(seed) && seed >= 0 && seed <= LAST));
  assert(
    any.some((seed) => seed >= 2 ** 31) && any.some((seed) => seed < 2 ** 31),
    "all there are",
  );
});
