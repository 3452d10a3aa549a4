/** What `inspect` says of a graph, counted by hand. */
import { assertEquals } from "@std/assert";
import { arenaBytes } from "../src/engine/plan/memory.ts";
import { inspectWeights } from "../src/model/inspect.ts";
import { networkGraph } from "../src/networks/architecture.ts";
import { filesAt } from "../src/weights/files.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { graphCost } from "../src/graph/cost.ts";
import { add, conv2d, Graph, groupNorm, matmul, neg, sizeOf } from "../src/graph/mod.ts";
import { inspectOnnx } from "../src/model/onnx/inspect.ts";
import { readOnnx } from "../src/model/onnx/mod.ts";
import type { NetworkDefinition } from "../src/networks/architecture.ts";
import { onnxFiles, tinyOnnx } from "./onnx_fixtures.ts";

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

  // Numbers that are part of the graph are no results either, before and after their last use.
  const constants = new Graph();
  let w = constants.input("x", [1, numbers]);
  for (let i = 0; i < 3; i++) w = add(w, constants.constant(new Float32Array(numbers), [numbers]));
  constants.output("y", add(neg(w), neg(w)));
  assertEquals(graphCost(constants, 1).peakBytes, 3 * bytes);
  assertEquals(graphCost(new Graph(), 1), { multiplyAdds: 0, peakBytes: 0 });
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

const card = {
  labels: ["a", "b"],
  null_label: 0,
  recommended: { scheduler: "ddim", steps: 7, guidance: 2 },
};

/** A folder whose network is another: its norm has tensors of all kinds of names. */
async function small(op = "neg") {
  const folder = await readFolder(filesAt(new URL("./golden/class_conditional/", import.meta.url)));
  const shapes = new Map([["ends", [1]], ["up.12.w", [1]], ["up.1.w", [12, 12]], ["up.x.w", [1]]]);
  const build: NetworkDefinition["build"] = (graph, { sample }) => {
    const [weight, bias, ...more] = [...shapes].map(([name, shape]) => graph.param(name, shape));
    const normed = groupNorm(sample, weight, bias, { groups: 1, eps: 0 });
    return more.reduce(add, graph.add(op, [normed], normed.shape));
  };
  const tensors = new Map(
    [...shapes].map(([name, shape]) => [name, { shape, data: new Float32Array(sizeOf(shape)) }]),
  );
  return { ...folder, network: { ...folder.network, build }, tensors };
}

Deno.test("inspect tells what a folder says of itself, and null where it says nothing", async () => {
  const folder = await small();
  const { where, hash, scheduler, network } = folder;
  const { labels: classes, null_label, recommended } = card;
  const said = { classes, null_label, recommended };
  const nothing = { classes: Array.from(Array(11).keys(), String), null_label: null };
  const always = { source: where, hash, scheduler, picture: [1, 12, 12], config: network.json() };
  const [full, bare] = [card, {}].map((card) => inspectWeights({ ...folder, card }));
  assertEquals(full, { ...full, ...always, ...said });
  assertEquals(bare, { ...bare, ...always, ...nothing, recommended: null });
  const unconditional = { ...folder, card: {}, network: { ...network, classes: null } };
  assertEquals(inspectWeights(unconditional).classes, null);
});

Deno.test("inspect names the parts of a network by the first word of a name, and a number behind it", async () => {
  const { blocks, tensors, parameters, memory } = inspectWeights(await small());
  assertEquals([tensors, parameters, memory.weights], [4, 147, 4 * 147]);
  assertEquals(blocks, [
    { name: "ends", tensors: 1, parameters: 1 },
    { name: "up.12", tensors: 1, parameters: 1 },
    { name: "up.1", tensors: 1, parameters: 144 },
    { name: "up", tensors: 1, parameters: 1 },
  ]);
});

Deno.test("of a network that the engine cannot plan, the memory is what is alive at once", async () => {
  const folder = await small("mystery");
  const { peakBytes } = graphCost(networkGraph(folder.network), 1);
  assertEquals(inspectWeights(folder).memory.activations, peakBytes);
});

Deno.test("inspect tells what an ONNX file is fed, gives, and says of itself, and null where it says nothing", async () => {
  const file = await readOnnx(onnxFiles(tinyOnnx()));
  const { where, hash, shape, ports, contents } = file;
  const always = { source: where, hash, picture: shape, output: ports.output, ...contents };
  const nothing = { classes: ["0", "1", "2"], null_label: null, recommended: null };
  const all = [ports.sample, ports.timestep, ports.classLabels!];
  assertEquals(inspectOnnx(file), { ...always, ...nothing, inputs: all, scheduler: null });
  const scheduler = { num_train_timesteps: 7 } as unknown as typeof file.scheduler;
  assertEquals(inspectOnnx({ ...file, card, scheduler }), {
    ...always,
    inputs: all,
    scheduler: scheduler!,
    classes: card.labels,
    null_label: 0,
    recommended: card.recommended,
  });
  const unconditional = { ...file, classes: null, ports: { ...ports, classLabels: undefined } };
  const { classes, inputs } = inspectOnnx(unconditional);
  assertEquals([classes, inputs], [null, all.slice(0, 2)]);
});
