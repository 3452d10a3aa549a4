/**
 * Every operation of the graph once more, as plain float64 loops: what the engines' results and the
 * gradients are compared with.
 */
import { attributesOf, type Graph, type Node, type Value } from "../src/graph/mod.ts";

type Shape = readonly number[];

export interface Dense {
  readonly shape: Shape;
  readonly data: Float64Array;
}

const sizeOf = (shape: Shape) => shape.reduce((n, d) => n * d, 1);

/** A tensor whose element at each multi-index is `at(index)`. */
function make(shape: Shape, at: (index: readonly number[]) => number): Dense {
  const data = new Float64Array(sizeOf(shape));
  const index = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = at(index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
  return { shape, data };
}

/** The element at an index, which may have more axes (they are dropped) and stretches along 1. */
function at({ shape, data }: Dense, index: readonly number[]): number {
  const skipped = index.length - shape.length;
  let i = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    i = i * shape[axis] + (shape[axis] === 1 ? 0 : index[axis + skipped]);
  }
  return data[i];
}

/** The element of a picture, 0 outside it. */
const pixel = (x: Dense, n: number, c: number, i: number, j: number) =>
  i < 0 || j < 0 || i >= x.shape[2] || j >= x.shape[3] ? 0 : at(x, [n, c, i, j]);

type Reference = (inputs: Dense[], node: Node, shape: Shape) => Dense;

const unary = (f: (x: number) => number): Reference => ([x], _, shape) => ({
  shape,
  data: x.data.map(f),
});
const binary = (f: (a: number, b: number) => number): Reference => ([a, b], _, shape) =>
  make(shape, (i) => f(at(a, i), at(b, i)));

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const sumOver: Reference = ([x], node, shape) => {
  const { axes, keepDims } = attributesOf<{ axes: number[]; keepDims: boolean }>(node);
  const total = new Float64Array(sizeOf(shape));
  make(x.shape, (index) => {
    const kept = keepDims
      ? index.map((k, axis) => axes.includes(axis) ? 0 : k)
      : index.filter((_, axis) => !axes.includes(axis));
    const i = shape.reduce((i, d, axis) => i * d + kept[axis], 0);
    return total[i] += at(x, index);
  });
  return { shape, data: total };
};

const softmaxOf = (x: Dense, finish: (shifted: number, sum: number) => number) =>
  make(x.shape, (index) => {
    const row = Array.from({ length: x.shape.at(-1)! }, (_, k) => at(x, index.with(-1, k)));
    const top = Math.max(...row);
    const sum = row.reduce((s, r) => s + Math.exp(r - top), 0);
    return finish(at(x, index) - top, sum);
  });

export const referenceOps: Readonly<Record<string, Reference>> = {
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  min: binary(Math.min),
  max: binary(Math.max),
  lessOrEqual: binary((a, b) => Number(a <= b)),
  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  reciprocal: unary((x) => 1 / x),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  sigmoid: unary(sigmoid),
  silu: unary((x) => x * sigmoid(x)),

  reshape: ([x], _, shape) => ({ shape, data: x.data }),
  expand: ([x], _, shape) => make(shape, (i) => at(x, i)),
  transpose: ([x], node, shape) => {
    const { perm } = attributesOf<{ perm: number[] }>(node);
    return make(shape, (index) => at(x, perm.map((_, axis) => index[perm.indexOf(axis)])));
  },
  concat: (inputs, node, shape) => {
    const { axis } = attributesOf<{ axis: number }>(node);
    return make(shape, (index) => {
      let k = index[axis];
      const input = inputs.find(({ shape }) => k < shape[axis] || ((k -= shape[axis]), false))!;
      return at(input, index.with(axis, k));
    });
  },
  slice: ([x], node, shape) => {
    const { axis, start } = attributesOf<Record<string, number>>(node);
    return make(shape, (index) => at(x, index.with(axis, index[axis] + start)));
  },
  pad: ([x], node, shape) => {
    const { axis, before } = attributesOf<Record<string, number>>(node);
    return make(shape, (index) => {
      const k = index[axis] - before;
      return k < 0 || k >= x.shape[axis] ? 0 : at(x, index.with(axis, k));
    });
  },
  reduceSum: sumOver,
  reduceMean: (inputs, node, shape) => {
    const { data } = sumOver(inputs, node, shape);
    const count = inputs[0].data.length / data.length;
    return { shape, data: data.map((x) => x / count) };
  },
  gather: ([table, indices], _, shape) => {
    const lead = indices.shape.length;
    return make(
      shape,
      (index) => at(table, [at(indices, index.slice(0, lead)), ...index.slice(lead)]),
    );
  },

  matmul: ([a, b], node, shape) => {
    const { transposeA, transposeB } = attributesOf<Record<string, boolean>>(node);
    const inner = a.shape.at(transposeA ? -2 : -1)!;
    return make(shape, (index) => {
      const lead = index.slice(0, -2);
      const [row, column] = index.slice(-2);
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        sum += at(a, [...lead, ...transposeA ? [k, row] : [row, k]]) *
          at(b, [...lead, ...transposeB ? [column, k] : [k, column]]);
      }
      return sum;
    });
  },
  conv2d: ([x, weight, bias], node, shape) => {
    const { stride, padding: [top, left] } = attributesOf<{ stride: number; padding: number[] }>(
      node,
    );
    const [, channels, kh, kw] = weight.shape;
    return make(shape, ([n, o, i, j]) => {
      let sum = bias ? bias.data[o] : 0;
      for (let c = 0; c < channels; c++) {
        for (let u = 0; u < kh; u++) {
          for (let v = 0; v < kw; v++) {
            sum += at(weight, [o, c, u, v]) *
              pixel(x, n, c, i * stride + u - top, j * stride + v - left);
          }
        }
      }
      return sum;
    });
  },

  groupNorm: ([x, weight, bias], node, shape) => {
    const { groups, eps } = attributesOf<{ groups: number; eps: number }>(node);
    const size = x.data.length / shape[0] / groups;
    const pixels = sizeOf(shape.slice(2));
    const data = x.data.map((value, i) => {
      const start = Math.floor(i / size) * size;
      const group = x.data.subarray(start, start + size);
      const mean = group.reduce((s, z) => s + z, 0) / size;
      const variance = group.reduce((s, z) => s + (z - mean) ** 2, 0) / size;
      const channel = Math.floor(i / pixels) % shape[1];
      return (value - mean) / Math.sqrt(variance + eps) * weight.data[channel] + bias.data[channel];
    });
    return { shape, data };
  },
  softmax: ([x]) => softmaxOf(x, (shifted, sum) => Math.exp(shifted) / sum),
  logSoftmax: ([x]) => softmaxOf(x, (shifted, sum) => shifted - Math.log(sum)),
  upsampleNearest: ([x], node, shape) => {
    const { factor } = attributesOf<{ factor: number }>(node);
    return make(
      shape,
      ([n, c, i, j]) => at(x, [n, c, Math.floor(i / factor), Math.floor(j / factor)]),
    );
  },
  avgPool: ([x], node, shape) => {
    const { factor } = attributesOf<{ factor: number }>(node);
    return make(shape, ([n, c, i, j]) => {
      let sum = 0;
      for (let u = 0; u < factor; u++) {
        for (let v = 0; v < factor; v++) sum += at(x, [n, c, i * factor + u, j * factor + v]);
      }
      return sum / factor ** 2;
    });
  },
  dropoutMask: ([keys], node, shape) => {
    const { rate, layer } = attributesOf<{ rate: number; layer: number }>(node);
    const mix = (x: number) => {
      x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
      return Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    };
    const units = sizeOf(shape.slice(1));
    const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) => {
      const picture = mix(keys.data[Math.floor(i / units)] + Math.imul(layer + 1, 0x9e3779b9));
      const hash = mix(picture ^ mix(i % units)) >>> 0;
      return hash >= rate * 2 ** 32 ? 1 / (1 - rate) : 0;
    });
    return { shape, data };
  },
};

/** The value of `wanted` for the given inputs and parameters, in float64. */
export function interpret(
  graph: Graph,
  wanted: Value,
  feeds: Readonly<Record<string, ArrayLike<number>>>,
): Dense {
  const done = new Map<Value, Dense>();
  for (const value of graph.values.slice(0, wanted.id + 1)) {
    const { op, inputs, attributes } = value.node;
    const shape = value.shape as number[];
    if (op === "input" || op === "param") {
      done.set(value, { shape, data: Float64Array.from(feeds[attributes.name as string]) });
    } else if (op === "constant") {
      const data = Float64Array.from(attributes.data as Float32Array, Number);
      done.set(value, { shape, data });
    } else {
      const reference = referenceOps[op];
      if (!reference) throw new Error(`no reference for "${op}"`);
      done.set(value, reference(inputs.map((input) => done.get(input)!), value.node, shape));
    }
  }
  return done.get(wanted)!;
}
