/** Convolutions whose weights are known when they are written, as in sampling: their form, numbers and gradients. */
import { assert, assertEquals } from "@std/assert";
import { fromBinary } from "npm:@bufbuild/protobuf@2.17.0";
import { native } from "../src/backends/onnxruntime/native.ts";
import { emit, type Lowering, portable, wasm, winograd } from "../src/onnx/mod.ts";
import {
  conv2d,
  gradients,
  Graph,
  mul,
  type Padding,
  reduceSum,
  reshape,
  type Value,
} from "../src/graph/mod.ts";
import { ramp } from "./backend_models.ts";
import { interpret } from "./graph_reference.ts";
import { pb } from "./onnx_fixtures.ts";

interface Layer {
  readonly out: number;
  readonly channels: number;
  readonly kernel: readonly [number, number];
  readonly picture: readonly [number, number];
  readonly stride?: number;
  readonly padding: Padding;
}

const around: Padding = [1, 1, 1, 1];

/** y, and the gradient of Σ y·r with respect to x. */
function built({ out, channels, kernel, picture, stride = 1, padding }: Layer) {
  const graph = new Graph();
  const x = graph.input("x", [2, channels, ...picture]);
  const weight = graph.param("w", [out, channels, ...kernel]);
  const y = conv2d(x, weight, graph.param("b", [out]), { stride, padding });
  const size = y.shape as number[];
  const r = graph.constant(ramp(size.reduce((a, b) => a * b), 3), size);
  const loss = reduceSum(mul(y, r), [0, 1, 2, 3]);
  const [dx] = gradients(loss, [x]);
  graph.output("y", y);
  graph.output("dx", dx);
  const weights = new Map([
    ["w", ramp(out * channels * kernel[0] * kernel[1], 1)],
    ["b", ramp(out, 2)],
  ]);
  return { graph, weights, values: { y, loss } };
}

const layers: Layer[] = [
  { out: 3, channels: 2, kernel: [1, 1], picture: [4, 5], padding: [0, 0, 0, 0] },
  { out: 3, channels: 2, kernel: [3, 3], picture: [5, 6], padding: [0, 1, 2, 0] },
  { out: 2, channels: 3, kernel: [3, 2], picture: [5, 6], padding: [2, 0, 1, 1] },
  { out: 3, channels: 2, kernel: [3, 3], picture: [6, 5], stride: 2, padding: around },
  { out: 3, channels: 2, kernel: [3, 3], picture: [7, 6], stride: 2, padding: [0, 0, 1, 1] },
  // In strips, of even and odd heights, and by Winograd, forwards and back.
  { out: 6, channels: 16, kernel: [3, 3], picture: [5, 6], padding: around },
  { out: 6, channels: 16, kernel: [3, 3], picture: [6, 5], padding: [0, 2, 1, 0] },
  { out: 6, channels: 16, kernel: [3, 3], picture: [7, 6], stride: 2, padding: around },
  { out: 144, channels: 64, kernel: [3, 3], picture: [2, 4], padding: around },
];

Deno.test("written for any engine, a convolution and its gradient are what they are in float64", async () => {
  const backend = native();
  for (const layer of layers) {
    const { graph, weights, values } = built(layer);
    const data = ramp(2 * layer.channels * layer.picture[0] * layer.picture[1], 5);
    const valueAt = (value: Value, x: Float32Array) =>
      interpret(graph, value, { x, ...Object.fromEntries(weights) }).data;
    const y = valueAt(values.y, data);
    const scale = y.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
    // The loss is linear in x: along any d it changes by dx·d.
    const d = ramp(data.length, 7);
    const change = valueAt(values.loss, d)[0] - valueAt(values.loss, data.map(() => 0))[0];
    for (const lowering of [portable, winograd, wasm]) {
      const what = `${lowering.name} ${JSON.stringify(layer)}`;
      const model = emit(graph, { lowering, weights });
      const session = await backend.createOnnxSession(model, { threads: 1 });
      const dims = [2, layer.channels, ...layer.picture];
      const found = await session.run({ x: { data, dims } });
      await session.close();
      assertEquals([found.y.dims, found.dx.dims], [values.y.shape, dims], what);
      y.forEach((v, i) => {
        const difference = Math.abs(Number(found.y.data[i]) - v);
        assert(difference <= 1e-5 * scale, `${what}: y[${i}] is off by ${difference}`);
      });
      const dx = found.dx.data as Float32Array;
      const along = dx.reduce((sum, v, i) => sum + v * d[i], 0);
      const size = Math.hypot(...dx) * Math.hypot(...d);
      assert(Math.abs(along - change) <= 1e-5 * size, `${what}: dx`);
    }
  }
});

/** The operators of y alone, in their order. */
function operators(
  layer: Layer,
  lowering: Lowering,
  known: "weights" | "constant" | false = "weights",
): string[] {
  const graph = new Graph();
  const { out, channels, kernel, picture, stride = 1, padding } = layer;
  const x = graph.input("x", ["N", channels, ...picture]);
  const flat = graph.input("theta", [out * channels * kernel[0] * kernel[1]]);
  const numbers = ramp(out * channels * kernel[0] * kernel[1]);
  const weight = known === "constant"
    ? graph.constant(numbers, [out, channels, ...kernel])
    : graph.param("w", [out, channels, ...kernel]);
  graph.output("y", conv2d(x, weight, undefined, { stride, padding }));
  const weights = new Map([["w", numbers]]);
  const model = known
    ? emit(graph, { lowering, weights })
    : emit(graph, { lowering, flatParams: { input: flat, order: ["w"] } });
  return fromBinary(pb.ModelProtoSchema, model).graph!.node.map(({ opType }) => opType);
}

Deno.test("on WebAssembly a convolution is written in two strips where a batch would change its sums", () => {
  const usual: Layer = {
    out: 32,
    channels: 32,
    kernel: [3, 3],
    picture: [16, 16],
    padding: around,
  };
  const form = (change: Partial<Layer>, known?: "constant" | false) => {
    const ops = operators({ ...usual, ...change }, wasm, known);
    return ops.includes("DepthToSpace") ? "winograd" : ops.includes("Concat") ? "strips" : "plain";
  };
  assertEquals(form({}), "strips");
  assertEquals(form({ stride: 2 }), "strips");
  assertEquals(form({ channels: 14 }), "plain", "126 terms are summed in one go");
  assertEquals(form({ channels: 15 }), "strips", "135 are not");
  const pointwise = { kernel: [1, 1], padding: [0, 0, 0, 0] } as const;
  assertEquals(form({ ...pointwise, channels: 128 }), "plain", "128 are");
  assertEquals(form({ ...pointwise, channels: 129 }), "strips", "129 are not");
  assertEquals(form({ picture: [64, 31] }), "strips");
  assertEquals(form({ picture: [64, 32] }), "plain", "2048 pixels are enough for every thread");
  assertEquals(form({ out: 64, picture: [8, 8] }), "strips");
  assertEquals(form({ out: 65, picture: [8, 8] }), "plain", "more channels than pixels");
  assertEquals(form({ picture: [1, 64] }), "plain", "one row is not divided");
  assertEquals(form({ out: 96, channels: 96 }), "winograd");
  for (const picture of [[17, 16], [16, 17]] as const) {
    assertEquals(form({ out: 96, channels: 96, picture }), "strips", "Winograd's has even sides");
  }
  assertEquals([form({}, "constant"), form({ out: 96, channels: 96 }, "constant")], [
    "strips",
    "winograd",
  ]);
  assertEquals(form({}, false), "plain", "weights that are trained are not known");
  assertEquals(form({ out: 96, channels: 96 }, false), "plain");
});

Deno.test("Winograd's algorithm wants a padding of one on every side", () => {
  const layer: Layer = { out: 96, channels: 96, kernel: [3, 3], picture: [8, 8], padding: around };
  const of = (padding: Padding) => operators({ ...layer, padding }, winograd);
  assert(of(around).includes("DepthToSpace"));
  for (const side of [0, 1, 2, 3]) {
    // Two more or less of an even side leave an even one.
    const padding = around.with(side, 3) as unknown as Padding;
    assertEquals(of(padding), ["Conv", "Identity"], `${padding}`);
  }
});

Deno.test("dimensions that are known at run time alone are kept where they stand", () => {
  const targets = (from: (string | number)[], ...to: (string | number)[][]) => {
    const graph = new Graph();
    const x = graph.input("x", from);
    to.forEach((shape, i) => graph.output(`y${i}`, reshape(x, shape)));
    const { graph: written } = fromBinary(
      pb.ModelProtoSchema,
      emit(graph, { lowering: portable }),
    );
    return written!.initializer.map(({ rawData }) =>
      [
        ...new BigInt64Array(rawData.slice().buffer),
      ].map(Number)
    );
  };
  assertEquals(targets(["N", 6], ["N", 2, 3]), [[0, 2, 3]]);
  assertEquals(targets(["N", "M", 4], ["N", "M", 2, 2]), [[0, 0, 2, 2]]);
  assertEquals(targets(["N", 6, "M"], ["N", 2, 3, "M"]), [[0, 2, 3, -1]]);
  assertEquals(targets([2, 6], [3, 4]), [[3, 4]]);
});
