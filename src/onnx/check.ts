/**
 * Refuses ONNX graphs that an engine could be harmed by: engines trust sizes and settings without
 * checking.
 */
import * as pb from "npm:onnx-buf@1.20.0-1";
import { InputError } from "../errors.ts";
import { operators } from "./operators.ts";
import { tensorsOf } from "./parse.ts";

/** The most elements of a tensor whose shape the graph states outright. */
const MAX_ELEMENTS = 2 ** 28;
/** The largest stride, kernel, group count … of a node. */
const MAX_SETTING = 2 ** 16;

/** The most that a node may pad on one side. */
const MAX_PAD = 2 ** 8;

/** Settings that engines divide by, or allocate by. */
const positive = new Set([
  "block_size",
  "blocksize",
  "dilations",
  "group",
  "groups",
  "kernel_shape",
  "num_groups",
  "num_heads",
  "num_outputs",
  "strides",
]);

/** Operators that make a tensor as large as one of their inputs says, with that input's place. */
const sizing: Readonly<Record<string, readonly number[]>> = {
  ConstantOfShape: [0],
  Expand: [1],
  OneHot: [1],
  Pad: [1],
  Resize: [2, 3],
  Tile: [1],
  Upsample: [1],
};

const types = pb.TensorProto_DataType;

/** Bytes of an element, and the field that holds elements where they are not raw bytes. */
const storage: Readonly<Record<number, { bytes: number; field: NumberField }>> = {
  [types.FLOAT]: { bytes: 4, field: "floatData" },
  [types.DOUBLE]: { bytes: 8, field: "doubleData" },
  [types.INT64]: { bytes: 8, field: "int64Data" },
  [types.UINT64]: { bytes: 8, field: "uint64Data" },
  [types.UINT32]: { bytes: 4, field: "uint64Data" },
  [types.INT32]: { bytes: 4, field: "int32Data" },
  [types.INT16]: { bytes: 2, field: "int32Data" },
  [types.UINT16]: { bytes: 2, field: "int32Data" },
  [types.INT8]: { bytes: 1, field: "int32Data" },
  [types.UINT8]: { bytes: 1, field: "int32Data" },
  [types.BOOL]: { bytes: 1, field: "int32Data" },
  [types.FLOAT16]: { bytes: 2, field: "int32Data" },
  [types.BFLOAT16]: { bytes: 2, field: "int32Data" },
};
type NumberField = "floatData" | "doubleData" | "int32Data" | "int64Data" | "uint64Data";

/** @throws InputError naming the node or tensor that no engine should be given. */
export function checkGraph(model: pb.ModelProto, graph: pb.GraphProto, where: string): void {
  const fail = (what: string): never => {
    throw new InputError(`${where}: ${what}`);
  };
  if (model.functions.length > 0) {
    fail(`functions of its own (${model.functions[0].name} …); save it with them inlined`);
  }
  if (graph.sparseInitializer.length > 0) {
    fail("sparse tensors are not read; save it with dense ones");
  }
  for (const tensor of tensorsOf(graph)) checkTensor(tensor, fail);
  const constants = constantsOf(graph);
  for (const node of graph.node) checkNode(node, constants, fail);
}

type Fail = (what: string) => never;

function checkTensor(tensor: pb.TensorProto, fail: Fail): void {
  const { name, dims, dataType, rawData } = tensor;
  if (!Object.hasOwn(storage, dataType)) {
    fail(`tensor "${name}": expected numbers, found elements of type ${typeName(dataType)}`);
  }
  const elements = dims.reduce((n, d) => n * Number(d), 1);
  if (dims.some((d) => d < 0n) || elements > MAX_ELEMENTS) {
    fail(`tensor "${name}": expected up to ${MAX_ELEMENTS} elements, found the shape [${dims}]`);
  }
  const { bytes, field } = storage[dataType];
  const found = rawData.length > 0 ? rawData.length / bytes : tensor[field].length;
  if (found !== elements) {
    fail(`tensor "${name}" of shape [${dims}]: expected ${elements} elements, found ${found}`);
  }
}

function checkNode(
  { name, opType, domain, attribute, input, output }: pb.NodeProto,
  constants: ReadonlyMap<string, Constant>,
  fail: Fail,
): void {
  const what = `node "${name || output[0]}" (${opType})`;
  if (!operators.get(domain)?.has(opType)) {
    const full = domain ? `${domain}.${opType}` : opType;
    fail(
      `node "${
        name || output[0]
      }": operator "${full}" is not run; the standard's tensor operators are`,
    );
  }
  for (const { name: key, i, ints, g, graphs } of attribute) {
    if (g || graphs.length > 0) fail(`${what} has a graph inside; control flow is not run`);
    const [least, most] = positive.has(key)
      ? [1, MAX_SETTING]
      : key === "pads"
      ? [-MAX_PAD, MAX_PAD]
      : [-Infinity, Infinity];
    const wrong = (ints.length > 0 ? ints : [i]).find((n) => n < least || n > most);
    if (wrong !== undefined) fail(`${what}: ${key}: expected ${least} to ${most}, found ${wrong}`);
  }
  const given = input.map((name) => constants.get(name));
  const sizes = (sizing[opType] ?? []).flatMap((place) => given[place] ?? []).map(elementsOf);
  if (opType === "Range") sizes.push(rangeLength(given));
  for (const elements of sizes) {
    if (!(elements <= MAX_ELEMENTS)) fail(`${what} asks for a tensor of ${elements} elements`);
  }
  if (opType === "Div" || opType === "Mod") {
    const divisor = given[1];
    if (divisor?.whole && divisor.numbers.includes(0)) fail(`${what} divides whole numbers by 0`);
  }
}

function elementsOf({ numbers }: Constant): number {
  return numbers.reduce((n, v) => n * Math.max(1, Math.abs(v)), 1);
}

/** (limit − start)/delta of a Range, as far as the file says what they are. */
function rangeLength([start, limit, delta]: readonly (Constant | undefined)[]): number {
  const [from, to, by] = [start, limit, delta].map((of, i) => of?.numbers[0] ?? (i === 2 ? 1 : 0));
  return from === to ? 0 : Math.abs((to - from) / by);
}

/** A tensor whose numbers are in the file. */
interface Constant {
  readonly whole: boolean;
  /** None of the types that state no sizes. */
  readonly numbers: readonly number[];
}

/** The tensors whose numbers are in the file, by the name under which nodes read them. */
function constantsOf({ initializer, node }: pb.GraphProto): Map<string, Constant> {
  const carried = node.filter(({ opType }) => opType === "Constant").flatMap(
    ({ output, attribute }) =>
      attribute.flatMap((said) => {
        const constant = constantOf(said);
        return constant ? [[output[0], constant] as const] : [];
      }),
  );
  return new Map([...initializer.map((t) => [t.name, ofTensor(t)] as const), ...carried]);
}

/** What an attribute of a Constant node says that it is: a tensor, or numbers by themselves. */
function constantOf({ name, t, i, ints, f, floats }: pb.AttributeProto): Constant | undefined {
  if (name === "value") return t && ofTensor(t);
  if (name === "value_int") return { whole: true, numbers: [Number(i)] };
  if (name === "value_ints") return { whole: true, numbers: ints.map(Number) };
  if (name === "value_float") return { whole: false, numbers: [f] };
  if (name === "value_floats") return { whole: false, numbers: floats };
}

function ofTensor(tensor: pb.TensorProto): Constant {
  const { FLOAT, DOUBLE, FLOAT16, BFLOAT16 } = types;
  return {
    whole: ![FLOAT, DOUBLE, FLOAT16, BFLOAT16].includes(tensor.dataType),
    // Weights are many, and read by nodes that ask for no size: their numbers are read when asked for.
    get numbers() {
      return numbersOf(tensor);
    },
  };
}

/** The numbers of a tensor of int32, int64, float32 or float64; of other types none. */
function numbersOf({ dataType, rawData, ...fields }: pb.TensorProto): number[] {
  const at: Partial<Record<number, (view: DataView, offset: number) => number>> = {
    [types.INT64]: (view, offset) => Number(view.getBigInt64(offset, true)),
    [types.INT32]: (view, offset) => view.getInt32(offset, true),
    [types.FLOAT]: (view, offset) => view.getFloat32(offset, true),
    [types.DOUBLE]: (view, offset) => view.getFloat64(offset, true),
  };
  const read = at[dataType];
  if (!read) return [];
  const { bytes, field } = storage[dataType];
  if (rawData.length === 0) return [...fields[field]].map(Number);
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.length);
  return Array.from({ length: rawData.length / bytes }, (_, i) => read(view, bytes * i));
}

/** numpy's name of a type: "float32" for FLOAT. */
export function typeName(type: number): string {
  const names: Readonly<Record<number, string>> = {
    [types.FLOAT]: "float32",
    [types.DOUBLE]: "float64",
  };
  return names[type] ?? (types[type] ?? `number ${type}`).toLowerCase();
}
