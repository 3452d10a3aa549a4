/** The nodes and edges of a graph, and arithmetic on their shapes. */
import type { Graph } from "./graph.ts";

/** A dimension: a number, or a name ("N") for one that is known only when the graph runs. */
export type Dim = number | string;
/** The length of each dimension. */
export type Shape = readonly Dim[];
/** What a tensor's elements are. */
export type ElementType = "float32" | "int32" | "int64" | "bool" | "uint8";

/** What an operation's settings may be. */
export type AttributeValue = number | boolean | string | readonly number[] | ConstantData;
/** Numbers that are written into a graph. */
export type ConstantData = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** One operation. Every operation has one output. */
export interface Node {
  /** The operation's name in `ops/`. */
  readonly op: string;
  /** What it is applied to. */
  readonly inputs: readonly Value[];
  /** Its settings. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
}

/** A typed look at a node's attributes, which its constructor in `ops/` has set. */
export function attributesOf<T>(node: Node): T {
  return node.attributes as T;
}

/** The result of a node: what operations take and give. */
export interface Value {
  /** Its place in the order in which the graph was made. */
  readonly id: number;
  /** The graph it belongs to. */
  readonly graph: Graph;
  /** The operation whose result it is. */
  readonly node: Node;
  /** Its shape, as far as it is known. */
  readonly shape: Shape;
  /** Its elements. */
  readonly type: ElementType;
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}

/** Number of elements; throws where a dimension is known only at run time. */
export function sizeOf(shape: Shape): number {
  return shape.reduce<number>((n, d) => n * known(d, shape), 1);
}

/** The number behind a dimension; throws where it is known only at run time. */
export function known(dim: Dim, shape: Shape): number {
  if (typeof dim === "number") return dim;
  throw new Error(`expected a fixed dimension, found "${dim}" in ${formatShape(shape)}`);
}

/** numpy's rule: align at the end, 1 stretches. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    throw new Error(`shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
  });
}

/** Counts a negative axis from the end. */
export function axisOf(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    throw new Error(`axis ${axis} is outside a tensor of rank ${rank}`);
  }
  return positive;
}
