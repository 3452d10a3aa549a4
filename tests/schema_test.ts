/** What values may be, as every config, card, recipe, option and flag describes them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FieldError } from "../src/errors.ts";
import { parseSchedulerConfig } from "../src/diffusion/mod.ts";
import {
  check,
  choice,
  type Field,
  flag,
  Keys,
  list,
  nullable,
  number,
  parse,
  readFields,
  requireObject,
  text,
  type Type,
  whole,
} from "../src/schema.ts";

Deno.test("a text stands for the value that it spells, null and numbers too, or for itself", () => {
  const spacing = choice(["leading", null, 4, false]);
  assertEquals(spacing.expected, "one of leading, null, 4, false");
  const texts = ["leading", " null ", "4", "false", "trailing"];
  assertEquals(texts.map(spacing.fromText), ["leading", null, 4, false, "trailing"]);
  assertThrows(() => parse(spacing, "trailing", "spacing"), FieldError, "null, 4, false, found");
  assertEquals(choice([null]).expected, "null");
  assertEquals(parse(nullable(whole(1)), "null", "n"), null);
  assertEquals(parse(nullable(whole(1)), "3", "n"), 3);
  assertEquals(parse(list(number()), "[1, -2.5e1]", "n"), [1, -25]);
});

Deno.test("numbers are finite, whole ones exact, and their bounds included", () => {
  for (const n of [0, 1, 0.5]) assertEquals(check(number(0, 1), n, "n"), n);
  for (const n of [-1e-9, 1.0001, NaN, Infinity, "0.5", null]) {
    assertThrows(() => check(number(0, 1), n, "n"), FieldError, "a number from 0 to 1");
  }
  for (const n of [0.5, 2 ** 53, -1, 10]) {
    assertThrows(() => check(whole(0, 9), n, "n"), FieldError, "a whole number from 0 to 9");
  }
  assert(!whole().accepts(2 ** 53), "beyond it two numbers are one");
  for (const text of ["", "0x10", "1e", "1 2", "Infinity"]) {
    assertThrows(() => parse(number(), text, "n"), FieldError, "a number");
  }
});

Deno.test("a key that is undefined is one that is missing, null is not, and what is inherited is not there", () => {
  const keys = () => new Keys({ a: undefined, b: null, c: undefined }, "file");
  assertEquals(keys().exactly("a", whole(), 3), 3);
  assertEquals(keys().exactly("b", nullable(whole()), 3), null);
  assertEquals(keys().read("b", whole(), 3), 3);
  assertEquals(keys().flag("c", true), true);
  assertEquals(keys().flag("b", true), false, "as in Python");
  assertEquals([...keys().left.keys()], ["b"]);
  const least = new Keys({ n: 0, f: false, t: "" }, "file");
  const read = [
    least.read("n", whole(), 3),
    least.read("f", flag, true),
    least.read("t", text(), "x"),
  ];
  assertEquals(read, [0, false, ""], "which are not missing");
  assertEquals(new Keys({ old: 1 }, "file", { old: "now" }).read("now", whole(), 0), 1);

  const optional: Field<boolean> = { type: flag, optional: true };
  const fields = { n: { type: whole(), missing: 2 }, flag: optional };
  assertEquals(readFields({ n: undefined, flag: undefined }, fields, "file"), { n: 2 } as never);
  const inherited = Object.create({ n: 7 });
  assertEquals(readFields<{ n: number }>(inherited, { n: fields.n }, "file"), { n: 2 });
  assertThrows(
    () => readFields({ n: undefined }, { n: { type: whole() } }, "file"),
    FieldError,
    "file: n: expected a whole number, found nothing",
  );
  assertEquals(
    parseSchedulerConfig({ clip_sample: undefined, timestep_spacing: undefined }),
    parseSchedulerConfig({}),
  );
});

Deno.test("each kind of values takes its own and says what it is, to the ends of its range", () => {
  const cases: [Type, string, accepted: unknown[], refused: unknown[]][] = [
    [number(), "a number", [0, -1.5, 1e300], [NaN, -Infinity, "1", true, null, [1]]],
    [number(2), "a number of at least 2", [2, 3], [1.9]],
    [number(-Infinity, 2), "a number of at most 2", [2, -3], [2.1, -Infinity]],
    [number(0, 1), "a number from 0 to 1", [0, 1], [-0.001, 1.001]],
    [whole(), "a whole number", [0, -7, 2 ** 53 - 1], [0.5, 2 ** 53, "1"]],
    [whole(1), "a whole number of at least 1", [1], [0]],
    [whole(-Infinity, 9), "a whole number of at most 9", [9, -9], [10]],
    [whole(1, 9), "a whole number from 1 to 9", [1, 9], [0, 10]],
    [flag, "true or false", [true, false], ["true", 0, null]],
    [text(), "text", ["", "a"], [0, null, ["a"]]],
    [text(2), "text", ["ab", "abc"], ["a", ""]],
    [choice(["a", 1]), "one of a, 1", ["a", 1], ["1", "b", null]],
    [nullable(whole(0)), "a whole number of at least 0, or null", [null, 0], [-1, undefined, ""]],
    [list(whole()), "a list, each a whole number", [[1], [1, 2]], [[], 1, [1, 0.5], "1", null]],
  ];
  for (const [type, expected, accepted, refused] of cases) {
    assertEquals(type.expected, expected);
    for (const value of accepted) assert(type.accepts(value), `${expected}: ${value}`);
    for (const value of refused) assert(!type.accepts(value), `${expected}, not ${value}`);
  }
});

Deno.test("what a text stands for is read by its kind; another text stands for itself", () => {
  const cases: [Type, Record<string, unknown>][] = [
    [number(), {
      ...{ "1": 1, " -2.5 ": -2.5, "+3": 3, ".5": 0.5, "5.": 5, "1e3": 1000, "1E-3": 0.001 },
      ...{ "2e+1": 20, "1,5": "1,5", "--1": "--1", ".": ".", "NaN": "NaN" },
    }],
    [whole(), { "12": 12, " -3 ": -3, "+4": 4, "1.0": "1.0", "1e3": "1e3", "": "" }],
    [flag, { true: true, false: false, True: "True", " true": " true", "1": "1" }],
    [text(), { a: "a", "": "", " a ": " a " }],
    [choice(["a b", 2]), { "a b": "a b", " a b ": "a b", "2": 2, "3": "3" }],
    [nullable(whole()), { null: null, " null ": null, "4": 4, none: "none" }],
    [list(whole()), { "1,2": [1, 2], "[1, 2]": [1, 2], " [3] ": [3], "4": [4], "a,1": ["a", 1] }],
    [list(text()), { "a, b c": ["a", "b c"], "[x]": ["x"] }],
  ];
  for (const [type, texts] of cases) {
    for (const [written, value] of Object.entries(texts)) {
      assertEquals(type.fromText(written), value, `${type.expected}: "${written}"`);
    }
  }
  const expected = 'steps: expected a whole number of at least 1, found "0"';
  assertThrows(() => parse(whole(1), "0", "steps"), FieldError, expected);
});

Deno.test("of a JSON object the described keys are read; null is a value, which a key has to allow", () => {
  const fields = { n: { type: whole(), missing: 2 }, m: { type: nullable(whole()), missing: 3 } };
  assertEquals(readFields({ n: 5, m: null, other: 1 }, fields, "file"), { n: 5, m: null });
  assertEquals(readFields({}, fields, "file"), { n: 2, m: 3 });
  const found = "file: n: expected a whole number, found null";
  assertThrows(() => readFields({ n: null }, fields, "file"), FieldError, found);
  const optional: Field<number> = { type: whole(), optional: true };
  assertEquals(readFields<{ n?: number }>({ n: 0 }, { n: optional }, "file"), { n: 0 });
  assertEquals(readFields<{ n?: number }>({}, { n: optional }, "file"), {});
  const both = { n: { ...optional, missing: 4 } };
  assertEquals(readFields<{ n?: number }>({}, both, "file"), { n: 4 }, "a default goes before");
  for (const json of [[], [{ n: 1 }], null, "{}", 1, undefined]) {
    assertThrows(() => requireObject(json, "file"), FieldError, "file: expected a JSON object");
    assertThrows(() => readFields(json, fields, "file"), FieldError, "expected a JSON object");
    assertThrows(() => new Keys(json, "file"), FieldError, "expected a JSON object");
  }
});

Deno.test("keys that are taken are gone, the rest is foreign, and old names are today's", () => {
  const keys = new Keys({ n: 1, gone: 2, strange: null }, "file", { gone: "here" });
  assertEquals(keys.take("gone"), undefined, "it has another name now");
  assertEquals(keys.read("n", whole(), 0), 1);
  assertEquals(keys.read("n", whole(), 0), 0, "taken already");
  assertEquals([...keys.left], [["here", 2], ["strange", null]]);
  assertEquals(keys.exactly("here", whole(), 0), 2);
  const found = "file: strange: expected a whole number, found null";
  assertThrows(() => keys.exactly("strange", whole(), 0), FieldError, found);
  assertEquals([...keys.left.keys()], []);
  const wrong = () => new Keys({ f: "yes" }, "file").flag("f", true);
  assertThrows(wrong, FieldError, 'file: f: expected true or false, found "yes"');
});
