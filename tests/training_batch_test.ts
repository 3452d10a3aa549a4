import { assert, assertAlmostEquals, assertEquals, assertNotEquals } from "@std/assert";
import { createGenerator } from "../src/diffusion/mod.ts";
import { batchOf, dropoutKeys, stratifiedTimesteps } from "../src/training/objective/batch.ts";
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
  assertEquals(batchOf(data, 5, options), batchOf(data, 5, { ...options, flip: false }));
});

Deno.test("each row of each colour is mirrored, however wide the pictures are", () => {
  const wide = bytesDataSet(new Uint8Array(12).map((_, i) => i), [2, 2, 3]);
  const { x_0 } = batchOf(wide, 1, { seed: 3, images: 16, T: 100, flip: true });
  const seen = new Set(
    Array.from(
      { length: 16 },
      (_, i) => [...x_0.slice(12 * i, 12 * i + 12)].map((x) => Math.round((x + 1) * 127.5)).join(),
    ),
  );
  assertEquals([...seen].sort(), ["0,1,2,3,4,5,6,7,8,9,10,11", "2,1,0,5,4,3,8,7,6,11,10,9"]);
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

Deno.test("every picture comes as often as another, the first and the last too", () => {
  const counts = new Array(10).fill(0);
  const { x_0 } = batchOf(data, 1, { ...options, images: 10_000 });
  for (let i = 0; i < 10_000; i++) counts[Math.round((x_0[4 * i] + 1) * 127.5 / 24)]++;
  for (const count of counts) assertAlmostEquals(count / 10_000, 0.1, 0.015);
});

Deno.test("timesteps come in every order as often as in another", () => {
  const orders = new Map<string, number>();
  const generator = createGenerator(3);
  for (let i = 0; i < 6000; i++) {
    const order = stratifiedTimesteps(3, 3, generator).join();
    orders.set(order, (orders.get(order) ?? 0) + 1);
  }
  assertEquals(orders.size, 6);
  for (const count of orders.values()) assertAlmostEquals(count / 6000, 1 / 6, 0.02);
});

Deno.test("labels are left out only where that is asked for, and something stands for none", () => {
  const labels = (rest: Partial<typeof options>) =>
    batchOf(data, 1, { seed: 3, images: 200, T: 100, ...rest }).labels!;
  assert(labels({ nullLabel: 3 }).every((label) => label < 3));
  assertEquals(labels({ labelDropout: 0.9 }), labels({}));
  assert(labels({}).some((label) => label > 0));
  assertAlmostEquals(
    labels({ labelDropout: 0.9, nullLabel: 3 }).filter((label) => label === 3).length / 200,
    0.9,
    0.06,
  );
});

Deno.test("what a seed's step is drawn from is written down: a run is taken up by later versions", () => {
  const levels = bytesDataSet(new Uint8Array(10).map((_, i) => i), [1, 1, 1], {
    labels: new Int32Array(10).map((_, i) => i % 3),
  });
  const all = { seed: 3, images: 4, T: 100, flip: true, labelDropout: 0.5, nullLabel: 3 };
  const { x_0, eps, t, labels } = batchOf(levels, 5, all);
  assertEquals([...x_0].map((x) => Math.round((x + 1) * 127.5)), [4, 0, 6, 5]);
  assertEquals([[...t], [...labels!]], [[99, 43, 66, 12], [1, 3, 0, 3]]);
  [0.9416743, -1.2707603, -0.5273838, 0.9804284].forEach((x, i) =>
    assertAlmostEquals(eps[i], x, 1e-6)
  );
  assertEquals([...dropoutKeys(9, 15, 3)], [38016375, 846730228, -672193796]);
  assertEquals([...dropoutKeys(0, 1, 2)], [804215951, 1348811757]);
});
