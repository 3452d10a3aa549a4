/** Sizes that an ONNX file states outright, wherever the file may keep their numbers. */
import { assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { checkGraph } from "../src/onnx/check.ts";
import { create, node, pb } from "./onnx_fixtures.ts";

const types = pb.TensorProto_DataType;

/** A constant's numbers, and whether they are whole. */
interface Numbers {
  readonly whole: boolean;
  readonly numbers: readonly number[];
}

type Form = (name: string, numbers: Numbers) => Partial<Record<"tensor" | "node", unknown>>;

const dims = ({ numbers }: Numbers) => [BigInt(numbers.length)];
const tensor = (name: string, said: Numbers) =>
  create(pb.TensorProtoSchema, {
    name,
    dims: dims(said),
    dataType: said.whole ? types.INT64 : types.FLOAT,
    ...(said.whole ? { int64Data: said.numbers.map(BigInt) } : { floatData: [...said.numbers] }),
  });
const rawTensor = (name: string, said: Numbers) => {
  const { whole, numbers } = said;
  const data = whole ? BigInt64Array.from(numbers, BigInt) : Float64Array.from(numbers);
  const dataType = whole ? types.INT64 : types.DOUBLE;
  const rawData = new Uint8Array(data.buffer);
  return create(pb.TensorProtoSchema, { name, dims: dims(said), dataType, rawData });
};
const constant = (name: string, attribute: object) => {
  const made = node("Constant", [], [name]);
  made.attribute.push(create(pb.AttributeProtoSchema, attribute));
  return made;
};

/** A tensor that keeps its numbers as bytes or in a list, by type. */
const typed =
  (dataType: number, field: string, data?: (n: readonly number[]) => ArrayBufferView) =>
  (name: string, said: Numbers) => ({
    tensor: create(pb.TensorProtoSchema, {
      name,
      dims: dims(said),
      dataType,
      ...(data
        ? { rawData: new Uint8Array(data(said.numbers).buffer as ArrayBuffer) }
        : { [field]: said.numbers.map((n) => dataType === types.INT64 ? BigInt(n) : n) }),
    }),
  });

/** Where a file may keep a constant. */
const forms: Record<string, Form> = {
  "an initializer": (name, said) => ({ tensor: tensor(name, said) }),
  "an initializer of raw bytes": (name, said) => ({ tensor: rawTensor(name, said) }),
  "a Constant's tensor": (name, said) => ({
    node: constant(name, { name: "value", t: tensor("", said) }),
  }),
  "a Constant's numbers": (name, { whole, numbers }) => ({
    node: constant(
      name,
      whole
        ? { name: "value_ints", ints: numbers.map(BigInt) }
        : { name: "value_floats", floats: [...numbers] },
    ),
  }),
  "a Constant's number": (name, { whole, numbers }) => ({
    node: constant(
      name,
      whole
        ? { name: "value_int", i: BigInt(numbers.reduce((a, b) => a * b)) }
        : { name: "value_float", f: numbers.reduce((a, b) => a * b) },
    ),
  }),
};

const whole = (...numbers: number[]): Numbers => ({ whole: true, numbers });
const floats = (...numbers: number[]): Numbers => ({ whole: false, numbers });
const million = 2 ** 20;

/** Operators by the constants among their inputs, undefined where an input is none. */
const sizes: readonly [op: string, inputs: readonly (Numbers | undefined)[], small: Numbers][] = [
  ["ConstantOfShape", [whole(million, million)], whole(2, 3)],
  ["Expand", [undefined, whole(million, million)], whole(2, 3)],
  ["OneHot", [undefined, whole(2 ** 40), undefined], whole(10)],
  ["Pad", [undefined, whole(million, million)], whole(1, 1)],
  ["Resize", [undefined, undefined, floats(million, million)], floats(2, 2)],
  ["Resize", [undefined, undefined, undefined, whole(million, million)], whole(8, 8)],
  ["Tile", [undefined, whole(million, million)], whole(2, 3)],
  ["Upsample", [undefined, floats(million, million)], floats(2, 2)],
  ["Range", [undefined, whole(2 ** 40), undefined], whole(10)],
];

function check(op: string, inputs: readonly (Numbers | undefined)[], form: Form): void {
  const made = inputs.map((said, i) => said && form(`c${i}`, said));
  const names = inputs.map((said, i) => said ? `c${i}` : `x${i}`);
  const graph = create(pb.GraphProtoSchema, {
    node: [...made.flatMap((one) => one?.node ?? []), node(op, names, ["y"])] as pb.NodeProto[],
    initializer: made.flatMap((one) => one?.tensor ?? []) as pb.TensorProto[],
  });
  checkGraph(create(pb.ModelProtoSchema, { graph }), graph, "net.onnx");
}

for (const [form, make] of Object.entries(forms)) {
  Deno.test(`a tensor of more than 2²⁸ elements is refused that ${form} asks for`, () => {
    for (const [op, inputs, small] of sizes) {
      const asks = `net.onnx: node "y" (${op}) asks for a tensor of 1099511627776 elements`;
      assertThrows(() => check(op, inputs, make), InputError, asks);
      check(op, inputs.map((said) => said && small), make);
    }
  });
  Deno.test(`whole numbers are not divided by a 0 in ${form}`, () => {
    for (const op of ["Div", "Mod"]) {
      assertThrows(
        () => check(op, [undefined, whole(0)], make),
        InputError,
        `(${op}) divides whole numbers by 0`,
      );
      check(op, [undefined, floats(0)], make);
      check(op, [undefined, whole(2)], make);
      check(op, [whole(0), undefined], make);
    }
  });
}

Deno.test("sizes are read from numbers of every type that may state one", () => {
  const kinds: [number, string, (n: readonly number[]) => ArrayBufferView][] = [
    [types.INT64, "int64Data", (n) => BigInt64Array.from(n, BigInt)],
    [types.INT32, "int32Data", (n) => Int32Array.from(n)],
    [types.FLOAT, "floatData", (n) => Float32Array.from(n)],
    [types.DOUBLE, "doubleData", (n) => Float64Array.from(n)],
  ];
  for (const [type, field, data] of kinds) {
    for (const form of [typed(type, field), typed(type, field, data)]) {
      const asks = "asks for a tensor of 1099511627776 elements";
      assertThrows(() => check("Tile", [undefined, whole(million, million)], form), Error, asks);
      check("Tile", [undefined, whole(2, 3)], form);
      const zero = () => check("Div", [undefined, whole(1, 0)], form);
      if (type === types.FLOAT || type === types.DOUBLE) zero();
      else assertThrows(zero, InputError, "whole numbers by 0");
    }
  }
  check("Tile", [undefined, whole(255, 255)], typed(types.UINT8, "int32Data"));
});

Deno.test("2²⁸ elements are the most; a side of 0 hides no other, nor does one that is cut", () => {
  const make = forms["an initializer"];
  const says = (...numbers: number[]) => {
    const found = () => check("ConstantOfShape", [whole(...numbers)], make);
    return assertThrows(found, InputError).message.replace(/^.* of /, "");
  };
  for (const numbers of [[], [0, 0], [2 ** 28], [2 ** 14, -(2 ** 14)], [2 ** 27, 0, 2]]) {
    check("ConstantOfShape", [whole(...numbers)], make);
  }
  assertEquals(says(2 ** 28 + 1), "268435457 elements");
  assertEquals(says(0, 2 ** 29), "536870912 elements");
  assertEquals(says(-million, million), "1099511627776 elements");
  check("Range", [whole(0), whole(2 ** 28), whole(1)], make);
  assertThrows(() => check("Range", [whole(0), whole(2 ** 28 + 1), whole(1)], make), InputError);
});

Deno.test("a node is told by its name, else by what it gives, an operator by its domain", () => {
  const of = (op: string, said: object, domain = "") => {
    const made = Object.assign(node(op, ["x"], ["y"], domain), said);
    const graph = create(pb.GraphProtoSchema, { node: [made] });
    const found = () => checkGraph(create(pb.ModelProtoSchema, { graph }), graph, "net.onnx");
    return assertThrows(found, InputError).message;
  };
  const rest = "is not run; the standard's tensor operators are";
  assertEquals(of("Loop", {}), `net.onnx: node "y": operator "Loop" ${rest}`);
  assertEquals(
    of("Conv", { name: "mine" }, "com.microsoft"),
    `net.onnx: node "mine": operator "com.microsoft.Conv" ${rest}`,
  );
  const attribute = [create(pb.AttributeProtoSchema, { name: "group", i: 0n })];
  const wrong = "(Conv): group: expected 1 to 65536, found 0";
  assertEquals(of("Conv", { attribute, name: "mine" }), `net.onnx: node "mine" ${wrong}`);
  assertEquals(of("Conv", { attribute }), `net.onnx: node "y" ${wrong}`);
});

Deno.test("a Range has as many elements as its steps, whatever its start and whichever its way", () => {
  const make = forms["an initializer"];
  const range = (...inputs: (Numbers | undefined)[]) => check("Range", inputs, make);
  const refused = (...inputs: (Numbers | undefined)[]) =>
    assertThrows(() => range(...inputs), InputError, "(Range) asks for a tensor of ");
  refused(whole(-(2 ** 40)), whole(0), whole(1));
  refused(whole(2 ** 40), whole(0), whole(-1));
  refused(floats(0), floats(1), floats(1e-12));
  refused(whole(0), whole(5), whole(0));
  range(whole(2 ** 40), whole(2 ** 40 + 9), whole(1));
  range(whole(0), whole(2 ** 40), whole(2 ** 36));
  range(whole(7), whole(7), whole(0));
});

/** A graph of one node with an attribute, and a check of it. */
function checkAttribute(attribute: object, op = "Conv"): void {
  const made = node(op, ["x"], ["y"]);
  made.attribute.push(create(pb.AttributeProtoSchema, attribute));
  const graph = create(pb.GraphProtoSchema, { node: [made] });
  checkGraph(create(pb.ModelProtoSchema, { graph }), graph, "net.onnx");
}

Deno.test("what engines divide or allocate by is positive and of some size, alone or in a list", () => {
  const settings = ["block_size", "blocksize", "dilations", "group", "groups", "kernel_shape"];
  settings.push("num_groups", "num_heads", "num_outputs", "strides");
  for (const name of settings) {
    for (const n of [1n, 65536n]) {
      checkAttribute({ name, i: n });
      checkAttribute({ name, ints: [1n, n] });
      checkAttribute({ name, ints: [n] });
    }
    for (const n of [0n, -1n, 65537n]) {
      const says = `(Conv): ${name}: expected 1 to 65536, found ${n}`;
      assertThrows(() => checkAttribute({ name, i: n }), InputError, says);
      assertThrows(() => checkAttribute({ name, ints: [2n, n] }), InputError, says);
      assertThrows(() => checkAttribute({ name, ints: [n] }), InputError, says);
    }
  }
  checkAttribute({ name: "pads", ints: [0n, -256n, 256n] });
  for (const n of [257n, -257n]) {
    const says = `(Conv): pads: expected -256 to 256, found ${n}`;
    assertThrows(() => checkAttribute({ name: "pads", ints: [0n, n] }), InputError, says);
  }
  checkAttribute({ name: "axis", i: -1n });
});

Deno.test("a graph within a node is control flow, whatever the node is called", () => {
  const inside = create(pb.GraphProtoSchema, {});
  for (const attribute of [{ name: "body", g: inside }, { name: "bodies", graphs: [inside] }]) {
    assertThrows(() => checkAttribute(attribute), InputError, "(Conv) has a graph inside");
  }
});

Deno.test("a tensor has numbers of a known type, as many as its shape, in its bytes or in a list", () => {
  const of = (said: object) => {
    const made = create(pb.TensorProtoSchema, { name: "w", ...said });
    const graph = create(pb.GraphProtoSchema, { initializer: [made] });
    return () => checkGraph(create(pb.ModelProtoSchema, { graph }), graph, "net.onnx");
  };
  const raw = (bytes: number) => ({ rawData: new Uint8Array(bytes) });
  const { FLOAT, FLOAT16, BFLOAT16, DOUBLE, INT64, UINT64, UINT32, INT32, INT16 } = types;
  const { UINT16, INT8, UINT8, BOOL } = types;
  // Bytes of an element, and the list for who writes no bytes.
  const kinds: [number, number, string][] = [
    [FLOAT, 4, "floatData"],
    [DOUBLE, 8, "doubleData"],
    [INT64, 8, "int64Data"],
    [UINT64, 8, "uint64Data"],
    [UINT32, 4, "uint64Data"],
    [INT32, 4, "int32Data"],
    ...[INT16, UINT16, FLOAT16, BFLOAT16].map((type): [number, number, string] => {
      return [type, 2, "int32Data"];
    }),
    ...[INT8, UINT8, BOOL].map((type): [number, number, string] => [type, 1, "int32Data"]),
  ];
  for (const [dataType, bytes, list] of kinds) {
    const one = /int64/.test(list) ? 1n : 1;
    of({ dataType, dims: [2n, 3n], ...raw(6 * bytes) })();
    of({ dataType, dims: [], ...raw(bytes) })();
    of({ dataType, dims: [2n, 3n], [list]: Array(6).fill(one) })();
    for (const other of [5, 7]) {
      const says = `"w" of shape [2,3]: expected 6 elements, found ${other}`;
      assertThrows(of({ dataType, dims: [2n, 3n], ...raw(other * bytes) }), InputError, says);
      const listed = { [list]: Array(other).fill(one) };
      assertThrows(of({ dataType, dims: [2n, 3n], ...listed }), InputError, says);
    }
  }
  of({ dataType: FLOAT, dims: [], floatData: [1] })();
  of({ dataType: FLOAT, dims: [0n] })();
  const refused: [object, string][] = [
    [{ dataType: FLOAT, dims: [2n] }, "expected 2 elements, found 0"],
    [{ dataType: FLOAT, dims: [1n], floatData: [1, 2] }, "expected 1 elements, found 2"],
    [{ dataType: FLOAT, dims: [-2n, -1n], ...raw(8) }, "found the shape [-2,-1]"],
    [{ dataType: FLOAT, dims: [2n ** 28n], ...raw(8) }, "expected 268435456 elements, found 2"],
    [{ dataType: FLOAT, dims: [2n ** 28n + 1n], ...raw(8) }, "expected up to 268435456 elements"],
    [{ dataType: FLOAT, dims: [2n, -1n], ...raw(8) }, "found the shape [2,-1]"],
    [{ dataType: types.STRING, dims: [1n], stringData: [] }, "found elements of type string"],
    [{ dataType: 0, dims: [] }, "found elements of type undefined"],
  ];
  for (const [said, says] of refused) assertThrows(of(said), InputError, says);
  const sparse = create(pb.GraphProtoSchema, {
    sparseInitializer: [create(pb.SparseTensorProtoSchema, {})],
  });
  assertThrows(
    () => checkGraph(create(pb.ModelProtoSchema, {}), sparse, "net.onnx"),
    InputError,
    "net.onnx: sparse tensors are not read; save it with dense ones",
  );
});
