import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { createGenerator, seedFromName } from "../src/diffusion/mod.ts";
import { InputError } from "../src/errors.ts";
import { assertNear, readGolden } from "./diffusion_golden.ts";

Deno.test("randn equals torch's, both draws in a row, above and below 16 numbers", async () => {
  const { cases } = await readGolden<
    { cases: { seed: number; n: number; first: number[]; second: number[] }[] }
  >("randn");
  assert(cases.length >= 36);
  for (const { seed, n, first, second } of cases) {
    const generator = createGenerator(seed);
    assertNear(generator.randn(n), first, 1e-6, `seed ${seed}, n ${n}, first draw`);
    assertNear(generator.randn(n), second, 1e-6, `seed ${seed}, n ${n}, second draw`);
  }
});

Deno.test("uint32 gives MT19937's published sequence", () => {
  const generator = createGenerator(5489);
  for (let i = 0; i < 9999; i++) generator.uint32();
  assertEquals(generator.uint32(), 4123659995); // the C++ standard's 10000th value of mt19937
  // The first two thousand, three turns of its state, as NumPy gives them.
  const again = createGenerator(5489);
  const first = Array.from({ length: 2000 }, () => again.uint32());
  assertEquals(first.slice(622, 626), [2227348307, 4020325887, 4178893912, 610818241]);
  const mixed = first.reduce((sum, v) => (Math.imul(sum, 31) + v) >>> 0, 0);
  assertEquals(mixed, 249821615);
});

Deno.test("generators of one seed are independent of each other", () => {
  const a = createGenerator(7), b = createGenerator(7);
  a.randn(100);
  a.randn(3);
  assertEquals(b.randn(20), createGenerator(7).randn(20));
});

Deno.test("a seed that torch would cut to 32 bits is refused", () => {
  for (const seed of [2 ** 32, -1, 1.5, NaN, Infinity]) {
    assertThrows(
      () => createGenerator(seed),
      InputError,
      `seed: expected a whole number from 0 to 4294967295, found ${seed}`,
    );
  }
});

Deno.test("names become seeds that differ and stay the same", () => {
  assertEquals(seedFromName("alice"), seedFromName("alice"));
  assertNotEquals(seedFromName("alice"), seedFromName("alicf"));
  const seeds = Array.from({ length: 20000 }, (_, i) => seedFromName(`image-${i}`));
  assert(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32));
  assert(new Set(seeds).size > 19990);
  const low = seeds.filter((seed) => seed < 2 ** 31).length;
  assert(Math.abs(low - 10000) < 400, `${low} of 20000 in the lower half`);
  createGenerator(seedFromName("ä🙂"));
});

Deno.test("a name is the same seed everywhere, for ever: pictures are kept under it", () => {
  const names = ["", "a", "alice", "ä🙂", "batch 0 1"];
  assertEquals(names.map(seedFromName), [2872998923, 444641715, 3927234078, 72493195, 2701912094]);
});
