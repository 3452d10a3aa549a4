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
