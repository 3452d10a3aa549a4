/** PyTorch's files: what is in them is read, nothing in them runs. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseTorch } from "../src/files/torch/file.ts";
import { unpickle } from "../src/files/torch/pickle.ts";
import { TensorReader, TensorView } from "../src/files/torch/storage.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import { mutations, refusals } from "./mutations.ts";
import { global, int, text, torchBytes, tuple, writeTorchCheckpoint } from "./torch_fixtures.ts";

/** What PyTorch says of its own file; "count", of whole numbers, is passed over. */
const expected: Record<string, [number[], number[]]> = {
  f32: [[2, 2], [1.5, -2, 0.25, 3]],
  f64: [[2], [0.10000000149011612, 0.0010000000474974513]],
  f16: [[2], [0.0999755859375, 65504]],
  bf16: [[2], [0.10009765625, -3]],
  rows: [[4], [4, 5, 6, 7]],
  turned: [[4, 3], [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]],
  scalar: [[], [2.5]],
  none: [[0, 4], []],
  param: [[1], [9]],
};

for (const name of ["zipped", "legacy", "protocol4"] as const) {
  Deno.test(`a state dict is read as PyTorch does: ${name}`, async () => {
    const tensors = await parseTorch(torchBytes(name), name);
    const found = [...tensors].map(([key, { shape, data }]) => [key, [[...shape], [...data]]]);
    assertEquals(Object.fromEntries(found), expected);
  });
}

Deno.test("whole numbers are what Python wrote, in each of its lengths", () => {
  const numbers: [number, number[]][] = [
    [200, [0x4b, 200]],
    [40_000, [0x4d, 0x40, 0x9c]],
    [-2, [0x4a, 0xfe, 0xff, 0xff, 0xff]],
    [2 ** 31, [0x8a, 5, 0, 0, 0, 0x80, 0]],
    [-200, [0x8a, 2, 0x38, 0xff]],
  ];
  const refuse = () => {
    throw new Error("nothing is called");
  };
  for (const [number, opcode] of numbers) {
    const bytes = Uint8Array.of(0x80, 2, ...opcode, 0x2e);
    assertEquals(unpickle(bytes, 0, "x.pt", { reduce: refuse }).value, number);
  }
});

Deno.test("a pickle of a protocol to come is refused by its number", () => {
  const reduce = () => undefined;
  const of = (protocol: number) =>
    unpickle(Uint8Array.of(0x80, protocol, 0x4e, 0x2e), 0, "x", { reduce });
  for (const protocol of [2, 3, 4, 5]) assertEquals(of(protocol).value, null);
  for (const protocol of [1, 6]) {
    assertThrows(() => of(protocol), InputError, `protocol ${protocol}; 2 to 5 are read`);
  }
});

Deno.test("a state dict among epochs, versions and settings is found", async () => {
  const tensors = await parseTorch(torchBytes("lightning"), "x.ckpt");
  assertEquals([...tensors.keys()], ["model.conv.weight", "model.conv.bias"]);
});

Deno.test("of several state dicts the running mean is taken, whatever it is called, before what is trained", async () => {
  const of = (value: number) => new Map([["w", { shape: [1], data: Float32Array.of(value) }]]);
  const taken = async (names: readonly string[]) => {
    const file = await writeTorchCheckpoint(
      Object.fromEntries(names.map((name, i) => [name, of(i)])),
    );
    return names[(await parseTorch(file, "x.pt")).get("w")!.data[0]];
  };
  const means = ["ema_state_dict", "ema_model", "model_ema", "ema"];
  const trained = ["state_dict", "model_state_dict", "model", "unet", "net", "module"];
  for (const other of trained) {
    assertEquals(await taken([other]), other);
    for (const mean of means) {
      assertEquals(await taken([other, mean]), mean);
      assertEquals(await taken([mean, other]), mean);
    }
  }
  await assertRejects(() => taken(["discriminator"]), InputError, "or one under ema_state_dict");
});

const refused: Record<string, string> = {
  evil: "calls posix.system, which is not run",
  evilLegacy: "calls posix.system, which is not run",
  module: "makes an object of torch.nn.modules.linear.Linear",
  namespace: "makes an object of argparse.Namespace",
};

for (const [name, says] of Object.entries(refused)) {
  Deno.test(`what is no data is refused by its name: ${name}`, async () => {
    const bytes = torchBytes(name as "evil");
    const error = await assertRejects(() => parseTorch(bytes, "x.pt"), InputError, says);
    assert(error.message.startsWith("x.pt: "), error.message);
    await assertRejects(() => Deno.stat("/tmp/denoise-was-here"), Deno.errors.NotFound);
  });
}

/** A pickle in the place of a file's own. */
async function withPickle(pickle: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const files = await readZip(torchBytes("zipped"), "whole");
  return await writeZip(
    new Map([...files].map(([name, bytes]) => [name, name.endsWith("data.pkl") ? pickle : bytes])),
  );
}

async function pickleOf(name: "zipped" | "lightning"): Promise<Uint8Array> {
  const files = await readZip(torchBytes(name), "whole");
  return files.entries().find(([path]) => path.endsWith("data.pkl"))![1];
}

Deno.test("2,000 damaged files are refused or read, none runs, hangs or takes memory", async () => {
  const read = async (file: Uint8Array, where: string) => {
    for (const { shape, data } of (await parseTorch(file, where)).values()) {
      assertEquals(data.length, shape.reduce((a, b) => a * b, 1));
    }
  };
  const MIB = 2 ** 20;
  let count = await refusals(mutations(torchBytes("legacy"), 700, 21), read, MIB);
  count += await refusals(mutations(torchBytes("zipped"), 500, 22), read, 4 * MIB);
  const pickles: Uint8Array<ArrayBuffer>[] = [];
  for (const name of ["zipped", "lightning"] as const) {
    for (const damaged of mutations(await pickleOf(name), 400, 23)) {
      pickles.push(await withPickle(damaged));
    }
  }
  count += await refusals(pickles, read, 4 * MIB);
  assert(count > 1400 && count < 2000, `${count} of 2,000 were refused`);
});

Deno.test("a tensor does not reach beyond its storage, nor repeat it", async () => {
  const pickle = await pickleOf("zipped");
  // The first tensor: offset 0, shape (2, 2), strides (2, 1) in a storage of 4.
  const shape = [0x4b, 2, 0x4b, 2, 0x86];
  const at = pickle.findIndex((_, i) => shape.every((byte, k) => pickle[i + k] === byte));
  assert(at > 0);
  const strides = pickle.findIndex((byte, i) => i >= at + 5 && byte === 0x4b);
  for (const [where, value] of [[at + 1, 3], [at + 3, 200], [strides + 1, 3]]) {
    const bytes = await withPickle(pickle.with(where, value));
    await assertRejects(() => parseTorch(bytes, "x.pt"), InputError, "does not lie within");
  }
  // Strides of 0 would make a tensor of any size out of nothing.
  const repeated = pickle.slice();
  repeated.set([200, 0x4b, 200], at + 1);
  repeated[strides + 1] = repeated[strides + 3] = 0;
  const bytes = await withPickle(repeated);
  await assertRejects(() => parseTorch(bytes, "x.pt"), InputError, "does not lie within");
});

Deno.test("one list cannot be copied into dicts without end", async () => {
  // A list of 60,000 pairs, remembered, and 100 dicts of it.
  const pairs = [0x5d, 0x28, ...Array(60_000).fill([0x4b, 1, 0x4b, 1, 0x86]).flat(), 0x65, 0x85];
  const again = [...global("collections", "OrderedDict"), 0x68, 0, 0x52];
  const pickle = [0x80, 2, ...pairs, 0x71, 0, ...Array(100).fill(again).flat(), 0x2e];
  const bytes = await withPickle(Uint8Array.from(pickle));
  await assertRejects(() => parseTorch(bytes, "x.pt"), InputError, "more than 1000000 items");
});

Deno.test("what is in a dict is told without writing it out", async () => {
  // Keys that are lists in lists: of each the next has two, so that the last as text is 2^40 long.
  const next = (i: number) => [0x71, i, 0x5d, 0x68, i, 0x61, 0x68, i, 0x61];
  const twice = Array.from({ length: 40 }, (_, i) => next(i)).flat();
  // BUILD drops what lies above, here all of the lists; the last one is named again.
  const key = [0x5d, ...twice, 0x71, 200, ...Array(41).fill(0x62), 0x68, 200];
  for (const deep of [key, [...Array(200_000).fill(0x5d), ...Array(199_999).fill(0x61)]]) {
    const pickle = Uint8Array.from([0x80, 2, 0x7d, ...deep, 0x4b, 1, 0x73, 0x2e]);
    const bytes = await withPickle(pickle);
    await assertRejects(() => parseTorch(bytes, "x.pt"), InputError, "a dict with a list");
  }
});

Deno.test("views in other orders do not copy one storage without end", async () => {
  const storage = [0x28, ...text("storage"), ...global("torch", "FloatStorage"), ...text("0")];
  const turned = (i: number) => [
    ...text(`t${i}`),
    ...[0x68, 1, 0x28, 0x68, 0, ...int(0), ...int(50), ...int(50), 0x86],
    ...[...int(1), ...int(50), 0x86, 0x74, 0x52, 0x73],
  ];
  const state = (views: number) => [
    ...[0x80, 2, 0x7d, ...storage, ...text("cpu"), ...int(2500), 0x74, 0x51, 0x71, 0, 0x62],
    ...[...global("torch._utils", "_rebuild_tensor_v2"), 0x71, 1, 0x62],
    ...[...Array.from({ length: views }, (_, i) => turned(i)).flat(), 0x2e],
  ];
  const file = (views: number) =>
    writeZip(
      new Map([
        ["a/data.pkl", Uint8Array.from(state(views))],
        ["a/data/0", new Uint8Array(10_000)],
      ]),
    );
  assertEquals((await parseTorch(await file(8), "x.pt")).size, 8);
  const many = await file(9);
  await assertRejects(
    () => parseTorch(many, "x.pt"),
    InputError,
    "x.pt: tensors in other orders than their storage 0 copy its 2500 numbers more than 8 times",
  );
});

/** A file from before PyTorch 1.6: its pickles, the last a list of storages, then those. */
function legacyFile(
  object: number[],
  keys: number[],
  storages: readonly Uint8Array[],
  system = [0x7d, ...text("little_endian"), 0x88, 0x73],
): Uint8Array {
  const pickle = (...opcodes: number[]) => [0x80, 2, ...opcodes, 0x2e];
  return Uint8Array.from([
    ...pickle(0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19),
    ...pickle(0x4d, 0xe9, 3),
    ...pickle(...system),
    ...pickle(...object),
    ...pickle(...keys),
    ...storages.flatMap((storage) => [...storage]),
  ]);
}

/** A named tensor of a whole storage. */
function tensorOf(name: string, type: string, key: string, length: number): number[] {
  const kind = global("torch", `${type}Storage`);
  const id = tuple(text("storage"), kind, text(key), text("cpu"), int(length), [0x4e]);
  const rebuild = global("torch._utils", "_rebuild_tensor_v2");
  const args = [[...id, 0x51], int(0), tuple(int(length)), tuple(int(1))];
  return [...text(name), ...rebuild, ...tuple(...args), 0x52, 0x73];
}

/** How many elements, and they. */
const storageOf = (count: number, bytes: ArrayBuffer) =>
  Uint8Array.from([
    ...new Uint8Array(BigInt64Array.of(BigInt(count)).buffer),
    ...new Uint8Array(bytes),
  ]);

Deno.test("of each kind of storage a file from before PyTorch 1.6 has as many bytes as its numbers take", async () => {
  const sizes = {
    Float: 4,
    Double: 8,
    Half: 2,
    BFloat16: 2,
    Long: 8,
    Int: 4,
    Short: 2,
    Char: 1,
    Byte: 1,
    Bool: 1,
  };
  for (const [kind, size] of Object.entries(sizes)) {
    const file = legacyFile(
      [0x7d, ...tensorOf("n", kind, "0", 3), ...tensorOf("w", "Float", "1", 2)],
      [0x5d, 0x28, ...text("0"), ...text("1"), 0x65],
      [
        storageOf(3, new ArrayBuffer(3 * size)),
        storageOf(2, Float32Array.of(1.5, -2).buffer),
      ],
    );
    const tensors = await parseTorch(file, "x.pt");
    const w = { shape: [2], data: Float32Array.of(1.5, -2) };
    const isFloat = /^(B?Float|Double|Half)/.test(kind);
    const n = { shape: [3], data: new Float32Array(3) };
    assertEquals([...tensors], isFloat ? [["n", n], ["w", w]] : [["w", w]], kind);
  }
});

Deno.test("storages lie in the order of their list, which names them all and no others", async () => {
  const object = [0x7d, ...tensorOf("a", "Float", "0", 1), ...tensorOf("b", "Float", "1", 1)];
  const storages = [7, 8].map((value) => storageOf(1, Float32Array.of(value).buffer));
  const read = async (...keys: number[]) => {
    const tensors = await parseTorch(legacyFile(object, keys, storages), "x.pt");
    return [...tensors.values()].map(({ data }) => data[0]);
  };
  const [zero, one] = [[...text("0"), 0x61], [...text("1"), 0x61]];
  assertEquals(await read(0x5d, ...zero, ...one), [7, 8]);
  assertEquals(await read(0x5d, ...one, ...zero), [8, 7]);
  const refused: [number[], string][] = [
    [[0x4e], "the storages are cut off, or of another length than they say"],
    [[0x5d, ...text("2"), 0x61], "the storages are cut off, or of another length than they say"],
    [[0x5d, ...zero], "storage 1 has no bytes, its 1 numbers need 4"],
  ];
  for (const [keys, says] of refused) {
    await assertRejects(() => read(...keys), InputError, `x.pt: ${says}`);
  }
});

Deno.test("numbers of another order of bytes, or of none that is said, are refused", async () => {
  const read = (...system: number[]) => parseTorch(legacyFile([0x7d], [0x5d], [], system), "x.pt");
  const key = text("little_endian");
  const systems = [[0x4e], [0x5d], [0x7d], [0x7d, ...key, 0x89, 0x73], [
    0x7d,
    ...key,
    ...int(1),
    0x73,
  ]];
  for (const system of systems) {
    const says = "x.pt: expected numbers of little endian, found big";
    await assertRejects(() => read(...system), InputError, says);
  }
  const says = "x.pt: expected a dict of tensors, or one under ";
  await assertRejects(() => read(0x7d, ...key, 0x88, 0x73), InputError, says);
});

Deno.test("a storage is read once, and tensors that lie in it as they are share its numbers", () => {
  const asked: string[] = [];
  const reader = new TensorReader((storage) => {
    asked.push(storage.key);
    return new Uint8Array(Float16Array.of(1, 2, 3, 4).buffer);
  }, "x.pt");
  const storage = { type: "HalfStorage", key: "0", length: 4 };
  const [whole, row, turned] = [[0, [2, 2], [2, 1]], [2, [2], [1]], [0, [2, 2], [1, 2]]].map(
    ([offset, shape, strides]) =>
      reader.read(
        new TensorView(storage, offset as number, shape as number[], strides as number[]),
      ),
  );
  assertEquals([whole, row, turned].map(({ data }) => [...data]), [
    [1, 2, 3, 4],
    [3, 4],
    [1, 3, 2, 4],
  ]);
  assertEquals(row.data.buffer, whole.data.buffer);
  reader.read(new TensorView({ ...storage, key: "1" }, 0, [4], [1]));
  assertEquals(asked, ["0", "1"]);
});
