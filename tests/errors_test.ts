/** What an error says: one line that names the field, what was expected and what was found. */
import { assert, assertEquals } from "@std/assert";
import { FieldError, InputError, shown, visible } from "../src/errors.ts";

Deno.test("values are shown as they are written, numbers as they are, and long ones are cut", () => {
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  const cases: [unknown, string][] = [
    [undefined, "nothing"],
    [null, "null"],
    [0, "0"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
    ["", '""'],
    ["fp16", '"fp16"'],
    [[1, "a"], '[1,"a"]'],
    [{ eta: 1 }, '{"eta":1}'],
    [7n, "7"],
    [Symbol("s"), "Symbol(s)"],
    [cyclic, "[object Object]"],
    [() => 1, "a function"],
    [class Euler {}, "a class"],
  ];
  for (const [value, text] of cases) assertEquals(shown(value), text);
  const of = (letters: number) => shown("x".repeat(letters));
  assertEquals(of(198), `"${"x".repeat(198)}"`);
  assertEquals(of(199), `"${"x".repeat(199)}…`);
});

Deno.test("a field that is called otherwise keeps its file, or takes another", () => {
  const error = new FieldError("eta", "a number", "x", "recipe.json");
  assertEquals(error.message, 'recipe.json: eta: expected a number, found "x"');
  const under = error.under("--eta");
  assertEquals(under.message, 'recipe.json: --eta: expected a number, found "x"');
  assertEquals([under.cause, under.name], [error, "InputError"]);
  assertEquals(error.under("eta", "body").message, 'body: eta: expected a number, found "x"');
  const bare = new FieldError("eta", "a number", undefined);
  assertEquals(bare.message, "eta: expected a number, found nothing");
  assertEquals(bare.under("--eta").message, "--eta: expected a number, found nothing");
});

Deno.test("signs that steer a terminal or turn the writing are shown by their numbers, and no others", () => {
  const ranges = [[0, 8], [0xb, 0x1f], [0x7f, 0x9f], [0x200e, 0x200f], [0x2028, 0x202e]];
  const steering = new Set([0x61c, 0x2066, 0x2067, 0x2068, 0x2069]);
  for (const [from, to] of ranges) for (let code = from; code <= to; code++) steering.add(code);
  for (let code = 0; code < 0x2100; code++) {
    const letter = String.fromCharCode(code);
    const expected = steering.has(code) ? `\\u${code.toString(16).padStart(4, "0")}` : letter;
    assertEquals(visible(`a${letter}b`), `a${expected}b`);
  }
  assert(new InputError("a\u202eb").message === "a\\u202eb");
  assertEquals(new InputError().message, "");
});
