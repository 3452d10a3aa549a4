/** PyTorch's files: what is in them is read, nothing in them runs. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseTorch } from "../src/files/torch/file.ts";
import { unpickle } from "../src/files/torch/pickle.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import { mutations, refusals } from "./mutations.ts";
import { torchBytes, writeTorchCheckpoint } from "./torch_fixtures.ts";

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
  const names = (
    module: string,
    name: string,
  ) => [0x63, ...new TextEncoder().encode(`${module}\n${name}\n`)];
  // A list of 60,000 pairs, remembered, and 100 dicts of it.
  const pairs = [0x5d, 0x28, ...Array(60_000).fill([0x4b, 1, 0x4b, 1, 0x86]).flat(), 0x65, 0x85];
  const again = [...names("collections", "OrderedDict"), 0x68, 0, 0x52];
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
  const int = (n: number) => [0x4a, ...new Uint8Array(Int32Array.of(n).buffer)];
  const text = (s: string) => [0x8c, s.length, ...new TextEncoder().encode(s)];
  const global = (name: string) => [0x63, ...new TextEncoder().encode(`${name}\n`)];
  const storage = [0x28, ...text("storage"), ...global("torch\nFloatStorage"), ...text("0")];
  const turned = (i: number) => [
    ...text(`t${i}`),
    ...[0x68, 1, 0x28, 0x68, 0, ...int(0), ...int(50), ...int(50), 0x86],
    ...[...int(1), ...int(50), 0x86, 0x74, 0x52, 0x73],
  ];
  const state = (views: number) => [
    ...[0x80, 2, 0x7d, ...storage, ...text("cpu"), ...int(2500), 0x74, 0x51, 0x71, 0, 0x62],
    ...[...global("torch._utils\n_rebuild_tensor_v2"), 0x71, 1, 0x62],
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
  await assertRejects(() => parseTorch(many, "x.pt"), InputError, "more than 8 times");
});
