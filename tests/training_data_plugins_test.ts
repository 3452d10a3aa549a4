/** What names a data plug-in, what it may be, how often it is asked, and what chance it is given. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import {
  checkDataPlugin,
  type DataPlugin,
  type Draw,
  drawnDataSet,
  drawPicture,
  generatedPictures,
  isDataPlugin,
} from "../src/training/data/plugin.ts";

Deno.test("a module is a plug-in, by its address or its ending; all else is data", () => {
  const modules = ["http://a.b/c", "https://a.b/c.zip", "data:text/javascript,1", "blob:x"];
  const endings = ["ts", "js", "mts", "mjs", "cts", "cjs", "tsx", "jsx"];
  for (const source of [...modules, ...endings.map((e) => `./mine.${e}`)]) {
    assertEquals(isDataPlugin(source), true, source);
  }
  const data = [
    "pictures",
    "a.npz",
    "./a.ts/",
    "npm:a@1.0.0/b",
    "ats",
    "a.tsv",
    "xhttp://a",
    "datas",
  ];
  for (const source of data) assertEquals(isDataPlugin(source), false, source);
});

const dot = { pixels: new Uint8Array(1), width: 1, height: 1, channels: 1 };
const mine = (keys: Record<string, unknown> = {}) => ({
  default: { name: "mine", api: 1, picture: () => dot, ...keys },
});
const refused = (module: unknown, says: string) =>
  assertThrows(() => checkDataPlugin(module, "data x"), InputError, `data x: expected ${says}`);

Deno.test("a plug-in may say all that the contract has, and is taken as it is", () => {
  const every = {
    description: "",
    license: "CC0",
    classes: ["a"],
    picture: () => ({ ...dot, label: "a" }),
  };
  for (const name of ["a", "a9", "z-a_b+c"]) {
    const module = mine({ ...every, name });
    assert(checkDataPlugin(module, "data x") === module.default as DataPlugin);
  }
  for (const channels of [1, 2, 3, 4]) {
    for (const pixels of [new Uint8Array(6 * channels), new Uint8ClampedArray(6 * channels)]) {
      const picture = () => ({ pixels, width: 2, height: 3, channels });
      assertEquals(checkDataPlugin(mine({ picture }), "data x").name, "mine");
    }
  }
});

Deno.test("what does not fit is refused by what was found", () => {
  refused({ default: null }, "a default export { name, api: 1, picture }, found null");
  refused({}, "a default export { name, api: 1, picture }, found undefined");
  refused({ default: () => dot }, "a default export { name, api: 1, picture }, found a function");
  for (const name of ["9a", "-a", "A", "a b", "", undefined]) {
    refused(mine({ name }), 'name: lower-case letters, digits, "-", "_" and "+"');
  }
  refused(mine({ api: 1n }), "api: 1 (the contract's version), found 1");
  refused(mine({ description: 3 }), "description: text, found 3");
  refused(mine({ classes: "ab" }), 'classes: a list of names, found "ab"');
  refused(mine({ classes: ["a", 3] }), 'classes: a list of names, found ["a",3]');
  const drawn = (keys: Record<string, unknown>) => mine({ picture: () => ({ ...dot, ...keys }) });
  const said = (module: unknown) =>
    assertThrows(() => checkDataPlugin(module, "data x"), InputError).message;
  assertEquals(
    said(drawn({ channels: 0 })),
    "data x: picture 0: expected channels: 1, 2, 3 or 4, found 0",
  );
  assertEquals(
    said(drawn({ pixels: Array(1000).fill(7) })),
    `data x: picture 0: expected pixels: a Uint8Array, found [${"7,".repeat(99)}7`,
  );
  for (const size of [{ height: 0 }, { width: -1 }, { width: 0.5 }, { height: "1" }]) {
    assert(said(drawn(size)).includes("width and height from 1, found ["));
  }
  const labelled = { classes: ["a"], picture: () => ({ ...dot, label: "b" }) };
  assert(said(mine(labelled)).endsWith('label: one of the plug-in\'s classes, found "b"'));
});

Deno.test("a picture is drawn once for itself and its label, with chance that is written down", () => {
  const draws: (readonly number[])[] = [];
  const counting: DataPlugin = {
    name: "counting",
    api: 1,
    classes: ["a", "b"],
    picture: ({ seed, k, random }: Draw) => {
      draws.push([seed, k, random(), random()]);
      return { ...dot, label: "ab"[k % 2] };
    },
  };
  const source = generatedPictures(counting, 3, { size: [1, 1], channels: 1 });
  const out = new Float32Array(1);
  source.picture(5, out);
  assertEquals([source.labels!.at(5), source.labels!.at(6)], [1, 0]);
  // Other numbers would be other pictures under the same seed: runs could not be taken up again.
  assertEquals(draws, [
    [3, 5, 0.5923761336598545, 0.14051104080863297],
    [3, 6, 0.6771849701181054, 0.13521136110648513],
  ]);
  assertEquals([out[0], source.shape, source.skipped], [-1, [1, 1, 1], []]);
  const wide = { size: [2, 5], channels: 3 } as const;
  assertEquals(generatedPictures(counting, 3, wide).shape, [3, 2, 5]);
  assertEquals(drawnDataSet(counting, 3, 1, wide).shape, [3, 2, 5]);
  assertThrows(
    () => drawPicture({ ...counting, picture: () => ({ ...dot, label: "c" }) }, 0, 8),
    InputError,
    "data counting: picture 8: expected label: one of the plug-in's classes",
  );
  const broken = new Error("out of paint");
  const picture = () => {
    throw broken;
  };
  const { message, cause } = assertThrows(
    () => drawPicture({ ...counting, picture }, 0, 8, "data x"),
    InputError,
  );
  assertEquals(message, "data x: picture 8 failed: out of paint");
  assert(cause === broken, "where it broke is not lost");
});

Deno.test("what plug-ins do not keep to is refused", () => {
  const picture = { pixels: new Uint8Array(4), width: 2, height: 2, channels: 1 };
  const refused = (change: Record<string, unknown>, says: string) => {
    const module = { default: { name: "mine", api: 1, picture: () => picture, ...change } };
    assertThrows(() => checkDataPlugin(module, "data x"), InputError, says);
  };
  const gives = (change: Record<string, unknown>) => ({
    picture: () => ({ ...picture, ...change }),
  });
  refused(gives({ pixels: new Uint8Array(5) }), "expected 4 numbers in pixels, 2×2×1, found 5");
  refused(gives({ channels: 5 }), "channels: 1, 2, 3 or 4");
  refused(gives({ width: 0, pixels: new Uint8Array(0) }), "width and height from 1, found [0,2]");
  refused(gives({ height: 1.5 }), "width and height from 1");
  refused(gives({ pixels: [0, 0, 0, 0] }), "pixels: a Uint8Array");
  refused({ license: 3 }, "license: text, found 3");
  refused({ classes: ["a", ""] }, "classes: a list of names");
  let k = 0;
  const byTurns = { classes: ["a", "b"], picture: () => ({ ...picture, label: "ab"[k++ % 2] }) };
  refused(byTurns, "came out differently when it was asked for again");
  assert(checkDataPlugin({ default: { name: "a", api: 1, picture: () => picture } }, "data x"));
});
