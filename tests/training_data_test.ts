import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { writeNpy } from "../src/files/npy.ts";
import { writeNpz } from "../src/image/npz.ts";
import { parseIdx } from "../src/training/data/idx.ts";
import { DRAWN, openData } from "../src/training/data/open.ts";
import { bytesDataSet, type DataSet } from "../src/training/data/data_set.ts";
import { openPictureFolder } from "../src/training/data/folder.ts";
import { splitData } from "../src/training/data/split.ts";
import { temporaryFolder } from "./cli.ts";
import { idxFile, pictureFolder, squarePng } from "./training_pictures.ts";

const grey = { size: [12, 12], channels: 1 } as const;

function bytesOf(data: DataSet, i: number): number[] {
  const picture = new Float32Array(data.shape.reduce((a, b) => a * b));
  data.picture(i, picture);
  return Array.from(picture, (x) => Math.round((x + 1) * 127.5));
}

Deno.test("subfolders of pictures are the classes, in order of name", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["dog", "cat"], 2);
  const data = await openData(folder.path, grey);
  assertEquals(data.length, 4);
  assertEquals(data.labelNames, ["cat", "dog"]);
  assertEquals([...data.labels!], [0, 0, 1, 1]);
  assertEquals(bytesOf(data, 0)[2 + 12], 207);
});

Deno.test("the first subfolder is the class, however deep below it a picture lies", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["cat/2024", "cat/2025/may", "dog/2024", "dog"], 1);
  const data = await openData(folder.path, grey);
  assertEquals(data.labelNames, ["cat", "dog"]);
  assertEquals([...data.labels!], [0, 0, 1, 1]);
});

Deno.test("pictures beside subfolders have no classes", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["a"], 1);
  await Deno.writeFile(`${folder.path}/loose.png`, squarePng(0));
  const data = await openData(folder.path, grey);
  assertEquals([data.length, data.labels], [2, undefined]);
});

Deno.test("a picture that is damaged or of another format is named, left out and counted", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["a"], 2);
  const whole = squarePng(1);
  await Deno.writeFile(`${folder.path}/a/cut.png`, whole.subarray(0, whole.length - 40));
  await Deno.writeTextFile(`${folder.path}/a/text.jpg`, "not a picture");
  await Deno.writeTextFile(`${folder.path}/a/other.webp`, "RIFF");
  await Deno.writeTextFile(`${folder.path}/a/notes.txt`, "of no concern");
  const data = await openData(folder.path, grey);
  assertEquals(data.length, 2);
  assertEquals(data.skipped.map(({ name }) => name.split("/").at(-1)), [
    "cut.png",
    "other.webp",
    "text.jpg",
  ]);
  assertStringIncludes(data.skipped[1].reason, "expected a PNG or JPEG picture");
});

Deno.test("nothing to learn from is an error that says so", async () => {
  await using folder = await temporaryFolder();
  await assertRejects(() => openData(folder.path, grey), InputError, "found none");
  await assertRejects(() => openData(`${folder.path}/x`, grey), InputError, "no such file");
  for (const name of ["a.png", "b.png"]) await Deno.writeTextFile(`${folder.path}/${name}`, name);
  await assertRejects(
    () => openData(folder.path, grey),
    InputError,
    `found none that can be read; 2 were left out, the first: ${folder.path}/a.png: expected a PNG`,
  );
});

Deno.test("pictures are cropped to their middle, scaled, and made grey or RGB", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/a.png`, squarePng(0, 24));
  const small = await openData(folder.path, { size: [6, 6], channels: 3 });
  assertEquals(small.shape, [3, 6, 6]);
  const planes = bytesOf(small, 0);
  assertEquals(planes.slice(0, 36), planes.slice(36, 72));
  assertEquals([planes[0], planes[35]], [200, 20]);
  assertEquals((await openData(folder.path, { size: [4, 6], channels: 1 })).shape, [1, 4, 6]);
});

Deno.test("MNIST's files are read with their labels, gzipped or not, by their parts", async () => {
  await using folder = await temporaryFolder();
  const write = async (name: string, bytes: Uint8Array<ArrayBuffer>, gzip = false) => {
    const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
    const stored = gzip ? new Uint8Array(await new Response(stream).arrayBuffer()) : bytes;
    await Deno.writeFile(`${folder.path}/${name}${gzip ? ".gz" : ""}`, stored);
  };
  await write("train-images-idx3-ubyte", idxFile([2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7]), true);
  await write("train-labels-idx1-ubyte", idxFile([2], [3, 1]), true);
  await write("t10k-images-idx3-ubyte", idxFile([1, 2, 2], [9, 9, 9, 9]));
  await write("t10k-labels-idx1-ubyte", idxFile([1], [2]));
  const options = { size: [2, 2], channels: 1 } as const;
  const train = await openData(folder.path, options);
  assertEquals(train.labelNames, ["1", "2", "3"]);
  assertEquals([bytesOf(train, 1), [...train.labels!]], [[4, 5, 6, 7], [2, 0]]);
  const test = await openData(folder.path, { ...options, split: "test" });
  assertEquals([bytesOf(test, 0), [...test.labels!]], [[9, 9, 9, 9], [1]]);
});

Deno.test("gzip is inflated no further than the IDX header announces", async () => {
  let pulled = 0;
  const zeros = new Uint8Array(1 << 20);
  const long = new ReadableStream<BufferSource>({
    pull(controller) {
      controller.enqueue(pulled === 0 ? idxFile([1, 2, 2], [1, 2, 3, 4]) : zeros);
      if (++pulled > 128) controller.close();
    },
  }).pipeThrough(new CompressionStream("gzip"));
  const bomb = new Uint8Array(await new Response(long).arrayBuffer());
  const before = Deno.memoryUsage().rss;
  await assertRejects(() => parseIdx(bomb, "bomb.gz"), InputError, "4 bytes, but more follow");
  assert(Deno.memoryUsage().rss - before < 64 * 2 ** 20);
});

Deno.test("a cut IDX file is refused by name", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/images-idx3-ubyte`;
  await Deno.writeFile(path, idxFile([2, 2, 2], [1, 2, 3]));
  await assertRejects(() => openData(path, grey), InputError, "images-idx3-ubyte");
});

Deno.test("npz archives are read as improved-diffusion writes them", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/set.npz`;
  const data = new Uint8Array(2 * 2 * 2 * 3).map((_, i) => i);
  const labels = new BigInt64Array([1n, 0n]);
  const arrays = new Map([
    ["arr_0", { shape: [2, 2, 2, 3], data }],
    ["arr_1", { shape: [2], data: labels }],
  ]);
  await Deno.writeFile(path, await writeNpz(arrays));
  const set = await openData(path, { size: [2, 2], channels: 3 });
  assertEquals([...set.labels!], [1, 0]);
  assertEquals(bytesOf(set, 0), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
});

Deno.test("held-out pictures are none of those trained on, and together they are all", () => {
  const all = bytesDataSet(new Uint8Array(25).map((_, i) => i), [1, 1, 1]);
  const { kept, heldOut } = splitData(all, 0.2);
  const values = (set: DataSet) => Array.from({ length: set.length }, (_, i) => bytesOf(set, i)[0]);
  assertEquals(values(heldOut), [4, 9, 14, 19, 24]);
  assertEquals([...values(kept), ...values(heldOut)].sort((a, b) => a - b), values(all));
});

Deno.test("an IDX file is read to the letter of its header, from a part of a larger array too", async () => {
  const read = (bytes: Uint8Array) => parseIdx(bytes, "a.idx");
  const good = idxFile([2, 1, 2], [1, 2, 3, 4]);
  const within = Uint8Array.of(9, 9, 9, ...good).subarray(3);
  for (const bytes of [good, within]) {
    const { dims, data } = await read(bytes);
    assertEquals([dims, [...data]], [[2, 1, 2], [1, 2, 3, 4]]);
  }
  assertEquals((await read(idxFile([3], [1, 2, 3]))).dims, [3]);
  assertEquals((await read(idxFile([1, 1, 1, 2], [1, 2]))).dims, [1, 1, 1, 2]);
  assertEquals((await read(idxFile([0, 28, 28], []))).data.length, 0);
  const other = "a.idx: expected an IDX file of unsigned bytes, found another format";
  const five = idxFile([1, 1, 1, 1, 1], [7]);
  // The first two look half like gzip.
  const half = [good.with(0, 0x1f), good.with(1, 0x8b)];
  const wrong = [...half, good.with(0, 1), good.with(1, 1), good.with(2, 9), good.with(3, 0), five];
  for (const bytes of [...wrong, good.subarray(0, 3), new Uint8Array()]) {
    await assertRejects(() => read(bytes), InputError, other);
  }
});

Deno.test("a gzipped IDX file of any length is inflated whole; a damaged one is refused", async () => {
  await using folder = await temporaryFolder();
  let x = 1;
  const noise = Uint8Array.from({ length: 20_000 }, () => (x = x * 48271 % 0x7fffffff) >> 8);
  const gzip = (bytes: Uint8Array<ArrayBuffer>) => {
    const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
    return new Response(stream).bytes();
  };
  const zipped = await gzip(idxFile([2, 100, 100], noise));
  const path = `${folder.path}/images-idx3-ubyte.gz`;
  await Deno.writeFile(path, zipped);
  const data = await openData(path, { size: [100, 100], channels: 1 });
  assertEquals([...bytesOf(data, 0), ...bytesOf(data, 1)], [...noise]);
  // The fifth byte from the end is the last of the checksum.
  const wrong = [zipped.with(12, 255), zipped.with(-5, 255 - zipped.at(-5)!)];
  for (const bytes of [zipped.subarray(0, -9), zipped.subarray(0, 15_000), ...wrong]) {
    await assertRejects(
      () => parseIdx(bytes, "a.gz"),
      InputError,
      "a.gz: the gzip data is damaged",
    );
  }
  const text = await gzip(new TextEncoder().encode("what else people compress"));
  await assertRejects(() => parseIdx(text, "a.gz"), InputError, "found another format");
});

Deno.test("data that the system does not give is said by its own words", async () => {
  const name = "x".repeat(300);
  await assertRejects(() => openData(name, grey), InputError, `data ${name}: cannot be read (`);
});

Deno.test("a folder that is reached through a link is looked through once, whatever leads back to it", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(`${folder.path}/real`, ["cat"], 2);
  await Deno.writeFile(`${folder.path}/real/0.png`, squarePng(0));
  await Deno.symlink(`${folder.path}/real`, `${folder.path}/linked`);
  await Deno.symlink(`${folder.path}/real`, `${folder.path}/real/cat/back`);
  assertEquals((await openData(`${folder.path}/linked`, grey)).length, 3);
});

Deno.test("in an archive under several names the first kind is taken, with its own labels alone", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/set.npz`;
  const array = (shape: number[], ...numbers: number[]) => ({
    shape,
    data: Uint8Array.from(numbers),
  });
  const opened = async (...names: [images: string, labels: string, first: number][]) => {
    const arrays = new Map(names.flatMap(([images, labels, first]) => [
      [images, array([2, 1, 1], first, first)] as const,
      [labels, array([2], first, first + 1)] as const,
    ]));
    await Deno.writeFile(path, await writeNpz(arrays));
    const data = await openData(path, { size: [1, 1], channels: 1 });
    return [bytesOf(data, 0)[0], data.labelNames];
  };
  assertEquals(await opened(["arr_0", "arr_1", 5], ["images", "labels", 7]), [7, ["7", "8"]]);
  assertEquals(await opened(["x_train", "y_train", 5], ["arr_0", "arr_1", 3]), [3, ["3", "4"]]);
});

Deno.test("what a plug-in draws to measure on is written down: figures are compared with older ones", () => {
  assertEquals(DRAWN, {
    train: { seed: 2 ** 32 - 2, length: 20_000 },
    test: { seed: 2 ** 32 - 1, length: 10_000 },
  });
});

Deno.test({
  name: "a set's files are closed when it has been read, of whatever kind it is",
  sanitizeResources: true,
  async fn() {
    await using folder = await temporaryFolder();
    const at = (name: string) => `${folder.path}/${name}`;
    const images = { shape: [1, 1, 1], data: Uint8Array.of(7) };
    await Deno.writeFile(at("a.npz"), await writeNpz(new Map([["images", images]])));
    await Deno.writeFile(at("a.npy"), writeNpy(images));
    await Deno.writeFile(at("images-idx3-ubyte"), idxFile([1, 1, 1], [7]));
    await pictureFolder(at("pictures"), ["cat"], 1);
    for (const name of ["a.npz", "a.npy", "images-idx3-ubyte", "pictures"]) {
      assertEquals((await openData(at(name), grey)).length, 1, name);
    }
  },
});

Deno.test("the system's own root is a folder like any other", async () => {
  const { readDir } = Deno;
  const entry = { name: "no such picture.png", isFile: true, isDirectory: false, isSymlink: false };
  Deno.readDir = async function* () {
    yield await Promise.resolve(entry);
  };
  try {
    for (const root of ["/", "//"]) {
      const { skipped } = await openPictureFolder(root, grey);
      assertEquals(skipped.map(({ name }) => name), ["/no such picture.png"]);
    }
  } finally {
    Deno.readDir = readDir;
  }
});
