/** What each operation becomes: its steps word by word, and the memory that they touch. */
import { assertEquals } from "@std/assert";
import {
  add,
  attention,
  avgPool,
  concat,
  conv2d,
  div,
  expand,
  gather,
  Graph,
  groupNorm,
  linear,
  logSoftmax,
  matmul,
  mul,
  neg,
  pad,
  type Padding,
  reduceMean,
  reduceSum,
  reshape,
  scale,
  silu,
  slice,
  softmax,
  transpose,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";
import { type Options, steps } from "./engine_commands.ts";

const around = { stride: 1, padding: [1, 1, 1, 1] as Padding };
const none = { stride: 1, padding: [0, 0, 0, 0] as Padding };

const residualBlock = (n: number, out = 24) => (graph: Graph) => {
  const x = graph.input("x", [n, 16, 9, 9]), emb = graph.input("emb", [n, 12]);
  const [w, b] = [graph.param("w", [out, 16, 3, 3]), graph.param("b", [out])];
  const time = linear(emb, graph.param("tw", [out, 12]), graph.param("tb", [out]));
  const h = add(conv2d(x, w, b, around), reshape(time, [n, out, 1, 1]));
  const skip = conv2d(x, graph.param("sw", [out, 16, 1, 1]), undefined, none);
  return silu(scale(add(h, skip), 0.5));
};

/** Graphs, and their steps; what lies where is by names in the order in which steps meet it. */
const cases: Record<
  string,
  [make: (graph: Graph) => Value | Value[], expected: string, options?: Options]
> = {
  "a residual block of two pictures": [
    residualBlock(2),
    `
    conv, x a, picture 48, height 1, width 1, bytes 48, kernelHeight 1, kernelWidth 1, stride 1,
      n 2, outHeight 1, outWidth 1, weights w0, outChannels 24, rowBlock 24, panelBlock 2,
      zeros w1, scratchBytes 424, y b, pixel 96, picture 96, bias w2, scale 1
    elementwise, f copy, a c, y d, d… 1 1 2 81 16, a… 0 0 5184 4 324, b… 0 0 0 0 0,
      y… 0 0 5184 64 4
    conv, x d, pixel 64, picture 5184, height 9, width 9, bytes 64, kernelHeight 1, kernelWidth 1,
      stride 1, n 2, outHeight 9, outWidth 9, weights w3, outChannels 24, rowBlock 24,
      panelBlock 3, zeros w1, scratchBytes 424, y e, pixel 96, picture 7776, scale 1
    elementwise, f copy, a c, y f, d… 1 1 2 81 16, a… 0 0 5184 4 324, b… 0 0 0 0 0,
      y… 0 0 5184 64 4
    winograd, x f, pixel 64, picture 5184, height 9, width 9, bytes 64, n 2, m 2, weights w4,
      outChannels 24, range 4, block 17, zeros w1, scratchBytes 70368, y g, pixel 96,
      picture 7776, bias w5, embedding b, embeddingPicture 96, residual e, residualPixel 96,
      residualPicture 7776, scale 0.5, silu 1
    elementwise, f copy, a g, y h, d… 1 1 2 24 81, a… 0 0 7776 4 96, b… 0 0 0 0 0,
      y… 0 0 7776 324 4
    bytes a 96, w0 1152, w1 64, b 192, w2 96, c 10368, d 10368, w3 1536, e 15552, f 10368,
      w4 24576, g 15552, w5 96, h 15552`,
  ],
  "a residual block of one": [
    residualBlock(1),
    `
    conv, x a, picture 48, height 1, width 1, bytes 48, kernelHeight 1, kernelWidth 1, stride 1,
      n 1, outHeight 1, outWidth 1, weights w0, outChannels 24, rowBlock 24, panelBlock 2,
      zeros w1, scratchBytes 424, y b, pixel 96, bias w2, scale 1
    elementwise, f copy, a c, y d, d… 1 1 1 81 16, a… 0 0 0 4 324, b… 0 0 0 0 0, y… 0 0 0 64 4
    conv, x d, pixel 64, height 9, width 9, bytes 64, kernelHeight 1, kernelWidth 1, stride 1,
      n 1, outHeight 9, outWidth 9, weights w3, outChannels 24, rowBlock 24, panelBlock 3,
      zeros w1, scratchBytes 424, y e, pixel 96, scale 1
    elementwise, f copy, a c, y f, d… 1 1 1 81 16, a… 0 0 0 4 324, b… 0 0 0 0 0, y… 0 0 0 64 4
    winograd, x f, pixel 64, height 9, width 9, bytes 64, n 1, m 2, weights w4, outChannels 24,
      range 4, block 13, zeros w1, scratchBytes 58080, y g, pixel 96, bias w5, embedding b,
      residual e, residualPixel 96, scale 0.5, silu 1
    elementwise, f copy, a g, y h, d… 1 1 1 24 81, a… 0 0 0 4 96, b… 0 0 0 0 0, y… 0 0 0 324 4
    bytes a 48, w0 1152, w1 64, b 96, w2 96, c 5184, d 5184, w3 1536, e 7776, f 5184, w4 24576,
      g 7776, w5 96, h 7776`,
  ],
  "a residual block of six channels": [
    residualBlock(2, 6),
    `
    conv, x a, picture 48, height 1, width 1, bytes 48, kernelHeight 1, kernelWidth 1, stride 1,
      n 2, outHeight 1, outWidth 1, weights w0, outChannels 6, rowBlock 24, panelBlock 1,
      zeros w1, scratchBytes 424, y b, pixel 32, picture 32, bias w2, scale 1
    elementwise, f copy, a c, y d, d… 1 1 2 81 16, a… 0 0 5184 4 324, b… 0 0 0 0 0,
      y… 0 0 5184 64 4
    conv, x d, pixel 64, picture 5184, height 9, width 9, bytes 64, kernelHeight 1, kernelWidth 1,
      stride 1, n 2, outHeight 9, outWidth 9, weights w3, outChannels 6, rowBlock 24,
      panelBlock 1, zeros w1, scratchBytes 424, y e, pixel 32, picture 2592, scale 1
    elementwise, f copy, a c, y f, d… 1 1 2 81 16, a… 0 0 5184 4 324, b… 0 0 0 0 0,
      y… 0 0 5184 64 4
    elementwise, f copy, a b, y g, d… 1 1 1 2 6, a… 0 0 0 32 4, b… 0 0 0 0 0, y… 0 0 0 32 4
    winograd, x f, pixel 64, picture 5184, height 9, width 9, bytes 64, n 2, m 2, weights w4,
      outChannels 6, range 4, block 17, zeros w1, scratchBytes 70368, y h, pixel 32, picture 2592,
      bias w5, embedding g, embeddingPicture 32, residual e, residualPixel 32,
      residualPicture 2592, scale 0.5, silu 1
    elementwise, f copy, a h, y i, d… 1 1 2 6 81, a… 0 0 2592 4 32, b… 0 0 0 0 0,
      y… 0 0 1944 324 4
    bytes a 96, w0 384, w1 64, b 64, w2 32, c 10368, d 10368, w3 512, e 5184, f 10368, g 64,
      w4 8192, h 5184, w5 32, i 3888`,
  ],
  "a doubled picture on two threads": [
    (graph) => {
      const x = upsampleNearest(graph.input("x", [1, 16, 6, 5]));
      return conv2d(x, graph.param("w", [40, 16, 3, 3]), undefined, around);
    },
    `
    winograd, x a, pixel 64, height 12, width 10, bytes 64, up 1, n 1, m 4, weights w0,
      outChannels 40, range 4, block 9, apart 1, zeros w1, shared b, scratchBytes 67552, y c,
      pixel 160, scale 1
    bytes a 1920, w0 92160, w1 64, b 34560, c 19200`,
    { threads: 2, only: "winograd" },
  ],
  "kernels in 32 bits": [
    (graph) => {
      const w = graph.param("w", [8, 20, 3, 3]);
      return conv2d(graph.input("x", [2, 20, 8, 8]), w, undefined, around);
    },
    `
    winograd, x a, pixel 80, picture 5120, height 8, width 8, bytes 80, n 2, m 4, weights w0,
      compact 1, outChannels 8, range 4, block 8, apart 1, zeros w1, shared b,
      scratchBytes 155744, y c, pixel 32, picture 2048, scale 1
    bytes a 10240, w0 5760, w1 80, b 39744, c 4096`,
    { half: false, only: "winograd" },
  ],
  "kernels in 16 bits": [
    (graph) => {
      const w = graph.param("w", [8, 20, 3, 3]);
      return conv2d(graph.input("x", [2, 20, 8, 8]), w, undefined, around);
    },
    `
    winograd, x a, pixel 80, picture 5120, height 8, width 8, bytes 80, n 2, m 4, weights w0,
      compact 2, outChannels 8, range 4, block 8, apart 1, zeros w1, shared b,
      scratchBytes 155744, y c, pixel 32, picture 2048, scale 1
    bytes a 10240, w0 2880, w1 80, b 39744, c 4096`,
    { half: true, only: "winograd" },
  ],
  "strides, each side's own padding, pieces that are copied": [
    (graph) => {
      const x = graph.input("x", [2, 3, 9, 10]);
      const w = graph.param("w", [5, 3, 5, 3]);
      return conv2d(x, w, undefined, { stride: 2, padding: [3, 1, 2, 0] });
    },
    `
    conv, x a, pixel 16, picture 1440, height 9, width 10, bytes 12, kernelHeight 5,
      kernelWidth 3, stride 2, top 3, left 1, n 2, outHeight 5, outWidth 5, weights w0,
      outChannels 5, rowBlock 24, panelBlock 1, zeros w1, copied 1, scratchBytes 5412, y b,
      pixel 32, picture 800, scale 1
    bytes a 2880, w0 1440, w1 64, b 1600`,
    { only: "conv" },
  ],
  "pieces that are not copied, weights in 16 bits, a doubled picture": [
    (graph) => {
      const x = upsampleNearest(graph.input("x", [2, 8, 4, 6]));
      return conv2d(x, graph.param("w", [12, 8, 3, 3]), undefined, around);
    },
    `
    conv, x a, pixel 32, picture 768, height 4, width 6, bytes 32, kernelHeight 3, kernelWidth 3,
      stride 1, top 1, left 1, up 1, n 2, outHeight 8, outWidth 12, weights w0, half 1,
      outChannels 12, rowBlock 24, panelBlock 2, zeros w1, scratchBytes 4584, y b, pixel 48,
      picture 4608, scale 1
    bytes a 1536, w0 2304, w1 64, b 9216`,
    { half: true, only: "conv" },
  ],
  "rows": [
    (graph) => {
      const [w, b] = [graph.param("w", [10, 7]), graph.param("b", [10])];
      const x = graph.input("x", [3, 5, 7]), r = graph.input("r", [3, 5, 10]);
      return silu(scale(add(linear(x, w, b), r), 0.5));
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 1 15 10, a… 0 0 0 40 4, b… 0 0 0 0 0, y… 0 0 0 48 4
    conv, x c, pixel 28, picture 140, height 1, width 5, bytes 28, kernelHeight 1, kernelWidth 1,
      stride 1, n 3, outHeight 1, outWidth 5, weights w0, outChannels 10, rowBlock 24,
      panelBlock 1, zeros w1, scratchBytes 424, y d, pixel 48, picture 240, bias w2, residual b,
      residualPixel 48, residualPicture 240, scale 0.5, silu 1
    elementwise, f copy, a d, y e, d… 1 1 1 15 10, a… 0 0 0 48 4, b… 0 0 0 0 0, y… 0 0 0 40 4
    bytes a 608, b 720, c 432, w0 448, w1 64, d 720, w2 48, e 608`,
  ],
  "rows of one batch": [
    (graph) => linear(graph.input("x", [6, 8]), graph.param("w", [12, 8])),
    `
    conv, x a, picture 32, height 1, width 1, bytes 32, kernelHeight 1, kernelWidth 1, stride 1,
      n 6, outHeight 1, outWidth 1, weights w0, outChannels 12, rowBlock 24, panelBlock 1,
      zeros w1, scratchBytes 424, y b, pixel 48, picture 48, scale 1
    bytes a 192, w0 512, w1 64, b 288`,
  ],
  "rows that become pictures": [
    (graph) => {
      const x = graph.input("x", [2, 6, 8]), r = graph.input("r", [2, 12, 2, 3]);
      const y = transpose(linear(x, graph.param("w", [12, 8])), [0, 2, 1]);
      return add(reshape(y, [2, 12, 2, 3]), r);
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 2 6 12, a… 0 0 288 4 24, b… 0 0 0 0 0, y… 0 0 288 48 4
    conv, x c, pixel 32, picture 192, height 1, width 6, bytes 32, kernelHeight 1, kernelWidth 1,
      stride 1, n 2, outHeight 1, outWidth 6, weights w0, outChannels 12, rowBlock 24,
      panelBlock 1, zeros w1, scratchBytes 424, y d, pixel 48, picture 288, residual b,
      residualPixel 48, residualPicture 288, scale 1
    elementwise, f copy, a d, y e, d… 1 1 2 12 6, a… 0 0 288 4 48, b… 0 0 0 0 0, y… 0 0 288 24 4
    bytes a 576, b 576, c 384, w0 512, w1 64, d 576, e 576`,
  ],
  "group norm": [
    (graph) => {
      const [w, b] = ["w", "b"].map((name) => graph.param(name, [48]));
      return groupNorm(graph.input("x", [2, 48, 3, 5]), w, b, { groups: 8, eps: 0.5 });
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 2 15 48, a… 0 0 2880 4 60, b… 0 0 0 0 0,
      y… 0 0 2880 192 4
    groupNorm, x b, pixel 192, picture 2880, y c, yPixel 192, yPicture 2880, n 2, pixels 15,
      channels 48, group 6, block 24, eps 0.5, weight w0, bias w1, scratchBytes 672
    elementwise, f copy, a c, y d, d… 1 1 2 48 15, a… 0 0 2880 4 192, b… 0 0 0 0 0,
      y… 0 0 2880 60 4
    bytes a 5760, b 5760, c 5760, w0 192, w1 192, d 5760`,
  ],
  "group norm with SiLU of groups of three": [
    (graph) => {
      const [w, b] = ["w", "b"].map((name) => graph.param(name, [42]));
      return silu(groupNorm(graph.input("x", [1, 42, 3, 5]), w, b, { groups: 14, eps: 0.25 }));
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 1 15 42, a… 0 0 0 4 60, b… 0 0 0 0 0, y… 0 0 0 176 4
    groupNorm, x b, pixel 176, y c, yPixel 176, n 1, pixels 15, channels 42, group 3, block 24,
      eps 0.25, weight w0, bias w1, silu 1, scratchBytes 672
    elementwise, f copy, a c, y d, d… 1 1 1 42 15, a… 0 0 0 4 176, b… 0 0 0 0 0, y… 0 0 0 60 4
    bytes a 2528, b 2640, c 2640, w0 176, w1 176, d 2528`,
  ],
  "group norm of three dimensions": [
    (graph) => {
      const [w, b] = ["w", "b"].map((name) => graph.param(name, [8]));
      return groupNorm(graph.input("x", [2, 8, 30]), w, b, { groups: 2, eps: 0.5 });
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 2 30 8, a… 0 0 960 4 120, b… 0 0 0 0 0, y… 0 0 960 32 4
    groupNorm, x b, pixel 32, picture 960, y c, yPixel 32, yPicture 960, n 2, pixels 30,
      channels 8, group 4, block 8, eps 0.5, weight w0, bias w1, scratchBytes 224
    elementwise, f copy, a c, y d, d… 1 1 2 8 30, a… 0 0 960 4 32, b… 0 0 0 0 0, y… 0 0 960 120 4
    bytes a 1920, b 1920, c 1920, w0 32, w1 32, d 1920`,
  ],
  "attention of heads, each matrix in an order of its own": [
    (graph) => {
      const q = graph.input("q", [2, 3, 10, 8]), k = graph.input("k", [2, 14, 3, 8]);
      const v = graph.input("v", [14, 2, 3, 12]);
      return attention(q, transpose(k, [0, 2, 1, 3]), transpose(v, [1, 2, 0, 3]), 0.25);
    },
    `
    attention, q a, qRow 32, qHead 320, qPicture 960, k b, kRow 96, kHead 32, kPicture 1344, v c,
      vRow 288, vHead 48, vPicture 144, y d, yRow 144, yHead 48, yPicture 1440, n 2, heads 3,
      rows 10, keys 14, d 8, dv 12, scale 0.25, block 6, shared e, scratchBytes 1408
    elementwise, f copy, a d, y f, d… 1 2 3 10 12, a… 0 1440 48 144 4, b… 0 0 0 0 0,
      y… 0 1440 480 48 4
    bytes a 1920, b 2688, c 4032, d 2880, e 8448, f 2880`,
    { threads: 2 },
  ],
  "attention of three dimensions, and of two": [
    (graph) =>
      [[2, 5, 8], [5, 8]].map((shape, i) => {
        const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(`${name}${i}`, shape));
        return attention(q, k, v, 1);
      }),
    `
    attention, q a, qRow 32, qPicture 160, k b, kRow 32, kPicture 160, v c, vRow 32, vPicture 160,
      y d, yRow 32, yPicture 160, n 2, heads 1, rows 5, keys 5, d 8, dv 8, scale 1, block 6,
      shared e, scratchBytes 704
    attention, q f, qRow 32, k g, kRow 32, v h, vRow 32, y i, yRow 32, n 1, heads 1, rows 5,
      keys 5, d 8, dv 8, scale 1, block 6, shared j, scratchBytes 704
    bytes a 320, b 320, c 320, d 320, e 832, f 160, g 160, h 160, i 160, j 416`,
  ],
  "products": [
    (graph) => {
      const [a, b] = [graph.input("a", [1, 3, 7, 5]), graph.input("b", [2, 1, 9, 5])];
      return matmul(a, b, { transposeB: true });
    },
    `
    matmul, a a, aRow 20, a1 140, b b, bRow 20, b0 180, transposed 1, y c, yRow 36,
      y0 756, y1 252, d0 2, d1 3, rows 7, inner 5, columns 9, block 24, shared d,
      scratchBytes 1856
    bytes a 432, b 368, c 1520, d 1920`,
  ],
  "products of two dimensions, the first turned": [
    (graph) => {
      const [a, b] = [graph.input("a", [5, 7]), graph.input("b", [5, 9])];
      return matmul(a, b, { transposeA: true });
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 1 7 5, a… 0 0 0 4 28, b… 0 0 0 0 0, y… 0 0 0 20 4
    matmul, a b, aRow 20, b c, bRow 36, y d, yRow 36, d0 1, d1 1, rows 7, inner 5, columns 9,
      block 24, shared e, scratchBytes 1856
    bytes a 144, b 144, c 192, d 256, e 320`,
  ],
  "sums": [
    (graph) => {
      const x = graph.input("x", [2, 3, 4, 5]);
      return [
        reduceSum(x, [1]),
        reduceMean(x, [0, 3]),
        reduceMean(transpose(x, [3, 1, 0, 2]), [2]),
      ];
    },
    `
    reduce, x a, y b, factor 1, d… 2 4 5 1 3, x… 240 20 4 0 80
    reduce, x a, y c, factor 0.1, d… 1 3 4 2 5, x… 0 80 20 240 4
    reduce, x a, y d, factor 0.5, d… 5 3 4 1 2, x… 4 80 20 0 240
    bytes a 480, b 160, c 48, d 240`,
  ],
  "softmax": [
    (graph) => {
      const x = graph.input("x", [2, 3, 4]);
      return [softmax(x), logSoftmax(x)];
    },
    `
    softmax, x a, y b, rows 6, columns 4
    softmax, x a, y c, rows 6, columns 4, logarithm 1
    bytes a 96, b 96, c 96`,
  ],
  "gather": [
    (graph) => gather(graph.param("t", [9, 2, 3]), graph.input("i", [4], "int32")),
    `
    gather, table w0, indices a, y b, count 4, bytes 24
    bytes w0 224, a 16, b 96`,
  ],
  "pictures made larger and smaller": [
    (graph) => {
      const x = graph.input("x", [2, 6, 4, 8]);
      return [upsampleNearest(x, 3), avgPool(graph.input("z", [1, 8, 4, 8]))];
    },
    `
    resample, x a, pixel 32, picture 1024, y b, yPixel 32, yPicture 9216, n 2, height 12,
      width 24, xWidth 8, bytes 32, factor 3, up 1
    resample, x c, pixel 32, y d, yPixel 32, n 1, height 2, width 4, xWidth 8, bytes 32, factor 2
    bytes a 2048, b 18432, c 1024, d 256`,
    { only: "resample" },
  ],
  "elementwise": [
    (graph) => {
      const [a, b] = [graph.input("a", [2, 3, 1, 5]), graph.input("b", [4, 1])];
      const pictures = upsampleNearest(graph.input("x", [2, 8, 2, 3]));
      return [
        div(a, b),
        mul(pictures, graph.input("s", [2, 8, 1, 1])),
        neg(transpose(a, [3, 1, 0, 2])),
      ];
    },
    `
    elementwise, f copy, a a, y b, d… 1 1 2 6 8, a… 0 0 192 4 24, b… 0 0 0 0 0, y… 0 0 192 32 4
    elementwise, f div, a c, b d, y e, d… 1 1 6 4 5, a… 0 0 20 0 4, b… 0 0 0 4 0, y… 0 0 80 20 4
    elementwise, f mul, a f, b g, y h, d… 1 1 2 24 8, a… 0 0 768 32 4, b… 0 0 32 0 4,
      y… 0 0 768 32 4
    elementwise, f neg, a c, y i, d… 1 1 5 3 2, a… 0 0 4 20 60, b… 0 0 0 0 0, y… 0 0 24 8 4
    elementwise, f copy, a h, y j, d… 1 1 2 8 24, a… 0 0 768 4 32, b… 0 0 0 0 0, y… 0 0 768 96 4
    bytes a 384, b 384, c 128, d 16, e 480, f 1536, g 64, h 1536, i 128, j 1536`,
    { only: "elementwise" },
  ],
  "parts put together": [
    (graph) => {
      const x = graph.input("x", [2, 3, 4]);
      return [
        pad(x, 1, 2, 1),
        concat([x, slice(x, 1, 1, 3)], 1),
        expand(slice(x, 2, 1, 2), [2, 3, 2]),
      ];
    },
    `
    fill, y a, bytes 192
    elementwise, f copy, a b, y a+8, d… 1 1 1 2 12, a… 0 0 0 48 4, b… 0 0 0 0 0, y… 0 0 0 96 4
    elementwise, f copy, a b, y c, d… 1 1 1 2 12, a… 0 0 0 48 4, b… 0 0 0 0 0, y… 0 0 0 80 4
    elementwise, f copy, a b+4, y c+12, d… 1 1 1 2 8, a… 0 0 0 48 4, b… 0 0 0 0 0, y… 0 0 0 80 4
    elementwise, f copy, a b+1, y d, d… 1 1 1 6 2, a… 0 0 0 16 0, b… 0 0 0 0 0, y… 0 0 0 8 4
    bytes a 192, b 96, c 160, d 48`,
  ],
};

for (const [about, [make, expected, options]] of Object.entries(cases)) {
  Deno.test(`engine commands: ${about}`, () => {
    const lines = expected.trim().split(/\n {4}(?! )/).map((line) => line.replace(/\s+/g, " "));
    assertEquals(steps(make, options), lines);
  });
}
