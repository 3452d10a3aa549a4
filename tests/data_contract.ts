/**
 * What every data plug-in must do, as one suite over any `DataPlugin`.
 *
 * ```ts ignore
 * import mine from "./mine.ts";
 * import { dataContract } from "…/tests/data_contract.ts";
 * dataContract(mine);
 * ```
 */
import { assert, assertEquals } from "./assert.ts";
import {
  checkDataPlugin,
  type DataPlugin,
  drawPicture,
  generatedPictures,
} from "../src/training/data/plugin.ts";

/** How many pictures are looked at. */
const MANY = 200;

/** Registers the suite's tests for a plug-in. */
export function dataContract(plugin: DataPlugin): void {
  const test = (name: string, body: () => void) =>
    Deno.test(`${plugin.name} as a data plug-in: ${name}`, body);
  const draw = (seed: number, k: number) => drawPicture(plugin, seed, k);
  const textOf = (seed: number, k: number) => {
    const { pixels, label } = draw(seed, k);
    return `${label} ${pixels.join()}`;
  };

  test("it passes the check that strangers pass", () => {
    assertEquals(checkDataPlugin({ default: plugin }, "here"), plugin);
  });
  test("the same seed and k give the same picture, whatever was drawn before", () => {
    const first = Array.from({ length: 20 }, (_, k) => textOf(7, k));
    for (const k of [19, 3, 3, 11, 0]) assertEquals(textOf(7, k), first[k], `picture ${k}`);
  });
  test("another k and another seed give other pictures", () => {
    const one = Array.from({ length: 20 }, (_, k) => textOf(1, k));
    const other = Array.from({ length: 20 }, (_, k) => textOf(2, k));
    assert(new Set(one).size > 10, "pictures of one seed are much the same");
    assert(one.some((picture, k) => picture !== other[k]), "the seed makes no difference");
  });
  test("every picture is whole, of one size, and has a class exactly where there are any", () => {
    const sizes = new Set<string>();
    for (let k = 0; k < MANY; k++) {
      const { width, height, channels } = draw(3, k);
      sizes.add(`${width}×${height}×${channels}`);
    }
    assertEquals(sizes.size, 1, [...sizes].join(" and "));
  });
  test("every class comes, where there are few", () => {
    const { classes = [] } = plugin;
    const seen = new Set(Array.from({ length: MANY }, (_, k) => draw(4, k).label));
    if (classes.length * 10 <= MANY) assertEquals(seen.size, Math.max(1, classes.length));
    else assert(seen.size > 10, "few of the classes come");
  });
  test("a picture may be changed by whoever asked for it", () => {
    const before = textOf(5, 0);
    draw(5, 0).pixels.fill(9);
    draw(5, 1).pixels.fill(9);
    assertEquals(textOf(5, 0), before);
  });
  test("training takes it at any size, in colour and in grey", () => {
    for (const [side, channels] of [[8, 1], [48, 3]] as const) {
      const source = generatedPictures(plugin, 0, { size: [side, side], channels });
      const picture = new Float32Array(channels * side * side).fill(NaN);
      source.picture(123_456_789, picture);
      assert(picture.every((x) => x >= -1 && x <= 1), `${side}×${side}×${channels}`);
      const label = source.labels?.at(123_456_789);
      assertEquals(label === undefined, plugin.classes === undefined);
    }
  });
}
