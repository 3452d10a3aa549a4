/** Weights in one npz, as numpy may have written it. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import type { NpyArray } from "../src/files/npy.ts";
import { writeNpz } from "../src/image/npz.ts";
import { npzFormat } from "../src/weights/read/formats/npz.ts";

Deno.test("doubles of an npz are rounded to float32; whole numbers are passed over", async () => {
  const count = { shape: [1], data: Int32Array.of(1) };
  const arrays = new Map<string, NpyArray>([["w", { shape: [2], data: Float64Array.of(0.1, 2) }], [
    "n",
    count,
  ]]);
  const { tensors } = await npzFormat.read(await writeNpz(arrays), "w.npz");
  assertEquals([...tensors], [["w", { shape: [2], data: Float32Array.of(0.1, 2) }]]);
  const counts = await writeNpz(new Map([["n", count]]));
  await assertRejects(async () => await npzFormat.read(counts, "w.npz"), InputError, "w.npz: ");
});
