/** `train` as a user runs it: what it shows and says, how it is watched, what is refused first. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { watchRun } from "../src/cli/watch/watch.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

/** A folder with twelve pictures and a recipe of three updates. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(at("pictures"), ["cat", "dog"], 6);
  const recipe = { ...tinyRecipe, data: at("pictures"), steps: 3, sample_every: 0, holdout: 0 };
  await Deno.writeTextFile(at("recipe.json"), JSON.stringify(recipe));
  const train = ["train", "--recipe", at("recipe.json"), "--threads", "1"];
  return { folder, at, train };
}

Deno.test("train shows what it reads and every update, and says where the weights are", async () => {
  const { folder, at, train } = await place();
  await using _ = folder;
  const { code, out, err, shown } = await watched([...train, "--out", at("run//")], {});
  assertEquals(code, 0, err.join("\n"));
  assertEquals(out, [at("run/weights")]);
  assert(shown.includes("reading pictures: 12 of 12"), shown.join("\n"));
  const updates = shown.filter((line) =>
    /^\d\/3 {2}loss \d+\.\d{4} {2}\d+ ms a step {2}/.test(line)
  );
  assertEquals(updates.map((line) => line[0]), ["1", "2", "3"]);
  assertMatch(updates[2], /a step {2}0\.0 s left$/);
  assertEquals(shown.at(-1), "");
  const [hash, use] = err.slice(-2);
  assertMatch(hash, /run: update 3, state SHA-256 [0-9a-f]{64}$/);
  assertEquals(hash.split(":")[0], at("run"));
  assertEquals(use, `Sample with: sample --weights ${at("run/weights")}`);
  const more = ["train", "--resume", `${at("run")}/`, "--steps", "4", "--quiet"];
  const quiet = await cli(more);
  assertEquals([quiet.code, quiet.out, quiet.err], [0, at("run/weights"), ""]);
});

Deno.test("where a run could not lie is said before anything else of it", async () => {
  const { folder, at, train } = await place();
  await using _ = folder;
  const cases: [string[], string][] = [
    [
      ["--out", at("recipe.json/run"), "--backend", "abacus"],
      "cannot be written (part of its path is a file, not a folder)",
    ],
    [["--out", at("run"), "--backend", "abacus"], "expected a backend of auto, "],
    [["--out", at("run")], "--threads: expected a whole number from 1 to 1024"],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await cli([...train.slice(0, -1), "0", ...args]);
    assertEquals(code, 2);
    assertStringIncludes(err, message);
    assertEquals(await Deno.stat(at("run")).catch(() => undefined), undefined);
  }
});

Deno.test("two runs at once are each watched at a port of their own", async () => {
  const { folder, at, train } = await place();
  await using _ = folder;
  const address = async (name: string) => {
    const { code, err } = await watched([...train, "--out", at(name), "--watch"], {});
    assertEquals(code, 0, err.join("\n"));
    return err.find((line) => line.startsWith("Watch it at "));
  };
  const [first, second] = await Promise.all([address("a"), address("b")]);
  assertMatch(`${first}`, /^Watch it at http:\/\/127\.0\.0\.1:\d+\/$/);
  assertMatch(`${second}`, /^Watch it at http:\/\/127\.0\.0\.1:\d+\/$/);
  assert(first !== second);
});

Deno.test({
  name: "the page of a run answers on the loopback address that it names, and nowhere else",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { folder, at } = await place();
    await using _ = folder;
    await using page = await watchRun(at("run"), 0);
    const { hostname, port } = new URL(page.address);
    assertEquals(hostname, "127.0.0.1");
    (await Deno.connect({ hostname, port: Number(port) })).close();
    // Every 127.x.y.z is this machine; a server for everybody would answer there too.
    const other = () => Deno.connect({ hostname: "127.0.0.2", port: Number(port) });
    await assertRejects(other, Deno.errors.ConnectionRefused);
  },
});
