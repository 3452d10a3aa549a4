import { assert, assertEquals } from "@std/assert";
import { dropout, dropoutMask, gradients, Graph, reduceSum, type Value } from "../src/graph/mod.ts";
import { interpret } from "./graph_reference.ts";

Deno.test("dropout keeps the mean, differs by key and by layer, and not by batch", () => {
  const graph = new Graph();
  const keys = graph.input("keys", [2], "int32");
  const mask = (layer: number, rate = 0.25) => dropoutMask(keys, [2, 8, 32, 32], { rate, layer });
  const [first, second] = [mask(0), mask(1)];
  const masks = (value: Value, k: number[]) => interpret(graph, value, { keys: k }).data;
  const unit = 8 * 32 * 32;
  const a = masks(first, [5, 6]);
  const mean = a.reduce((s, x) => s + x, 0) / a.length;
  assert(Math.abs(mean - 1) < 0.02, `the mean is ${mean}`);
  assertEquals(masks(first, [6, 5]).subarray(unit), a.subarray(0, unit));
  const agreement = (b: Float64Array) =>
    b.reduce((n, x, i) => n + Number(x === a[i]), 0) / a.length;
  const chance = 0.75 ** 2 + 0.25 ** 2;
  for (const b of [masks(second, [5, 6]), masks(first, [6, 7]), masks(first, [2 ** 30, -9])]) {
    const share = agreement(b);
    assert(Math.abs(share - chance) < 0.02, `agrees in ${share}, expected ${chance}`);
  }
});

Deno.test("dropout's gradient passes through the units that were kept", () => {
  const graph = new Graph();
  const keys = graph.constant(new Int32Array([1]));
  const x = graph.input("x", [1, 16]);
  const options = { rate: 0.5, layer: 0 };
  const [dx] = gradients(reduceSum(dropout(x, keys, options), [0, 1]), [x]);
  const feeds = { x: Float32Array.from({ length: 16 }, (_, i) => 1 + i / 16) };
  const mask = dropoutMask(keys, [1, 16], options);
  assertEquals(interpret(graph, dx, feeds).data, interpret(graph, mask, feeds).data);
});
