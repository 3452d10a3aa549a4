/**
 * How a graph's operations become ONNX nodes. `portable` knows every operation; an engine that runs
 * another form faster names its own for those operations and inherits the rest.
 */
import type { ConstantData, ElementType, Value } from "../graph/value.ts";

/** ONNX attributes: integers, lists of integers, strings, and floats marked as such. */
export type OnnxAttribute = number | readonly number[] | string | { readonly float: number };

/** What a lowering writes with. Names are those of ONNX values. */
export interface Emitter {
  /** Adds an ONNX node with one output and returns the output's name. "" is an absent input. */
  op(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    domain?: string,
  ): string;
  /** Adds an ONNX node with several outputs. */
  ops(
    type: string,
    inputs: readonly string[],
    outputs: number,
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    domain?: string,
  ): string[];
  /** The name of an initialiser; equal small ones are written once. */
  constant(data: ConstantData, dims?: readonly number[]): string;
  /** A float32 scalar. */
  scalar(x: number): string;
  /** An int64 vector, as ONNX takes shapes, axes and pads. */
  int64(values: readonly number[]): string;
  /** x with elements of another type. */
  cast(x: string, to: ElementType | "uint32"): string;
  /** What lowerings remember of this model, by keys of their own; see {@link once}. */
  readonly notes: Map<string, unknown>;
  /** A parameter's or constant's numbers, where they are known when the graph is written. */
  data(value: Value): ConstantData | undefined;
}

/** Writes one operation. `value.node` is the operation, `inputs` the names of its inputs. */
export type LowerOp = (emitter: Emitter, value: Value, inputs: readonly string[]) => string;

/** How one engine likes its operations written. */
export interface Lowering {
  /** What messages call it. */
  readonly name: string;
  /** The form of every operation, by the operation's name. */
  readonly ops: Readonly<Record<string, LowerOp>>;
}

/** A lowering that writes `ops` its own way and everything else as `base` does. */
export function extendLowering(
  base: Lowering,
  name: string,
  ops: Readonly<Record<string, LowerOp>>,
): Lowering {
  return { name, ops: { ...base.ops, ...ops } };
}

/** What `make` writes, written once a model. */
export function once<T>({ notes }: Emitter, key: string, make: () => T): T {
  if (!notes.has(key)) notes.set(key, make());
  return notes.get(key) as T;
}

export { attributesOf } from "../graph/value.ts";
