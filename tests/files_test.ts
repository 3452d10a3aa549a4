/** Files and bytes by themselves: written whole, checked, and read in the numbers they are stored in. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { writeAll, writeDurably, writeTextDurably, writeWhole } from "../src/files/atomic_write.ts";
import { joinBytes } from "../src/files/bytes.ts";
import { crc32 } from "../src/files/crc32.ts";
import { bfloatToFloat, float8ToFloat, floatToHalf, halfToFloat } from "../src/files/half.ts";
import { importPlugin, isModuleSpec } from "../src/files/import_plugin.ts";
import { InputError } from "../src/errors.ts";
import { repeatedKey } from "../src/files/json_keys.ts";
import { temporaryFolder } from "./cli.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const namesIn = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

Deno.test("a file is written whole, in place of what was there, and nothing is left beside it", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.bin`;
  await Deno.writeTextFile(path, "what was there before, and longer");
  await writeWhole(path, bytes("new"));
  assertEquals(await Deno.readTextFile(path), "new");
  await writeWhole(path, (file) => writeAll(file, bytes("by a function")));
  assertEquals(await Deno.readTextFile(path), "by a function");
  // A process that was killed has left a longer part under the name that this one uses.
  await Deno.writeTextFile(`${path}.part`, "half of something else, which was longer");
  await writeWhole(path, bytes("short"), `${path}.part`);
  assertEquals(await Deno.readTextFile(path), "short");
  await writeTextDurably(path, "é");
  assertEquals(await Deno.readTextFile(path), "é");
  assertEquals(namesIn(folder.path), ["a.bin"]);
});

Deno.test("what was there stays where writing fails, and nothing is left beside it", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.bin`;
  await Deno.writeTextFile(path, "before");
  const fails = async (file: Deno.FsFile) => {
    await writeAll(file, bytes("half"));
    throw new Error("the disc is full");
  };
  await assertRejects(() => writeWhole(path, fails), Error, "the disc is full");
  assertEquals([await Deno.readTextFile(path), namesIn(folder.path)], ["before", ["a.bin"]]);
  const nowhere = `${folder.path}/none/b.bin`;
  const writes = [() => writeDurably(nowhere, bytes("x")), () => writeTextDurably(nowhere, "x")];
  for (const write of writes) {
    const { message, cause } = await assertRejects(write, Error) as Error;
    assert(cause instanceof Deno.errors.NotFound, "what the system said");
    assertMatch(cause.message, /open/, "not what came of clearing up");
    assertEquals(message, `${nowhere}: cannot be written (${cause.message})`);
  }
});

Deno.test("bytes are on disc before they have their name, and the name is once it is durable", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.bin`;
  const { syncData, sync } = Deno.FsFile.prototype;
  const done: string[] = [];
  const is = (name: string) => namesIn(folder.path).includes(name);
  Deno.FsFile.prototype.syncData = function () {
    done.push(is("a.bin") ? "too late" : "bytes");
    return syncData.call(this);
  };
  Deno.FsFile.prototype.sync = function () {
    done.push(is("a.bin") ? "name" : "too early");
    return sync.call(this);
  };
  const before = Deno.cwd();
  try {
    await writeWhole(path, bytes("x"));
    assertEquals(done, ["bytes"]);
    // In a folder, or in the one that this process works in.
    for (const place of [path, "a.bin"]) {
      await Deno.remove(path);
      done.length = 0;
      Deno.chdir(folder.path);
      await writeDurably(place, bytes("x"));
      assertEquals(done, ["bytes", "name"], place);
    }
  } finally {
    Deno.chdir(before);
    Object.assign(Deno.FsFile.prototype, { syncData, sync });
  }
});

Deno.test("a file is written where its folder cannot be opened to be brought to disc, as on Windows", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.bin`;
  const { open } = Deno;
  const refused: unknown[] = [];
  Deno.open = (place, options) => {
    if (options) return open(place, options);
    refused.push(place);
    return Promise.reject(new Deno.errors.PermissionDenied("Access is denied. (os error 5)"));
  };
  try {
    await writeDurably(path, bytes("x"));
  } finally {
    Deno.open = open;
  }
  assertEquals([refused, await Deno.readTextFile(path)], [[`${folder.path}/`], "x"]);
});

Deno.test("two that write one file at the same time do not meet: it is the one or the other", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.bin`;
  const slowly = (text: string, ready: Promise<void>) =>
    writeWhole(path, async (file) => {
      await writeAll(file, bytes(text));
      await ready;
    });
  const first = Promise.withResolvers<void>();
  const writing = slowly("the first", first.promise);
  await slowly("the second one", Promise.resolve());
  assertEquals(await Deno.readTextFile(path), "the second one");
  first.resolve();
  await writing;
  assertEquals([await Deno.readTextFile(path), namesIn(folder.path)], ["the first", ["a.bin"]]);
});

Deno.test("every byte is written, however few of them one write takes", async () => {
  const written: number[] = [];
  const file = {
    write(part: Uint8Array) {
      const some = part.subarray(0, 3);
      written.push(...some);
      return Promise.resolve(some.length);
    },
  } as Deno.FsFile;
  const all = Uint8Array.from({ length: 10 }, (_, i) => i);
  await writeAll(file, all);
  assertEquals(written, [...all]);
});

Deno.test("arrays of bytes are joined in their order", () => {
  assertEquals(joinBytes([]), new Uint8Array());
  const parts = [Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3, 4, 5).subarray(1)];
  assertEquals(joinBytes(parts), Uint8Array.of(1, 2, 4, 5));
});

Deno.test("CRC-32 is ISO 3309's", () => {
  assertEquals(crc32(new Uint8Array()), 0);
  assertEquals(crc32(bytes("123456789")), 0xcbf43926);
  assertEquals(crc32(Uint8Array.of(0, 0, 0, 0)), 0x2144df1c);
});

Deno.test("16-bit floats are read wherever they lie in a buffer, and rounded to nearest, ties to even", () => {
  const halves = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 1, 0x7c00).subarray(1);
  assertEquals([...halfToFloat(halves)], [-2, 65504, 2 ** -24, Infinity]);
  const brain = Uint16Array.of(0, 0x3f80, 0xc040).subarray(1);
  assertEquals([...bfloatToFloat(brain)], [1, -3]);
  // Between 2048 and 4096 halves are two apart.
  const rounded = floatToHalf(Float32Array.of(2049, 2051, -65519, 65520, 2 ** -25));
  assertEquals([...halfToFloat(rounded)], [2048, 2052, -65504, Infinity, 0]);
});

Deno.test("8-bit floats are PyTorch's float8_e4m3fn and float8_e5m2", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const sum = (values: Float32Array) =>
    values.reduce((total, x) => total + (Number.isFinite(x) ? Math.abs(x) : 0), 0);
  const e4 = float8ToFloat(bytes, 4);
  assertEquals([...e4.subarray(0, 3)], [0, 0.001953125, 0.00390625]);
  assertEquals([...e4.subarray(120, 130)], [
    256,
    288,
    320,
    352,
    384,
    416,
    448,
    NaN,
    -0,
    -0.001953125,
  ]);
  assertEquals(sum(e4), 10815.75);
  const e5 = float8ToFloat(bytes, 5);
  assertEquals([e5[1], e5[123], e5[124], e5[125], e5[131]], [
    1.52587890625e-5,
    57344,
    Infinity,
    NaN,
    -4.57763671875e-5,
  ]);
  assert(Math.abs(sum(e5) - 720896) < 0.01);
});

Deno.test("a key that an object has twice is found, whatever stands around it", () => {
  const cases: [string, string | undefined][] = [
    ["{}", undefined],
    ["7", undefined],
    ['{"a":1,"b":2}', undefined],
    ['{"a":1,"a":2}', "a"],
    ['{"a" \t\r\n: 1, "a"\n\t :2}', "a"],
    ['{"a":1,"\\u0061":2}', "a"],
    ['{"a\\"":1,"a\\\\":2}', undefined],
    ['{"a":["a","a"],"b":"a"}', undefined],
    ['{"a":[1,{"x":1},[2]],"a":3}', "a"],
    ['{"a":{"b":1},"c":{"b":1}}', undefined],
    ['{"a":{"b":{"c":1,"c":2}}}', "c"],
    ['[{"a":1},{"a":1}]', undefined],
    ['[[],{"a":1,"b":[],"a":1}]', "a"],
    ['{"{":1,"[":2,"}":3,"{":4}', "{"],
    ['{"a":"}","a":1}', "a"],
  ];
  for (const [json, key] of cases) {
    JSON.parse(json);
    assertEquals(repeatedKey(json), key, json);
  }
});

Deno.test("a plug-in's place is told from a name", () => {
  const places = [
    "./mine.ts",
    "mine.ts",
    "mine.mjs",
    "mine.cjs",
    "mine.mts",
    "mine.js",
    "mine.jsx",
  ];
  places.push("plugins/mine", "..\\mine", "/opt/mine", "C:\\mine", "https://example.org/mine");
  places.push("file:///mine", "data:text/javascript,1", "npm:mine", "jsr:@a/mine");
  // An address needs no slash behind its beginning.
  for (const scheme of ["http", "https", "file", "data", "npm", "jsr", "blob"]) {
    places.push(`${scheme}:mine`);
  }
  for (const spec of places) assert(isModuleSpec(spec), spec);
  for (const spec of ["ddim", "dpmpp", "my-own", "mine.json", "a:b", "ts", "httpsx"]) {
    assert(!isModuleSpec(spec), spec);
  }
});

Deno.test("why a plug-in could not be loaded is told in one line", async () => {
  const module = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
  const found = await importPlugin(module("export default 7"), "--scheduler");
  assertEquals((found as { default: number }).default, 7);
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/mine.ts`, "export default 8");
  const blob = URL.createObjectURL(new Blob(["export default 8"], { type: "text/javascript" }));
  for (const spec of [`${folder.path}/mine.ts`, `file://${folder.path}/mine.ts`, blob]) {
    assertEquals((await importPlugin(spec, "--data") as { default: number }).default, 8);
  }
  URL.revokeObjectURL(blob);
  const cases: [string, string][] = [
    [`throw new Error("no \\u001b[31mluck.\\nat line 1")`, "no luck"],
    [`throw "nothing"`, "nothing"],
  ];
  for (const [text, reason] of cases) {
    const error = await assertRejects(() => importPlugin(module(text), "--scheduler"), InputError);
    const { message, cause } = error as Error;
    assertEquals(message, `--scheduler: could not be loaded (${reason})`);
    assertMatch(cause instanceof Error ? cause.message : String(cause), /^no.*luck|^nothing$/);
  }
  await assertRejects(
    () => importPlugin("./no-such.ts", "--data"),
    InputError,
    "--data: could not",
  );
});
