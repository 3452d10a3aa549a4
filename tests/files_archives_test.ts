/** Archives and arrays as others write them, where they are unusual, damaged or read piece by piece. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { npyHeader, parseNpy, writeNpy } from "../src/files/npy.ts";
import { openZip, streamOf, streamZip } from "../src/files/npz_stream.ts";
import { crc32 } from "../src/files/crc32.ts";
import { parseSafetensors, writeSafetensors } from "../src/files/safetensors.ts";
import { parseTorch } from "../src/files/torch/file.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import { encodeGif } from "../src/image/gif.ts";
import { picturesNpz, readNpz, writeNpz } from "../src/image/npz.ts";
import { encodePng } from "../src/image/png.ts";
import { encodeEnlarged } from "../src/image/png_enlarged.ts";
import { decodePicture } from "../src/image/read.ts";
import { bytesOf, jpegs, pngs, pngWithTexts } from "./image_fixtures.ts";
import { torchBytes } from "./torch_fixtures.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** Where in an archive a directory's entry or a file's header begins. */
function places(zip: Uint8Array, signature: 0x02014b50 | 0x04034b50): number[] {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  const found: number[] = [];
  for (let at = 0; at + 4 <= zip.length; at++) {
    if (view.getUint32(at, true) === signature) found.push(at);
  }
  return found;
}

/** The archive with another number in its last file's entry of the directory. */
function withEntry(zip: Uint8Array, offset: number, change: (was: number) => number): Uint8Array {
  const copy = zip.slice();
  const view = new DataView(copy.buffer);
  const at = places(copy, 0x02014b50).at(-1)! + offset;
  view.setUint32(at, change(view.getUint32(at, true)), true);
  return copy;
}

const CHECKSUM = 16, COMPRESSED = 20, UNCOMPRESSED = 24, OFFSET = 42;

const read = (zip: Uint8Array) => readZip(zip, "x.zip");

Deno.test("what a directory says of an entry is compared with what is there", async () => {
  for (const compress of [false, true]) {
    const zip = await writeZip(new Map([["a", bytes("some words".repeat(9))]]), { compress });
    const longer = (was: number) => was + 1000;
    const cut = withEntry(withEntry(zip, COMPRESSED, longer), UNCOMPRESSED, longer);
    await assertRejects(() => read(cut), InputError, "x.zip/a: damaged (it is cut off)");
    const moved = withEntry(zip, OFFSET, (was) => was + 2);
    await assertRejects(
      () => read(moved),
      InputError,
      "x.zip/a: damaged (its header is not there)",
    );
    for (const place of [zip.length - 8, zip.length, zip.length + 999]) {
      const beyond = withEntry(zip, OFFSET, () => place);
      await assertRejects(() => read(beyond), InputError, "x.zip/a: damaged (its header");
    }
    // In the directory and in front of the file.
    const other = withEntry(zip, CHECKSUM, (was) => was ^ 1);
    const view = new DataView(other.buffer);
    view.setUint32(14, view.getUint32(14, true) ^ 1, true);
    await assertRejects(() => read(other), InputError, "x.zip/a: damaged (");
  }
  const stored = await writeZip(new Map([["a", bytes("some words")]]));
  const shorter = withEntry(stored, UNCOMPRESSED, (was) => was - 1);
  await assertRejects(() => read(shorter), InputError, "x.zip/a: damaged (it is cut off)");
});

/** A directory of entries, and what closes an archive of them (APPNOTE 4.3.12, 4.3.16). */
function directory(before: Uint8Array, entries: readonly Uint8Array[]): Uint8Array {
  const size = entries.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(before.length + size + 22);
  let at = before.length;
  bytes.set(before);
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  const view = new DataView(bytes.buffer, at);
  view.setUint32(0, 0x06054b50, true);
  for (const offset of [8, 10]) view.setUint16(offset, entries.length, true);
  view.setUint32(12, size, true);
  view.setUint32(16, before.length, true);
  return bytes;
}

Deno.test("no more entries are read than 10,000, and no more bytes than 4 GiB, unless more are allowed", async () => {
  const entry = (name: string, extra: readonly number[] = []) => {
    const bytes = new Uint8Array(46 + name.length + extra.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x02014b50, true);
    view.setUint16(28, name.length, true);
    view.setUint16(30, extra.length, true);
    new TextEncoder().encodeInto(name, bytes.subarray(46));
    bytes.set(extra, 46 + name.length);
    return bytes;
  };
  const folders = (count: number) =>
    directory(new Uint8Array(), Array.from({ length: count }, (_, i) => entry(`${i}/`)));
  await assertRejects(
    () => read(folders(10_001)),
    InputError,
    "x.zip: more than the 10000 entries that are read",
  );
  assertEquals((await readZip(folders(3), "x.zip", { maxEntries: 3 })).size, 0);

  // Zip64 (APPNOTE 4.5.3): the inflated size is in a field behind the name.
  const local = (await writeZip(new Map([["a", new Uint8Array()]]))).subarray(0, 31);
  const announcing = (size: bigint) => {
    const extra = [1, 0, 8, 0, ...new Uint8Array(BigUint64Array.of(size).buffer)];
    const bytes = entry("a", extra);
    new DataView(bytes.buffer).setUint32(24, 0xffffffff, true);
    return directory(local, [bytes]);
  };
  await assertRejects(
    () => read(announcing(2n ** 32n + 1n)),
    InputError,
    "x.zip/a: inflates to more than the 4294967296 bytes that are taken",
  );
  await assertRejects(() => read(announcing(2n ** 32n)), InputError, "x.zip/a: damaged (it is cut");
});

Deno.test("an encrypted entry is refused by its name", async () => {
  const zip = await writeZip(new Map([["a", bytes("secret")]]));
  // Bit 0 of the flags, in the directory and in front of the file.
  zip[places(zip, 0x02014b50)[0] + 8] |= 1;
  zip[places(zip, 0x04034b50)[0] + 6] |= 1;
  await assertRejects(() => read(zip), InputError, "x.zip/a: is encrypted, which is not read");
});

Deno.test("a name that is there twice is refused, and folders are no files", async () => {
  const two = await writeZip(new Map([["same", bytes("1")], ["sama", bytes("2")]]));
  const text = String.fromCharCode(...two).replaceAll("sama", "same");
  const twice = Uint8Array.from(text, (sign) => sign.charCodeAt(0));
  await assertRejects(() => read(twice), InputError, 'x.zip: two entries have the name "same"');
  const zip = await writeZip(new Map([["w/", new Uint8Array()], ["w/a", bytes("1")]]));
  assertEquals([...(await read(zip)).keys()], ["w/a"]);
  const opened = await openZip(access(zip), "x.zip");
  assertEquals([...opened.keys()], ["w/a"]);
});

function access(zip: Uint8Array) {
  return {
    size: zip.length,
    read: (offset: number, length: number) => Promise.resolve(zip.slice(offset, offset + length)),
  };
}

async function streamed(files: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const parts = [...files].map(([name, file]) => ({
    name,
    size: file.length,
    bytes: streamOf(file),
  }));
  const [whole] = await Promise.all([
    new Response(readable as ReadableStream<Uint8Array<ArrayBuffer>>).bytes(),
    streamZip(parts, writable),
  ]);
  return whole;
}

Deno.test("archives are dated 1980, whenever and wherever they are written, in memory or streamed", async () => {
  const files = new Map([["a.npy", bytes("aaa")], ["b.npy", new Uint8Array(70_000)]]);
  for (const zip of [await writeZip(files), await streamed(files)]) {
    const view = new DataView(zip.buffer, zip.byteOffset);
    // MS-DOS' time and date: midnight of January 1st of its first year.
    for (const at of places(zip, 0x02014b50)) {
      assertEquals([view.getUint16(at + 12, true), view.getUint16(at + 14, true)], [0, 0x21]);
      // As MS-DOS made it, version 2.0, with no rights of a system's, and nothing beside its name.
      assertEquals([view.getUint16(at + 4, true), view.getUint32(at + 38, true)], [20, 0]);
      assertEquals(view.getUint16(at + 30, true), 0);
      // Stored as it is.
      assertEquals(view.getUint16(at + 10, true), 0);
      assertEquals(view.getUint32(at + 20, true), view.getUint32(at + 24, true));
    }
    for (const at of places(zip, 0x04034b50)) {
      assertEquals([view.getUint16(at + 10, true), view.getUint16(at + 12, true)], [0, 0x21]);
      assertEquals(view.getUint16(at + 28, true), 0, "nothing beside its name");
    }
    assertEquals(await read(zip), files);
  }
});

/** A .npy file of another version, or with another header. */
function npy(header: string, body: number[], version = 1): Uint8Array {
  const text = bytes(header);
  const length = version === 1
    ? [text.length & 255, text.length >> 8]
    : [...new Uint8Array(Uint32Array.of(text.length).buffer)];
  return Uint8Array.of(0x93, ...bytes("NUMPY"), version, 0, ...length, ...text, ...body);
}

Deno.test("arrays of the format's later versions, whose headers may be longer, are read", () => {
  const header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
  for (const version of [1, 2, 3]) {
    assertEquals(parseNpy(npy(header, [7, 8], version), "x.npy"), {
      shape: [2],
      data: Uint8Array.of(7, 8),
    });
  }
  const long = header.padEnd(70_000) + "\n";
  assertEquals(parseNpy(npy(long, [7, 8], 2), "x.npy").data, Uint8Array.of(7, 8));
  for (const version of [1, 2]) {
    const whole = npy(header, [], version);
    for (const cut of [whole.length - 1, 11, 10]) {
      const says = "x.npy: the .npy header is cut off";
      assertThrows(() => parseNpy(whole.slice(0, cut), "x.npy"), InputError, says);
    }
    const says = "x.npy: expected a .npy array, found another format";
    assertThrows(() => parseNpy(whole.slice(0, 9), "x.npy"), InputError, says);
  }
});

Deno.test("a header without one of its keys, or with a broken shape, is refused", () => {
  const other = (type: string) =>
    `elements of type "${type}"; b1, u1, i1, u2, i2, u4, i4, u8, i8, f2, f4, f8 are read`;
  const keys = "expected a .npy header with shape and fortran_order";
  const u1 = "'descr': '|u1', 'fortran_order': False, 'shape': ";
  const cases: [string, string][] = [
    ["{'fortran_order': False, 'shape': (1,), }", other("")],
    ["{'descr': '|u1', 'shape': (1,), }", keys],
    ["{'descr': '|u1', 'fortran_order': False, }", keys],
    [`{${u1}(1 1,), }`, "expected whole numbers in the shape, found (1 1,)"],
    [`{${u1}(${2 ** 53},), }`, `expected whole numbers in the shape, found (${2 ** 53},)`],
    [`{${u1}(2, 3), }`, "shape (2,3) does not fit 1 bytes"],
    [`{${u1}(0,), }`, "shape (0) does not fit 1 bytes"],
    ["{'descr': '|toString', 'fortran_order': False, 'shape': (1,), }", other("|toString")],
    ["{'descr': 'u1', 'fortran_order': False, 'shape': (1,), }", other("u1")],
    ["{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,), }", other("")],
  ];
  for (const [header, says] of cases) {
    const { message } = assertThrows(() => parseNpy(npy(header, [1]), "x.npy"), InputError);
    assertEquals(message, `x.npy: ${says}`);
  }
});

Deno.test("a header is as long as it has to be, a multiple of 64 bytes", () => {
  for (let rank = 0; rank < 70; rank++) {
    const header = npyHeader("<f4", Array(rank).fill(123));
    assertEquals([header.length % 64, header.at(-1)], [0, 0x0a]);
    assertEquals(new DataView(header.buffer).getUint16(8, true), header.length - 10);
    const text = new TextDecoder().decode(header.subarray(10));
    assert(text.length - text.trimEnd().length <= 64, text);
  }
  const shape = Array(90).fill(1);
  assertEquals(parseNpy(writeNpy({ shape, data: Int32Array.of(5) }), "x").shape, shape);
});

Deno.test("of an archive the arrays are read that are wanted, and not what macOS puts beside them", async () => {
  const zip = await writeZip(
    new Map([
      ["a.npy", writeNpy({ shape: [1], data: Uint8Array.of(1) })],
      ["b.npy", bytes("no array")],
      ["__MACOSX/a.npy", bytes("no array")],
      ["c/._a.npy", bytes("no array")],
      ["notes.txt", bytes("notes")],
    ]),
  );
  const arrays = await readNpz(zip, "x.npz", undefined, (name) => name === "a");
  assertEquals(arrays, new Map([["a", { shape: [1], data: Uint8Array.of(1) }]]));
  assertEquals((await readNpz(zip, "x.npz", undefined, () => false)).size, 0);
  const litter = ["__MACOSX/a.npy", "__MACOSX/._a.npy", "._a.npy", "c/._a.npy"].map((name) =>
    [name, bytes("no array")] as const
  );
  const own = ["a.npy", "c/a.npy", "x._a.npy"].map((name) =>
    [name, writeNpy({ shape: [1], data: Uint8Array.of(1) })] as const
  );
  const both = await readNpz(await writeZip(new Map([...litter, ...own])), "x.npz");
  assertEquals([...both.keys()], ["a", "c/a", "x._a"]);
  await assertRejects(
    () => readNpz(zip, "x.npz"),
    InputError,
    "x.npz/b.npy: expected a .npy array",
  );
  const many = await writeNpz(new Map([["a", { shape: [9], data: new Uint8Array(9) }]]));
  await assertRejects(
    () => readNpz(many, "x.npz", { maxBytes: 100 }),
    InputError,
    "x.npz/a.npy: inflates to more than the 100 bytes that are taken",
  );
});

Deno.test("numbers that were read are their own: what becomes of the file changes nothing", () => {
  for (const data of [Uint8Array.of(1, 2), Float32Array.of(1, 2), Float64Array.of(1, 2)]) {
    const file = writeNpy({ shape: [2], data });
    const read = parseNpy(file, "x.npy");
    file.fill(0);
    assertEquals(read.data, data);
  }
});

Deno.test("bytes are read wherever in a buffer they lie, and left as they were", async () => {
  const files = new Map([["a.npy", writeNpy({ shape: [2], data: Float32Array.of(1, 2) })]]);
  const tensors = new Map([["w", { shape: [3], data: Float32Array.of(1, 2, 3) }]]);
  const big = writeNpy({ shape: [3], data: Float32Array.of(1, 2, 3) });
  big[big.indexOf("<".charCodeAt(0))] = ">".charCodeAt(0);
  const readers: [Uint8Array, (bytes: Uint8Array) => unknown][] = [
    [await writeZip(files), read],
    [await writeZip(files, { compress: true }), read],
    [await writeZip(files), (bytes) => readNpz(bytes, "x")],
    [files.get("a.npy")!, (bytes) => parseNpy(bytes, "x")],
    [big, (bytes) => parseNpy(bytes, "x")],
    [writeSafetensors(tensors), (bytes) => parseSafetensors(bytes)],
    [writeSafetensors(tensors, { dtype: "F16" }), (bytes) => parseSafetensors(bytes)],
    [torchBytes("zipped"), (bytes) => parseTorch(bytes, "x")],
    [torchBytes("legacy"), (bytes) => parseTorch(bytes, "x")],
    [bytes("123456789"), crc32],
    [bytesOf(pngWithTexts), (bytes) => decodePicture(bytes, "x")],
    ...Object.values({ ...pngs, ...jpegs }).map((
      { file },
    ): [Uint8Array, (bytes: Uint8Array) => unknown] => [
      bytesOf(file),
      (bytes) => decodePicture(bytes, "x"),
    ]),
  ];
  for (const [file, readFile] of readers) {
    const expected = await readFile(file.slice());
    const around = new Uint8Array(file.length + 12).fill(0x50);
    around.set(file, 5);
    const before = around.slice();
    assertEquals(await readFile(around.subarray(5, 5 + file.length)), expected);
    assertEquals(around, before);
  }
});

Deno.test("numbers and pixels are written from where in a buffer they lie", async () => {
  const inside = <T extends Uint8Array | Float32Array>(data: T): T => {
    const around = new Uint8Array(data.byteLength + 24).fill(7);
    around.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 8);
    const Type = data.constructor as new (b: ArrayBuffer, at: number, length: number) => T;
    return new Type(around.buffer, 8, data.length);
  };
  const floats = Float32Array.of(1, 2, 3, 4);
  const pixels = Uint8Array.from({ length: 24 }, (_, i) => 9 * i);
  const writers: ((place: typeof inside) => unknown)[] = [
    (place) => writeNpy({ shape: [4], data: place(floats) }),
    (place) => writeSafetensors(new Map([["w", { shape: [4], data: place(floats) }]])),
    (place) => writeZip(new Map([["a", place(pixels)]])),
    (place) => streamed(new Map([["a", place(pixels)]])),
    ...[1, 2, 3, 4].flatMap((channels) => {
      const picture = (place: typeof inside) => ({
        pixels: place(pixels),
        width: 6 / channels,
        height: 4,
        channels,
      });
      const whole = channels === 4 ? { width: 2, height: 3 } : {};
      return [
        (place: typeof inside) => encodePng({ ...picture(place), ...whole }),
        (place: typeof inside) => encodeEnlarged({ ...picture(place), ...whole }, 2),
        (place: typeof inside) => encodeGif([{ ...picture(place), ...whole }]),
        (place: typeof inside) => picturesNpz([{ ...picture(place), ...whole }]),
      ];
    }),
  ];
  for (const write of writers) assertEquals(await write(inside), await write((data) => data));
});

Deno.test("what is large and compressed comes back whole, piece behind piece", async () => {
  const numbers = Uint8Array.from({ length: 300_000 }, (_, i) => i * 7 + (i >> 8));
  const zip = await writeZip(new Map([["a", numbers]]), { compress: true });
  assert(zip.length < 100_000, `${zip.length}`);
  assertEquals((await read(zip)).get("a"), numbers);
});

Deno.test("pictures of several sizes or kinds are no array", async () => {
  const picture = (width: number, height: number, channels: number) => ({
    pixels: new Uint8Array(width * height * channels),
    width,
    height,
    channels,
  });
  const first = picture(4, 2, 3);
  for (const other of [picture(2, 4, 3), picture(4, 3, 3), picture(4, 6, 1), picture(12, 2, 1)]) {
    await assertRejects(async () => await picturesNpz([first, other]), Error, "one size and kind");
  }
  const [array] = (await readNpz(await picturesNpz([first, first]), "x.npz")).values();
  assertEquals(array.shape, [2, 2, 4, 3]);
  assert((await picturesNpz(Array(99).fill(first))).length < 500, "it is compressed");
});
