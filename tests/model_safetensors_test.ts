import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { readGolden } from "./golden.ts";

const encoder = new TextEncoder();

/** A file of any header, right or wrong. */
function file(header: unknown, data: Uint8Array = new Uint8Array()): Uint8Array<ArrayBuffer> {
  const json = typeof header === "string"
    ? encoder.encode(header)
    : header instanceof Uint8Array
    ? header
    : encoder.encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(data, 8 + json.length);
  return bytes;
}

const f32 = (start: number, end: number, shape = [(end - start) / 4]) => ({
  dtype: "F32",
  shape,
  data_offsets: [start, end],
});

const weightFiles = [
  "digits/unet/diffusion_pytorch_model.safetensors",
  "ddpm_legacy_root/diffusion_pytorch_model.safetensors",
  "class_conditional/grads.safetensors",
  "learned_range/unet/diffusion_pytorch_model.safetensors",
];

for (const path of weightFiles) {
  Deno.test(`reads PyTorch's ${path} number for number`, async () => {
    const golden = await readGolden(path);
    const { tensors } = parseSafetensors(golden.bytes, path);
    assertEquals([...tensors.keys()].sort(), golden.names().sort());
    for (const name of golden.names()) {
      assertEquals(tensors.get(name)!.shape, golden.shape(name));
      assertEquals(tensors.get(name)!.data, golden.floats(name));
    }
  });

  Deno.test(`writes ${path} byte for byte as PyTorch's library did`, async () => {
    const { bytes } = await readGolden(path);
    const { tensors, metadata } = parseSafetensors(bytes, path);
    const hasMetadata = Object.keys(metadata).length > 0;
    const written = writeSafetensors(tensors, { metadata: hasMetadata ? metadata : undefined });
    assert(written.length === bytes.length && written.every((byte, i) => byte === bytes[i]));
  });
}

const halfFile = "ddpm_legacy_fp16/unet/diffusion_pytorch_model.safetensors";

Deno.test("reads a half-precision file as float32, and writes it back byte for byte", async () => {
  const { bytes } = await readGolden(halfFile);
  const { tensors } = parseSafetensors(bytes, halfFile);
  const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const stored = new Float16Array(bytes.slice(8 + headerLength).buffer);
  let at = 0;
  for (const { data } of tensors.values()) {
    assertEquals(data, Float32Array.from(stored.subarray(at, at + data.length)));
    at += data.length;
  }
  assertEquals(at, stored.length);
  const written = writeSafetensors(tensors, { dtype: "F16" });
  assert(written.length === bytes.length && written.every((byte, i) => byte === bytes[i]));
});

Deno.test("float32 is a view into the file where it is aligned, and right where it is not", () => {
  const data = new Uint8Array(Float32Array.of(1.5, -2).buffer);
  const aligned = file(JSON.stringify({ a: f32(0, 8) }).padEnd(56), data);
  const { tensors } = parseSafetensors(aligned);
  assertEquals(tensors.get("a")!.data.buffer, aligned.buffer);
  for (let shift = 1; shift < 4; shift++) {
    const moved = new Uint8Array(aligned.length + shift);
    moved.set(aligned, shift);
    const read = parseSafetensors(moved.subarray(shift)).tensors.get("a")!;
    assertEquals([...read.data], [1.5, -2]);
  }
});

Deno.test("bfloat16, scalars and empty tensors are read", () => {
  const { tensors, metadata } = parseSafetensors(
    file({
      __metadata__: { format: "pt" },
      b: { dtype: "BF16", shape: [2], data_offsets: [0, 4] },
      scalar: f32(4, 8, []),
      none: f32(8, 8, [3, 0]),
    }, Uint8Array.of(0x80, 0x3f, 0x40, 0xc0, 0, 0, 0, 0x40)),
  );
  assertEquals([...tensors.get("b")!.data], [1, -3]);
  assertEquals(tensors.get("scalar"), { shape: [], data: Float32Array.of(2) });
  assertEquals(tensors.get("none"), { shape: [3, 0], data: new Float32Array() });
  assertEquals(metadata, { format: "pt" });
  const ones = Array(8).fill(1);
  const most = parseSafetensors(file({ w: f32(0, 4, ones) }, new Uint8Array(4))).tensors;
  assertEquals(most.get("w")!.shape, ones);
});

Deno.test("names that mean something to JavaScript are names like others", () => {
  const names = ["__proto__", "constructor", "10", "2", "data_offsets", 'ü\n"'];
  const tensors = new Map(names.map((n, i) => [n, { shape: [1], data: Float32Array.of(i) }]));
  const read = parseSafetensors(writeSafetensors(tensors)).tensors;
  assertEquals([...read], [...tensors]);
});

Deno.test("the data begins at a multiple of eight", () => {
  for (let length = 1; length < 10; length++) {
    const name = "n".repeat(length);
    const bytes = writeSafetensors(new Map([[name, { shape: [1], data: Float32Array.of(1) }]]));
    assertEquals((bytes.length - 4) % 8, 0);
  }
});

const floatTypes = "F64, F32, F16, BF16, F8_E4M3, F8_E5M2";
const refusals: Record<string, [Uint8Array<ArrayBuffer>, string]> = {
  "a file shorter than a header's length": [
    new Uint8Array(7),
    "expected a safetensors file, found 7 bytes",
  ],
  "a file that is a header's length alone": [new Uint8Array(8), "the header is not valid JSON"],
  "a header longer than the file": [
    Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 0, 123, 125),
    "expected a safetensors header, found a length of 255 in 10 bytes",
  ],
  "a header of a byte more than there is": [
    Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 123, 125),
    "expected a safetensors header, found a length of 3 in 10 bytes",
  ],
  "a header of 2⁶³ bytes": [
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128, 123, 125),
    "expected a safetensors header, found a length of 9223372036854775808 in 10 bytes",
  ],
  "a header that is no JSON": [file("{"), "the header is not valid JSON"],
  "a header that is no UTF-8": [
    file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)),
    "the header is not valid JSON",
  ],
  "a header nested beyond the stack": [
    file("[".repeat(500_000)),
    "the header is not valid JSON",
  ],
  "a header that is a list": [file([]), "the header is not a JSON object"],
  "a header that is nothing": [file(null), "the header is not a JSON object"],
  "a tensor that is there twice": [
    file(`{"a":${JSON.stringify(f32(0, 4))},"a":${JSON.stringify(f32(4, 8))}}`, new Uint8Array(8)),
    'the header has "a" twice',
  ],
  "a tensor that is there twice, once in escapes": [
    file(
      `{"a":${JSON.stringify(f32(0, 4))},"\\u0061":${JSON.stringify(f32(0, 4))}}`,
      new Uint8Array(4),
    ),
    'the header has "a" twice',
  ],
  "a key of a tensor that is there twice": [
    file(`{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, new Uint8Array(4)),
    'the header has "dtype" twice',
  ],
  "a tensor without a description": [file({ w: null }), 'tensor "w" has no description'],
  "an unknown type": [
    file({ w: { ...f32(0, 4), dtype: "F4" } }, new Uint8Array(4)),
    `tensor "w": expected ${floatTypes} or whole numbers, found "F4"`,
  ],
  "a type that is a method's name": [
    file({ w: { ...f32(0, 4), dtype: "toString" } }, new Uint8Array(4)),
    `tensor "w": expected ${floatTypes} or whole numbers, found "toString"`,
  ],
  "a negative dimension": [
    file({ w: f32(0, 4, [-1]) }, new Uint8Array(4)),
    'tensor "w": expected up to 8 whole numbers as shape, found [-1]',
  ],
  "a broken dimension": [
    file({ w: f32(0, 4, [0.5]) }, new Uint8Array(4)),
    'tensor "w": expected up to 8 whole numbers as shape, found [0.5]',
  ],
  "a shape that is a number": [
    file({ w: { ...f32(0, 4), shape: 1 } }, new Uint8Array(4)),
    'tensor "w": expected up to 8 whole numbers as shape, found 1',
  ],
  "dimensions whose product overflows": [
    file({ w: f32(0, 4, [2 ** 52, 2 ** 52]) }, new Uint8Array(4)),
    `tensor "w" of shape [${2 ** 52},${2 ** 52}] needs ${2 ** 106} bytes, its place has 4`,
  ],
  "more dimensions than tensors have": [
    file({ w: f32(0, 4, Array(9).fill(1)) }, new Uint8Array(4)),
    'tensor "w": expected up to 8 whole numbers as shape, found [1,1,1,1,1,1,1,1,1]',
  ],
  "a shape that needs more bytes than there are": [
    file({ w: f32(0, 4, [2]) }, new Uint8Array(4)),
    'tensor "w" of shape [2] needs 8 bytes, its place has 4',
  ],
  ...Object.fromEntries(
    [[0, 4, 8], [4], ["0", "4"], [-4, 0], [0.5, 4.5], 4, null].map((data_offsets) => [
      `data_offsets of ${JSON.stringify(data_offsets)}`,
      [
        file({ w: { ...f32(0, 4), data_offsets } }, new Uint8Array(8)),
        `tensor "w": expected [start, end] as data_offsets, found ${JSON.stringify(data_offsets)}`,
      ],
    ]),
  ),
  "an end before the beginning": [
    file({ w: f32(4, 0, [1]) }, new Uint8Array(8)),
    'tensor "w" lies at 4…0, outside the file\'s 8 bytes',
  ],
  "an end outside the file": [
    file({ w: f32(0, 8) }, new Uint8Array(4)),
    'tensor "w" lies at 0…8, outside the file\'s 4 bytes',
  ],
  "an overlap": [
    file({ v: f32(0, 8), w: f32(4, 12) }, new Uint8Array(12)),
    'tensor "w" overlaps the one before it',
  ],
  "a hole": [
    file({ v: f32(0, 4), w: f32(8, 12) }, new Uint8Array(12)),
    '4 bytes before tensor "w" belong to none',
  ],
  "bytes after the last tensor": [
    file({ v: f32(0, 4) }, new Uint8Array(6)),
    "the last 2 bytes belong to no tensor",
  ],
  ...Object.fromEntries(
    [{ a: 1 }, ["a"], "pt", null].map((__metadata__) => [
      `metadata that is ${JSON.stringify(__metadata__)}`,
      [file({ __metadata__ }), "__metadata__ must map names to strings"],
    ]),
  ),
};

for (const [what, [bytes, message]] of Object.entries(refusals)) {
  Deno.test(`refuses ${what}, naming the file and what is wrong`, () => {
    for (const where of ["weights/x.safetensors", undefined]) {
      const error = assertThrows(() => parseSafetensors(bytes, where), InputError);
      assertEquals(error.message, `${where ?? "safetensors"}: ${message}`);
    }
  });
}

Deno.test("a header longer than 100 MB is refused, however long the file is", () => {
  const bytes = new Uint8Array(100_000_100);
  new DataView(bytes.buffer).setBigUint64(0, 100_000_001n, true);
  assertThrows(() => parseSafetensors(bytes), InputError, "found a length of 100000001 in 1000001");
});

Deno.test("each type has the size that safetensors gives it, and whole numbers are no weights", () => {
  const floats: Record<string, number[]> = {
    F64: [0, 0, 0, 0, 0, 0, 0xf8, 0xbf],
    F32: [0, 0, 0xc0, 0xbf],
    F16: [0, 0xbe],
    BF16: [0xc0, 0xbf],
    F8_E4M3: [0xbc],
    F8_E5M2: [0xbe],
  };
  const sizes = { I64: 8, U64: 8, I32: 4, U32: 4, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1 };
  const of = (dtype: string, bytes: ArrayLike<number>) => {
    const header = { w: { dtype, shape: [1], data_offsets: [0, bytes.length] } };
    return [...parseSafetensors(file(header, Uint8Array.from(bytes))).tensors];
  };
  const w = { shape: [1], data: Float32Array.of(-1.5) };
  for (const [dtype, bytes] of Object.entries(floats)) {
    assertEquals(of(dtype, bytes), [["w", w]], dtype);
  }
  for (const [dtype, size] of Object.entries(sizes)) {
    assertEquals(of(dtype, new Uint8Array(size)), [], dtype);
  }
  assertThrows(() => of("U64", new Uint8Array(4)), InputError, "needs 8 bytes, its place has 4");
});

Deno.test("a tensor whose shape does not fit its data is not written", () => {
  const wrong = new Map([["w", { shape: [3], data: Float32Array.of(1, 2) }]]);
  const says = 'tensor "w" of shape [3] cannot be written: 2 values';
  assertThrows(() => writeSafetensors(wrong), Error, says);
});

Deno.test("numbers beyond half precision are not written as infinite: their tensors are named", () => {
  const tensor = (...values: number[]) => ({
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const write = (value: number) =>
    writeSafetensors(new Map([["small", tensor(1)], ["large", tensor(0, value)]]), {
      dtype: "F16",
    });
  // 65520 is half way to what would be the next half, 65536, and rounds to infinity.
  for (const value of [65520, -65520, 1e6, Infinity, NaN]) {
    assertEquals(
      assertThrows(() => write(value), InputError).message,
      '16 bits: numbers of 1 tensors are beyond ±65504, the largest half: "large"; keep 32 bits',
    );
  }
  const { tensors } = parseSafetensors(write(-65519), "half");
  assertEquals(tensors.get("large")!.data, Float32Array.of(0, -65504));
});

Deno.test("a text of megabytes in the metadata is read, whatever stands in it", () => {
  for (const text of ["x".repeat(12_000_000), '\\"{'.repeat(2_000_000)]) {
    const bytes = writeSafetensors(new Map(), { metadata: { text } });
    assertEquals(parseSafetensors(bytes).metadata.text.length, text.length);
  }
});
