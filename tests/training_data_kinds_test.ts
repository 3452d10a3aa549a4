/** Data sets as people have them: links, archives, numbered classes, others' names for arrays. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { type NpyArray, npyHeader, writeNpy } from "../src/files/npy.ts";
import { writeZip } from "../src/files/zip.ts";
import { writeNpz } from "../src/image/npz.ts";
import type { DataSet } from "../src/training/data/data_set.ts";
import { numberedClasses } from "../src/training/data/labels.ts";
import { hasTestSplit, openData } from "../src/training/data/open.ts";
import { npmFolder } from "../src/training/data/package.ts";
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

Deno.test("a file is a picture by its ending, in capitals too; those that cannot be read are named", async () => {
  await using folder = await temporaryFolder();
  const endings = ["avif", "bmp", "gif", "heic", "heif", "jfif", "jpeg", "jpg", "jxl"];
  const all = [...endings, "png", "tif", "tiff", "webp"].flatMap((e) => [e, e.toUpperCase()]);
  for (const name of [...all.map((e) => `a.${e}`), "png", "a.pngx", "a.png.txt"]) {
    await Deno.writeTextFile(`${folder.path}/${name}`, "no picture");
  }
  await Deno.writeFile(`${folder.path}/b.png`, squarePng(0));
  const { length, skipped } = await openData(`${folder.path}//`, grey);
  assertEquals(length, 1);
  assertEquals(skipped.map(({ name }) => name), all.map((e) => `${folder.path}/a.${e}`).sort());
});

Deno.test("folders are looked through to a depth of 32", async () => {
  await using folder = await temporaryFolder();
  let path = folder.path;
  for (let depth = 1; depth <= 33; depth++) {
    path += `/${depth}`;
    await Deno.mkdir(path);
    if (depth > 30) await Deno.writeFile(`${path}/a.png`, squarePng(0));
  }
  assertEquals((await openData(folder.path, grey)).length, 2);
});

Deno.test("a class is a folder with a picture that can be read, whatever the folder is called", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(folder.path, ["b.png", "a"], 2);
  await Deno.mkdir(at("c"));
  for (const name of ["c/0.png", "0.png", "z.png"]) await Deno.writeTextFile(at(name), "damaged");
  await Deno.symlink(at("nowhere"), at("gone.png"));
  const data = await openData(folder.path, grey);
  assertEquals([data.labelNames, [...data.labels!]], [["a", "b.png"], [0, 0, 1, 1]]);
  const left = ["0.png", "c/0.png", "gone.png", "z.png"];
  assertEquals(data.skipped.map(({ name }) => name), left.map(at));
});

Deno.test("a zip's pictures lie under either kind of stroke; beside folders they have no classes", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/SET.ZIP`;
  const opened = async (...names: string[]) => {
    const files = names.map((name) =>
      [name, name.includes("cut") ? new Uint8Array(9) : squarePng(0)] as const
    );
    await Deno.writeFile(path, await writeZip(new Map(files)));
    return await openData(path, grey);
  };
  const strokes = await opened("set\\cat\\0.png", "set\\dog\\0.png");
  assertEquals([strokes.length, strokes.labelNames], [2, ["cat", "dog"]]);
  const loose = await opened("0.png", "cat/0.png", "cat/cut.png");
  assertEquals([loose.length, loose.labels, loose.labelNames], [2, undefined, undefined]);
  assertEquals(loose.skipped.map(({ name }) => name), [`${path}/cat/cut.png`]);
  await assertRejects(() => opened("notes.txt"), InputError, "found none that can be read");
});

/** A folder with files by name, and what a set of one number a picture is opened from it. */
async function idxFolder(contents: Record<string, Uint8Array>) {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  for (const [name, bytes] of Object.entries(contents)) await Deno.writeFile(at(name), bytes);
  return { path: folder.path, at, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}
const numbersOf = (data: DataSet) => {
  const picture = new Float32Array(data.shape.reduce((a, b) => a * b));
  return Array.from({ length: data.length }, (_, i) => {
    data.picture(i, picture);
    return Array.from(picture, (x) => Math.round((x + 1) * 127.5));
  });
};

Deno.test("IDX files by the names that they go by: with a dot, in capitals, in colour, alone", async () => {
  const one = { size: [1, 1], channels: 1 } as const;
  await using dotted = await idxFolder({
    "TRAIN-IMAGES.IDX3-UBYTE": idxFile([1, 1, 1], [7]),
    "TRAIN-labels.idx1-UBYTE": idxFile([1], [4]),
    "Test-images.idx3-ubyte": idxFile([2, 1, 1], [8, 9]),
    "Test-labels.idx1-ubyte": idxFile([2], [4, 4]),
  });
  const test = await openData(dotted.path, { ...one, split: "test" });
  assertEquals([numbersOf(test), [...test.labels!]], [[[8], [9]], [0, 0]]);
  const train = await openData(dotted.path, one);
  assertEquals([numbersOf(train), [...train.labels!]], [[[7]], [0]]);
  assertEquals(await hasTestSplit(dotted.path), true);
  // Of a set with one file that is taken, whatever part it is of.
  for (const split of ["train", "test"] as const) {
    await using alone = await idxFolder({ "t10k-images-idx3-ubyte": idxFile([1, 1, 1], [5]) });
    assertEquals(numbersOf(await openData(alone.path, { ...one, split })), [[5]]);
  }
  await using two = await idxFolder({
    "a-idx3-ubyte": idxFile([1, 1, 1], [5]),
    "b-idx3-ubyte": idxFile([1, 1, 1], [6]),
  });
  assertEquals(numbersOf(await openData(two.path, one)), [[5]], "the first by name");
  assertEquals((await openData(two.path, one)).labels, undefined);
  await assertRejects(
    () => openData(two.path, { ...one, split: "test" }),
    InputError,
    `data ${two.path}: expected IDX files of its test part`,
  );
  await using coloured = await idxFolder({
    "images-idx4-ubyte": idxFile([2, 1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    "labels-idx1-ubyte": idxFile([2], [9, 3]),
  });
  const data = await openData(coloured.path, { size: [1, 2], channels: 3 });
  assertEquals([data.shape, numbersOf(data)], [[3, 1, 2], [
    [1, 4, 2, 5, 3, 6],
    [7, 10, 8, 11, 9, 12],
  ]]);
  assertEquals([...data.labels!], [1, 0]);
});

Deno.test("of each picture of an array the middle is kept, at a height and a width", async () => {
  const data = Uint8Array.of(9, 10, 90, 9, 9, 30, 200, 9);
  await using set = await npzOf({ images: { shape: [2, 1, 4], data } });
  const opened = await openData(set.path, { size: [1, 2], channels: 3 });
  assertEquals([opened.length, opened.shape], [2, [3, 1, 2]]);
  assertEquals(numbersOf(opened), [[10, 90, 10, 90, 10, 90], [30, 200, 30, 200, 30, 200]]);
});

Deno.test("what is in an archive is told; a set without parts is whole whatever part is asked for", async () => {
  await using other = await npzOf({ photos: images, notes: images });
  const said = (split?: "train" | "test") => openData(other.path, { ...options, split });
  const names = (split: string) => `"images", "arr_0", "${split}_images", "x_${split}"`;
  for (const split of ["train", "test"] as const) {
    const message = `${other.path}: expected pictures named ${names(split)}, found photos, notes`;
    await assertRejects(() => said(split), InputError, message);
  }
  await assertRejects(() => said(), InputError, names("train"));
  await using plain = await npzOf({ images });
  assertEquals((await openData(plain.path, { ...options, split: "test" })).length, 3);
  assertEquals(await hasTestSplit(plain.path), false);
  const alpha = { shape: [1, 1, 1, 4], data: Uint8Array.of(9, 8, 7, 255) };
  await using coloured = await npzOf({ images: alpha });
  const data = await openData(coloured.path, { size: [1, 1], channels: 3 });
  assertEquals(numbersOf(data), [[9, 8, 7]]);
  for (
    const [array, found] of [
      [{ shape: [1, 1, 1], data: Float32Array.of(1) }, "found other numbers [1,1,1]"],
      [{ shape: [1, 1, 1, 5], data: new Uint8Array(5) }, "found [1,1,1,5]"],
    ] as const
  ) {
    await using set = await npzOf({ images: array });
    await assertRejects(() => openData(set.path, options), InputError, found);
  }
});

Deno.test("the largest number that a class may have is 999,999", () => {
  const { labels, labelNames } = numberedClasses([999_999, 0, 7n], "x", [[8]]);
  assertEquals([[...labels], labelNames], [[3, 0, 1], ["0", "7", "8", "999999"]]);
  for (const wrong of [[1_000_000], [-1], [0.5], ["a" as unknown as number]]) {
    const message = `x: expected labels of whole numbers from 0 to 999999, found ${wrong}`;
    assertThrows(() => numberedClasses(wrong, "x"), InputError, message);
    assertThrows(() => numberedClasses([1], "x", [wrong]), InputError, message);
  }
});

Deno.test("whether a set has a part of its own to be tested on", async () => {
  await using set = await npzOf({ x_test: images }, "SET.NPZ");
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/a.txt`, "");
  const has: [string, boolean][] = [
    [set.path, true],
    ["./mine.ts", true],
    [`${folder.path}/a.txt`, false],
    [`${folder.path}/none`, false],
    [folder.path, false],
  ];
  for (const [source, expected] of has) assertEquals(await hasTestSplit(source), expected, source);
});

Deno.test("data in a package is a folder of its files", async () => {
  const folder = await npmFolder("npm:jpeg-js@0.4.4/lib");
  assert((await Deno.stat(`${folder}/decoder.js`)).isFile);
  const whole = (await npmFolder("npm:jpeg-js@0.4.4")).replace(/\/$/, "");
  assertEquals(`${whole}/lib`, folder);
  await assertRejects(
    () => openData("npm:jpeg-js@0.4.4/lib", grey),
    InputError,
    "data npm:jpeg-js@0.4.4/lib: expected pictures (PNG, JPEG, IDX, npz or npy), found none",
  );
  assertEquals(await hasTestSplit("npm:jpeg-js@0.4.4/lib"), false);
  // Of packages that hide it the manifest is not there to be read.
  await assertRejects(
    () => npmFolder("npm:@bufbuild/protobuf@2.17.0/dist"),
    InputError,
    "data npm:@bufbuild/protobuf@2.17.0/dist: the package could not be read (",
  );
  for (const specifier of ["npm:a@1.2.3x", "npm:a@1.2.3-beta", "xnpm:a@1.2.3", "npm:@1.2.3"]) {
    await assertRejects(() => npmFolder(specifier), InputError, "with an exact version");
  }
});
