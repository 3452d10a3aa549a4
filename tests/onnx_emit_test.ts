/** How constants are written: equal ones once, others apart. */
import { assertEquals } from "@std/assert";
import { fromBinary } from "npm:@bufbuild/protobuf@2.17.0";
import { add, Graph, mul, neg, reshape } from "../src/graph/mod.ts";
import type { ConstantData } from "../src/graph/value.ts";
import { emit, portable } from "../src/onnx/mod.ts";
import { pb } from "./onnx_fixtures.ts";

/** The tensors of a model that gives each of these constants back, negated. */
function tensorsOf(constants: readonly (readonly [ConstantData, readonly number[]])[]) {
  const graph = new Graph();
  constants.forEach(([data, shape], i) =>
    graph.output(`y${i}`, neg(graph.constant(data, [...shape])))
  );
  const model = fromBinary(pb.ModelProtoSchema, emit(graph, { lowering: portable }));
  return model.graph!.initializer.map(({ dims, dataType }) => ({
    dims: dims.map(Number),
    dataType,
  }));
}

const floats = (...numbers: number[]) => Float32Array.from(numbers);

Deno.test("equal constants of one shape are written once", () => {
  assertEquals(tensorsOf([[floats(1, 2), [2]], [floats(1, 2), [2]]]).length, 1);
  assertEquals(tensorsOf([[floats(3), []], [floats(3), []]]).length, 1);
});

Deno.test("equal numbers in another shape are another constant", () => {
  const shapes = [[2], [2, 1], [1, 2], [1, 1, 2]];
  const tensors = tensorsOf(shapes.map((shape) => [floats(1, 2), shape]));
  assertEquals(tensors.map(({ dims }) => dims), shapes);
  assertEquals(tensorsOf([[floats(3), []], [floats(3), [1]]]).map(({ dims }) => dims), [[], [1]]);
});

Deno.test("equal numbers of another type are another constant, as is a zero of the other sign", () => {
  const tensors = tensorsOf([[floats(1, 0), [2]], [Int32Array.of(1, 0), [2]]]);
  assertEquals(new Set(tensors.map(({ dataType }) => dataType)).size, 2);
  assertEquals(tensorsOf([[floats(0), []], [floats(-0), []]]).length, 2);
});

Deno.test("large constants are written as often as they are used, each with its own numbers", () => {
  const large = (first: number) => floats(first, ...Array(99).fill(1));
  assertEquals(tensorsOf([[large(1), [100]], [large(2), [100]]]).length, 2);
});

Deno.test("a number and a list of that one number broadcast as they did in the graph", () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 3]);
  const y = add(mul(x, graph.constant(floats(2), [])), graph.constant(floats(2), [1, 1]));
  graph.output("y", reshape(y, ["N", 3, 1]));
  const { graph: written } = fromBinary(pb.ModelProtoSchema, emit(graph, { lowering: portable }));
  const dims = new Map(written!.initializer.map(({ name, dims }) => [name, dims.map(Number)]));
  const read = (op: string) =>
    written!.node.find(({ opType }) => opType === op)!.input.flatMap((name) =>
      dims.has(name) ? [dims.get(name)] : []
    );
  assertEquals([read("Mul"), read("Add")], [[[]], [[1, 1]]]);
});
