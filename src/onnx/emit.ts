/** Graph → serialised ONNX model, through a lowering. */
import { create, toBinary } from "npm:@bufbuild/protobuf@2.17.0";
import * as pb from "npm:onnx-buf@1.20.0-1";
import type { Graph } from "../graph/graph.ts";
import { typeOfData } from "../graph/graph.ts";
import type { Emitter, Lowering, OnnxAttribute } from "./lowering.ts";
import { attribute, dataTypes, tensor, valueInfo } from "./proto.ts";
import { type ConstantData, formatShape, sizeOf, type Value } from "../graph/value.ts";

const ONNX_OPSET = 21n;
const ONNX_IR_VERSION = 10n;
/** Equal constants up to this many elements are written once. */
const SHARED_CONSTANT_LIMIT = 64;

export interface EmitOptions {
  readonly lowering: Lowering;
  /** The numbers of every parameter by name, written into the model. */
  readonly weights?: ReadonlyMap<string, Float32Array>;
  /** Instead of `weights`: the parameters are pieces, in order, of this flat input. */
  readonly flatParams?: { readonly input: Value; readonly order: readonly string[] };
  readonly name?: string;
  /** What the file says beside the graph, by key. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes what the graph's outputs need; the rest of the graph is left out. */
export function emit(graph: Graph, options: EmitOptions): Uint8Array {
  if (graph.outputs.size === 0) throw new Error("the graph has no outputs");
  return new ModelWriter(graph, options).write();
}

class ModelWriter implements Emitter {
  readonly #nodes: pb.NodeProto[] = [];
  readonly #initializers: pb.TensorProto[] = [];
  readonly #shared = new Map<string, string>();
  readonly #names = new Map<Value, string>();
  readonly #domains = new Set<string>();
  readonly notes = new Map<string, unknown>();
  #count = 0;

  constructor(readonly graph: Graph, readonly options: EmitOptions) {}

  write(): Uint8Array {
    const { graph, options } = this;
    const needed = reachable(graph);
    for (const [name, value] of graph.inputs) this.#names.set(value, name);
    if (options.flatParams) this.#splitParams(options.flatParams);
    for (const value of graph.values) {
      if (needed.has(value) && !this.#names.has(value)) this.#names.set(value, this.#lower(value));
    }
    for (const [name, value] of graph.outputs) {
      this.#push("Identity", [this.#names.get(value)!], [name]);
    }
    const nodes = liveNodes(this.#nodes, graph.outputs.keys());
    // A lowering may write numbers in another form than the one they came in.
    const read = new Set(nodes.flatMap(({ input }) => input));
    const info = ([name, value]: [string, Value]) => valueInfo(name, value.type, value.shape);
    const fed = [...graph.inputs].filter(([, value]) =>
      needed.has(value) || value === options.flatParams?.input
    );
    const model = create(pb.ModelProtoSchema, {
      irVersion: ONNX_IR_VERSION,
      producerName: "denoise",
      opsetImport: [
        create(pb.OperatorSetIdProtoSchema, { domain: "", version: ONNX_OPSET }),
        ...[...this.#domains].map((domain) =>
          create(pb.OperatorSetIdProtoSchema, { domain, version: 1n })
        ),
      ],
      graph: create(pb.GraphProtoSchema, {
        name: options.name ?? "graph",
        node: nodes,
        initializer: this.#initializers.filter(({ name }) => read.has(name)),
        input: fed.map(info),
        output: [...graph.outputs].map(info),
      }),
      metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) =>
        create(pb.StringStringEntryProtoSchema, { key, value })
      ),
    });
    return toBinary(pb.ModelProtoSchema, model);
  }

  #lower(value: Value): string {
    const { op, inputs, attributes } = value.node;
    if (op === "constant") {
      return this.constant(attributes.data as ConstantData, value.shape as number[]);
    }
    if (op === "param") return this.#writeParam(value, attributes.name as string);
    const lower = this.options.lowering.ops[op];
    if (!lower) throw new Error(`lowering "${this.options.lowering.name}" has no form for "${op}"`);
    return lower(this, value, inputs.map((input) => this.#names.get(input)!));
  }

  #writeParam(value: Value, name: string): string {
    this.#initializers.push(tensor(name, this.#weight(value), value.shape as number[]));
    return name;
  }

  #weight(value: Value): Float32Array {
    const name = value.node.attributes.name as string;
    const data = this.options.weights?.get(name);
    if (!data) throw new Error(`no weights for parameter "${name}"`);
    if (data.length !== sizeOf(value.shape)) {
      throw new Error(
        `parameter "${name}" has ${data.length} elements, expected ${formatShape(value.shape)}`,
      );
    }
    return data;
  }

  #splitParams({ input, order }: NonNullable<EmitOptions["flatParams"]>): void {
    const values = order.map((name) => {
      const value = this.graph.params.get(name);
      if (!value) throw new Error(`the graph has no parameter "${name}"`);
      return value;
    });
    const pieces = this.ops(
      "Split",
      [this.#names.get(input)!, this.int64(values.map((v) => sizeOf(v.shape)))],
      values.length,
      { axis: 0 },
    );
    values.forEach((value, i) => {
      const piece = this.op("Reshape", [pieces[i], this.int64(value.shape as number[])]);
      this.#names.set(value, piece);
    });
  }

  op(
    type: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = "",
  ): string {
    return this.ops(type, inputs, 1, attributes, domain)[0];
  }

  ops(
    type: string,
    inputs: readonly string[],
    outputs: number,
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = "",
  ): string[] {
    const names = Array.from({ length: outputs }, () => `${type}_${this.#count++}`);
    this.#push(type, inputs, names, attributes, domain);
    return names;
  }

  #push(
    opType: string,
    input: readonly string[],
    output: string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = "",
  ): void {
    if (domain) this.#domains.add(domain);
    this.#nodes.push(create(pb.NodeProtoSchema, {
      name: output[0],
      opType,
      domain,
      input: [...input],
      output,
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    }));
  }

  constant(data: ConstantData, dims: readonly number[] = [data.length]): string {
    const key = data.length <= SHARED_CONSTANT_LIMIT
      ? `${typeOfData(data)} ${dims} ${[...data].map((x) => Object.is(x, -0) ? "-0" : x)}`
      : undefined;
    const existing = key && this.#shared.get(key);
    if (existing) return existing;
    const name = `constant_${this.#count++}`;
    this.#initializers.push(tensor(name, data, dims));
    if (key) this.#shared.set(key, name);
    return name;
  }

  scalar(x: number): string {
    return this.constant(new Float32Array([x]), []);
  }

  int64(values: readonly number[]): string {
    return this.constant(new BigInt64Array(values.map(BigInt)));
  }

  cast(x: string, to: keyof typeof dataTypes): string {
    return this.op("Cast", [x], { to: dataTypes[to] });
  }

  data(value: Value): ConstantData | undefined {
    if (value.node.op === "constant") return value.node.attributes.data as ConstantData;
    if (value.node.op === "param" && this.options.weights) return this.#weight(value);
    return undefined;
  }
}

/** Every value that an output depends on. */
function reachable(graph: Graph): Set<Value> {
  const seen = new Set<Value>();
  const waiting = [...graph.outputs.values()];
  for (let value = waiting.pop(); value; value = waiting.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    waiting.push(...value.node.inputs);
  }
  return seen;
}

/** The nodes that an output depends on: a lowering may write conversions before it knows their use. */
function liveNodes(nodes: readonly pb.NodeProto[], outputs: Iterable<string>): pb.NodeProto[] {
  const wanted = new Set(outputs);
  const live = nodes.toReversed().filter(({ input, output }) => {
    if (!output.some((name) => wanted.has(name))) return false;
    for (const name of input) wanted.add(name);
    return true;
  });
  return live.reverse();
}
