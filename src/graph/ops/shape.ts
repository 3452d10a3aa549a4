/** Reshaping, slicing, reductions and gather. */
import {
  axisOf,
  broadcast,
  type Dim,
  formatShape,
  known,
  sameShape,
  type Shape,
  type Value,
} from "../value.ts";

/** The same elements in another shape; dimensions known only at run time must be kept, in their order. */
export function reshape(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const count = (s: Shape) => {
    const names = s.filter((d) => typeof d === "string").join();
    return names + "|" + s.reduce<number>((n, d) => typeof d === "number" ? n * d : n, 1);
  };
  if (count(x.shape) !== count(shape)) {
    throw new Error(`cannot reshape ${formatShape(x.shape)} to ${formatShape(shape)}`);
  }
  return x.graph.add("reshape", [x], shape, {}, x.type);
}

export function transpose(x: Value, perm: readonly number[]): Value {
  if (perm.length !== x.shape.length) {
    throw new Error(`permutation ${formatShape(perm)} does not fit ${formatShape(x.shape)}`);
  }
  if (perm.every((p, i) => p === i)) return x;
  return x.graph.add("transpose", [x], perm.map((p) => x.shape[p]), { perm }, x.type);
}

export function concat(values: readonly Value[], axis: number): Value {
  const [first] = values;
  const at = axisOf(axis, first.shape.length);
  for (const value of values) {
    if (!sameShape(value.shape.with(at, 0), first.shape.with(at, 0))) {
      throw new Error(
        `cannot join ${formatShape(value.shape)} to ${formatShape(first.shape)} along axis ${at}`,
      );
    }
  }
  const length = values.reduce((n, v) => n + known(v.shape[at], v.shape), 0);
  return first.graph.add("concat", values, first.shape.with(at, length), { axis: at }, first.type);
}

/** x[…, start:end, …] along one axis. */
export function slice(x: Value, axis: number, start: number, end: number): Value {
  const at = axisOf(axis, x.shape.length);
  const length = known(x.shape[at], x.shape);
  if (!(0 <= start && start <= end && end <= length)) {
    throw new Error(`slice ${start}:${end} is outside axis ${at} of ${formatShape(x.shape)}`);
  }
  if (start === 0 && end === length) return x;
  return x.graph.add(
    "slice",
    [x],
    x.shape.with(at, end - start),
    { axis: at, start, end },
    x.type,
  );
}

/** Zeros before and after along one axis. */
export function pad(x: Value, axis: number, before: number, after: number): Value {
  const at = axisOf(axis, x.shape.length);
  if (before === 0 && after === 0) return x;
  const length = known(x.shape[at], x.shape) + before + after;
  return x.graph.add("pad", [x], x.shape.with(at, length), { axis: at, before, after });
}

/** Repeats along dimensions of 1 until `shape`; dimensions known only at run time must be kept. */
export function expand(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcast(x.shape, shape), shape)) {
    throw new Error(`cannot expand ${formatShape(x.shape)} to ${formatShape(shape)}`);
  }
  return x.graph.add("expand", [x], shape, {}, x.type);
}

const reduction = (op: string) => (x: Value, axes: readonly number[], keepDims = false): Value => {
  const at = axes.map((axis) => axisOf(axis, x.shape.length)).sort((a, b) => a - b);
  if (at.length === 0) return x;
  const shape = keepDims
    ? x.shape.map((d, i): Dim => at.includes(i) ? 1 : d)
    : x.shape.filter((_, i) => !at.includes(i));
  return x.graph.add(op, [x], shape, { axes: at, keepDims });
};

export const reduceSum = reduction("reduceSum");
export const reduceMean = reduction("reduceMean");

/** Rows of a table: table[indices]. */
export function gather(table: Value, indices: Value): Value {
  return table.graph.add("gather", [table, indices], [...indices.shape, ...table.shape.slice(1)]);
}

/** The gradient of a table [rows, C]: the rows of dy [N, C] added up where `indices` [N] says. */
export function gatherGrad(dy: Value, indices: Value, rows: number): Value {
  if (indices.shape.length !== 1 || dy.shape.length !== 2) {
    throw new Error(
      `expected indices [N] and dy [N, C], found ${formatShape(indices.shape)} and ${
        formatShape(dy.shape)
      }`,
    );
  }
  return dy.graph.add("gatherGrad", [dy, indices], [rows, dy.shape[1]], { rows });
}
