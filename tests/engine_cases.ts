/** Every operation of inference, as graphs that the engine is to compute. */
import {
  add,
  attention,
  avgPool,
  concat,
  conv2d,
  cos,
  div,
  exp,
  expand,
  groupNorm,
  lessOrEqual,
  linear,
  log,
  logSoftmax,
  matmul,
  max,
  min,
  mul,
  neg,
  pad,
  type Padding,
  reciprocal,
  reduceMean,
  reduceSum,
  reshape,
  scale,
  shift,
  sigmoid,
  silu,
  sin,
  slice,
  softmax,
  sqrt,
  sub,
  transpose,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";

/** Shapes of what is fed and of what is learned, and what is built from them. */
export interface Case {
  readonly about: string;
  readonly inputs?: readonly (readonly number[])[];
  readonly params?: readonly (readonly number[])[];
  readonly build: (inputs: Value[], params: Value[]) => Value;
  /** Numbers lie in [−1, 1) unless they have to be positive. */
  readonly positive?: boolean;
}

const pictures = [2, 8, 6, 5];
const around: Padding = [1, 1, 1, 1];
const none: Padding = [0, 0, 0, 0];

const conv = (
  about: string,
  [n, c, h, w]: readonly number[],
  out: number,
  kernel: readonly number[] = [3, 3],
  stride = 1,
  padding: Padding = around,
): Case => ({
  about: `${about} ${c}→${out} ${h}×${w}`,
  inputs: [[n, c, h, w]],
  params: [[out, c, ...kernel], [out]],
  build: ([x], [weight, bias]) => conv2d(x, weight, bias, { stride, padding }),
});

export const cases: Case[] = [
  ...Object.entries({ add, sub, mul, div, min, max, lessOrEqual }).flatMap(
    ([name, f]): Case[] => [
      { about: name, inputs: [[3, 7], [3, 7]], build: ([a, b]) => f(a, b), positive: true },
      {
        about: `${name}, broadcast`,
        inputs: [[2, 3, 1, 5], [4, 1]],
        build: ([a, b]) => f(a, b),
        positive: true,
      },
    ],
  ),
  ...Object.entries({
    neg,
    exp,
    log,
    sqrt,
    reciprocal,
    sin,
    cos,
    sigmoid,
    silu,
    softmax,
    logSoftmax,
  }).map(([name, f]): Case => ({
    about: name,
    inputs: [[5, 11]],
    build: ([x]) => f(x),
    positive: true,
  })),
  { about: "softmax of large numbers", inputs: [[3, 9]], build: ([x]) => softmax(scale(x, 90)) },
  { about: "reshape", inputs: [[2, 6]], build: ([x]) => neg(reshape(x, [3, 4])) },
  {
    about: "reshape of a transposed tensor",
    inputs: [[2, 3, 4]],
    build: ([x]) => neg(reshape(transpose(x, [2, 0, 1]), [8, 3])),
  },
  { about: "transpose", inputs: [[2, 3, 4, 5]], build: ([x]) => transpose(x, [3, 1, 0, 2]) },
  { about: "slice", inputs: [[2, 9, 3]], build: ([x]) => neg(slice(x, 1, 2, 7)) },
  { about: "pad", inputs: [[2, 3, 4]], build: ([x]) => pad(x, 1, 2, 1) },
  { about: "expand", inputs: [[3, 1]], build: ([x]) => expand(x, [2, 3, 4]) },
  { about: "concat", inputs: [[2, 3, 4], [2, 5, 4]], build: (xs) => concat(xs, 1) },
  { about: "concat of a value twice", inputs: [[2, 8, 3, 3]], build: ([x]) => concat([x, x], 1) },
  { about: "reduceSum", inputs: [[2, 3, 4]], build: ([x]) => reduceSum(x, [0, 2]) },
  { about: "reduceMean", inputs: [[2, 3, 4, 5]], build: ([x]) => reduceMean(x, [2, 3], true) },
  { about: "reduceSum of all", inputs: [[2, 3]], build: ([x]) => reduceSum(x, [0, 1]) },

  ...[[false, false], [true, false], [false, true], [true, true]].map(([a, b]): Case => ({
    about: `matmul ${a ? "aᵀ" : "a"}·${b ? "bᵀ" : "b"}, batched`,
    inputs: [[2, 3, ...a ? [5, 7] : [7, 5]], [2, 1, ...b ? [9, 5] : [5, 9]]],
    build: ([x, y]) => matmul(x, y, { transposeA: a, transposeB: b }),
  })),
  {
    about: "linear with bias, residual, scale and SiLU",
    inputs: [[3, 5, 7], [3, 5, 10]],
    params: [[10, 7], [10]],
    build: ([x, r], [w, b]) => silu(scale(add(linear(x, w, b), r), 0.5)),
  },
  {
    about: "linear of one row",
    inputs: [[1, 33]],
    params: [[17, 33], [17]],
    build: ([x], [w, b]) => linear(x, w, b),
  },
  {
    about: "attention of one head",
    inputs: [[2, 1, 49, 20], [2, 1, 49, 20], [2, 1, 49, 20]],
    build: ([q, k, v]) => attention(q, k, v, 20 ** -0.5),
  },
  {
    about: "attention of heads of three numbers, as a network has them",
    inputs: [[2, 10, 6], [2, 10, 6], [2, 10, 6]],
    build: (qkv) => {
      const heads = qkv.map((x) => transpose(reshape(x, [2, 10, 2, 3]), [0, 2, 1, 3]));
      const y = attention(heads[0], heads[1], heads[2], 0.6);
      return reshape(transpose(y, [0, 2, 1, 3]), [2, 10, 6]);
    },
  },

  conv("3×3, F(4×4), whole tiles,", [2, 16, 12, 8], 16),
  conv("3×3, F(4×4), partial tiles,", [1, 20, 14, 7], 12),
  conv("3×3, F(4×4), many channels,", [2, 64, 13, 13], 72),
  conv("3×3, F(2×2),", [2, 16, 5, 6], 10),
  conv("3×3, few channels,", [2, 3, 9, 10], 5),
  conv("3×3, channels that are not of four,", [2, 18, 9, 10], 6),
  conv("3×3 of 2×2 pixels,", [3, 16, 2, 2], 16),
  conv("3×3, no padding,", [2, 16, 9, 9], 8, [3, 3], 1, none),
  conv("3×3, each side padded by its own,", [2, 16, 9, 8], 8, [3, 3], 1, [0, 1, 2, 0]),
  conv("3×3, stride 2, padding on the near side,", [2, 16, 9, 10], 9, [3, 3], 2, [1, 1, 0, 0]),
  conv("3×3, stride 2,", [2, 16, 10, 10], 9, [3, 3], 2),
  conv("3×3, stride 2, padding on the far side,", [2, 16, 10, 10], 9, [3, 3], 2, [0, 0, 1, 1]),
  conv("1×1,", [2, 12, 7, 5], 21, [1, 1], 1, none),
  conv("5×3,", [1, 5, 9, 9], 6, [5, 3], 1, [2, 1, 2, 1]),
  {
    about: "a doubled picture, convolved",
    inputs: [[2, 16, 6, 5]],
    params: [[24, 16, 3, 3], [24]],
    build: ([x], [w, b]) => conv2d(upsampleNearest(x), w, b, { stride: 1, padding: around }),
  },
  {
    about: "a doubled picture that is used as it is, too",
    inputs: [[1, 16, 4, 4]],
    params: [[16, 16, 1, 1]],
    build: ([x], [w]) => {
      const large = upsampleNearest(x);
      return add(large, conv2d(large, w, undefined, { stride: 1, padding: none }));
    },
  },
  { about: "upsampleNearest", inputs: [pictures], build: ([x]) => upsampleNearest(x, 3) },
  { about: "avgPool", inputs: [pictures], build: ([x]) => avgPool(x) },
  {
    about: "group norm with SiLU",
    inputs: [[2, 24, 7, 5]],
    params: [[24], [24]],
    build: ([x], [w, b]) => silu(groupNorm(x, w, b, { groups: 4, eps: 1e-5 })),
  },
  {
    about: "group norm of groups of three channels",
    inputs: [[2, 9, 7, 5]],
    params: [[9], [9]],
    build: ([x], [w, b]) => groupNorm(x, w, b, { groups: 3, eps: 1e-5 }),
  },
  {
    about: "group norm of [N, C, P]",
    inputs: [[2, 8, 30]],
    params: [[8], [8]],
    build: ([x], [w, b]) => groupNorm(x, w, b, { groups: 2, eps: 1e-5 }),
  },
  {
    about: "a residual block: time embedding, skip and scale in one step",
    inputs: [[2, 16, 9, 9], [2, 12]],
    params: [[24, 16, 3, 3], [24], [24, 12], [24], [24, 16, 1, 1], [24]],
    build: ([x, emb], [w, b, tw, tb, sw, sb]) => {
      const embedding = reshape(linear(emb, tw, tb), [2, 24, 1, 1]);
      const h = add(conv2d(x, w, b, { stride: 1, padding: around }), embedding);
      const skip = conv2d(x, sw, sb, { stride: 1, padding: none });
      return scale(add(skip, h), 0.7);
    },
  },
  {
    about: "a residual block of six channels, which are not of four",
    inputs: [[2, 6, 9, 9], [2, 12]],
    params: [[6, 6, 3, 3], [6], [6, 12], [6], [6, 6, 1, 1], [6], [6], [6]],
    build: ([x, emb], [w, b, tw, tb, sw, sb, gw, gb]) => {
      const normed = silu(groupNorm(x, gw, gb, { groups: 2, eps: 1e-5 }));
      const embedding = reshape(linear(emb, tw, tb), [2, 6, 1, 1]);
      const h = add(conv2d(normed, w, b, { stride: 1, padding: around }), embedding);
      return add(conv2d(silu(x), sw, sb, { stride: 1, padding: none }), silu(h));
    },
  },
  {
    about: "six channels, pooled, doubled, concatenated and convolved",
    inputs: [[2, 6, 8, 8]],
    params: [[7, 12, 3, 3], [7], [5, 7, 1, 1]],
    build: ([x], [w, b, v]) => {
      const halved = mul(avgPool(silu(x)), avgPool(x));
      const both = concat([upsampleNearest(halved), add(x, silu(x))], 1);
      const h = silu(conv2d(both, w, b, { stride: 2, padding: around }));
      return conv2d(h, v, undefined, { stride: 1, padding: none });
    },
  },
  {
    about: "scale and shift of a norm by an embedding",
    inputs: [[2, 8, 5, 5], [2, 16, 1, 1]],
    params: [[8], [8]],
    build: ([x, emb], [w, b]) => {
      const normed = groupNorm(x, w, b, { groups: 2, eps: 1e-5 });
      return silu(add(mul(normed, shift(slice(emb, 1, 0, 8), 1)), slice(emb, 1, 8, 16)));
    },
  },
  {
    about: "concatenated pictures, each written into its place",
    inputs: [[2, 16, 6, 6]],
    params: [[8, 16, 1, 1], [12, 16, 3, 3], [20, 20, 3, 3]],
    build: ([x], [a, b, c]) => {
      const left = conv2d(x, a, undefined, { stride: 1, padding: none });
      const right = conv2d(x, b, undefined, { stride: 1, padding: around });
      const both = concat([left, right], 1);
      return add(conv2d(both, c, undefined, { stride: 1, padding: around }), both);
    },
  },
];

/** What may follow a layer, given its result, something of the same shape, and a number a channel. */
const followers: Record<string, (x: Value, other: Value, perChannel: Value) => Value> = {
  "plus a picture": (x, other) => add(x, other),
  "plus an embedding": (x, _, perChannel) => add(x, perChannel),
  "times a number": (x) => scale(x, 0.5),
  "plus a number": (x) => shift(x, 0.25),
  "SiLU": (x) => silu(x),
};
const pairs = Object.entries(followers).flatMap((first) =>
  Object.entries(followers).map((second) => [first, second] as const)
);
for (const [[first, f], [second, g]] of pairs) {
  cases.push({
    about: `a convolution ${first}, then ${second}`,
    inputs: [[2, 16, 5, 5], [2, 8, 5, 5], [2, 8, 1, 1]],
    params: [[8, 16, 3, 3], [8]],
    build: ([x, other, perChannel], [w, b]) => {
      const y = conv2d(x, w, b, { stride: 1, padding: around });
      return g(f(y, other, perChannel), other, perChannel);
    },
  }, {
    about: `a linear layer ${first}, then ${second}`,
    inputs: [[2, 5, 12], [2, 5, 8], [2, 1, 8]],
    params: [[8, 12], [8]],
    build: ([x, other, perRow], [w, b]) => g(f(linear(x, w, b), other, perRow), other, perRow),
  });
}

/** Matrices as attention has them, but for one thing. */
const nearlyAttention: Record<string, (q: Value, k: Value, v: Value) => Value> = {
  "the values transposed": (q, k, v) =>
    matmul(softmax(matmul(q, k, { transposeB: true })), v, { transposeB: true }),
  "the probabilities transposed": (q, k, v) =>
    matmul(softmax(matmul(q, k, { transposeB: true })), v, { transposeA: true }),
  "the queries transposed": (q, k, v) =>
    matmul(softmax(matmul(q, k, { transposeA: true, transposeB: true })), v),
  "the keys as they lie": (q, k, v) => matmul(softmax(matmul(q, k)), v),
  "scores with something added": (q, k, v) =>
    matmul(softmax(add(matmul(q, k, { transposeB: true }), q)), v),
  "scores scaled by numbers of their own": (q, k, v) =>
    matmul(softmax(mul(matmul(q, k, { transposeB: true }), k)), v),
  "values used a second time": (q, k, v) =>
    add(matmul(softmax(matmul(q, k, { transposeB: true })), v), v),
};
for (const [about, build] of Object.entries(nearlyAttention)) {
  cases.push({
    about: `attention, but ${about}`,
    inputs: [[2, 3, 6, 6], [2, 3, 6, 6], [2, 3, 6, 6]],
    build: ([q, k, v]) => build(q, k, v),
  });
}
