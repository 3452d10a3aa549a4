/** safetensors as they come, in pieces of any size, and the layouts that the format allows. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { joinBytes } from "../src/files/bytes.ts";
import { isBeyondHalf, namesText, parseSafetensors } from "../src/files/safetensors.ts";
import { writeSafetensors } from "../src/files/safetensors.ts";
import { streamSafetensors } from "../src/files/safetensors_stream.ts";

type Described = readonly [name: string, dtype: string, shape: readonly number[], bytes: number[]];

/** A file of these tensors, one behind the other. */
function file(tensors: readonly Described[], metadata?: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let at = 0;
  for (const [name, dtype, shape, bytes] of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at += bytes.length] };
  }
  return withHeader(header, tensors.flatMap(([, , , bytes]) => bytes));
}

function withHeader(header: unknown, data: readonly number[]): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = new Uint8Array(BigUint64Array.of(BigInt(json.length)).buffer);
  return joinBytes([length, json, Uint8Array.from(data)]);
}

/** A stream that gives these pieces, and whether it was let go before its end. */
function streamOf(pieces: readonly Uint8Array[]) {
  const state = { cancelled: false, left: pieces.length };
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (state.left === 0) return controller.close();
      controller.enqueue(pieces[pieces.length - state.left--].slice());
    },
    cancel: () => void (state.cancelled = true),
  }, { highWaterMark: 0 });
  return { state, stream };
}

const inPieces = (bytes: Uint8Array, size: number) =>
  Array.from(
    { length: Math.ceil(bytes.length / size) },
    (_, i) => bytes.subarray(i * size, (i + 1) * size),
  );

async function readStream(pieces: readonly Uint8Array[]) {
  const seen: number[] = [];
  const { stream, state } = streamOf(pieces);
  const opened = await streamSafetensors(stream, "w.safetensors", (piece) => {
    seen.push(...piece);
  });
  const tensors = new Map<string, number[]>();
  for await (const [name, data] of opened.tensors()) tensors.set(name, [...data]);
  return { ...opened, tensors, seen, state };
}

const floats = (...numbers: number[]) => [...new Uint8Array(Float32Array.from(numbers).buffer)];
const halves = (...numbers: number[]) => [...new Uint8Array(Float16Array.from(numbers).buffer)];

const mixed = file([
  ["counts", "I64", [3], Array(24).fill(7)],
  ["w", "F32", [2], floats(1.5, -2)],
  ["flag", "BOOL", [1], [1]],
  ["h", "F16", [3], halves(0.5, -0.25, 65504)],
  ["none", "F32", [0, 4], []],
  ["b", "BF16", [1], [0x40, 0xc0]],
  ["mask", "U8", [40], Array(40).fill(3)],
  ["d", "F64", [1], [...new Uint8Array(Float64Array.of(Math.PI).buffer)]],
], { format: "pt" });

const expected = new Map([
  ["w", [1.5, -2]],
  ["h", [0.5, -0.25, 65504]],
  ["none", []],
  ["b", [-3]],
  ["d", [Math.fround(Math.PI)]],
]);

Deno.test("a stream gives what the whole file gives, whatever pieces it comes in", async () => {
  const whole = parseSafetensors(mixed).tensors;
  assertEquals(new Map([...whole].map(([name, { data }]) => [name, [...data]])), expected);
  const empty = new Uint8Array();
  for (const size of [1, 3, 8, 64, mixed.length]) {
    // Pieces without bytes say nothing, be it in between or at the end.
    const pieces = inPieces(mixed, size).flatMap((piece) => [empty, piece]).concat(empty, empty);
    const { tensors, seen, entries, metadata } = await readStream(pieces);
    assertEquals(tensors, expected, `${size}`);
    assertEquals(seen, [...mixed]);
    assertEquals([entries.map(({ name }) => name), metadata], [
      [...expected.keys()],
      { format: "pt" },
    ]);
  }
});

Deno.test("who stops on the way lets go of the stream", async () => {
  const { stream, state } = streamOf(inPieces(mixed, 16));
  const { tensors } = await streamSafetensors(stream, "w");
  for await (const [name] of tensors()) {
    assertEquals(name, "w");
    break;
  }
  assert(state.cancelled);
  const other = streamOf(inPieces(mixed, 16));
  await (await streamSafetensors(other.stream, "w")).cancel();
  assert(other.state.cancelled);
  // So does what finds the file wrong: in its header, or behind it.
  const header = (text: string) => {
    const length = new Uint8Array(BigUint64Array.of(BigInt(text.length)).buffer);
    return Uint8Array.of(...length, ...new TextEncoder().encode(text), ...new Uint8Array(64));
  };
  const long = new Uint8Array(BigUint64Array.of(2n ** 40n, 0n).buffer);
  for (const wrong of [header("{"), header('{"w":7}'), long, Uint8Array.of(...mixed, 0, 0)]) {
    const { stream, state } = streamOf([...inPieces(wrong, 8), new Uint8Array(8)]);
    await assertRejects(async () => {
      for await (const _ of (await streamSafetensors(stream, "w")).tensors());
    }, InputError);
    assert(state.cancelled, `${wrong.length}`);
  }
});

Deno.test("each piece has been seen before the next is asked for, and before its tensors are told", async () => {
  const log: string[] = [];
  const left = inPieces(file([["w", "F32", [1], floats(1)]]), 50);
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = left.shift();
      if (!piece) return controller.close();
      log.push(`${piece.length} come`);
      controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
  const opened = await streamSafetensors(stream, "w", async (piece) => {
    await new Promise((done) => setTimeout(done));
    log.push(`${piece.length} seen`);
  });
  for await (const [name] of opened.tensors()) log.push(name);
  assertEquals(log, ["50 come", "50 seen", "16 come", "16 seen", "w"]);
});

Deno.test("what is wrong is told though the stream cannot be let go", async () => {
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(8)),
    cancel: () => Promise.reject(new Error("it is stuck")),
  });
  await assertRejects(() => streamSafetensors(stream, "w"), InputError, "w: the header is not");
});

Deno.test("a stream may have no tensors, or none of floats", async () => {
  for (const tensors of [[], [["n", "I64", [1], Array(8).fill(1)]]] as Described[][]) {
    const { entries, tensors: read, metadata, seen } = await readStream([file(tensors)]);
    assertEquals([entries, read, metadata], [[], new Map(), {}]);
    assertEquals(seen, [...file(tensors)]);
    assertEquals(parseSafetensors(file(tensors)), { tensors: new Map(), metadata: {} });
  }
  await assertRejects(
    () => readStream([file([]), Uint8Array.of(1)]),
    InputError,
    "w.safetensors: bytes behind the last tensor belong to none",
  );
});

Deno.test("a stream that promises a header of gigabytes is refused before room is made for it", async () => {
  const says = (length: bigint) => new Uint8Array(BigUint64Array.of(length).buffer);
  for (const length of [100_000_001n, 2n ** 40n, 2n ** 64n - 1n]) {
    await assertRejects(
      () => readStream([says(length)]),
      InputError,
      `w.safetensors: expected a safetensors header, found a length of ${length}`,
    );
  }
  await assertRejects(() => readStream([says(50n)]), InputError, "50 bytes more, found the end");
});

Deno.test("empty tensors lie anywhere, in whichever order the header names them", () => {
  const f32 = (start: number, end: number, shape: number[]) => ({
    dtype: "F32",
    shape,
    data_offsets: [start, end],
  });
  const data = floats(1, 2);
  const tensors = { w: f32(0, 4, [1]), a: f32(0, 0, [0]), v: f32(4, 8, [1]), b: f32(4, 4, [2, 0]) };
  const read = parseSafetensors(withHeader({ ...tensors, c: f32(8, 8, [0]) }, data)).tensors;
  assertEquals([...read.keys()], ["a", "w", "b", "v", "c"]);
  assertEquals([read.get("w")!.data[0], read.get("v")!.data[0]], [1, 2]);
  const inside = withHeader({ w: f32(0, 8, [2]), a: f32(4, 4, [0]) }, data);
  assertThrows(() => parseSafetensors(inside), InputError, '"a" overlaps');
});

Deno.test("no more tensors are read than 100,000", () => {
  const of = (count: number) => {
    const header = Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i}`, 0]));
    return withHeader(header, []);
  };
  const most = "w: 100001 tensors, at most 100000 are read";
  assertThrows(() => parseSafetensors(of(100_001), "w"), InputError, most);
  // So many are, up to what is wrong with the first of them.
  const first = 'w: tensor "0" has no description';
  assertThrows(() => parseSafetensors(of(100_000), "w"), InputError, first);
});

Deno.test("tensors are written padded with spaces, and none by the name that the format keeps", () => {
  const one = { shape: [1], data: Float32Array.of(1) };
  for (const name of ["w", "ww", "www"]) {
    const bytes = writeSafetensors(new Map([[name, one]]), { metadata: { a: "b" } });
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = new TextDecoder().decode(bytes.subarray(8, 8 + length));
    assertEquals(length % 8, 0);
    const json = JSON.stringify({
      __metadata__: { a: "b" },
      [name]: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    });
    assertEquals(header, json.padEnd(length));
  }
  const kept = new Map([["__metadata__", one]]);
  assertThrows(
    () => writeSafetensors(kept),
    Error,
    '"__metadata__" of shape [1] cannot be written',
  );
});

Deno.test("what a half cannot hold is what rounds to infinity, or is no number", () => {
  const beyond = (...numbers: number[]) => isBeyondHalf(Float32Array.from(numbers));
  for (const fits of [0, -0, 1e-30, 65504, -65504, 65519.99]) assert(!beyond(1, fits), `${fits}`);
  for (const x of [65520, -65520, 1e30, Infinity, -Infinity, NaN]) assert(beyond(1, x), `${x}`);
  assert(!beyond());
});

Deno.test("of many names the first four are said, and how many more there are", () => {
  const of = (count: number) => namesText(["a", "b", "c", "d", "e", "f"].slice(0, count));
  assertEquals([0, 1, 3].map(of), ["", '"a"', '"a", "b", "c"']);
  assertEquals(of(4), '"a", "b", "c", "d"');
  assertEquals(of(5), '"a", "b", "c", "d" and 1 more');
  assertEquals(of(6), '"a", "b", "c", "d" and 2 more');
});
