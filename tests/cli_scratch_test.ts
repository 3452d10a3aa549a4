/** The files that commands choose themselves: made again without a word, but never in place of what was given. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { isScratch } from "../src/cli/files.ts";
import { encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder } from "./cli.ts";

/** Runs in a folder of its own. */
async function inFolder(work: (path: string) => Promise<void>) {
  await using folder = await temporaryFolder();
  const before = Deno.cwd();
  Deno.chdir(folder.path);
  try {
    await work(folder.path);
  } finally {
    Deno.chdir(before);
  }
}

const picture = () => {
  const pixels = Uint8Array.from({ length: 144 }, (_, i) => i);
  return encodePng({ pixels, width: 12, height: 12, channels: 1 });
};

const classes = new URL("./golden/class_conditional", import.meta.url).pathname;
const quick = ["-w", classes, "--backend", "native", "--threads", "1", "--steps", "1", "--quiet"];
const noise = ["--steps", "2", "--quiet"];

Deno.test("a command's own file is made again, another asks first", async () => {
  await inFolder(async (path) => {
    await Deno.writeFile("in.png", picture());
    const commands: [string[], string][] = [
      [["sample", "--n", "1", ...quick], "sample.png"],
      [["noise", "in.png", ...noise], "noise.png"],
      [["compare", "--schedulers", "ddim", ...quick], "compare.png"],
      [["interpolate", "1", "2", "--frames", "2", ...quick], "interpolate.gif"],
      [["restore", "in.png", "--noise", "0.1", "--label", "1", ...quick], "restore.png"],
    ];
    for (const [args, own] of commands) {
      await Deno.writeTextFile(own, "of before");
      const again = await cli(args);
      assertEquals([again.code, again.err], [0, ""], own);
      const made = await Deno.readFile(own);
      assert(made.length > 20, own);
      const named = await cli([...args, "--out", `${path}/${own}`]);
      assertEquals(named.code, 2, own);
      assertStringIncludes(named.err, "the file is there already; --force overwrites it");
      assertEquals(await Deno.readFile(own), made);
      await Deno.writeTextFile(own, "of before");
      const forced = await cli([...args, "--out", `${path}/${own}`, "--force"]);
      assertEquals([forced.code, forced.err], [0, ""], own);
      assert((await Deno.readFile(own)).length > 20, own);
    }
  });
});

Deno.test("what a command reads is not overwritten by what it makes, by whatever path it was given", async () => {
  await inFolder(async (path) => {
    assertEquals((await cli(["sample", "--n", "1", ...quick])).code, 0);
    const source = await Deno.readFile("sample.png");
    await Deno.symlink("sample.png", "link.png");
    for (const own of ["noise.png", "restore.png", "interpolate.gif"]) {
      await Deno.writeFile(own, picture());
    }
    const engine = quick.slice(0, 6);
    const refused: [string[], string][] = [
      ...["sample.png", "./sample.png", `${path}/sample.png`, "link.png"].map(
        (from): [string[], string] => [["sample", "--from", from, ...engine], "sample.png"],
      ),
      [["noise", "./noise.png", ...noise], "noise.png"],
      [["interpolate", "interpolate.gif", "2", ...quick], "interpolate.gif"],
      [["interpolate", "2", "./interpolate.gif", ...quick], "interpolate.gif"],
      [["restore", "restore.png", "--noise", "0.1", ...quick], "restore.png"],
      [["restore", "noise.png", "--mask", "restore.png", ...quick], "restore.png"],
    ];
    for (const [args, own] of refused) {
      const { code, err } = await cli(args);
      assertEquals(code, 2, err);
      assertEquals(err, `denoise: --out ${own}: the file is there already; --force overwrites it`);
    }
    assertEquals(await Deno.readFile("sample.png"), source);
    assertEquals(await Deno.readFile("noise.png"), picture());
    const forced = await cli(["noise", "noise.png", ...noise, "--force"]);
    assertEquals(forced.code, 0, "who asks for it has it");
  });
});

Deno.test("a file of one's own is one that is not read", async () => {
  await inFolder(async (path) => {
    await Deno.writeTextFile("a.png", "");
    await Deno.writeTextFile("b.png", "");
    const cases: [string, (string | undefined)[], boolean][] = [
      ["none.png", ["none.png"], true],
      ["none.png", [], true],
      ["a.png", [undefined, "b.png"], true],
      ["a.png", ["none.png"], true],
      ["a.png", ["a.png"], false],
      ["a.png", [undefined, "b.png", `${path}/a.png`], false],
    ];
    for (const [out, read, expected] of cases) {
      assertEquals(await isScratch(out, read), expected, `${out} of ${read}`);
    }
  });
});
