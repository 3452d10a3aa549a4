/** Data plug-ins: the contract over the project's own, what is refused, and training on them. */
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import rings from "../examples/rings.ts";
import { backendByName } from "../src/backends/select.ts";
import { InputError } from "../src/errors.ts";
import { openData } from "../src/training/data/open.ts";
import { checkDataPlugin, drawPicture, loadDataPlugin } from "../src/training/data/plugin.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { train } from "../src/training/run/train.ts";
import alike from "../weights/heroes/data/alike.ts";
import callings from "../weights/heroes/data/callings.ts";
import heroes from "../weights/heroes/data/heroes.ts";
import peoples from "../weights/heroes/data/peoples.ts";
import { locate } from "../src/weights/find/locate.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { dataContract } from "./data_contract.ts";
import { tinyRecipe } from "./training_pictures.ts";

for (const plugin of [heroes, peoples, callings, alike, rings]) dataContract(plugin);

const ground = (side: number) => new Uint8Array(side * side);
const good = {
  name: "mine",
  api: 1,
  picture: () => ({ pixels: ground(2), width: 2, height: 2, channels: 1 }),
};

for (
  const [change, message] of [
    [{ api: 2 }, /expected api: 1 \(the contract's version\), found 2/],
    [{ name: "Mine!" }, /expected name: lower-case letters.* found "Mine!"/],
    [{ picture: 3 }, /expected picture: a function, found 3/],
    [{ classes: [] }, /expected classes: a list of names, found \[\]/],
    [{ classes: ["a", "a"] }, /classes: each name once/],
    [{ clases: ["a"] }, /no keys but name, api, description, license, classes, picture/],
    [{ classes: ["a"] }, /picture 0: expected label: one of the plug-in's classes/],
    [{ picture: () => undefined }, /picture 0: expected pixels: a Uint8Array, found undefined/],
    [
      { picture: () => ({ pixels: ground(2), width: 3, height: 2, channels: 1 }) },
      /expected 6 numbers in pixels, 3×2×1, found 4/,
    ],
    [
      { picture: () => ({ ...good.picture(), label: "a" }) },
      /expected no label, as the plug-in names no classes, found "a"/,
    ],
    [
      {
        picture: () => {
          throw new Error("out of paint");
        },
      },
      /picture 0 failed: out of paint/,
    ],
    [
      { picture: () => ({ ...good.picture(), pixels: ground(2).map(() => 256 * Math.random()) }) },
      /came out differently when it was asked for again/,
    ],
  ] as const
) {
  Deno.test(`a data plug-in that does not fit is refused: ${message.source}`, () => {
    const module = { default: { ...good, ...change } };
    const { message: found } = assertThrows(() => checkDataPlugin(module, "data x"), InputError);
    assertMatch(found, message);
  });
}

Deno.test("a module that is not there, or exports no plug-in, is refused with its path", async () => {
  await assertRejects(() => loadDataPlugin("./none.ts"), InputError, "data ./none.ts: could not");
  const address = "data:text/javascript,export const a = 1";
  await assertRejects(() => loadDataPlugin(address), InputError, "expected a default export");
});

Deno.test("a hero is dressed by what its label says", () => {
  const seen = new Set<string>();
  for (let k = 0; k < 3000; k++) seen.add(drawPicture(heroes, 0, k).label!);
  assertEquals(heroes.classes!.length, 151);
  assertEquals([...seen].filter((label) => !heroes.classes!.includes(label)), []);
  assert(seen.size > 145, `${seen.size} classes in 3,000 heroes`);
  assertEquals(drawPicture(peoples, 0, 5).pixels, drawPicture(heroes, 0, 5).pixels);
  const { label } = drawPicture(heroes, 0, 5);
  assert(label!.split("-").includes(drawPicture(peoples, 0, 5).label!) || !label!.includes("-"));
});

Deno.test("students see the peoples that look alike three times as often as the others", () => {
  const seen = new Map<string, number>();
  for (let k = 0; k < 2000; k++) {
    const [people] = drawPicture(alike, 0, k).label!.split("-");
    seen.set(people, (seen.get(people) ?? 0) + 1);
  }
  // Four of five pictures are called by their people; 18 + 2·5 places are drawn from.
  const expected = (places: number) => 2000 * 0.8 * places / 28;
  for (const people of ["human", "orc", "kobold", "mummy", "ghoul"]) {
    assertAlmostEquals(seen.get(people)!, expected(3), 50, people);
  }
  for (const people of ["elf", "dwarf", "octopode"]) {
    assertAlmostEquals(seen.get(people)!, expected(1), 30, people);
  }
});

Deno.test("seeds in a row are heroes of all peoples and callings, by the weights as by the data", async () => {
  const pairs = heroes.classes!.slice(0, 126).map((label) => label.split("-"));
  assertEquals(new Set(pairs.map(String)).size, 126);
  assertEquals(new Set(pairs.slice(0, 18).map(([people]) => people)).size, 18);
  assertEquals(new Set(pairs.slice(0, 7).map(([, calling]) => calling)).size, 7);
  for (const name of ["heroes", "heroes-4", "heroes-1"]) {
    const { card } = await readFolder(await locate(name));
    assertEquals(card.labels, heroes.classes, name);
  }
});

Deno.test("what is measured on is never what is trained on", async () => {
  const options = { size: [8, 8], channels: 1 } as const;
  const [kept, heldOut] = [
    await openData("examples/rings.ts", options),
    await openData("examples/rings.ts", { ...options, split: "test" }),
  ];
  assertEquals([kept.length, heldOut.length], [20_000, 10_000]);
  assertEquals(kept.labelNames, ["large", "small"]);
  const of = (data: typeof kept) => {
    const picture = new Float32Array(64);
    data.picture(0, picture);
    return picture.join();
  };
  assert(of(kept) !== of(heldOut));
});

Deno.test("training on a plug-in sees no picture twice, and resumes to the same bytes", async () => {
  await using folder = await temporaryFolder();
  const backend = await backendByName("native");
  const data = new URL("../examples/rings.ts", import.meta.url).pathname;
  const recipe = parseTrainingRecipe(tinyRecipe, {
    data,
    steps: 4,
    checkpoint_every: 2,
    sample_every: 0,
  });
  const whole = await train({ recipe, folder: `${folder.path}/whole`, backend });
  const stop = new AbortController();
  const broken = { recipe, folder: `${folder.path}/broken`, backend };
  await train({
    ...broken,
    signal: stop.signal,
    onProgress: ({ step }) => step === 3 && stop.abort(),
  });
  const resumed = await train({ ...broken, resume: true });
  assertEquals(resumed.hash, whole.hash);
  const card = await Deno.readTextFile(`${whole.weights}/README.md`);
  assertMatch(card, /rings\.ts \(pictures without end\)/);

  const holdout = await cli(["train", "--data", data, "--holdout", "0.1", "--out", folder.path]);
  assertEquals(holdout.code, 2);
  assertMatch(holdout.err, /holdout: expected 0 with a data plug-in, .*, found 0\.1/);
});
