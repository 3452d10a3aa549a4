/** Every operation of a graph that is not part of a layer, as steps or as another view. */
import type { Value } from "../../graph/mod.ts";
import { lowerNorm } from "./norms.ts";
import { type Planner, UnsupportedGraph } from "./planner.ts";
import { lowerMatmul } from "./products.ts";
import { functions } from "./step.ts";
import { broadcastTo, pixelOf, product, reshaped, roundUp, sliced, transposed } from "./view.ts";

type Lower = (p: Planner, value: Value) => void;

/** Elementwise functions: laid out as their largest operand is. */
const elementwise: Lower = (p, value) => {
  const { op, inputs } = value.node;
  const operands = inputs.map((input) => p.view(input));
  const dims = p.dims(value.shape);
  const whole = operands.find((view) => product(view.dims) === product(dims)) ?? operands[0];
  const asPixels = dims.length === 4 && pixelOf({ ...whole, dims }) !== undefined &&
    whole.strides.length === 4 && whole.strides[1] === 1 && dims[1] > 1;
  const to = asPixels || p.isPlaced(value) ? p.pixelOutput(value) : p.rowOutput(value);
  p.elementwise(op, operands, to);
};

const lowerings: Readonly<Record<string, Lower>> = {
  ...Object.fromEntries(Object.keys(functions).map((name) => [name, elementwise])),

  reshape: (p, value) => {
    const dims = p.dims(value.shape);
    const x = p.view(value.node.inputs[0]);
    p.set(value, reshaped(x, dims) ?? reshaped(p.asRows(x, "reshape"), dims)!);
  },
  transpose: (p, value) =>
    p.set(
      value,
      transposed(p.view(value.node.inputs[0]), value.node.attributes.perm as number[]),
    ),
  expand: (p, value) =>
    p.set(value, broadcastTo(p.view(value.node.inputs[0]), p.dims(value.shape))),
  slice: (p, value) => {
    const { axis, start, end } = value.node.attributes as Record<string, number>;
    p.set(value, sliced(p.view(value.node.inputs[0]), axis, start, end));
  },
  pad: (p, value) => {
    const { axis, before } = value.node.attributes as Record<string, number>;
    const x = p.view(value.node.inputs[0]);
    const to = p.rowOutput(value);
    p.clear(to);
    p.copy(x, sliced(to, axis, before, before + x.dims[axis]), "pad");
  },
  concat: (p, value) => {
    const axis = value.node.attributes.axis as number;
    const to = p.has(value) ? p.view(value) : p.rowOutput(value);
    let at = 0;
    for (const input of value.node.inputs) {
      const x = p.view(input);
      const part = sliced(to, axis, at, at + x.dims[axis]);
      const there = x.buffer === part.buffer && x.offset === part.offset;
      if (!there) p.copy(x, part, "concat");
      at += x.dims[axis];
    }
  },
  gather: (p, value) => {
    const [table, indices] = value.node.inputs;
    const rows = p.rows(table);
    const at = p.rows(indices);
    const to = p.rowOutput(value);
    p.step("gather", "gather", [
      { place: rows },
      { place: at },
      { place: to },
      product(at.dims),
      4 * product(rows.dims.slice(1)),
    ]);
  },
  softmax: (p, value) => softmax(p, value, 0),
  logSoftmax: (p, value) => softmax(p, value, 1),
  reduceSum: (p, value) => reduce(p, value, false),
  reduceMean: (p, value) => reduce(p, value, true),
  matmul: lowerMatmul,
  groupNorm: (p, value) => lowerNorm(p, value, value),
  upsampleNearest: (p, value) => {
    // Convolutions read the small picture themselves.
    const users = [...p.live].filter(({ node }) => node.inputs.includes(value));
    const folded = value.node.attributes.factor === 2 &&
      users.every(({ node }) => node.op === "conv2d" && node.inputs[0] === value) &&
      ![...p.graph.outputs.values()].includes(value);
    if (!folded) resample(p, value, 1);
  },
  avgPool: (p, value) => resample(p, value, 0),
};

function softmax(p: Planner, value: Value, logarithm: 0 | 1): void {
  const x = p.rows(value.node.inputs[0]);
  const to = p.rowOutput(value);
  const columns = x.dims.at(-1)!;
  p.step("softmax", "softmax", [
    { place: x },
    { place: to },
    product(x.dims) / columns,
    columns,
    logarithm,
  ]);
}

function reduce(p: Planner, value: Value, mean: boolean): void {
  const axes = value.node.attributes.axes as readonly number[];
  const x = p.view(value.node.inputs[0]);
  const to = p.rowOutput(value);
  const axis = (i: number) => [x.dims[i], 4 * x.strides[i]] as const;
  const all = x.dims.map((_, i) => i).filter((i) => x.dims[i] !== 1);
  const kept = all.filter((i) => !axes.includes(i)).map(axis);
  const summed = all.filter((i) => axes.includes(i)).map(axis);
  if (kept.length > 3 || summed.length > 2) {
    const { op } = value.node;
    throw new UnsupportedGraph(`${op} over ${summed.length} of ${x.dims.length} dimensions`);
  }
  while (kept.length < 3) kept.unshift([1, 0]);
  while (summed.length < 2) summed.unshift([1, 0]);
  const loops = [...kept, ...summed];
  const count = product(summed.map(([d]) => d));
  p.step("reduce", value.node.op, [
    { place: x },
    { place: to },
    { double: mean ? 1 / count : 1 },
    ...loops.map(([d]) => d),
    ...loops.map(([, stride]) => stride),
  ]);
}

function resample(p: Planner, value: Value, up: 0 | 1): void {
  const x = p.pixels(value.node.inputs[0]);
  const to = p.pixelOutput(value);
  const [n, channels, height, width] = to.dims;
  p.step("resample", value.node.op, [
    { place: x },
    4 * pixelOf(x)!,
    n > 1 ? 4 * x.strides[0] : 0,
    { place: to },
    4 * pixelOf(to)!,
    n > 1 ? 4 * to.strides[0] : 0,
    n,
    height,
    width,
    x.dims[3],
    4 * roundUp(channels, 4),
    value.node.attributes.factor as number,
    up,
  ]);
}

/** @throws UnsupportedGraph naming an operation that there is no kernel for */
export function lowerOperation(p: Planner, value: Value): void {
  const lower = lowerings[value.node.op];
  if (!lower) throw new UnsupportedGraph(`the operation "${value.node.op}"`);
  if (value.type !== "float32") {
    throw new UnsupportedGraph(`"${value.node.op}" of ${value.type}`);
  }
  lower(p, value);
}

/** Decides which values are written into the concatenation that they are a part of. */
export function placeConcats(p: Planner): void {
  for (const value of p.live) {
    const { op, inputs, attributes } = value.node;
    if (op !== "concat" || value.shape.length !== 4 || attributes.axis !== 1) continue;
    const dims = p.dims(value.shape);
    if (inputs.some((input) => (input.shape[1] as number) % 4 !== 0)) continue;
    const to = p.pixelsOf(dims);
    p.set(value, to);
    let at = 0;
    inputs.forEach((input) => {
      const part = sliced(to, 1, at, at + (input.shape[1] as number));
      if (writesPixels(p, input) && !p.isPlaced(input)) p.placeInside(input, part);
      at += input.shape[1] as number;
    });
  }
}

/** Whether the step that computes a value of four dimensions writes pixels, wherever they are to lie. */
function writesPixels(p: Planner, value: Value): boolean {
  return p.fusions.layers.has(value) || p.fusions.normSilu.has(value) ||
    ["groupNorm", "avgPool", "add", "mul", "silu"].includes(value.node.op);
}
