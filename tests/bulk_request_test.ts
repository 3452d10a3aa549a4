/** Which part of a bulk run each process makes. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { parseShard, rangeOf } from "../src/cli/bulk/request.ts";
import { InputError } from "../src/errors.ts";

Deno.test("shards cover a list once, in its order, in parts that differ by at most one", () => {
  for (const length of [0, 1, 5, 10, 16, 97]) {
    for (const count of [1, 2, 3, 7, 16]) {
      let next = 0;
      const sizes = Array.from({ length: count }, (_, index) => {
        const { start, end } = rangeOf({ index, count }, length);
        assertEquals(start, next, `shard ${index}/${count} of ${length}`);
        next = end;
        return end - start;
      });
      assertEquals(next, length);
      assert(Math.max(...sizes) - Math.min(...sizes) <= 1, `${sizes}`);
    }
  }
});

Deno.test("a shard is one of so many, counted from 0", () => {
  assertEquals(parseShard("3/16"), { index: 3, count: 16 });
  assertEquals(parseShard("0/1"), { index: 0, count: 1 });
  assertEquals(parseShard("999998/999999"), { index: 999_998, count: 999_999 });
  for (
    const text of ["16/16", "1/0", "0/0", "-1/2", "1", "1/2/3", "a/b", "1.5/2", " 1/2", "0/1000000"]
  ) {
    assertThrows(() => parseShard(text), InputError, `found "${text}"`);
  }
});
