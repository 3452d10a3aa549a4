/** Data sets as people have them: links, archives, numbered classes, others' names for arrays. */
import { assertEquals, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { type NpyArray, npyHeader, writeNpy } from "../src/files/npy.ts";
import { writeZip } from "../src/files/zip.ts";
import { writeNpz } from "../src/image/npz.ts";
import { hasTestSplit, openData } from "../src/training/data/open.ts";
import { temporaryFolder } from "./cli.ts";
import { idxFile, pictureFolder, squarePng } from "./training_pictures.ts";

const grey = { size: [12, 12], channels: 1 } as const;

Deno.test("links to class folders are classes, and links in circles end", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(at("real"), ["cats", "dogs"], 3);
  await Deno.mkdir(at("half"));
  await pictureFolder(at("half"), ["dogs"], 3);
  await Deno.symlink(at("real/cats"), at("half/cats"));
  await Deno.symlink(at("half"), at("half/dogs/round"));
  await Deno.symlink(at("nowhere"), at("half/gone"));
  const data = await openData(at("half"), grey);
  assertEquals([data.length, data.labelNames], [6, ["cats", "dogs"]]);
  assertEquals([...data.labels!], [0, 0, 0, 1, 1, 1]);
});

Deno.test("classes of folders that macOS named are called as keyboards write them", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["café".normalize("NFD"), "naïve".normalize("NFD")], 1);
  const data = await openData(folder.path, grey);
  assertEquals(data.labelNames, ["café".normalize("NFC"), "naïve".normalize("NFC")]);
});

Deno.test("a zip of pictures is read as its folder is", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/pictures.zip`;
  const files = new Map<string, Uint8Array>();
  for (const [i, name] of ["a", "a", "b"].entries()) {
    files.set(`set/${name}/${i}.png`, squarePng(i));
  }
  files.set("__MACOSX/set/a/._0.png", new Uint8Array(9)).set("set/notes.txt", new Uint8Array(1));
  await Deno.writeFile(path, await writeZip(files));
  const data = await openData(path, grey);
  assertEquals([data.length, data.labelNames, data.skipped.length], [3, ["a", "b"], 0]);
  assertEquals([...data.labels!], [0, 0, 1]);
});

Deno.test("numbered classes are those that occur: from 1, or with gaps", async () => {
  await using folder = await temporaryFolder();
  const write = (name: string, bytes: Uint8Array) =>
    Deno.writeFile(`${folder.path}/${name}`, bytes);
  await write("train-images-idx3-ubyte", idxFile([3, 1, 1], [0, 1, 2]));
  await write("train-labels-idx1-ubyte", idxFile([3], [26, 1, 9]));
  // A part that lacks a class counts the others as the whole set does.
  await write("t10k-images-idx3-ubyte", idxFile([1, 1, 1], [0]));
  await write("t10k-labels-idx1-ubyte", idxFile([1], [9]));
  const options = { size: [1, 1], channels: 1 } as const;
  const train = await openData(folder.path, options);
  assertEquals([train.labelNames, [...train.labels!]], [["1", "9", "26"], [2, 0, 1]]);
  const test = await openData(folder.path, { ...options, split: "test" });
  assertEquals([test.labelNames, [...test.labels!]], [["1", "9", "26"], [1]]);
});

const images = { shape: [3, 2, 2, 1], data: new Uint8Array(12) };
const options = { size: [2, 2], channels: 1 } as const;

async function npzOf(arrays: Record<string, NpyArray>, name = "set.npz") {
  const folder = await temporaryFolder();
  const path = `${folder.path}/${name}`;
  await Deno.writeFile(path, await writeNpz(new Map(Object.entries(arrays))));
  return { path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** An archive whose arrays are given by numpy's type and bytes. */
async function rawNpz(arrays: Record<string, [type: string, shape: number[], body: number[]]>) {
  const folder = await temporaryFolder();
  const path = `${folder.path}/set.npz`;
  const files = Object.entries(arrays).map(([name, [type, shape, body]]) =>
    [`${name}.npy`, Uint8Array.from([...npyHeader(type, shape), ...body])] as const
  );
  await Deno.writeFile(
    path,
    await writeZip(
      new Map([
        ["__MACOSX/._images.npy", new Uint8Array(4)],
        ["images.npy", writeNpy(images)],
        ...files,
      ]),
    ),
  );
  return { path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("arrays that are not asked for may be of any kind, labels of any whole one", async () => {
  const labels: Record<string, number[]> = {
    "|u1": [5, 0, 5],
    "|i1": [5, 0, 5],
    "<u2": [5, 0, 0, 0, 5, 0],
    ">u2": [0, 5, 0, 0, 0, 5],
    "<i2": [5, 0, 0, 0, 5, 0],
    "<u4": [5, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0],
    "<u8": [5, 0, 0, 0, 0, 0, 0, 0, ...Array(8).fill(0), 5, 0, 0, 0, 0, 0, 0, 0],
    "<f4": [0, 0, 0xa0, 0x40, 0, 0, 0, 0, 0, 0, 0xa0, 0x40],
  };
  for (const [type, body] of Object.entries(labels)) {
    await using set = await rawNpz({
      labels: [type, [3], body],
      filenames: ["<U5", [1], Array(20).fill(0)],
      objects: ["|O", [1], [0]],
    });
    const data = await openData(set.path, options);
    assertEquals([data.labelNames, [...data.labels!]], [["0", "5"], [1, 0, 1]], type);
  }
});

Deno.test("labels that are no classes are refused by their value", async () => {
  for (
    const [labels, says] of [
      [Float32Array.of(0, 1.7, 2), "from 0 to 999999, found 1.7"],
      [Float32Array.of(0, NaN, 2), "from 0 to 999999, found NaN"],
      [Int32Array.of(0, -1, 2), "from 0 to 999999, found -1"],
      [BigInt64Array.of(0n, 300_000_000n, 2n), "from 0 to 999999, found 300000000"],
    ] as const
  ) {
    await using set = await npzOf({ images, labels: { shape: [3], data: labels } });
    await assertRejects(() => openData(set.path, options), InputError, says);
  }
});

Deno.test("MedMNIST's and Keras' names, with their parts", async () => {
  const label = (...values: number[]) => ({
    shape: [values.length, 1],
    data: Uint8Array.from(values),
  });
  for (const [i, l] of [["_images", "_labels"], ["x_", "y_"]]) {
    const name = (part: string, kind: string) => kind.endsWith("_") ? kind + part : part + kind;
    await using set = await npzOf({
      [name("train", i)]: images,
      [name("train", l)]: label(1, 3, 3),
      [name("test", i)]: { shape: [1, 2, 2, 1], data: new Uint8Array(4) },
      [name("test", l)]: label(3),
    });
    const train = await openData(set.path, options);
    assertEquals([train.labelNames, [...train.labels!]], [["1", "3"], [0, 1, 1]]);
    assertEquals(await hasTestSplit(set.path), true);
    const test = await openData(set.path, { ...options, split: "test" });
    assertEquals([test.length, [...test.labels!]], [1, [1]]);
  }
});

Deno.test("a .npy of pictures is a set without classes; other names are listed", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/a.npy`, writeNpy(images));
  const data = await openData(`${folder.path}/a.npy`, options);
  assertEquals([data.length, data.labels], [3, undefined]);
  await using set = await npzOf({ photos: images });
  await assertRejects(() => openData(set.path, options), InputError, "found photos");
});
