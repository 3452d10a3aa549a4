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

const refusals: Record<string, [Uint8Array<ArrayBuffer>, RegExp]> = {
  "a file shorter than a header's length": [new Uint8Array(7), /7 bytes/],
  "a file that is a header's length alone": [new Uint8Array(8), /the header is not valid JSON/],
  "a header longer than the file": [
    Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 0, 123, 125),
    /length of 255/,
  ],
  "a header of a byte more than there is": [
    Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 123, 125),
    /length of 3 in 10 bytes/,
  ],
  "a header of 2⁶³ bytes": [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 128, 123, 125), /length of 9223/],
  "a header that is no JSON": [file("{"), /JSON/],
  "a header that is no UTF-8": [file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /JSON/],
  "a header nested beyond the stack": [file("[".repeat(500_000)), /JSON/],
  "a header that is a list": [file([]), /object/],
  "a tensor that is there twice": [
    file(`{"a":${JSON.stringify(f32(0, 4))},"a":${JSON.stringify(f32(4, 8))}}`, new Uint8Array(8)),
    /"a" twice/,
  ],
  "a tensor that is there twice, once in escapes": [
    file(
      `{"a":${JSON.stringify(f32(0, 4))},"\\u0061":${JSON.stringify(f32(0, 4))}}`,
      new Uint8Array(4),
    ),
    /"a" twice/,
  ],
  "a key of a tensor that is there twice": [
    file(`{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, new Uint8Array(4)),
    /"dtype" twice/,
  ],
  "a tensor without a description": [file({ w: null }), /"w"/],
  "an unknown type": [
    file({ w: { ...f32(0, 4), dtype: "F4" } }, new Uint8Array(4)),
    /"w".*F4/,
  ],
  "a type that is a method's name": [
    file({ w: { ...f32(0, 4), dtype: "toString" } }, new Uint8Array(4)),
    /"w"/,
  ],
  "a negative dimension": [file({ w: f32(0, 4, [-1]) }, new Uint8Array(4)), /"w".*-1/],
  "a broken dimension": [file({ w: f32(0, 4, [0.5]) }, new Uint8Array(4)), /"w".*0\.5/],
  "dimensions whose product overflows": [
    file({ w: f32(0, 4, [2 ** 52, 2 ** 52]) }, new Uint8Array(4)),
    /"w"/,
  ],
  "more dimensions than tensors have": [
    file({ w: f32(0, 4, Array(9).fill(1)) }, new Uint8Array(4)),
    /"w": expected up to 8 whole numbers as shape, found \[1,1,1,1,1,1,1,1,1\]/,
  ],
  "a shape that needs more bytes than there are": [
    file({ w: f32(0, 4, [2]) }, new Uint8Array(4)),
    /"w".*8 bytes.*4/,
  ],
  "data_offsets of three numbers": [
    file({ w: { ...f32(0, 4), data_offsets: [0, 4, 8] } }, new Uint8Array(4)),
    /"w".*data_offsets/,
  ],
  "an end before the beginning": [file({ w: f32(4, 0, [1]) }, new Uint8Array(4)), /"w".*4…0/],
  "an end outside the file": [file({ w: f32(0, 8) }, new Uint8Array(4)), /"w".*outside/],
  "an overlap": [file({ v: f32(0, 8), w: f32(4, 12) }, new Uint8Array(12)), /"w" overlaps/],
  "a hole": [file({ v: f32(0, 4), w: f32(8, 12) }, new Uint8Array(12)), /4 bytes before.*"w"/],
  "bytes after the last tensor": [file({ v: f32(0, 4) }, new Uint8Array(6)), /last 2 bytes/],
  "metadata that is no string": [file({ __metadata__: { a: 1 } }), /__metadata__/],
};

for (const [what, [bytes, message]] of Object.entries(refusals)) {
  Deno.test(`refuses ${what}, naming the file and what is wrong`, () => {
    const error = assertThrows(() => parseSafetensors(bytes, "weights/x.safetensors"), InputError);
    assert(error.message.startsWith("weights/x.safetensors: "), error.message);
    assert(message.test(error.message), error.message);
  });
}

Deno.test("a tensor whose shape does not fit its data is not written", () => {
  const wrong = new Map([["w", { shape: [3], data: Float32Array.of(1, 2) }]]);
  assertThrows(() => writeSafetensors(wrong), Error, '"w" of shape [3]');
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
    const error = assertThrows(() => write(value), InputError, '"large"');
    assert(!error.message.includes("small"), error.message);
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
