/** Views of memory: the numbers they read are those that numpy would give, and they copy only where no strides do. */
import { assert, assertEquals } from "@std/assert";
import { planGraph } from "../src/engine/plan/plan.ts";
import {
  broadcastTo,
  type Buffer,
  isRowMajor,
  pixelOf,
  pixelStrides,
  product,
  reshaped,
  rowMajor,
  sameStrides,
  sliced,
  transposed,
  type View,
} from "../src/engine/plan/view.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import {
  add,
  concat,
  conv2d,
  Graph,
  linear,
  matmul,
  neg,
  reshape,
  silu,
  slice,
  transpose,
  upsampleNearest,
  type Value,
} from "../src/graph/mod.ts";

const buffer: Buffer = { bytes: 4096, kind: "arena", address: 0, first: 0, last: 0 };
const rows = (...dims: number[]): View => ({ buffer, offset: 0, dims, strides: rowMajor(dims) });
const of = (dims: number[], strides: number[], offset = 0): View => ({
  buffer,
  offset,
  dims,
  strides,
});

/** Every index into these dimensions, the last fastest. */
function indices(dims: readonly number[]): number[][] {
  return dims.reduce<number[][]>(
    (all, d) => all.flatMap((index) => Array.from({ length: d }, (_, i) => [...index, i])),
    [[]],
  );
}

/** Where a view's numbers lie, in the order of rows. */
function places({ offset, dims, strides }: View): number[] {
  return indices(dims).map((index) =>
    index.reduce((at, i, axis) => at + i * strides[axis], offset)
  );
}

/** Views of 24 numbers each, as operations make them of one another. */
const views: View[] = [
  rows(24),
  rows(4, 6),
  rows(2, 3, 4),
  rows(2, 1, 3, 4),
  transposed(rows(4, 6), [1, 0]),
  ...[[0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]].map((perm) =>
    transposed(rows(2, 3, 4), perm)
  ),
  transposed(rows(2, 2, 3, 2), [0, 2, 1, 3]),
  sliced(rows(6, 6), 0, 1, 5),
  sliced(rows(4, 9), 1, 2, 8),
  sliced(rows(2, 5, 4), 1, 2, 5),
  sliced(transposed(rows(6, 8), [1, 0]), 0, 1, 5),
  broadcastTo(rows(6), [4, 6]),
  broadcastTo(rows(4, 1), [4, 6]),
  broadcastTo(rows(1, 1, 1), [2, 3, 4]),
  of([2, 3, 2, 2], pixelStrides([2, 3, 2, 2], 3), 5),
  of([2, 3, 2, 2], pixelStrides([2, 3, 2, 2], 4)),
];

/** Every way to write 24 as dimensions, some of them with ones between. */
function shapes(rest: number, most: number): number[][] {
  if (most === 0) return rest === 1 ? [[]] : [];
  return [
    ...rest === 1 ? [[]] : [],
    ...[1, 2, 3, 4, 6, 8, 12, 24].filter((d) => rest % d === 0)
      .flatMap((d) => shapes(rest / d, most - 1).map((other) => [d, ...other])),
  ];
}

Deno.test("views: under other dimensions are the same numbers, without a copy wherever strides reach them", () => {
  let copies = 0, others = 0;
  for (const view of views) {
    const at = places(view);
    for (const dims of shapes(24, 3)) {
      const about = `[${view.dims}] by [${view.strides}] as [${dims}]`;
      // Strides are what one step along each dimension takes; they reach the others, or nothing does.
      const steps = rowMajor(dims);
      const strides = dims.map((d, axis) => d === 1 ? 0 : at[steps[axis]] - at[0]);
      const reaches = places({ ...view, dims, strides }).every((place, i) => place === at[i]);
      const found = reshaped(view, dims);
      assert(reaches === (found !== undefined), about);
      if (found) assertEquals([found.dims, places(found)], [dims, at], about);
      if (found) others++;
      else copies++;
    }
  }
  assert(copies > 200 && others > 200, `${copies} with a copy, ${others} without`);
  assertEquals(places(reshaped(rows(), [1, 1])!), [0]);
  const none = reshaped({ ...rows(0, 3), padded: true }, [3, 0, 2])!;
  assertEquals([none.dims, none.strides, none.padded], [[3, 0, 2], [0, 2, 1], false]);
});

Deno.test("views: turned, cut and repeated they read the numbers that numpy does", () => {
  const of = (view: View) => ({ at: places(view), dims: view.dims });
  const padded: View = { ...rows(2, 3, 4), offset: 7, padded: true };
  for (const perm of [[0, 1, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]]) {
    const turned = transposed(padded, perm);
    const dims = perm.map((axis) => padded.dims[axis]);
    const at = indices(dims).map((index) =>
      index.reduce((sum, i, axis) => sum + i * padded.strides[perm[axis]], 7)
    );
    assertEquals(of(turned), { at, dims });
    assertEquals(turned.padded, false, "what lies behind a channel is another");
  }
  for (const [axis, start, end] of [[0, 1, 2], [1, 0, 2], [1, 1, 3], [2, 3, 4], [2, 2, 2]]) {
    const part = sliced(padded, axis, start, end);
    const at = indices(padded.dims).flatMap((index, i) =>
      index[axis] >= start && index[axis] < end ? [7 + i] : []
    );
    assertEquals(of(part), { at, dims: padded.dims.with(axis, end - start) });
    assertEquals(part.padded, false);
  }
  const repeated: [from: number[], to: number[], at: number[]][] = [
    [[3], [2, 3], [7, 8, 9, 7, 8, 9]],
    [[2, 1], [2, 3], [7, 7, 7, 8, 8, 8]],
    [[1, 3], [2, 3], [7, 8, 9, 7, 8, 9]],
    [[2, 3], [2, 3], [7, 8, 9, 10, 11, 12]],
    [[], [2, 2], [7, 7, 7, 7]],
    [[1], [1], [7]],
    [[2, 1, 2], [2, 2, 2], [7, 8, 7, 8, 9, 10, 9, 10]],
  ];
  for (const [from, to, at] of repeated) {
    const view = broadcastTo({ ...rows(...from), offset: 7, padded: true }, to);
    assertEquals(of(view), { at, dims: to });
    assertEquals(view.padded, false);
  }
  assertEquals(broadcastTo(rows(1, 3), [1, 3]).strides, [3, 1], "one of one keeps its stride");
});

Deno.test("views: dense where each stride is that of rows, those of single places aside", () => {
  assertEquals([rowMajor([]), rowMajor([5]), rowMajor([2, 3, 4])], [[], [1], [12, 4, 1]]);
  assertEquals(product([]), 1);
  const dense: [View, boolean][] = [
    [rows(2, 3), true],
    [of([2, 3], [4, 1]), false],
    [of([2, 3], [3, 2]), false],
    [of([1, 3], [9, 1]), true],
    [of([3, 1], [1, 9]), true],
    [of([3, 1, 1], [1, 9, 7]), true],
    [of([3, 1, 2], [1, 9, 1]), false],
    [transposed(rows(2, 3), [1, 0]), false],
    [transposed(rows(1, 3), [1, 0]), true],
    [of([], []), true],
  ];
  for (const [view, is] of dense) {
    assertEquals(isRowMajor(view), is, `[${view.dims}] by [${view.strides}]`);
  }
  assertEquals(sameStrides(of([1, 2], [5, 6]), [0, 6]), true);
  assertEquals(sameStrides(of([1, 2], [5, 6]), [5, 7]), false);
});

Deno.test("views: pixels lie one after the other, rows of them too, with room for their channels", () => {
  assertEquals(pixelStrides([2, 6, 3, 5], 8), [120, 1, 40, 8]);
  const cases: [dims: number[], strides: number[], pixel: number | undefined][] = [
    [[2, 6, 3, 5], [120, 1, 40, 8], 8],
    [[2, 6, 3, 5], [90, 1, 30, 6], 6],
    [[2, 6, 3, 5], [999, 1, 40, 8], 8],
    [[2, 6, 3, 5], [120, 1, 40, 5], undefined],
    [[2, 6, 3, 5], [120, 1, 41, 8], undefined],
    [[2, 6, 3, 5], [120, 2, 40, 8], undefined],
    [[2, 6, 3, 5], [90, 15, 5, 1], undefined],
    [[2, 6, 3, 5], [75, 1, 25, 5], undefined],
    // Of one column a pixel is a row; of one pixel it is as wide as its channels, in vectors.
    [[2, 6, 3, 1], [24, 1, 8, 777], 8],
    [[2, 6, 1, 5], [40, 1, 777, 8], 8],
    [[2, 6, 1, 1], [6, 1, 777, 777], 8],
    [[2, 8, 1, 1], [8, 1, 777, 777], 8],
    [[2, 6, 1, 1], [6, 2, 777, 777], undefined],
    [[2, 1, 3, 5], [15, 777, 5, 1], 1],
    [[2, 1, 1, 1], [1, 777, 1, 1], 4],
    [[2, 6, 3, 1], [24, 1, 4, 777], undefined],
    [[2, 6, 3, 5], [0, 1, 0, 0], undefined],
    [[6, 3, 5], [1, 40, 8], undefined],
  ];
  for (const [dims, strides, pixel] of cases) {
    assertEquals(pixelOf(of(dims, strides)), pixel, `[${dims}] by [${strides}]`);
  }
});

/** What is copied on the way to a result. */
function copies(make: (graph: Graph) => Value): string {
  const graph = new Graph();
  graph.output("y", make(graph));
  const weights = new WeightStore();
  const { steps } = planGraph(graph, { weights, sizes: new Map(), threads: 1 });
  return steps.map(({ about }) => about).filter((about) => / as (pixels|rows)$/.test(about)).join();
}

/** A pixel's channels times a matrix, as rows: what it reads is all that is copied. */
function read(graph: Graph, x: Value): Value {
  const [n, channels, height, width] = x.shape as number[];
  const none = { stride: 1, padding: [0, 0, 0, 0] as const };
  const y = conv2d(x, graph.param("w", [8, channels, 1, 1]), undefined, none);
  return transpose(reshape(y, [n, 8, height * width]), [0, 2, 1]);
}

Deno.test("views: pictures are read where they lie, if vectors of their channels are whole and in step", () => {
  // Pixels of 24 channels, and rows of twelve, or of six, that are turned into pixels.
  const pixels = (graph: Graph) => upsampleNearest(graph.input("x", [2, 24, 2, 3]), 3);
  const rows = (graph: Graph, channels: number) =>
    transpose(graph.input("x", [2, 4, 5, channels]), [0, 3, 1, 2]);
  const part = (from: number, to: number) => (graph: Graph) =>
    read(graph, slice(pixels(graph), 1, from, to));
  const before = "input as pixels";
  assertEquals(copies((graph) => read(graph, pixels(graph))), before);
  for (const [from, to] of [[0, 16], [4, 20], [20, 24]]) {
    assertEquals(copies(part(from, to)), before, `${from} to ${to}`);
  }
  for (const [from, to] of [[1, 17], [2, 18], [3, 7], [0, 6], [4, 10]]) {
    assertEquals(copies(part(from, to)), `${before},slice as pixels`, `${from} to ${to}`);
  }
  assertEquals(copies((graph) => read(graph, rows(graph, 12))), "");
  assertEquals(copies((graph) => read(graph, rows(graph, 6))), "transpose as pixels");
  const four = copies((graph) => read(graph, slice(rows(graph, 6), 1, 0, 4)));
  assertEquals(four, "slice as pixels", "the next pixel is not in step");
  assertEquals(copies((graph) => read(graph, slice(rows(graph, 12), 1, 4, 8))), "");
});

Deno.test("views: rows are read where they lie, if their numbers are one behind the other", () => {
  const w = (graph: Graph, inner: number) => graph.param("w", [8, inner]);
  const of = (shape: number[], turn: (x: Value) => Value) =>
    copies((graph) => {
      const x = turn(graph.input("x", shape));
      return linear(x, w(graph, x.shape.at(-1) as number));
    });
  assertEquals(of([5, 12], (x) => x), "");
  assertEquals(of([5, 12], (x) => slice(x, 1, 3, 10)), "");
  assertEquals(of([5, 2, 12], (x) => transpose(x, [1, 0, 2])), "");
  assertEquals(of([12, 5], (x) => transpose(x, [1, 0])), "transpose as rows");
  assertEquals(of([2, 5], (x) => transpose(x, [1, 0])), "transpose as rows");
  assertEquals(of([1, 5], (x) => transpose(x, [1, 0])), "", "rows of one number");
  assertEquals(copies((graph) => neg(transpose(graph.input("x", [3, 4]), [1, 0]))), "");
  assertEquals(copies((graph) => transpose(graph.input("x", [3, 4]), [1, 0])), "transpose as rows");
  assertEquals(copies((graph) => transpose(graph.input("x", [1, 4]), [1, 0])), "");
  const times = (inner: number) =>
    copies((graph) => {
      const [x, y] = [graph.input("x", [inner, 5]), graph.input("y", [inner, 3])];
      return matmul(transpose(x, [1, 0]), y);
    });
  assertEquals([times(1), times(2)], ["", "matmul as rows"]);
  const joined = (graph: Graph) => {
    const x = graph.input("x", [2, 8, 3, 3]);
    return read(graph, concat([silu(x), neg(x)], 1));
  };
  assertEquals(copies(joined), "");
});

Deno.test("views: what is computed number by number lies as the largest of what it is computed from", () => {
  const of = (make: (graph: Graph) => Value) =>
    copies((graph) => neg(make(graph))).endsWith("rows");
  const pixels = (graph: Graph, channels = 8) =>
    upsampleNearest(graph.input("x", [2, channels, 2, 3]), 3);
  const turned = (...perm: number[]) => (graph: Graph) =>
    transpose(graph.input("x", [2, 4, 5, 12]), perm);
  assertEquals(of(pixels), true);
  assertEquals(of((graph) => add(graph.input("a", [8, 1, 1]), pixels(graph))), true);
  assertEquals(of((graph) => add(pixels(graph), graph.input("a", [2, 8, 6, 9]))), true);
  assertEquals(of((graph) => add(graph.input("a", [2, 8, 6, 9]), pixels(graph))), false);
  assertEquals(of((graph) => graph.input("x", [2, 8, 6, 9])), false);
  assertEquals(of((graph) => pixels(graph, 1)), false, "one channel");
  assertEquals(of(turned(0, 3, 1, 2)), true);
  assertEquals(of(turned(0, 3, 2, 1)), false, "columns before rows");
  assertEquals(of(turned(0, 1, 3, 2)), false);
  assertEquals(of((graph) => transpose(graph.input("x", [2, 4, 8]), [0, 2, 1])), false);
});
