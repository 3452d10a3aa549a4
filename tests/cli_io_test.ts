/** What reaches the terminal. */
import { assertEquals } from "@std/assert";
import { visible } from "../src/cli/io.ts";

Deno.test("what a stranger's file says does not steer the terminal", () => {
  assertEquals(visible("a\tb\nc é 日本 😀"), "a\tb\nc é 日本 😀");
  assertEquals(visible("\x1b[2J\x9b31m\r\x00"), "\\u001b[2J\\u009b31m\\u000d\\u0000");
  assertEquals(visible("a\u202egnp.exe\u2066"), "a\\u202egnp.exe\\u2066");
});
