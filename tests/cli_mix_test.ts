/** Mixtures and sizes on the command line: into pictures, folders and archives, and back from a PNG. */
import { assertEquals, assertMatch } from "@std/assert";
import { readNpz } from "../src/image/npz.ts";
import { decodePng } from "../src/image/png.ts";
import { fromText } from "../src/recipe/recipe.ts";
import { cli, temporaryFolder } from "./cli.ts";

const weights = (name: string) => new URL(`./golden/${name}`, import.meta.url).pathname;
/** Twelve by twelve pixels of a tiny network. */
const tiny = (...args: string[]) => [
  "sample",
  ...["--weights", weights("class_conditional"), "--backend", "native", "--threads", "1"],
  ...["--steps", "2", "--quiet", ...args],
];

async function make(...args: string[]): Promise<ReturnType<typeof decodePng>> {
  const { code, err, bytes } = await cli(tiny(...args, "--out", "-"));
  assertEquals([code, err], [0, ""]);
  return decodePng(bytes, "-");
}

Deno.test("--label A+B and --with mix, --mix says how much; one seed is mixed as often as it has shares", async () => {
  const row = await make("--seed", "3", "--with", "9", "--label", "0+1", "--mix", "0,0.5,1");
  assertEquals(fromText(row.text.denoise, "").map(({ seed, label, mix }) => [seed, label, mix]), [
    [3, 0, undefined],
    [3, 0, { seed: 9, label: 1, share: 0.5 }],
    [3, 0, { seed: 9, label: 1, share: 1 }],
  ]);
  const pixelsAt = (x: number, y: number) =>
    Array.from(
      { length: 12 * 12 * row.channels },
      (_, i) => {
        const [p, c] = [Math.floor(i / row.channels), i % row.channels];
        const at = (y + Math.floor(p / 12)) * row.width + x + p % 12;
        return row.pixels[at * row.channels + c];
      },
    );
  const [first, last] = [
    await make("--seed", "3", "--label", "0"),
    await make("--seed", "9", "--label", "1"),
  ];
  assertEquals(pixelsAt(0, 0), [...first.pixels]);
  assertEquals(pixelsAt(0, 12), [...last.pixels]);
});

Deno.test("--from makes a mixture again, at its size; flags change it", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const flags = ["--seeds", "3,4", "--label", "0+1", "--mix", "0.2,0.7", "--with", "8"];
  assertEquals((await cli(tiny(...flags, "--size", "30x40", "--out", at("a.png")))).code, 0);
  const [a, again, changed] = [
    decodePng(await Deno.readFile(at("a.png"))),
    await make("--from", at("a.png")),
    await make("--from", at("a.png"), "--mix", "0.9", "--scale", "1"),
  ];
  assertEquals([a.width, a.height], [60, 40]);
  assertEquals(again, a);
  const mixes = fromText(changed.text.denoise, "").map(({ mix, size }) => [mix, size]);
  const mix = { seed: 8, label: 1, share: 0.9 };
  assertEquals(mixes, [[mix, undefined], [mix, undefined]]);
  assertEquals(changed.width, 24);
});

Deno.test("in bulk: a folder and archives of shards have the same mixtures, and are gone on with", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const flags = ["--seeds", "3-5", "--label", "0+1", "--mix", "0.3", "--size", "15"];
  const run = async (...args: string[]) => {
    const { code, err } = await cli(args[0] === "merge" ? args : tiny(...args));
    assertEquals([code, err.replace(/^.*: 3 pictures$/, "")], [0, ""], args.join(" "));
  };
  await run(...flags, "--out", at("pictures/"));
  await run(...flags, "--resume", "--out", at("pictures/"));
  await run(...flags, "--out", at("all.npz"));
  for (const i of [0, 1]) await run(...flags, "--shard", `${i}/2`, "--out", at(`${i}.npz`));
  await run("merge", at("0.npz"), at("1.npz"), "--quiet", "--out", at("merged.npz"));
  assertEquals(await Deno.readFile(at("merged.npz")), await Deno.readFile(at("all.npz")));
  const { arr_0 } = Object.fromEntries(await readNpz(await Deno.readFile(at("all.npz")), "all"));
  const one = await make("--seed", "4", ...flags.slice(2));
  assertEquals(arr_0.shape.slice(1), [15, 15, one.channels]);
  const size = one.pixels.length;
  assertEquals(Uint8Array.from(arr_0.data.slice(size, 2 * size) as Uint8Array), one.pixels);
  assertEquals(decodePng(await Deno.readFile(at("pictures/4.png"))), one);

  const other = await cli(tiny(...flags, "--mix", "0.4", "--resume", "--out", at("all.npz")));
  assertEquals(other.code, 2);
  assertMatch(other.err, /belongs to another run \(other seeds or labels\)/);
  const kept = await cli(tiny(...flags, "--mix", "0.4", "--resume", "--out", at("pictures/")));
  assertMatch(kept.err, /made by another recipe/);
});

Deno.test("what cannot be mixed, or is no size, is refused in one line", async () => {
  const wrong: [string[], RegExp][] = [
    [["--mix", "0.5"], /^denoise: --mix: expected something to mix with: --with SEED, or --label/],
    [["--with", "3", "--mix", "2"], /^denoise: --mix: expected a number from 0 to 1, found "2"$/],
    [["--with", "bob"], /^denoise: --with: expected a whole number/],
    [["--seeds", "1-3", "--with", "4,5"], /^denoise: --with: 2 values for 3 seeds$/],
    [["--label", "0+77"], /^denoise: --label: expected a class/],
    [["--size", "large"], /^denoise: --size: expected a width and height/],
    [["--size", "11"], /^denoise: --size: expected a width and height from 12x12/],
    [["--size", "24", "--scale", "2"], /^denoise: --size: expected none beside a scale/],
    [["--weights", weights("train_unconditional"), "--label", "0+1"], /know no classes/],
  ];
  for (const [args, message] of wrong) {
    const { code, err } = await cli(tiny(...args, "--out", "-"));
    assertEquals(code, 2, `${args}`);
    assertMatch(err, message);
  }
});
