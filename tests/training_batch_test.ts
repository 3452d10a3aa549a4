import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { createGenerator } from "../src/diffusion/mod.ts";
import { batchOf, stratifiedTimesteps } from "../src/training/objective/batch.ts";
import { bytesDataSet } from "../src/training/data/data_set.ts";

const data = bytesDataSet(new Uint8Array(40).map((_, i) => i * 6), [1, 2, 2], {
  labels: new Int32Array(10).map((_, i) => i % 3),
  labelNames: ["a", "b", "c"],
});
const options = { seed: 3, images: 8, T: 100, labelDropout: 0.1, nullLabel: 3 };

Deno.test("a step's batch depends on the seed and the step, not on what came before", () => {
  const fifth = batchOf(data, 5, options);
  batchOf(data, 6, options);
  assertEquals(batchOf(data, 5, options), fifth);
  assertNotEquals(batchOf(data, 6, options).eps, fifth.eps);
  assertNotEquals(batchOf(data, 5, { ...options, seed: 4 }).eps, fifth.eps);
});

Deno.test("timesteps are stratified: one out of each equal part, in random order", () => {
  const t = stratifiedTimesteps(10, 1000, createGenerator(1));
  assertEquals([...t].map((t) => Math.floor(t / 100)).sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assertNotEquals([...t], [...t].sort((a, b) => a - b));
});

Deno.test("every timestep is as likely, also where the parts are not whole", () => {
  const counts = new Array(5).fill(0);
  const generator = createGenerator(2);
  for (let i = 0; i < 4000; i++) {
    for (const t of stratifiedTimesteps(3, 5, generator)) counts[t]++;
  }
  for (const count of counts) assertAlmostEquals(count / 12_000, 0.2, 0.015);
});

Deno.test("a tenth of the labels is left out, the others belong to their pictures", () => {
  let dropped = 0, all = 0;
  for (let k = 1; k <= 500; k++) {
    const { labels, x_0 } = batchOf(data, k, options);
    labels!.forEach((label, i) => {
      all++;
      const picture = Math.round((x_0[i * 4] + 1) * 127.5 / 24);
      if (label === 3) dropped++;
      else assertEquals(label, picture % 3);
    });
  }
  assertAlmostEquals(dropped / all, 0.1, 0.02);
});

Deno.test("pictures are only mirrored when that is asked for", () => {
  const mirrored = (flip: boolean) =>
    Array.from({ length: 20 }, (_, k) => batchOf(data, k + 1, { ...options, flip }).x_0)
      .some((x_0) => x_0[0] > x_0[1]);
  assert(!mirrored(false));
  assert(mirrored(true));
});

Deno.test("pictures that are drawn as they are asked for are each seen once", () => {
  const endless = {
    length: Infinity,
    shape: [1, 1, 1] as const,
    skipped: [],
    picture: (i: number, out: Float32Array) => void out.fill(i),
  };
  const seen = [1, 2, 3].flatMap((k) => [...batchOf(endless, k, { ...options, images: 4 }).x_0]);
  assertEquals(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});
