/** What reaches the terminal. */
import { comparison } from "../src/cli/from_picture.ts";
import { assertEquals } from "@std/assert";
import { FieldError, InputError, visible } from "../src/errors.ts";

Deno.test("what a stranger's file says does not steer the terminal", () => {
  assertEquals(visible("a\tb\nc é 日本 😀"), "a\tb\nc é 日本 😀");
  assertEquals(visible("\x1b[2J\x9b31m\r\x00"), "\\u001b[2J\\u009b31m\\u000d\\u0000");
  assertEquals(visible("a\u202egnp.exe\u2066"), "a\\u202egnp.exe\\u2066");
});

Deno.test("nor does the message of an error, which others print", () => {
  const name = "\x1b]0;mine\x07";
  assertEquals(new InputError(`tensor "${name}"`).message, 'tensor "\\u001b]0;mine\\u0007"');
  const { message } = new FieldError("steps", "one", "\x9b2J", `${name}.json`);
  assertEquals(message, '\\u001b]0;mine\\u0007.json: steps: expected one, found "\\u009b2J"');
});

Deno.test("a picture made again is compared by how many levels differ, and by how far", () => {
  const grey = (...levels: number[]) => ({
    pixels: Uint8Array.from(levels),
    width: 4,
    height: 1,
    channels: 1,
  });
  const picture = { ...grey(0, 10, 20, 30), text: {} };
  const file = { path: "a.png", picture, recipes: [] };
  assertEquals(comparison(file, grey(0, 10, 20, 30)), "the same pixels as a.png");
  const other = comparison(file, grey(0, 13, 19, 30));
  assertEquals(other, "50 % of the levels unlike a.png's, by at most 3/255");
  assertEquals(comparison(file, { ...grey(0, 10), width: 2 }), "unlike a.png in size");
});
