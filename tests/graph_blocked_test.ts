/** The blocked lowering against the plain one, for shapes that fill blocks and shapes that do not. */
import { assert, assertEquals } from "@std/assert";
import { fromBinary } from "npm:@bufbuild/protobuf@2.17.0";
import { native } from "../src/backends/onnxruntime/native.ts";
import { emit, fused, type Lowering } from "../src/onnx/mod.ts";
import {
  add,
  avgPool,
  concat,
  conv2d,
  div,
  gradients,
  Graph,
  groupNorm,
  mul,
  neg,
  type Padding,
  reduceSum,
  reshape,
  scale,
  shift,
  silu,
  slice,
  square,
  sub,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";
import { blocked } from "../src/onnx/lowerings/blocked/mod.ts";
import { blockProbe } from "../src/onnx/lowerings/blocked/probe.ts";
import { pb } from "./onnx_fixtures.ts";

const backend = native();
const lowering = backend.trainingLowering;

interface Case {
  readonly about: string;
  readonly inputs: readonly (readonly number[])[];
  readonly build: (...inputs: Value[]) => Value;
}

const around: Padding = [1, 1, 1, 1];
const none: Padding = [0, 0, 0, 0];

const convolution = (
  about: string,
  [n, channels, h, w]: readonly number[],
  out: number,
  { kernel = 3, stride = 1, padding = around, bias = true }: {
    kernel?: number;
    stride?: number;
    padding?: Padding;
    bias?: boolean;
  } = {},
): Case => ({
  about: `conv2d: ${about}`,
  inputs: [[n, channels, h, w], [out, channels, kernel, kernel], ...bias ? [[out]] : []],
  build: (x, weight, b) => conv2d(x, weight, b, { stride, padding }),
});

/** f of a convolution's result, which lies in blocks. */
const inBlocks = (about: string, channels: number, f: (x: Value) => Value): Case => ({
  about,
  inputs: [[16, 16, 4, 6], [channels, 16, 1, 1]],
  build: (x, weight) => f(conv2d(x, weight, undefined, { stride: 1, padding: none })),
});

const shifted = (about: string, shape: readonly number[]): Case => ({
  about,
  inputs: [[16, 16, 4, 4], [16, 16, 1, 1], shape],
  build: (x, weight, z) => {
    const y = conv2d(x, weight, undefined, { stride: 1, padding: none });
    return add(mul(y, z), z);
  },
});

const cases: readonly Case[] = [
  convolution("3×3", [16, 32, 5, 6], 16),
  convolution("3×3, two blocks of pictures, no bias", [32, 16, 4, 4], 32, { bias: false }),
  convolution("1×1", [16, 16, 5, 3], 48, { kernel: 1, padding: none }),
  convolution("5×5", [16, 16, 7, 8], 16, { kernel: 5, padding: [2, 2, 2, 2] }),
  convolution("3×3, no padding", [16, 16, 6, 5], 16, { padding: none }),
  convolution("3×3, each side padded by its own", [16, 16, 6, 5], 32, { padding: [0, 1, 2, 0] }),
  convolution("3×3, each side padded by its own, to fewer channels", [16, 32, 6, 5], 16, {
    padding: [2, 0, 1, 1],
  }),
  convolution("3×3, stride 2", [16, 16, 6, 8], 32, { stride: 2 }),
  convolution("3×3, stride 2, to fewer channels", [16, 32, 6, 8], 16, { stride: 2 }),
  convolution("3×3, stride 2, near side padded", [16, 16, 6, 7], 16, {
    stride: 2,
    padding: [1, 1, 0, 0],
  }),
  convolution("3×3, stride 2, odd sizes", [16, 16, 7, 5], 16, { stride: 2 }),
  convolution("3×3, stride 2, far side padded", [16, 16, 6, 8], 16, {
    stride: 2,
    padding: [0, 0, 1, 1],
  }),
  convolution("3×3, stride 2, far side padded, odd sizes", [16, 16, 7, 5], 16, {
    stride: 2,
    padding: [0, 0, 1, 1],
  }),
  convolution("grey pictures", [16, 1, 6, 6], 16),
  convolution("colour pictures", [16, 3, 6, 6], 32),
  convolution("to a grey picture", [16, 16, 6, 6], 1),
  convolution("to a colour picture", [16, 32, 6, 6], 3),
  convolution("channels that fill no blocks", [16, 24, 4, 4], 20),
  convolution("fewer pictures than a block", [6, 16, 4, 4], 16),
  ...[16, 24, 40].map((n) => convolution(`${n} pictures`, [n, 16, 4, 4], 16)),

  inBlocks("silu", 32, (x) => silu(x)),
  inBlocks("products with itself, and with one number", 16, (x) => scale(mul(x, x), 3)),
  shifted("a number for each channel", [1, 16, 1, 1]),
  shifted("a number for each channel, without the pictures' axis", [16, 1, 1]),
  shifted("a number for each picture and channel", [16, 16, 1, 1]),
  shifted("a number for each pixel", [1, 1, 4, 4]),
  shifted("a number for each row", [1, 16, 4, 1]),
  shifted("a number for each column", [1, 16, 1, 4]),
  shifted("a number for each picture", [16, 1, 1, 1]),
  inBlocks("silu of two", 16, (x) => add(silu(x), silu(square(x)))),
  inBlocks("concat", 16, (x) => concat([x, square(x)], 1)),
  inBlocks(
    "concat with a tensor that fills no block",
    16,
    (x) => concat([x, slice(x, 1, 2, 7)], 1),
  ),
  inBlocks("slice at blocks", 48, (x) => slice(x, 1, 16, 48)),
  inBlocks("slice beside blocks", 48, (x) => slice(x, 1, 8, 24)),
  inBlocks("slice beside any blocks", 48, (x) => slice(x, 1, 4, 36)),
  inBlocks("slice of rows", 16, (x) => slice(x, 2, 1, 3)),
  inBlocks("sums over pixels", 32, (x) => reduceSum(x, [2, 3])),
  inBlocks("sums over pictures and rows", 32, (x) => reduceSum(x, [0, 2])),
  inBlocks("upsampleNearest", 16, (x) => upsampleNearest(x)),
  inBlocks("avgPool", 16, (x) => avgPool(x)),
  inBlocks("avgPool, odd sizes", 16, (x) => avgPool(slice(x, 3, 0, 5))),
  inBlocks("reshape to another picture", 16, (x) => reshape(x, [16, 16, 6, 4])),
  ...Object.entries({ sub, div }).flatMap(([name, f]) =>
    [[16, 16, 1, 1], [1, 16, 1, 1], [16, 16, 4, 6]].map((shape): Case => ({
      about: `${name} of numbers [${shape}], and by them`,
      inputs: [[16, 16, 4, 6], [16, 16, 1, 1], shape],
      build: (x, weight, z) => {
        const y = shift(conv2d(x, weight, undefined, { stride: 1, padding: none }), 9);
        const far = shift(z, 3);
        return add(f(y, far), f(far, y));
      },
    }))
  ),
  convolution("few channels to some more", [16, 3, 6, 6], 5),
  convolution("whole blocks to what fills none", [16, 16, 4, 4], 20),
  convolution("what fills no blocks to whole ones", [16, 20, 4, 4], 16),
  {
    about: "two norms of one tensor that differ by eps alone",
    inputs: [[16, 16, 4, 4], [16], [16]],
    build: (x, w, b) => {
      const norm = (eps: number) => groupNorm(x, w, b, { groups: 4, eps });
      return add(norm(1e-5), scale(norm(0.5), 2));
    },
  },
  {
    about: "a norm of numbers that are far from 0",
    inputs: [[16, 16, 4, 4], [16], [16]],
    build: (x, w, b) => groupNorm(shift(x, 200), w, b, { groups: 4, eps: 1e-5 }),
  },
  ...[1, 4, 16, 32].map((groups): Case => ({
    about: `groupNorm: ${groups} groups`,
    inputs: [[16, 32, 5, 3], [32], [32]],
    build: (x, w, b) => groupNorm(x, w, b, { groups, eps: 1e-5 }),
  })),
  {
    about: "a residual block",
    inputs: [[16, 16, 6, 6], [16], [16], [32, 16, 3, 3], [32], [32, 16, 1, 1]],
    build: (x, w, b, kernel, bias, shortcut) => {
      const h = silu(groupNorm(x, w, b, { groups: 8, eps: 1e-5 }));
      const skip = conv2d(x, shortcut, undefined, { stride: 1, padding: none });
      return add(conv2d(h, kernel, bias, { stride: 1, padding: around }), skip);
    },
  },
];

const count = (shape: readonly number[]) => shape.reduce((n, d) => n * d, 1);

/** Numbers in −1 … 1 that are the same on every run and have no pattern. */
const numbers = (n: number, salt: number) =>
  Float32Array.from({ length: n }, (_, i) => {
    const u = Math.sin((i + 1) * 12.9898 + salt * 78.233) * 43758.5453;
    return 2 * (u - Math.floor(u)) - 1;
  });

/** y and the gradient of each input under a loss on which every element of y acts differently. */
function built({ inputs, build }: Case): Graph {
  const graph = new Graph();
  const values = inputs.map((shape, i) => graph.input(`x${i}`, shape));
  const y = build(...values);
  const r = graph.constant(numbers(count(y.shape as number[]), 99), y.shape as number[]);
  const loss = reduceSum(mul(y, r), y.shape.map((_, i) => i));
  graph.output("y", y);
  gradients(loss, values).forEach((d, i) => graph.output(`d${i}`, d));
  return graph;
}

async function run(theCase: Case, lowering: Lowering) {
  const session = await backend.createOnnxSession(emit(built(theCase), { lowering }), {
    threads: 1,
  });
  const results = await session.run(Object.fromEntries(
    theCase.inputs.map((dims, i) => [`x${i}`, { data: numbers(count(dims), i), dims }]),
  ));
  await session.close();
  return results;
}

Deno.test({
  name: "blocked: operations and their gradients are those of the plain form",
  ignore: lowering === undefined,
  fn: async (t) => {
    for (const theCase of cases) {
      await t.step(theCase.about, async () => {
        const expected = await run(theCase, fused);
        const actual = await run(theCase, lowering!);
        assertEquals(Object.keys(actual).sort(), Object.keys(expected).sort());
        for (const [name, { data, dims }] of Object.entries(expected)) {
          assertEquals(actual[name].dims, dims, name);
          const wanted = data as Float32Array;
          const size = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
          const worst = wanted.reduce(
            (most, x, i) => Math.max(most, Math.abs(x - (actual[name].data[i] as number))),
            0,
          );
          assert(worst <= 1e-5 * size, `${name} differs by ${worst}, its size is ${size}`);
        }
      });
    }
  },
});

/** The operators of f(x), an operator over blocks with a dash, x a convolution's result or as it was fed. */
function form(f: (x: Value) => Value, channels: number, inBlocks = true): string {
  const graph = new Graph();
  const weight = graph.input("w", [channels, 16, 1, 1]);
  const x = inBlocks
    ? conv2d(graph.input("x", [16, 16, 4, 6]), weight, undefined, { stride: 1, padding: none })
    : graph.input("x", [16, channels, 4, 6]);
  graph.output("y", f(x));
  const { graph: written } = fromBinary(
    pb.ModelProtoSchema,
    emit(graph, { lowering: blocked(16) }),
  );
  const names = written!.node.map(({ opType, domain }) =>
    opType + (domain === "com.microsoft.nchwc" ? "'" : "")
  );
  return names.slice(inBlocks ? names.indexOf("Conv'") + 1 : 0, -1).join(" ");
}

Deno.test("blocked: what lies in blocks is worked on there where that can be, and all else is as it was", () => {
  const z = (x: Value, ...shape: number[]) => x.graph.input("z", shape);
  const affine = "Reshape Reshape Conv' Reshape ReorderOutput'";
  const forms: [f: (x: Value) => Value, inBlocks: string, plain: string, channels?: number][] = [
    [(x) => neg(x), "Neg ReorderOutput'", "Neg"],
    [silu, "QuickGelu ReorderOutput'", "QuickGelu"],
    [square, "Mul ReorderOutput'", "Mul"],
    [(x) => scale(x, 3), "Mul ReorderOutput'", "Mul"],
    [(x) => add(x, z(x, 16, 16, 4, 6)), "ReorderInput' Add ReorderOutput'", "Add"],
    [(x) => add(x, z(x, 1, 16, 1, 1)), "Reshape Reshape Add Reshape ReorderOutput'", "Add"],
    [(x) => add(x, z(x, 16, 16, 1, 1)), `Expand Reshape ${affine}`, "Add"],
    [(x) => mul(x, z(x, 16, 16, 1, 1)), affine, "Mul"],
    [(x) => add(x, z(x, 1, 1, 4, 6)), "ReorderOutput' Add", "Add"],
    [(x) => concat([x, x], 1), "Concat ReorderOutput'", "Concat"],
    [(x) => concat([x, z(x, 16, 16, 4, 6)], 1), "ReorderInput' Concat ReorderOutput'", "Concat"],
    [(x) => concat([x, z(x, 16, 3, 4, 6)], 1), "ReorderOutput' Concat", "Concat"],
    [(x) => concat([x, x], 2), "ReorderOutput' Concat", "Concat"],
    [(x) => slice(x, 1, 16, 32), "Slice ReorderOutput'", "Slice", 48],
    [(x) => slice(x, 1, 8, 24), "ReorderOutput' Slice", "Slice", 48],
    [(x) => slice(x, 1, 16, 40), "ReorderOutput' Slice", "Slice", 48],
    [(x) => slice(x, 2, 0, 2), "ReorderOutput' Slice", "Slice"],
    [(x) => reduceSum(x, [2, 3]), "GlobalAveragePool' Mul Reshape", "ReduceSum"],
    [(x) => reduceSum(x, [2, 3], true), "GlobalAveragePool' Mul Reshape", "ReduceSum"],
    [(x) => upsampleNearest(x), "Upsample' ReorderOutput'", "Resize"],
    [(x) => avgPool(x), "AveragePool' ReorderOutput'", "AveragePool"],
  ];
  for (const axes of [[0], [2], [3], [0, 2], [1, 3], [1, 2], [0, 3], [1, 2, 3]]) {
    forms.push([(x) => reduceSum(x, axes), "ReorderOutput' ReduceSum", "ReduceSum"]);
  }
  for (const [f, inBlocks, plain, channels = 16] of forms) {
    assertEquals([form(f, channels), form(f, channels, false)], [inBlocks, plain], `${f}`);
  }
});

Deno.test("blocked: convolutions and norms bring pictures into blocks, where channels fill them or are fewer", () => {
  const convolve = (out: number, stride = 1) => (x: Value) =>
    conv2d(x, x.graph.input("k", [out, x.shape[1] as number, 3, 3]), undefined, {
      stride,
      padding: around,
    });
  const kernels = "Reshape Transpose Reshape Conv'";
  assertEquals(form(convolve(32), 16, false), `ReorderInput' ${kernels} ReorderOutput'`);
  assertEquals(form(convolve(20), 16, false), `ReorderInput' Pad ${kernels} ReorderOutput'`);
  assertEquals(form(convolve(32), 3, false), `${kernels} ReorderOutput'`);
  assertEquals(form(convolve(32), 20, false), "Conv");
  const norm = (x: Value) => {
    const channels = x.shape[1] as number;
    const [w, b] = ["a", "b"].map((name) => x.graph.input(name, [channels]));
    return groupNorm(x, w, b, { groups: 4, eps: 1 });
  };
  assert(form(norm, 16, false).startsWith("ReorderInput' "));
  assertEquals(form(norm, 20, false).includes("'"), false);
  // The input's gradient of a convolution is one too, of every pixel.
  const gradient = (channels: number, out: number, stride: number) =>
    form(
      (x) => gradients(reduceSum(convolve(out, stride)(x), [0, 1, 2, 3]), [x])[0],
      channels,
      false,
    );
  assertEquals(
    [gradient(16, 32, 1), gradient(16, 32, 2), gradient(16, 20, 1)].map((ops) =>
      /\bConv\b'?|ConvTranspose/.exec(ops)![0]
    ),
    ["Conv'", "ConvTranspose", "Conv"],
  );
});

Deno.test("blocked: what several operations ask for is computed once", () => {
  const count = (op: string, build: (x: Value) => Value[]) => {
    const graph = new Graph();
    const x = graph.input("x", [16, 16, 4, 6]);
    build(x).forEach((y, i) => graph.output(`y${i}`, y));
    const model = emit(graph, { lowering: blocked(16) });
    const { node } = fromBinary(pb.ModelProtoSchema, model).graph!;
    return node.filter(({ opType }) => opType === op).length;
  };
  const withGradients = (
    y: Value,
    of: Value[],
  ) => [y, ...gradients(reduceSum(mul(y, y), [0, 1, 2, 3]), of)];
  const norm = (x: Value) => {
    const [w, b] = ["w", "b"].map((name) => x.graph.input(name, [16]));
    return withGradients(groupNorm(x, w, b, { groups: 4, eps: 1 }), [x, w, b]);
  };
  assertEquals(count("GlobalAveragePool", norm), 5, "of x, x², dy, and dy·x for each gradient");
  assertEquals(count("ReorderInput", norm), 2, "of x, and of what the loss gives back");
  const activated = (x: Value) => {
    const weight = x.graph.input("w", [16, 16, 1, 1]);
    const y = conv2d(x, weight, undefined, { stride: 1, padding: none });
    return withGradients(silu(y), [weight]);
  };
  assertEquals(count("QuickGelu", activated), 1, "dy of it asks for y again");
});

Deno.test("blocked: a convolution of whole blocks and its gradients are written in blocks", () => {
  const [theCase] = cases;
  const model = new TextDecoder("latin1").decode(emit(built(theCase), { lowering: blocked(16) }));
  assertEquals(model.match(/com\.microsoft\.nchwc/g)!.length > 3, true);
  assertEquals(model.includes("FusedMatMul"), false);
});

Deno.test("blocked: a conversion that nobody reads is not written", () => {
  const graph = new Graph();
  const x = graph.input("x", [1, 16, 4, 4]);
  const weight = graph.input("w", [16, 16, 1, 1]);
  const conv = (x: Value) => conv2d(x, weight, undefined, { stride: 1, padding: none });
  graph.output("y", conv(silu(conv(x))));
  const model = new TextDecoder("latin1").decode(emit(graph, { lowering: blocked(16) }));
  const nodes = (name: string) => new Set(model.match(new RegExp(`${name}_\\d+`, "g"))).size;
  assertEquals([nodes("ReorderInput"), nodes("ReorderOutput")], [1, 1]);
});

Deno.test("the probe reads the block size off where the second pixel begins", () => {
  const { x, blockOf } = blockProbe();
  const inBlocksOf = (block: number) =>
    Float32Array.from({ length: x.data.length }, (_, i) => {
      const [group, within] = [Math.floor(i / (2 * block)), i % (2 * block)];
      return (group * block + within % block) * 2 + Math.floor(within / block);
    });
  assertEquals([8, 16, 4].map((block) => blockOf(inBlocksOf(block))), [8, 16, undefined]);
});
