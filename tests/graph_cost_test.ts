/** What `inspect` says of a graph, counted by hand. */
import { assertEquals } from "@std/assert";
import { arenaBytes } from "../src/engine/plan/memory.ts";
import { inspectWeights } from "../src/model/inspect.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { graphCost } from "../src/graph/cost.ts";
import { add, conv2d, Graph, matmul, neg } from "../src/graph/mod.ts";

Deno.test("a convolution multiplies once a pixel of its output, channel of its input and kernel place", () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 3, 8, 6]);
  const weight = graph.param("w", [5, 3, 3, 3]);
  graph.output("y", conv2d(x, weight, undefined, { stride: 2, padding: [1, 1, 1, 1] }));
  assertEquals(graphCost(graph, 1).multiplyAdds, (5 * 4 * 3) * (3 * 3 * 3));
  assertEquals(graphCost(graph, 7).multiplyAdds, 7 * (5 * 4 * 3) * (3 * 3 * 3));
});

Deno.test("a product of matrices multiplies once a term, whichever way its operands lie", () => {
  const graph = new Graph();
  const a = graph.input("a", ["N", 4, 6]), b = graph.param("b", [6, 9]);
  graph.output("y", matmul(a, b));
  assertEquals(graphCost(graph, 2).multiplyAdds, 2 * 4 * 9 * 6);
  const open = new Graph();
  open.output("y", matmul(open.input("a", [4, "N"]), open.input("b", ["N", 9])));
  assertEquals(
    graphCost(open, 5).multiplyAdds,
    4 * 9 * 5,
    "of as many terms as there are pictures",
  );
  const turned = new Graph();
  const c = turned.input("c", ["N", 6, 4]), d = turned.param("d", [9, 6]);
  turned.output("y", matmul(c, d, { transposeA: true, transposeB: true }));
  assertEquals(graphCost(turned, 2).multiplyAdds, 2 * 4 * 9 * 6);
});

Deno.test("memory counts what is alive at once: a result dies with its last use, weights are not counted", () => {
  const numbers = 100, bytes = 4 * numbers;
  const chain = new Graph();
  let x = chain.input("x", [1, numbers]);
  for (let i = 0; i < 10; i++) x = neg(x);
  chain.output("y", x);
  assertEquals(graphCost(chain, 1), { multiplyAdds: 0, peakBytes: 2 * bytes });

  // The first result lives on to the end, beside the two of the chain.
  const skip = new Graph();
  const first = neg(skip.input("x", [1, numbers]));
  let y = first;
  for (let i = 0; i < 10; i++) y = neg(y);
  skip.output("y", add(y, skip.param("w", [1, numbers])));
  const kept = new Graph();
  const start = neg(kept.input("x", [1, numbers]));
  let z = start;
  for (let i = 0; i < 10; i++) z = neg(z);
  kept.output("y", add(z, start));
  assertEquals(graphCost(skip, 1).peakBytes, 2 * bytes);
  assertEquals(graphCost(kept, 1).peakBytes, 3 * bytes);
});

Deno.test("inspect's memory is that of the weights and of the engine's plan for one picture", async () => {
  const at = new URL("./golden/class_conditional/", import.meta.url);
  const folder = await readFolder(filesAt(at));
  const { memory, layers, parameters, hash, picture } = inspectWeights(folder);
  const activations = arenaBytes(networkGraph(folder.network));
  assertEquals(memory, { weights: 4 * parameters, activations });
  assertEquals([layers, hash, picture], [
    folder.network.blocks,
    folder.hash,
    folder.network.shape,
  ]);
});
