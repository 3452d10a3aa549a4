/**
 * A computation as data: values made by operations (`ops/`), in the order they were made. The same
 * graph is differentiated (`gradients.ts`) and written out for an engine (`emit.ts`), which may
 * express every operation its own way (`lowering.ts`).
 */
import {
  type AttributeValue,
  type ConstantData,
  type ElementType,
  formatShape,
  sameShape,
  type Shape,
  sizeOf,
  type Value,
} from "./value.ts";

/** A computation under construction. */
export class Graph {
  /** Every value, in the order they were made. */
  readonly values: Value[] = [];
  /** What is fed, by name. */
  readonly inputs: Map<string, Value> = new Map();
  /** What is learned, by name. */
  readonly params: Map<string, Value> = new Map();
  /** What is asked for, by name. */
  readonly outputs: Map<string, Value> = new Map();

  /** Appends an operation. Callers outside `ops/` and `gradients/` use the functions there. */
  add(
    op: string,
    inputs: readonly Value[],
    shape: Shape,
    attributes: Readonly<Record<string, AttributeValue>> = {},
    type: ElementType = "float32",
  ): Value {
    for (const input of inputs) {
      if (input.graph !== this) throw new Error(`${op}: an input belongs to another graph`);
    }
    const node = { op, inputs, attributes };
    const value: Value = { id: this.values.length, graph: this, node, shape, type };
    this.values.push(value);
    return value;
  }

  /** A tensor that is fed on every run. */
  input(name: string, shape: Shape, type: ElementType = "float32"): Value {
    if (this.inputs.has(name)) throw new Error(`the graph already has an input "${name}"`);
    const value = this.add("input", [], shape, { name }, type);
    this.inputs.set(name, value);
    return value;
  }

  /** A learned tensor. Asking again for a name gives the same value, so weights can be shared. */
  param(name: string, shape: readonly number[]): Value {
    const existing = this.params.get(name);
    if (existing) {
      if (sameShape(existing.shape, shape)) return existing;
      throw new Error(
        `parameter "${name}" has shape ${formatShape(existing.shape)}, asked for ${
          formatShape(shape)
        }`,
      );
    }
    const value = this.add("param", [], shape, { name });
    this.params.set(name, value);
    return value;
  }

  /** Numbers that are part of the graph. */
  constant(data: ConstantData, shape: readonly number[] = [data.length]): Value {
    if (sizeOf(shape) !== data.length) {
      throw new Error(
        `a constant of ${data.length} elements does not fill shape ${formatShape(shape)}`,
      );
    }
    return this.add("constant", [], shape, { data }, typeOfData(data));
  }

  /** One float32 number. */
  scalar(x: number): Value {
    return this.constant(new Float32Array([x]), []);
  }

  /** Asks for a value under a name. */
  output(name: string, value: Value): void {
    if (this.outputs.has(name)) throw new Error(`the graph already has an output "${name}"`);
    this.outputs.set(name, value);
  }
}

/** The shape of every parameter a graph asks for, by name. */
export function paramShapes(graph: Graph): Map<string, readonly number[]> {
  return new Map(
    [...graph.params].map(([name, { shape }]) => [name, shape as readonly number[]]),
  );
}

export function typeOfData(data: ConstantData): ElementType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof BigInt64Array) return "int64";
  return "uint8";
}
