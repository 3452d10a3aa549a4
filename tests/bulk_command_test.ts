/** Bulk runs and `merge` as a user runs them: what is refused, what is said, what a failure leaves. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { decodePng, encodePng } from "../src/image/png.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";

const weights = new URL("./golden/class_conditional", import.meta.url).pathname;
const tiny = (...args: string[]) => [
  ...["sample", "-w", weights, "--backend", "native", "--threads", "1"],
  ...["--steps", "1", "--batch", "1", ...args],
];

/** A folder, a way to name what lies in it, and two folders of pictures of which one is in both. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const picture = (level: number) =>
    encodePng({ pixels: Uint8Array.of(level), width: 1, height: 1, channels: 1 });
  for (const name of ["a", "b"]) await Deno.mkdir(at(name));
  await Deno.writeFile(at("a/1.png"), picture(1));
  for (const [name, level] of [["b/1.png", 1], ["b/2.png", 2]] as const) {
    await Deno.writeFile(at(name), picture(level));
  }
  return { folder, at, picture };
}

Deno.test("merge puts archives into an archive and folders into a folder, and nothing else", async () => {
  const { folder, at, picture } = await place();
  await using _ = folder;
  for (const i of [0, 1]) {
    const shard = ["--seeds", "3-5", "--shard", `${i}/2`, "--out", at(`${i}.npz`)];
    assertEquals((await cli(tiny(...shard, "--quiet"))).code, 0);
  }
  const archives = [at("0.npz"), at("1.npz")];
  const mixed = ".npz shards make a .npz, folders a folder/; found ";
  const refused: [string[], string][] = [
    [[at("0.npz"), at("a"), "--out", at("m.npz")], `${mixed}${at("0.npz")}, ${at("a")}`],
    [[at("a"), at("b"), "--out", at("m.npz")], mixed],
    [[...archives, "--out", at("to/")], mixed],
    [[at("a"), at("1.npz"), "--out", at("to/")], mixed],
    [[at("a"), at("b"), "--out", at("m.png")], mixed],
    [[at("a")], "required option '--out <path>' not specified"],
  ];
  for (const [args, message] of refused) {
    const { code, err } = await cli(["merge", ...args]);
    assertEquals(code, 2, err);
    assertStringIncludes(err, message);
  }
  const merged = await cli(["merge", ...archives, "--out", at("m.npz")]);
  assertEquals([merged.code, merged.err], [0, `${at("m.npz")}: 3 pictures of 2 shards`]);
  const bytes = await Deno.readFile(at("m.npz"));
  await Deno.writeTextFile(at("m.npz"), "mine");
  const again = await cli(["merge", ...archives, "--out", at("m.npz")]);
  assertEquals([again.code, await Deno.readTextFile(at("m.npz"))], [2, "mine"]);
  assertStringIncludes(again.err, "the file is there already; --force overwrites it");
  const forced = await cli(["merge", ...archives, "--out", at("m.npz"), "--force", "--quiet"]);
  assertEquals([forced.code, forced.err], [0, ""]);
  assertEquals(await Deno.readFile(at("m.npz")), bytes);

  const folders = [at("a/"), at("b//")];
  const together = await cli(["merge", ...folders, "--out", at("both/")]);
  assertEquals([together.code, together.err], [0, `${at("both")}: 2 pictures of 2 shards`]);
  const single = await cli(["merge", at("a"), "--out", at("one/")]);
  assertEquals(single.err, `${at("one")}: 1 picture of 1 shard`);
  await Deno.writeFile(at("b/1.png"), picture(9));
  const differ = await cli(["merge", ...folders, "--out", at("new/")]);
  assertEquals([differ.code, differ.err], [
    2,
    `denoise: ${at("a/1.png")} and ${at("b/1.png")} are different pictures`,
  ]);
  // --force is for what lies there, not for shards that differ, and not for a folder that is read.
  const levelOf = async (path: string) => decodePng(await Deno.readFile(at(path)), path).pixels[0];
  const force = ["--out", at("one/"), "--force", "--quiet"];
  assertEquals((await cli(["merge", at("b"), "--out", at("one/")])).code, 2);
  assertEquals(await levelOf("one/1.png"), 1);
  assertEquals((await cli(["merge", at("b"), ...force])).code, 0);
  assertEquals([await levelOf("one/1.png"), await levelOf("one/2.png")], [9, 2]);
  assertEquals((await cli(["merge", ...folders, ...force])).code, 2);
  await Deno.symlink(at("b"), at("link"));
  for (const own of ["b/", "link/"]) {
    assertEquals((await cli(["merge", at("a"), at("b"), "--out", at(own), "--force"])).code, 2);
    assertEquals(await levelOf("b/1.png"), 9, own);
  }
});

Deno.test("a run that could not write says how many are safe, those of before among them", async () => {
  const { folder, at } = await place();
  await using _ = folder;
  assertEquals((await cli(tiny("--seed", "3", "--quiet", "--out", at("many/")))).code, 0);
  // In the place of the fifth's file while it is being written.
  await Deno.mkdir(at("many/5.png.part/x"), { recursive: true });
  const run = ["--seeds", "3-8", "--out", at("many/"), "--resume"];
  const { code, err } = await cli(tiny(...run));
  assertEquals(code, 2);
  assertMatch(
    err,
    /many\/5\.png: cannot be written \(.*\); 2 of 6 pictures are safe in \S+many, the same command with --resume makes the rest$/,
  );
  await Deno.remove(at("many/5.png.part"), { recursive: true });
  const rest = await cli(tiny(...run));
  assertMatch(rest.err, /many: 4 pictures, 2 were there, seeds 3-8, /);
});

Deno.test("bulk runs show how far they are; what fails in the middle leaves no file open", async () => {
  const { folder, at } = await place();
  await using _ = folder;
  const plugin = at("breaks.ts");
  await Deno.writeTextFile(
    plugin,
    `export default { name: "breaks", api: 1, async *sampler(run) { throw new Error("broken"); } };`,
  );
  const args = tiny("--steps", "2", "--seeds", "1-3");
  const { code, shown } = await watched([...args, "--out", at("a.npz")], {});
  assertEquals(code, 0);
  assertMatch(shown.at(-2)!, /^█{24} 100% {2}[\d.]+ images\/s {2}0\.0 s left$/);
  assertEquals(shown.at(-1), "");
  const open = () =>
    Array.from(Deno.build.os === "linux" ? Deno.readDirSync("/proc/self/fd") : []).length;
  const before = open();
  const broken = await cli([...args, "--scheduler", plugin, "--out", at("b.npz")]);
  assertEquals(broken.code !== 0, true);
  assertStringIncludes(broken.err, "broken");
  assertEquals(open(), before);
});
