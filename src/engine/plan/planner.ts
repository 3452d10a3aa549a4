/** A plan under construction: which value lies where, and the steps that compute it. */
import type { Graph, Shape, Value } from "../../graph/mod.ts";
import { findFusions, type Fusions } from "./fusion.ts";
import { functions, type Step, type Word } from "./step.ts";
import {
  broadcastTo,
  type Buffer,
  isRowMajor,
  pixelOf,
  pixelStrides,
  product,
  roundUp,
  rowMajor,
  type View,
} from "./view.ts";
import type { WeightStore } from "./weights.ts";

/** Thrown for graphs that this engine cannot run; another may. */
export class UnsupportedGraph extends Error {}

export class Planner {
  readonly steps: Step[] = [];
  readonly buffers: Buffer[] = [];
  readonly fusions: Fusions;
  readonly live: ReadonlySet<Value>;
  readonly #views = new Map<Value, View>();
  /** Where values are written that are part of a larger one. */
  readonly #places = new Map<Value, View>();

  constructor(
    readonly graph: Graph,
    readonly weights: WeightStore,
    readonly sizes: ReadonlyMap<string, number>,
    readonly threads: number,
  ) {
    this.live = liveValues(graph);
    this.fusions = findFusions(graph, this.live);
  }

  /** A shape with its named dimensions filled in. */
  dims(shape: Shape): number[] {
    return shape.map((d) => typeof d === "number" ? d : this.sizes.get(d)!);
  }

  /** Where a value lies. */
  view(value: Value): View {
    const view = this.#views.get(value);
    if (!view) throw new Error(`"${value.node.op}" is used before it is computed`);
    return view;
  }

  set(value: Value, view: View): void {
    this.#views.set(value, view);
  }

  has(value: Value): boolean {
    return this.#views.has(value);
  }

  /** Has `value` written into a part of a larger one. */
  placeInside(value: Value, view: View): void {
    this.#places.set(value, view);
  }

  isPlaced(value: Value): boolean {
    return this.#places.has(value);
  }

  buffer(bytes: number): Buffer {
    const buffer: Buffer = { bytes, kind: "arena", address: 0, first: Infinity, last: -1 };
    this.buffers.push(buffer);
    return buffer;
  }

  /** Memory for [N, C, H, W] as pixels, for a step that writes whole vectors of channels. */
  pixelsOf(dims: readonly number[]): View {
    const pixel = roundUp(dims[1], 4);
    const strides = pixelStrides(dims, pixel);
    return {
      buffer: this.buffer(4 * dims[0] * strides[0]),
      offset: 0,
      dims,
      strides,
      padded: true,
    };
  }

  rowsOf(dims: readonly number[]): View {
    const buffer = this.buffer(4 * roundUp(Math.max(1, product(dims)), 4));
    return { buffer, offset: 0, dims, strides: rowMajor(dims) };
  }

  /** Where a step writes a value of four dimensions as pixels. */
  pixelOutput(value: Value): View {
    const view = this.#places.get(value) ?? this.pixelsOf(this.dims(value.shape));
    this.set(value, view);
    return view;
  }

  rowOutput(value: Value): View {
    const view = this.rowsOf(this.dims(value.shape));
    this.set(value, view);
    return view;
  }

  /** A value of four dimensions as pixels with room for whole vectors of channels; copied if need be. */
  pixels(value: Value): View {
    return this.asPixels(this.view(value), value.node.op);
  }

  asPixels(view: View, about: string): View {
    const pixel = pixelOf(view);
    const channels = view.dims[1];
    if (
      pixel !== undefined && pixel % 4 === 0 && view.offset % 4 === 0 &&
      (channels % 4 === 0 || view.padded)
    ) return { ...view, strides: [view.strides[0], ...pixelStrides(view.dims, pixel).slice(1)] };
    const to = this.pixelsOf(view.dims);
    this.copy(view, to, `${about} as pixels`);
    return to;
  }

  /** A value as a dense row-major tensor; copied if need be. */
  rows(value: Value): View {
    return this.asRows(this.view(value), value.node.op);
  }

  asRows(view: View, about: string): View {
    if (isRowMajor(view)) return { ...view, strides: rowMajor(view.dims) };
    const to = this.rowsOf(view.dims);
    this.copy(view, to, `${about} as rows`);
    return to;
  }

  step(
    op: Step["op"],
    about: string,
    words: readonly Word[],
    others: readonly Buffer[] = [],
  ): void {
    const touches = words.flatMap((word) =>
      typeof word === "object" && "place" in word ? [word.place.buffer] : []
    );
    this.steps.push({ op, about, words, touches: [...touches, ...others] });
  }

  clear(view: View): void {
    this.step("fill", "zeros", [{ place: { ...view, offset: 0 } }, view.buffer.bytes]);
  }

  copy(from: View, to: View, about: string): void {
    this.elementwise("copy", [from], to, about);
  }

  /** to = f(of…), broadcast. */
  elementwise(f: string, of: readonly View[], to: View, about: string = f): void {
    const operands = of.map((view) => broadcastTo(view, to.dims));
    const loops = loopsOf(to, operands);
    if (loops.length > 5) {
      throw new UnsupportedGraph(`${f} over ${loops.length} dimensions of different strides`);
    }
    while (loops.length < 5) loops.unshift({ size: 1, strides: operands.map(() => 0), to: 0 });
    const bytes = (i: number) => loops.map(({ strides }) => 4 * (strides[i] ?? 0));
    const two = operands.length > 1;
    this.step("elementwise", about, [
      functions[f],
      { place: operands[0] },
      two ? { place: operands[1] } : 0,
      { place: to },
      ...loops.map(({ size }) => size),
      ...bytes(0),
      ...two ? bytes(1) : [0, 0, 0, 0, 0],
      ...loops.map(({ to }) => 4 * to),
    ]);
  }
}

interface Loop {
  size: number;
  strides: number[];
  to: number;
}

/** Nested loops over all elements, the innermost last: as few and as long as the strides allow. */
function loopsOf(to: View, operands: readonly View[]): Loop[] {
  const loops: Loop[] = to.dims
    .map((size, i) => ({
      size,
      strides: operands.map(({ strides }) => strides[i]),
      to: to.strides[i],
    }))
    .filter(({ size }) => size !== 1)
    .sort((a, b) => b.to - a.to);
  const merged: Loop[] = [];
  for (const loop of loops) {
    const outer = merged.at(-1);
    const behind = outer && outer.to === loop.size * loop.to &&
      outer.strides.every((s, i) => s === loop.size * loop.strides[i]);
    if (behind) merged[merged.length - 1] = { ...loop, size: outer.size * loop.size };
    else merged.push(loop);
  }
  return merged;
}

/** What the outputs depend on, in the order it was made. */
function liveValues(graph: Graph): Set<Value> {
  const wanted = new Set<Value>(graph.outputs.values());
  for (const value of graph.values.toReversed()) {
    if (wanted.has(value)) value.node.inputs.forEach((input) => wanted.add(input));
  }
  return new Set(graph.values.filter((value) => wanted.has(value)));
}
