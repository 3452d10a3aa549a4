/** How constants are written, equal ones once, and which convolutions are written by Winograd. */
import { assertEquals, assertThrows } from "@std/assert";
import { fromBinary } from "npm:@bufbuild/protobuf@2.17.0";
import { add, conv2d, Graph, groupNorm, mul, neg, reshape } from "../src/graph/mod.ts";
import type { ConstantData } from "../src/graph/value.ts";
import { emit, extendLowering, type Lowering, portable } from "../src/onnx/mod.ts";
import { suitsWinograd } from "../src/onnx/lowerings/winograd.ts";
import { blocked } from "../src/onnx/lowerings/blocked/mod.ts";
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
  const twice = (length: number) =>
    tensorsOf([floats(...Array(length).fill(1)), floats(...Array(length).fill(1))].map((data) => {
      return [data, [length]] as const;
    })).length;
  assertEquals([63, 64, 65].map(twice), [1, 1, 2]);
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

const written = (graph: Graph, options: Partial<Parameters<typeof emit>[1]> = {}) =>
  fromBinary(pb.ModelProtoSchema, emit(graph, { lowering: portable, ...options }));

Deno.test("a model declares its inputs and outputs with their types and the names of their dimensions", () => {
  const graph = new Graph();
  const x = graph.input("x", ["N", 3]);
  graph.input("unused", [7]);
  graph.output("y", neg(x));
  graph.output("i", graph.input("i", ["N"], "int32"));
  const options = { metadata: { a: "b" }, name: "mine" };
  const { graph: model, producerName, metadataProps, irVersion } = written(graph, options);
  assertEquals([model!.name, written(graph).graph!.name, irVersion], ["mine", "graph", 10n]);
  const said = [...model!.input, ...model!.output].map(({ name, type }) => {
    const { elemType, shape } = type!.value.value as pb.TypeProto_Tensor;
    return [name, pb.TensorProto_DataType[elemType], ...shape!.dim.map(({ value }) => value.value)];
  });
  const expected: unknown[] = [["x", "FLOAT", "N", 3n], ["i", "INT32", "N"]];
  assertEquals(said as unknown[], [...expected, ["y", "FLOAT", "N", 3n], ["i", "INT32", "N"]]);
  assertEquals([producerName, metadataProps.map(({ key, value }) => [key, value])], [
    "denoise",
    [["a", "b"]],
  ]);
});

Deno.test("weights are as long as their parameters, and there", () => {
  const graph = new Graph();
  graph.output("y", neg(graph.param("w", [2, 2])));
  const of = (length: number) => () =>
    written(graph, { weights: new Map([["w", new Float32Array(length)]]) });
  assertEquals(of(4)().graph!.initializer.map(({ name, dims }) => [name, dims]), [["w", [2n, 2n]]]);
  for (const length of [3, 5]) {
    assertThrows(of(length), Error, `parameter "w" has ${length} elements, expected [2, 2]`);
  }
  assertThrows(() => written(graph), Error, 'no weights for parameter "w"');
  const flatParams = { input: graph.input("theta", [4]), order: ["v"] };
  const unknown = () => written(graph, { flatParams });
  assertThrows(unknown, Error, 'the graph has no parameter "v"');
  assertThrows(() => written(new Graph()), Error, "the graph has no outputs");
});

Deno.test("a lowering's own forms come before those it inherits; their domains are declared, what is not read is left out", () => {
  const mine = extendLowering(portable, "mine", {
    neg: (e, _, [x]) => {
      e.constant(Float32Array.of(1, 2, 3));
      e.op("Abs", [x]);
      return e.op("Negate", [x], { times: 2, by: { float: 0.5 }, how: "so", at: [1, 2] }, "my.own");
    },
  });
  const graph = new Graph();
  graph.output("y", neg(add(graph.input("x", [3]), graph.constant(Float32Array.of(7)))));
  const model = written(graph, { lowering: mine });
  assertEquals(model.opsetImport.map(({ domain, version }) => [domain, version]), [
    ["", 21n],
    ["my.own", 1n],
  ]);
  assertEquals(model.graph!.node.map(({ opType }) => opType), ["Add", "Negate", "Identity"]);
  assertEquals(model.graph!.initializer.length, 1);
  for (const { name, output } of model.graph!.node) assertEquals([name], output);
  const [, { attribute }] = model.graph!.node;
  assertEquals(attribute.map(({ name, i, f, s, ints }) => [name, i, f, s.length, ints]), [
    ["times", 2n, 0, 0, []],
    ["by", 0n, 0.5, 0, []],
    ["how", 0n, 0, 2, []],
    ["at", 0n, 0, 0, [1n, 2n]],
  ]);
  // Of several outputs one is enough to keep a node.
  for (const read of [0, 1]) {
    const halves = extendLowering(portable, "halves", {
      neg: (e, _, [x]) => e.ops("Split", [x], 2)[read],
    });
    const { node } = written(graph, { lowering: halves }).graph!;
    assertEquals(node.map(({ opType }) => opType), ["Add", "Split", "Identity"]);
    assertEquals(node[1].output[read], node[2].input[0]);
  }
  const missing = { name: "bare", ops: {} };
  assertThrows(
    () => written(graph, { lowering: missing }),
    Error,
    'lowering "bare" has no form for "add"',
  );
});

Deno.test("Winograd's algorithm is for 3×3 kernels at every pixel of even sides, with channels enough", () => {
  const suits = (
    [h, w]: number[],
    { out = 8, channels = 8, kernel = 3, stride = 1, pad = 1 }: Record<string, number> = {},
  ) => {
    const graph = new Graph();
    const x = graph.input("x", [2, channels, h, w]);
    const weight = graph.param("w", [out, channels, kernel, kernel]);
    return suitsWinograd(
      conv2d(x, weight, undefined, { stride, padding: [pad, pad, pad, pad] }),
      64,
    );
  };
  assertEquals([[8, 8], [2, 6], [8, 7], [7, 8], [7, 7]].map((side) => suits(side)), [
    ...[true, true, false, false, false],
  ]);
  const others: Record<string, number>[] = [
    ...[{ stride: 2 }, { kernel: 1, pad: 0 }, { kernel: 5, pad: 2 }, { out: 7 }, { channels: 4 }],
    { out: 16, channels: 4 },
  ];
  assertEquals(others.map((other) => suits([8, 8], other)), [
    ...[false, false, false, false, false, true],
  ]);
  assertEquals(suits([10, 10], { pad: 0 }), false);
  const byDefault = (out: number, channels: number) => {
    const graph = new Graph();
    const weight = graph.param("w", [out, channels, 3, 3]);
    const geometry = { stride: 1, padding: [1, 1, 1, 1] as const };
    return suitsWinograd(
      conv2d(graph.input("x", [1, channels, 4, 4]), weight, undefined, geometry),
    );
  };
  assertEquals([byDefault(96, 96), byDefault(95, 96), byDefault(48, 192)], [true, false, true]);
});

/** Start, end, axis and step of the Slice of a model that has one. */
function sliced(graph: Graph, lowering: Lowering): number[][] {
  const { node, initializer } = written(graph, { lowering }).graph!;
  const whole = initializer.filter(({ dataType }) => dataType === pb.TensorProto_DataType.INT64);
  const numbers = new Map(
    whole.map(({ name, rawData }) => [
      name,
      [...new BigInt64Array(rawData.slice().buffer)].map(Number),
    ]),
  );
  return node.filter(({ opType }) => opType === "Slice")
    .map(({ input }) => input.slice(1).map((name) => numbers.get(name)![0]));
}

Deno.test("a group is shifted by the mean of sixteen elements spread over it, in blocks by four pixels'", () => {
  const of = (channels: number, pixels: number[], groups: number, lowering: Lowering) => {
    const graph = new Graph();
    const [w, b] = ["w", "b"].map((name) => graph.input(name, [channels]));
    const x = graph.input("x", [2, channels, ...pixels]);
    graph.output("y", groupNorm(x, w, b, { groups, eps: 1e-5 }));
    return sliced(graph, lowering)[0];
  };
  assertEquals(of(4, [2, 3], 2, portable), [0, 12, 2, 1]);
  assertEquals(of(4, [4, 4], 2, portable), [1, 32, 2, 2]);
  assertEquals(of(4, [8, 10], 2, portable), [5, 160, 2, 10]);
  assertEquals(of(4, [79], 1, portable), [9, 316, 2, 19]);
  assertEquals(of(16, [1, 2], 2, blocked(16)), [0, 2, 2, 1]);
  assertEquals(of(16, [4, 5], 2, blocked(16)), [2, 20, 2, 5]);
  assertEquals(of(16, [6, 6], 2, blocked(16)), [4, 36, 2, 9]);
});
