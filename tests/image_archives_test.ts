import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { npyHeader, parseNpy, writeNpy } from "../src/files/npy.ts";
import { picturesNpz, readNpz, writeNpz } from "../src/image/npz.ts";
import { openZip } from "../src/files/npz_stream.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import { bytesOf, npz, streamedZip } from "./image_fixtures.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("reads what numpy.savez_compressed wrote", async () => {
  const arrays = await readNpz(bytesOf(npz), "x.npz");
  assertEquals(
    arrays,
    new Map<string, unknown>([
      ["arr_0", { shape: [1, 2, 3, 1], data: Uint8Array.of(0, 1, 2, 3, 4, 5) }],
      ["w", { shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) }],
      ["l", { shape: [4], data: BigInt64Array.of(0n, -1n, -2n, -3n) }],
      ["d", { shape: [2], data: Float64Array.of(1, 1) }],
      ["s", { shape: [], data: Float32Array.of(3) }],
    ]) as typeof arrays,
  );
});

Deno.test("a .npy header is byte for byte numpy's", () => {
  // np.save of np.zeros((16, 32, 32, 3), np.uint8), of zeros((5,), float32) and of a scalar.
  const head = (shape: string, type: string) =>
    `{'descr': '${type}', 'fortran_order': False, 'shape': ${shape}, }`;
  const cases: [string, number[], string][] = [
    ["|u1", [16, 32, 32, 3], "(16, 32, 32, 3)"],
    ["<f4", [5], "(5,)"],
    ["<i8", [], "()"],
  ];
  for (const [type, shape, tuple] of cases) {
    const header = npyHeader(type, shape);
    assertEquals(header.length % 64, 0);
    assertEquals([...header.subarray(0, 8)], [0x93, 78, 85, 77, 80, 89, 1, 0]);
    assertEquals(new DataView(header.buffer).getUint16(8, true), header.length - 10);
    const text = new TextDecoder().decode(header.subarray(10));
    assertEquals(text, head(tuple, type).padEnd(header.length - 11) + "\n");
  }
});

Deno.test("arrays of every type come back from .npz, compressed or not", async () => {
  const arrays = new Map([
    ["a", { shape: [2, 2], data: Uint8Array.of(1, 2, 3, 255) }],
    ["b", { shape: [3], data: Float32Array.of(-1.5, 0, NaN) }],
    ["c", { shape: [1, 1], data: Float64Array.of(Math.PI) }],
    ["d/e", { shape: [2], data: Int32Array.of(-1, 7) }],
    ["f", { shape: [0, 4], data: BigInt64Array.of() }],
  ]);
  for (const compress of [false, true]) {
    assertEquals(await readNpz(await writeNpz(arrays, { compress }), "x.npz"), arrays);
  }
});

Deno.test("an array in Fortran's order, as numpy saves a transposed one, is read in C's", () => {
  const inFortranOrder = (shape: number[], data: Float32Array) => {
    const text = String.fromCharCode(...writeNpy({ shape, data }));
    // The header stays as long as it was.
    return Uint8Array.from(text.replace("False", "True "), (sign) => sign.charCodeAt(0));
  };
  // np.arange(6).reshape(2, 3) and np.arange(12).reshape(2, 3, 2), saved from np.asfortranarray.
  const two = inFortranOrder([2, 3], Float32Array.of(0, 3, 1, 4, 2, 5));
  assertEquals(parseNpy(two, "x"), { shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) });
  const three = inFortranOrder([2, 3, 2], Float32Array.of(0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11));
  assertEquals(parseNpy(three, "x").data, Float32Array.from({ length: 12 }, (_, i) => i));
  const none = inFortranOrder([0, 3], new Float32Array());
  assertEquals(parseNpy(none, "x").data.length, 0);
});

Deno.test("pictures become arr_0, uint8 in the order N, H, W, C", async () => {
  const picture = (k: number) => ({
    pixels: Uint8Array.of(k, 1, 2, 3, 4, 5),
    width: 2,
    height: 1,
    channels: 3,
  });
  const arrays = await readNpz(await picturesNpz([picture(7), picture(9)]), "x.npz");
  const data = Uint8Array.of(7, 1, 2, 3, 4, 5, 9, 1, 2, 3, 4, 5);
  assertEquals(arrays, new Map([["arr_0", { shape: [2, 1, 2, 3], data }]]));
});

Deno.test("an array of another kind is refused with what was found", () => {
  const npy = writeNpy({ shape: [2], data: Float32Array.of(1, 2) });
  const swap = (from: string, to: string) => {
    const text = String.fromCharCode(...npy).replace(from, to);
    return Uint8Array.from(text, (sign) => sign.charCodeAt(0));
  };
  const refused: [Uint8Array, string][] = [
    [swap("<f4", "<c4"), 'type "<c4"'],
    [swap("<f4", "|O"), 'type "|O"'],
    [swap("False", "Maybe"), "fortran_order"],
    [swap("(2,)", "(3,)"), "shape (3) does not fit 8 bytes"],
    [swap("(2,)", "2   "), "a .npy header with shape"],
    [npy.subarray(0, 60), "cut off"],
    [bytes("PK not an array"), "another format"],
  ];
  for (const [file, message] of refused) {
    const error = assertThrows(() => parseNpy(file, "x.npz/w.npy"), InputError, message);
    assert(error.message.startsWith("x.npz/w.npy: "), error.message);
  }
});

Deno.test("numpy's other kinds of numbers, and big-endian ones, are read", () => {
  const read = (type: string, ...body: number[]) => {
    const header = npyHeader(type, [2]);
    return [...parseNpy(Uint8Array.from([...header, ...body]), "x.npy").data].map(Number);
  };
  assertEquals(read("|b1", 1, 0), [1, 0]);
  assertEquals(read("|i1", 255, 1), [-1, 1]);
  assertEquals(read("<u2", 1, 2, 255, 255), [513, 65535]);
  assertEquals(read(">u2", 1, 2, 255, 255), [258, 65535]);
  assertEquals(read("<i2", 255, 255, 1, 0), [-1, 1]);
  assertEquals(read("<u4", 255, 255, 255, 255, 1, 0, 0, 0), [4294967295, 1]);
  assertEquals(read(">i4", 0, 0, 0, 7, 255, 255, 255, 254), [7, -2]);
  assertEquals(read("=f4", 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0), [1, -2]);
  assertEquals(read(">i8", 0, 0, 0, 0, 0, 0, 1, 0, ...Array(8).fill(255)), [256, -1]);
  assertEquals(read(">f2", 0x3c, 0, 0xc0, 0), [1, -2]);
  assertEquals(read("<u8", 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0), [3, 4]);
  assertEquals(read("<f2", 0, 0x3c, 0, 0xc0), [1, -2]);
  assertEquals(read(">f4", 0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0), [1, -2]);
});

Deno.test("equal files give equal archives, and the files come back in order", async () => {
  const files = new Map([["7.png", bytes("seven")], ["unet/config.json", bytes("{}".repeat(99))]]);
  for (const compress of [false, true]) {
    const zip = await writeZip(files, { compress });
    assertEquals(zip, await writeZip(files, { compress }));
    assertEquals(await readZip(zip, "x.zip"), files);
  }
});

Deno.test("reads an archive that was written to a pipe, its sizes behind the data", async () => {
  const files = await readZip(bytesOf(streamedZip), "x.zip");
  assertEquals(files, new Map([["a/b.txt", bytes("streamed".repeat(20))]]));
});

/** An archive whose first and only entry has another name of equal length. */
async function renamed(name: string): Promise<Uint8Array> {
  const stand = "n".repeat(name.length);
  const zip = await writeZip(new Map([[stand, bytes("x")]]));
  const text = String.fromCharCode(...zip).replaceAll(stand, name);
  return Uint8Array.from(text, (sign) => sign.charCodeAt(0));
}

for (
  const name of [
    "../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "C:\\x.png",
    "a\\..\\b",
    "a/..",
  ]
) {
  Deno.test(`refuses an entry of the name ${JSON.stringify(name)}`, async () => {
    await assertRejects(
      async () => await readZip(await renamed(name), "x.zip"),
      InputError,
      `x.zip: the entry name ${JSON.stringify(name)} leaves the archive`,
    );
  });
}

Deno.test("takes names that only look like it", async () => {
  for (const name of ["a..b", "..c", "x/y..", "...", "ab:c"]) {
    assertEquals([...(await readZip(await renamed(name), "x.zip")).keys()], [name]);
  }
});

Deno.test("a bomb is refused while it inflates, whatever it says of its size", async () => {
  const zip = await writeZip(new Map([["zeros", new Uint8Array(20e6)]]), { compress: true });
  assert(zip.length < 30_000);
  const lying = zip.slice();
  const view = new DataView(lying.buffer);
  for (let at = 0; at + 4 <= lying.length; at++) {
    if (view.getUint32(at, true) === 20e6) view.setUint32(at, 1000, true);
  }
  await assertRejects(
    () => readZip(zip, "bomb", { maxBytes: 1e6 }),
    InputError,
    "bomb/zeros: inflates to more than the 1000000 bytes",
  );
  await assertRejects(() => readZip(lying, "bomb", { maxBytes: 1e6 }), InputError, "bomb/zeros: ");
});

Deno.test("the limit is for all entries together, and the number of entries has one", async () => {
  const files = new Map(["a", "b", "c"].map((name) => [name, new Uint8Array(400)]));
  const zip = await writeZip(files);
  assertEquals((await readZip(zip, "x.zip", { maxBytes: 1200, maxEntries: 3 })).size, 3);
  await assertRejects(
    () => readZip(zip, "x.zip", { maxBytes: 1199 }),
    InputError,
    "x.zip/c: inflates to more than the 399 bytes that are taken",
  );
  await assertRejects(
    () => readZip(zip, "x.zip", { maxEntries: 2 }),
    InputError,
    "x.zip: more than the 2 entries that are read",
  );
});

Deno.test("a changed byte in an entry is noticed", async () => {
  const zip = await writeZip(new Map([["a.txt", bytes("the very same words")]]));
  const at = zip.indexOf("v".charCodeAt(0), 30);
  const says = "x.zip/a.txt: damaged (its checksum is another)";
  await assertRejects(() => readZip(zip.with(at, 0), "x.zip"), InputError, says);
});

/** The archive with its second entry where the first one is, or `shift` bytes behind. */
function overlapped(zip: Uint8Array, shift = 0): Uint8Array<ArrayBuffer> {
  const copy = zip.slice();
  const view = new DataView(copy.buffer);
  const heads: number[] = [];
  for (let at = 0; at + 4 <= copy.length; at++) {
    if (view.getUint32(at, true) === 0x02014b50) heads.push(at);
  }
  const OFFSET = 42;
  const [first, second] = heads.slice(-2);
  view.setUint32(second + OFFSET, view.getUint32(first + OFFSET, true) + shift, true);
  return copy;
}

Deno.test("entries that share bytes are refused: few bytes would be read as often as they are named", async () => {
  for (const compress of [false, true]) {
    const zip = await writeZip(new Map([["a", bytes("words")], ["b", bytes("words")]]), {
      compress,
    });
    assertEquals((await readZip(zip, "x.zip")).size, 2);
    await assertRejects(
      () => readZip(overlapped(zip), "x.zip"),
      InputError,
      "x.zip/b: expected bytes of its own, found those of another entry",
    );
  }
});

Deno.test("an entry within another's data is refused", async () => {
  const inner = await writeZip(new Map([["b", bytes("words")]]));
  const zip = await writeZip(new Map([["a", inner], ["b", bytes("words")]]));
  const header = 30 + "a".length;
  await assertRejects(
    () => readZip(overlapped(zip, header), "x.zip"),
    InputError,
    "x.zip/b: expected bytes of its own",
  );
});

Deno.test("what is no archive is refused", async () => {
  const notZip = "x.zip: not a zip archive that can be read (File format is not recognized)";
  await assertRejects(() => readZip(bytes("hello"), "x.zip"), InputError, notZip);
  const zip = await writeZip(new Map([["readme.txt", bytes("x")]]));
  await assertRejects(
    () => readNpz(zip, "x.npz"),
    InputError,
    "x.npz: expected .npy arrays, found none",
  );
});

Deno.test("an archive that is read piece by piece gives its files, and notices a changed byte or a cut", async () => {
  const open = (bytes: Uint8Array) =>
    openZip({
      size: bytes.length,
      read: (offset, length) => Promise.resolve(bytes.slice(offset, offset + length)),
    }, "shard.npz");
  const numbers = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7 + (i >> 8));
  for (const compress of [false, true]) {
    const zip = await writeZip(new Map([["a.npy", numbers]]), { compress });
    const entry = (await open(zip)).get("a.npy")!;
    assertEquals(entry.size, numbers.length);
    // Each time it is asked for.
    for (let i = 0; i < 2; i++) assertEquals(await new Response(entry.open()).bytes(), numbers);
    const changed = zip.slice();
    changed[Math.floor(zip.length / 2)] ^= 1;
    const damaged = (await open(changed)).get("a.npy")!;
    await assertRejects(
      () => new Response(damaged.open()).bytes(),
      InputError,
      "shard.npz/a.npy: damaged (",
    );
    for (const cut of [zip.slice(0, -1), zip.slice(0, 1000), new Uint8Array(0)]) {
      await assertRejects(() => open(cut), InputError, "shard.npz: not a whole zip archive (");
    }
  }
});
