/** What is remembered of finished pictures: the least recently used go first. */
import { assertEquals, assertStrictEquals } from "@std/assert";
import { PictureCache } from "../src/server/work/cache.ts";

const picture = (bytes: number, value = 0) => new Uint8Array(bytes).fill(value);

/** Which of these keys are there; asking is a use. */
function there(cache: PictureCache, ...keys: readonly string[]) {
  return keys.filter((key) => cache.get(key) !== undefined);
}

Deno.test("what was asked for stays longer than what was not, whenever it came", () => {
  const cache = new PictureCache(30);
  for (const key of ["a", "b", "c"]) cache.set(key, picture(10));
  cache.get("a");
  cache.set("d", picture(10));
  assertEquals(there(cache, "b"), []);
  assertEquals(there(cache, "c", "a", "d"), ["c", "a", "d"]);
  cache.set("e", picture(10));
  assertEquals(there(cache, "a", "c", "d", "e"), ["a", "d", "e"]);
});

Deno.test("as many go as the new one needs room for, and no more", () => {
  const cache = new PictureCache(30);
  for (const key of ["a", "b", "c"]) cache.set(key, picture(10));
  cache.set("d", picture(11));
  assertEquals(there(cache, "a", "b", "c", "d"), ["c", "d"]);
  assertEquals(cache.bytes, 21);
  cache.set("e", picture(9));
  assertEquals(there(cache, "c", "d", "e"), ["c", "d", "e"]);
  assertEquals(cache.bytes, 30);
});

Deno.test("a picture that is set again is there once, as it is now", () => {
  const cache = new PictureCache(30);
  cache.set("a", picture(20));
  const again = picture(5, 1);
  cache.set("a", again);
  assertStrictEquals(cache.get("a"), again);
  assertEquals(cache.bytes, 5);
});

Deno.test("what is larger than the cache is not kept, and puts nothing out", () => {
  const cache = new PictureCache(30);
  cache.set("a", picture(30));
  cache.set("b", picture(31));
  assertEquals([there(cache, "a", "b"), cache.bytes], [["a"], 30]);
  const none = new PictureCache(0);
  none.set("a", picture(1));
  assertEquals([none.get("a"), none.bytes], [undefined, 0]);
});
