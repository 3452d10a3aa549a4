/** Pickles and storages by hand: what each opcode gives, and what is refused. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseTorch } from "../src/files/torch/file.ts";
import { PickleGlobal, PLAIN, Tuple, unpickle } from "../src/files/torch/pickle.ts";
import { TensorView, torchReader } from "../src/files/torch/storage.ts";
import { writeZip } from "../src/files/zip.ts";
import { torchBytes } from "./torch_fixtures.ts";

const encoder = new TextEncoder();
const int = (n: number) => [0x4a, ...new Uint8Array(Int32Array.of(n).buffer)];
const text = (s: string) => [0x8c, s.length, ...encoder.encode(s)];
const global = (name: string) => [0x63, ...encoder.encode(`${name.replace(" ", "\n")}\n`)];
const tuple = (...items: number[][]) => [0x28, ...items.flat(), 0x74];
const call = (name: string, ...args: number[][]) => [...global(name), ...tuple(...args), 0x52];

/** What a pickle of these opcodes gives; calls give their arguments. */
function valueOf(...opcodes: number[]): unknown {
  const bytes = Uint8Array.from([0x80, 4, ...opcodes, 0x2e]);
  const { value, end } = unpickle(bytes, 0, "x.pt", { reduce: (_, args) => args });
  assertEquals(end, bytes.length);
  return value;
}

Deno.test("every opcode gives what Python means by it", () => {
  const float = [...new Uint8Array(Float64Array.of(-1.5).buffer).reverse()];
  const cases: [number[], unknown][] = [
    [[0x4e], null],
    [[0x88], true],
    [[0x89], false],
    [[0x4a, 0xff, 0xff, 0xff, 0xff], -1],
    [[0x4a, 0xff, 0xff, 0xff, 0x7f], 2 ** 31 - 1],
    [[0x8a, 0], 0],
    [[0x8a, 1, 0x80], -128],
    [[0x8a, 2, 0x80, 0], 128],
    [[0x8a, 8, 0, 0, 0, 0, 0, 0, 0x20, 0], 2n ** 53n],
    [[0x8a, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0xff], -(2n ** 64n)],
    [[0x47, ...float], -1.5],
    [[0x58, 2, 0, 0, 0, 0xc3, 0xa9], "é"],
    [[0x8c, 2, 0xc3, 0xa9], "é"],
    [[0x55, 1, 0xe9], "é"],
    [[0x54, 1, 0, 0, 0, 0xe9], "é"],
    [[0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x4e], null],
    [[0x29], new Tuple([])],
    [[0x4b, 1, 0x85], new Tuple([1])],
    [[0x4b, 1, 0x4b, 2, 0x86], new Tuple([1, 2])],
    [[0x4b, 1, 0x4b, 2, 0x4b, 3, 0x87], new Tuple([1, 2, 3])],
    [[0x28, 0x4b, 1, 0x4b, 2, 0x4b, 3, 0x4b, 4, 0x74], new Tuple([1, 2, 3, 4])],
    [[0x28, 0x28, 0x4b, 1, 0x74, 0x74], new Tuple([new Tuple([1])])],
    [[0x5d, 0x4b, 1, 0x61, 0x28, 0x4b, 2, 0x4b, 3, 0x65], [1, 2, 3]],
    [[0x7d, 0x4b, 1, 0x4b, 2, 0x73, 0x28, 0x4b, 3, 0x4b, 4, 0x75], new Map([[1, 2], [3, 4]])],
    // The second thing that is remembered, by each way of saying so.
    [[0x5d, 0x4b, 5, 0x71, 0, 0x61, 0x4b, 6, 0x71, 1, 0x61, 0x68, 1, 0x61], [5, 6, 6]],
    [[0x5d, 0x4b, 5, 0x94, 0x61, 0x4b, 6, 0x94, 0x61, 0x6a, 1, 0, 0, 0, 0x61], [5, 6, 6]],
    [[0x5d, 0x4b, 5, 0x72, 9, 0, 0, 0, 0x61, 0x68, 9, 0x61], [5, 5]],
    [[...global("torch Size")], new PickleGlobal("torch", "Size")],
    [[...text("torch"), ...text("Size"), 0x93], new PickleGlobal("torch", "Size")],
    [[...call("a b", [0x4b, 1], [0x4e])], [1, null]],
    [[0x4b, 1, 0x4b, 2, 0x62], 1],
  ];
  for (const [opcodes, value] of cases) assertEquals(valueOf(...opcodes), value, `${opcodes}`);
});

Deno.test("what no pickle of data has is refused by what it is", () => {
  const damaged = "the pickle is damaged", cut = "the pickle is cut off";
  const made = "the pickle makes an object of", calls = "the pickle calls";
  const opcode = (code: string) => `the pickle has the opcode ${code}`;
  const plain = "which tensors and plain data do without";
  const cases: [number[], string][] = [
    [[], damaged],
    [[0x28], damaged],
    [[0x4e, 0x4e], damaged],
    [[0x61], damaged],
    [[0x28, 0x61], damaged],
    [[0x4b, 1, 0x74], damaged],
    [[0x4b, 1, 0x86], damaged],
    [[0x4b, 1, ...text("Size"), 0x93], damaged],
    [[...text("torch"), 0x4b, 1, 0x93], damaged],
    [[0x68, 0], "the pickle names an object that it did not make"],
    [[0x4e, 0x94, 0x68, 1], "the pickle names an object that it did not make"],
    [[0x4b, 1, 0x4b, 2, 0x61], "the pickle appends to a number"],
    [[0x4e, 0x4b, 2, 0x61], "the pickle appends to None"],
    [[0x7d, 0x4b, 2, 0x61], "the pickle appends to a dict"],
    [[0x5d, 0x4b, 1, 0x4b, 2, 0x73], "the pickle puts items into a list"],
    [[0x7d, 0x28, 0x4b, 1, 0x75], "the pickle puts items into a dict"],
    [[0x29, 0x29, 0x52], `${calls} a tuple, which is not run; ${PLAIN}`],
    [[...text("f"), 0x29, 0x52], `${calls} a string, which is not run; ${PLAIN}`],
    [[...global("os system"), 0x5d, 0x52], `${calls} os.system, which is not run; ${PLAIN}`],
    [[...global("os A"), 0x29, 0x81], `${made} os.A, which is not run; ${PLAIN}`],
    [[0x5d, 0x29, 0x81], `${made} a list, which is not run; ${PLAIN}`],
    [[0x4e, 0x51], "the pickle names an object outside it"],
    [[0xff], `${opcode("0xff")}, ${plain}`],
    [[0x01], `${opcode("0x1")}, ${plain}`],
    [[...global("os system"), 0x8f], `${opcode("0x8f")} after os.system, ${plain}`],
    [
      [...global("a b"), ...global("os system"), 0x4e, 0x8f],
      `${opcode("0x8f")} after os.system, ${plain}`,
    ],
    [[0x58, 2, 0, 0, 0, 0xc3, 0x28], "a string of the pickle is not UTF-8"],
    [[0x8c, 200], cut],
    [[0x4a, 1, 2], cut],
    [[0x63, 0x61], cut],
    [[0x95, 1, 0], cut],
  ];
  for (const [opcodes, says] of cases) {
    assertEquals(assertThrows(() => valueOf(...opcodes), InputError).message, `x.pt: ${says}`);
  }
});

Deno.test("a pickle has no more opcodes than 5 million, its last one among them", () => {
  const pickle = new Uint8Array(5_000_001).fill(0x4e);
  const read = () => unpickle(pickle, 0, "x.pt", { reduce: () => undefined });
  pickle[4_999_999] = 0x2e;
  assertThrows(read, InputError, "x.pt: the pickle is damaged");
  pickle[4_999_999] = 0x4e;
  pickle[5_000_000] = 0x2e;
  assertThrows(read, InputError, "x.pt: the pickle has more than 5000000 opcodes");
});

interface Said {
  type?: string;
  key?: number[];
  length?: number[];
  /** Behind the length, where the storage is part of another. */
  view?: number[];
  offset?: number[];
  shape?: number[];
  strides?: number[];
}

/** A file of one tensor "w" in a storage of 8 bytes, by what its pickle says of it. */
function file(said: Said): Promise<Uint8Array> {
  const { type = "torch FloatStorage", key = text("0"), length = int(2), view = [] } = said;
  const { offset = int(0), shape = tuple(int(2)), strides = tuple(int(1)) } = said;
  const storage = [...tuple(text("storage"), global(type), key, text("cpu"), length, view), 0x51];
  const tensor = call("torch._utils _rebuild_tensor_v2", storage, offset, shape, strides);
  const pickle = [0x80, 2, 0x7d, ...text("w"), ...tensor, 0x73, 0x2e];
  const numbers = new Uint8Array(Float32Array.of(1, 2).buffer);
  return writeZip(
    new Map([["a/data.pkl", Uint8Array.from(pickle)], ["a/data/0", numbers]]),
  );
}

const read = async (said: Said) => (await parseTorch(await file(said), "x.pt")).get("w");

Deno.test("a tensor is a window of its storage: offset, shape and strides", async () => {
  assertEquals(await read({}), { shape: [2], data: Float32Array.of(1, 2) });
  assertEquals(await read({ view: [0x4e] }), { shape: [2], data: Float32Array.of(1, 2) });
  const one = tuple(int(1));
  assertEquals(await read({ offset: int(1), shape: one }), {
    shape: [1],
    data: Float32Array.of(2),
  });
  const none = { shape: tuple(), strides: tuple(), offset: int(1) };
  assertEquals(await read(none), { shape: [], data: Float32Array.of(2) });
  const twice = { shape: tuple(int(2), int(1)), strides: tuple(int(0), int(0)) };
  assertEquals(await read(twice), { shape: [2, 1], data: Float32Array.of(1, 1) });
  const eight = tuple(...Array(8).fill(int(1)));
  assertEquals((await read({ shape: eight, strides: eight }))!.shape, Array(8).fill(1));
  const empty = { shape: tuple(int(0)), offset: int(2) };
  assertEquals(await read(empty), { shape: [0], data: new Float32Array() });
});

Deno.test("a tensor or storage that does not fit is refused by what is wrong with it", async () => {
  const types =
    "read are FloatStorage, DoubleStorage, HalfStorage, BFloat16Storage, LongStorage, IntStorage, ShortStorage, CharStorage, ByteStorage, BoolStorage of torch";
  const beyond = "does not lie within its storage of 2 numbers";
  const without = "a tensor without its storage, shape and strides";
  const cases: [Said, string][] = [
    [{ type: "torch QInt8Storage" }, `a storage of the type torch.QInt8Storage; ${types}`],
    [{ type: "mine FloatStorage" }, `a storage of the type mine.FloatStorage; ${types}`],
    [{ type: "torch toString" }, `a storage of the type torch.toString; ${types}`],
    [{ key: int(0) }, "a storage that is part of another is not read"],
    [{ view: tuple(text("1"), int(0), int(1)) }, "a storage that is part of another is not read"],
    [{ length: int(-2) }, "the pickle names something outside it that is no storage"],
    [{ key: text("9") }, "storage 9 has no bytes, its 2 numbers need 8"],
    [{ length: int(1), shape: tuple(int(1)) }, "storage 0 has 8 bytes, its 1 numbers need 4"],
    [{ length: int(3) }, "storage 0 has 8 bytes, its 3 numbers need 12"],
    [{ shape: tuple(int(3)) }, `a tensor of shape [3] ${beyond}`],
    [{ offset: int(1) }, `a tensor of shape [2] ${beyond}`],
    [{ strides: tuple(int(2)) }, `a tensor of shape [2] ${beyond}`],
    [{ shape: tuple(int(3)), strides: tuple(int(0)) }, `a tensor of shape [3] ${beyond}`],
    [{ offset: int(-1) }, without],
    [{ shape: tuple(int(-2)) }, without],
    [{ strides: tuple() }, without],
    [{ strides: tuple(int(1), int(1)) }, without],
    [
      { shape: tuple(...Array(9).fill(int(1))), strides: tuple(...Array(9).fill(int(1))) },
      without,
    ],
  ];
  for (const [said, says] of cases) {
    const { message } = await assertRejects(() => read(said), InputError) as Error;
    assertEquals(message, `x.pt: ${says}`);
  }
});

Deno.test("a file of numbers in the other order, a program, or no file of PyTorch's is refused", async () => {
  const pickle = Uint8Array.of(0x80, 2, 0x7d, 0x2e);
  const zipped = (more: [string, string][]) =>
    writeZip(
      new Map([["a/data.pkl", pickle], ...more.map(([k, v]) => [k, encoder.encode(v)] as const)]),
    );
  const big = "expected numbers of little endian, found big";
  const other = "expected what torch.save writes, found another format";
  const zip = "expected what torch.save writes, found a zip without data.pkl";
  const program = "a TorchScript program, which is code; save model.state_dict() instead";
  const none =
    "expected a dict of tensors, or one under ema_state_dict, ema_model, model_ema, ema, state_dict, model_state_dict, model, unet, net, module; found a dict with nothing";
  const refused: [Uint8Array, string][] = [
    [await zipped([["a/byteorder", "big"]]), big],
    [await zipped([["a/byteorder", "little"]]), none],
    [await zipped([["byteorder", "big"], ["b/byteorder", "big"]]), none],
    [await zipped([["code/net.py", ""], ["a/coder", ""]]), none],
    [await zipped([["a/code/net.py", ""]]), program],
    [await writeZip(new Map([["data.pkl", pickle]])), none],
    [await writeZip(new Map([["data.pkl", pickle], ["code/a.py", pickle]])), program],
    [await writeZip(new Map([["b/c/data.pkl", pickle]])), zip],
    [await writeZip(new Map([["a/mydata.pkl", pickle], ["b/data.pkl.txt", pickle]])), zip],
    [encoder.encode("hello"), other],
    [encoder.encode("Pickle"), other],
    [new Uint8Array(), other],
  ];
  const legacy = torchBytes("legacy");
  const find = (part: number[], from = 0) =>
    legacy.findIndex((_, i) => i >= from && part.every((byte, k) => legacy[i + k] === byte));
  const order = find([...encoder.encode("little_endian")]) + "little_endian".length + 2;
  assertEquals(legacy[order], 0x88);
  refused.push([legacy.with(order, 0x89), big]);
  // Its first object is a number of ten bytes in a pickle of protocol 2, and no other.
  const first: [at: number, byte: number][] = [[0, 0x4e], [1, 3], [2, 0x4b], [3, 9], [6, 0]];
  for (const [at, byte] of first) refused.push([legacy.with(at, byte), other]);
  const protocol = find([0x4d, 0xe9, 3]);
  refused.push([legacy.with(protocol + 1, 0xea), other]);
  for (const [bytes, says] of refused) {
    const { message } = await assertRejects(() => parseTorch(bytes, "x.pt"), InputError) as Error;
    assertEquals(message, `x.pt: ${says}`);
  }
});

Deno.test("legacy storages are as long as the pickle says, and whole", async () => {
  const legacy = torchBytes("legacy");
  const says = "the storages are cut off, or of another length than they say";
  for (const cut of [1, 8, 12]) {
    await assertRejects(() => parseTorch(legacy.subarray(0, -cut), "x.pt"), InputError, says);
  }
  // Of each storage the number of its elements, in eight bytes, then they.
  const four = [4, 0, 0, 0, 0, 0, 0, 0, ...new Uint8Array(Float32Array.of(1.5).buffer)];
  const at = legacy.findIndex((_, i) => four.every((byte, k) => legacy[i + k] === byte));
  assert(at > 0);
  for (const other of [3, 5]) {
    await assertRejects(() => parseTorch(legacy.with(at, other), "x.pt"), InputError, says);
  }
});

Deno.test("what a file may call is the few things that are data, with the arguments that they take", () => {
  const reader = torchReader("x.pt");
  const called = (name: string, ...args: unknown[]) => {
    const at = name.lastIndexOf(".");
    return reader.reduce(new PickleGlobal(name.slice(0, at), name.slice(at + 1)), args);
  };
  const dict = "collections.OrderedDict", parameter = "torch._utils._rebuild_parameter";
  assertEquals(called(dict), new Map());
  assertEquals(called(dict, [new Tuple(["a", 1]), ["b", 2]]), new Map([["a", 1], ["b", 2]]));
  assertEquals(called("torch.Size", new Tuple([1, 2])), new Tuple([1, 2]));
  assertEquals(called("torch.device", "cpu"), "cpu");
  const named = ["storage", new PickleGlobal("torch", "HalfStorage"), "0", "cpu", 2];
  const storage = reader.persistent!(new Tuple(named));
  assertEquals(storage, { type: "HalfStorage", key: "0", length: 2 });
  assertEquals(reader.storages as unknown[], [storage]);
  const view = new TensorView(reader.storages[0], 1, [1], [1]);
  for (const version of ["", "_v2"]) {
    const name = `torch._utils._rebuild_tensor${version}`;
    assertEquals(called(name, storage, 1, new Tuple([1]), [1]), view);
  }
  assertEquals(called(parameter, view, true), view);
  const refused: [() => unknown, string][] = [
    [() => called(dict, 7), "an OrderedDict of no list"],
    [() => called(dict, [7]), "an OrderedDict of no pairs"],
    [() => called(dict, [["a"]]), "an OrderedDict of no pairs"],
    [() => called(dict, [new Tuple(["a", 1, 2])]), "an OrderedDict of no pairs"],
    [() => called(parameter, storage), "a Parameter without its tensor"],
    [() => called("torch.load", "x"), "the pickle calls torch.load, which is not run; read are"],
  ];
  for (const id of [7, new Tuple([]), named, new Tuple(["module", ...named.slice(1)])]) {
    const says = "the pickle names something outside it that is no storage";
    refused.push([() => reader.persistent!(id), says]);
  }
  for (const [call, says] of refused) assertThrows(call, InputError, `x.pt: ${says}`);
  // Lists are counted before they are copied: these have nothing in them but their lengths.
  const copies = (...lengths: number[]) => {
    const { reduce } = torchReader("x.pt");
    for (const length of lengths) {
      reduce(new PickleGlobal("collections", "OrderedDict"), [Array(length)]);
    }
  };
  const says = "x.pt: OrderedDicts of more than 1000000 items";
  assertThrows(() => copies(1_000_001), InputError, says);
  assertThrows(() => copies(1_000_000), TypeError);
});

/** The value of a file's pickle, by its opcodes. */
const holding = (...opcodes: number[]) =>
  writeZip(new Map([["a/data.pkl", Uint8Array.of(0x80, 4, ...opcodes, 0x2e)]]));

Deno.test("what is found in place of tensors is told by its kind, a dict by its first eight keys", async () => {
  const keys = (count: number) =>
    Array.from({ length: count }, (_, i) => [...text(`k${i}`), 0x4e, 0x73]).flat();
  const eight = Array.from({ length: 8 }, (_, i) => `"k${i}"`).join(", ");
  const storage = [
    ...tuple(text("storage"), global("torch LongStorage"), text("0"), text("cpu"), int(1)),
  ];
  const tensor = call(
    "torch._utils _rebuild_tensor_v2",
    [...storage, 0x51],
    int(0),
    tuple(),
    tuple(),
  );
  const cases: [number[], string][] = [
    [[0x4e], "null"],
    [[0x88], "true"],
    [int(7), "7"],
    [text("w"), '"w"'],
    [[0x5d], "a list"],
    [tuple(int(1)), "a tuple"],
    [global("torch Size"), "an object"],
    [tensor, "a tensor alone"],
    [[0x7d], "a dict with nothing"],
    [[0x7d, ...keys(2)], 'a dict with "k0", "k1"'],
    [[0x7d, ...keys(8)], `a dict with ${eight}`],
    [[0x7d, ...keys(9)], `a dict with ${eight}`],
    [[0x7d, ...int(1), ...tensor, 0x73, ...tuple(), ...int(1), 0x73], "a dict with 1, a tuple"],
    // Whole numbers are no weights, and what has no name is none.
    [[0x7d, ...text("n"), ...tensor, 0x73], 'a dict with "n"'],
  ];
  for (const [opcodes, kind] of cases) {
    const error = await assertRejects(async () =>
      await parseTorch(await holding(...opcodes), "x.pt")
    ) as Error;
    assert(
      error.message.startsWith("x.pt: expected a dict of tensors, or one under ema_state_dict, "),
    );
    assert(error.message.endsWith(`; found ${kind}`), error.message);
  }
});
