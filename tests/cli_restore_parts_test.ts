/** What `restore` is told and what it shows: degradations from flags, matrices from files, the strip. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { matrixOperator } from "../src/cli/restoration/matrix_file.ts";
import { readDegradation, readNoiseFlag } from "../src/cli/restoration/flags.ts";
import { pictureOfMeasurement, strip } from "../src/cli/restoration/strip.ts";
import { InputError } from "../src/errors.ts";
import { writeNpy } from "../src/files/npy.ts";
import { writeNpz } from "../src/image/npz.ts";
import { labelledGrid } from "../src/image/labelled_grid.ts";
import type { Pixels } from "../src/image/pixels.ts";
import { fromPixels } from "../src/image/pixels.ts";
import { enlarge } from "../src/image/resize.ts";
import { textHeight, textWidth } from "../src/image/text.ts";
import { operatorOf } from "../src/restoration/degradation.ts";
import { given } from "../src/restoration/measure.ts";
import { dense } from "../src/restoration/operators/dense.ts";
import { operators } from "../src/restoration/operators/mod.ts";
import { temporaryFolder } from "./cli.ts";

const flat = (width: number, height: number, ...levels: number[]): Pixels => ({
  pixels: Uint8Array.from(
    { length: width * height * levels.length },
    (_, i) => levels[i % levels.length],
  ),
  width,
  height,
  channels: levels.length,
});

Deno.test("a matrix is read row by row from .npy, .npz and JSON, whatever its numbers' kind", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const rows = [[1, 2, 3, 4], [5, 6, 7, 8]];
  const array = (data: Float32Array | Float64Array | BigInt64Array) => ({ shape: [2, 4], data });
  await Deno.writeFile(at("a.npy"), writeNpy(array(Float32Array.from(rows.flat()))));
  await Deno.writeFile(at("b.NPY"), writeNpy(array(BigInt64Array.from(rows.flat(), BigInt))));
  const npz = new Map([["h", array(Float64Array.from(rows.flat()))]]);
  await Deno.writeFile(at("c.npz"), await writeNpz(npz));
  await Deno.writeTextFile(at("d.json"), JSON.stringify(rows));
  for (const name of ["a.npy", "b.NPY", "c.npz", "d.json"]) {
    const operator = (await matrixOperator(at(name))).create({ shape: [1, 2, 2], options: {} });
    assertEquals([...operator.measured], [2, 1, 1], name);
    const y = operator.apply(Float32Array.of(1, 10, 100, 1000));
    const expected = [4321, 8765];
    for (const [i, value] of y.entries()) {
      assert(Math.abs(value - expected[i]) < 1e-2, `${name}: ${y}`);
    }
  }
  await Deno.writeFile(at("empty.npy"), writeNpy({ shape: [0, 4], data: new Float32Array() }));
  const one = writeNpy(array(Float32Array.from(rows.flat())));
  await Deno.writeFile(at("two.npz"), await writeNpz(new Map([...npz, ["g", npz.get("h")!]])));
  const json = {
    "null.json": "[[1, null]]",
    "ragged.json": "[[1, 2], [3, 4], [5]]",
    "longer.json": "[[1], [2, 3]]",
    "deep.json": "[[[1]]]",
    "flat.json": "[1, 2]",
    "none.json": "",
  };
  for (const [name, text] of Object.entries(json)) await Deno.writeTextFile(at(name), text);
  await Deno.writeFile(at("h.bin"), one);
  const wrong: [string, string][] = [
    ["empty.npy", "expected [rows, columns], found an array of shape [0,4]"],
    ["two.npz", "expected one array, found h, g"],
    ["null.json", "[[1, 0], [0, 1]], found null in row 1"],
    ["ragged.json", "found 1 in row 3 after 2 in the first"],
    ["longer.json", "found 2 in row 2 after 1 in the first"],
    ["deep.json", "found [1] in row 1"],
    ["flat.json", "found something else"],
    ["none.json", "found no JSON"],
    ["h.bin", "a file that ends in .npy, .npz or .json"],
    ["nowhere.npy", "cannot be read"],
  ];
  for (const [name, message] of wrong) {
    await assertRejects(() => matrixOperator(at(name)), InputError, message);
  }
});

Deno.test("what a picture has lost is read from its flags, an operator with all its options", async () => {
  const none = { colour: undefined, blur: undefined, scale: undefined, operator: undefined };
  assertEquals(await readDegradation({}), none);
  const all = { colour: true, blur: "gaussian:2", scale: "4:bicubic" };
  assertEquals(await readDegradation(all), {
    ...none,
    colour: true,
    blur: { kind: "gaussian", size: 2 },
    scale: { factor: 4, kernel: "bicubic" },
  });
  const noise = [undefined, "0.5", "auto"].map((noise) => readNoiseFlag({ noise }));
  assertEquals(noise, [undefined, 0.5, "auto"]);
  const { operator } = await readDegradation({ operator: "sensing" });
  assertEquals(operator!.plugin, operators.sensing);
  const defaults = Object.entries(operators.sensing.options!).map(([key, o]) => [key, o.default]);
  assertEquals(operator!.options, Object.fromEntries(defaults), "each at its default");
  const more = await readDegradation({ operator: "sensing", operatorOption: ["share=0.25"] });
  assertEquals(more.operator!.options, { ...operator!.options, share: 0.25 });
  const wrong: [Parameters<typeof readDegradation>[0], string][] = [
    [{ operatorOption: ["share=0.5"] }, "--operator-option: needs --operator"],
    [{ operator: "sensing", matrix: "h.npy" }, "give either --matrix or --operator"],
    [{ operator: "sensing", operatorOption: ["share=2"] }, "share"],
    [{ operator: "sensing", operatorOption: ["shade=1"] }, "shade"],
    [{ operator: "toString" }, "--operator: expected one of inpainting"],
  ];
  for (const [flags, message] of wrong) {
    await assertRejects(() => readDegradation(flags), InputError, message);
  }
});

Deno.test("what was given is shown as large as the answers, chequered in squares of two where it is missing", () => {
  const shape = [3, 4, 8] as const;
  const kept = Uint8Array.from({ length: 32 }, (_, p) => p % 8 < 2 ? 1 : 0);
  const mask = { kept, width: 8, height: 4 };
  const y = fromPixels(flat(8, 4, 10, 20, 30));
  const shown = pictureOfMeasurement(given(operatorOf({ mask }, shape), y), mask);
  assertEquals([shown.width, shown.height, shown.channels], [8, 4, 3]);
  const rows = Array.from(
    { length: 4 },
    (_, r) =>
      Array.from(
        { length: 8 },
        (_, x) => [...shown.pixels.subarray(3 * (8 * r + x), 3 * (8 * r + x) + 3)],
      ),
  );
  for (const [r, row] of rows.entries()) {
    for (const [x, pixel] of row.entries()) {
      const square = [176, 112][(Math.floor(x / 2) + Math.floor(r / 2)) % 2];
      assertEquals(pixel, x < 2 ? [10, 20, 30] : [square, square, square], `(${x}, ${r})`);
    }
  }
});

Deno.test("a smaller measurement is enlarged, a grey one of a colour picture grey, one that is no picture brought back", () => {
  const shape = [3, 4, 4] as const;
  const scale = { factor: 2, kernel: "mean" as const };
  const small = pictureOfMeasurement(
    given(operatorOf({ scale }, shape), fromPixels(flat(2, 2, 10, 20, 30))),
  );
  assertEquals(small, { ...flat(4, 4, 10, 20, 30) });
  const grey = given(operatorOf({ colour: true }, shape), fromPixels(flat(4, 4, 50)));
  assertEquals(pictureOfMeasurement(grey), flat(4, 4, 50, 50, 50));
  const { plugin, options } = { plugin: operators.sensing, options: { share: 0.5, seed: 0 } };
  const operator = operatorOf({ operator: { plugin, options } }, [1, 4, 4]);
  const sensed = given(
    operator,
    Float32Array.from(operator.apply(fromPixels(flat(4, 4, 200)))),
    0,
  );
  const back = pictureOfMeasurement(sensed);
  assertEquals([back.width, back.height, back.channels], [4, 4, 1]);
});

Deno.test("a measurement that fits one side alone, or has other channels, is brought back to a picture", () => {
  const measure = (shape: [number, number, number], rows: number, values: number[]) => {
    const n = shape[0] * shape[1] * shape[2];
    const data = Float64Array.from(
      { length: rows * n },
      (_, i) => i % n === Math.floor(i / n) ? 1 : 0,
    );
    return given(dense(shape, { rows, columns: n, data }), Float32Array.from(values), 0);
  };
  // y is the first numbers of x: what is not seen is 0, the middle grey.
  const wide = pictureOfMeasurement(measure([1, 2, 4], 1, [1]));
  assertEquals([...wide.pixels], [255, 128, 128, 128, 128, 128, 128, 128]);
  const high = pictureOfMeasurement(measure([1, 4, 2], 1, [-1]));
  assertEquals([...high.pixels], [0, 128, 128, 128, 128, 128, 128, 128]);
  const several = pictureOfMeasurement(measure([1, 2, 2], 2, [1, -1]));
  assertEquals([several.width, several.channels, ...several.pixels], [2, 1, 255, 0, 128, 128]);
  // One number of a square picture is a picture of one pixel.
  assertEquals([...pictureOfMeasurement(measure([1, 2, 2], 1, [1])).pixels], [255, 255, 255, 255]);
});

Deno.test("a strip has the given, the answers and the truth in a row, with a word above each", () => {
  const given = flat(28, 14, 40), answer = flat(28, 14, 90), truth = flat(28, 14, 140);
  const cell = 4 * 28, gap = 4, top = gap + textHeight(2) + gap;
  const widths = (...words: string[]) => words.map((word) => Math.max(cell, textWidth(word, 2)));
  const cases: [Pixels[], Pixels | undefined, string[]][] = [
    [[answer], undefined, ["given", "restored"]],
    [[answer, answer], undefined, ["given", "answer 1", "answer 2"]],
    [[answer], truth, ["given", "restored", "truth"]],
  ];
  for (const [answers, known, words] of cases) {
    const { width, height, pixels } = strip(given, answers, known);
    assertEquals(height, top + 4 * 14 + gap);
    assertEquals(width, widths(...words).reduce((sum, w) => sum + w + gap, gap));
    const row = Array.from({ length: width }, (_, x) => pixels[(top + 20) * width + x]);
    const levels = row.filter((level, x) => level !== row[x - 1] && level !== 255);
    assertEquals(levels, [40, ...answers.map(() => 90), ...(known ? [140] : [])]);
    const large = [given, ...answers, ...(known ? [known] : [])].map((one) => enlarge(one, 4));
    const table = labelledGrid([large], { rows: [""], columns: words, scale: 2 });
    assertEquals(pixels, table.pixels, words.join());
  }
  assertEquals(
    strip(flat(300, 10, 1), []).width,
    gap + 300 + gap,
    "large pictures stay as they are",
  );
});
