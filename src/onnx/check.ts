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
  Range: [1],
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
  constants: ReadonlyMap<string, pb.TensorProto>,
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
  for (const place of sizing[opType] ?? []) {
    const size = constants.get(input[place]);
    if (!size) continue;
    const elements = numbersOf(size).reduce((n, v) => n * Math.max(1, Math.abs(v)), 1);
    if (!(elements <= MAX_ELEMENTS)) fail(`${what} asks for a tensor of ${elements} elements`);
  }
  if (opType === "Div" || opType === "Mod") {
    const divisor = constants.get(input[1]);
    const whole = divisor && ![types.FLOAT, types.DOUBLE, types.FLOAT16].includes(divisor.dataType);
    if (whole && numbersOf(divisor).includes(0)) fail(`${what} divides whole numbers by 0`);
  }
}

/** The tensors whose numbers are in the file, by the name under which nodes read them. */
function constantsOf({ initializer, node }: pb.GraphProto): Map<string, pb.TensorProto> {
  const carried = node.filter(({ opType }) => opType === "Constant").flatMap(
    ({ output, attribute }) => {
      const tensor = attribute.find(({ name }) => name === "value")?.t;
      return tensor ? [[output[0], tensor] as const] : [];
    },
  );
  return new Map([...initializer.map((t) => [t.name, t] as const), ...carried]);
}

/** The numbers of a tensor of int32, int64 or float32; of other types, which state no sizes, none. */
function numbersOf(tensor: pb.TensorProto): number[] {
  const { dataType, rawData } = tensor;
  if (dataType !== types.INT64 && dataType !== types.INT32 && dataType !== types.FLOAT) return [];
  const { bytes, field } = storage[dataType];
  if (rawData.length === 0) return tensor[field].map(Number);
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.length);
  return Array.from({ length: rawData.length / bytes }, (_, i) => {
    if (dataType === types.INT64) return Number(view.getBigInt64(8 * i, true));
    return dataType === types.INT32 ? view.getInt32(4 * i, true) : view.getFloat32(4 * i, true);
  });
}

/** numpy's name of a type: "float32" for FLOAT. */
export function typeName(type: number): string {
  const names: Readonly<Record<number, string>> = {
    [types.FLOAT]: "float32",
    [types.DOUBLE]: "float64",
  };
  return names[type] ?? (types[type] ?? `number ${type}`).toLowerCase();
}
