import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  contents,
  countFiles,
  hashOf,
  killWhen,
  request,
  run,
  sizeOf,
  succeed,
} from "./bulk_processes.ts";
import { temporaryFolder } from "./cli.ts";
import { mergeFolders } from "../src/cli/bulk/merge.ts";
import { InputError } from "../src/errors.ts";
import { readNpz } from "../src/image/npz.ts";
import { decodePng } from "../src/image/png.ts";

const SEEDS = "100-123";
const bulk = ["sample", ...request, "--seeds", SEEDS, "--quiet"];

Deno.test("folders: three processes, one killed in the middle and resumed, equal one run", async () => {
  await using folder = await temporaryFolder();
  const [whole, parts] = [`${folder.path}/whole/`, `${folder.path}/parts/`];
  const shard = (i: number) => [...bulk, "--shard", `${i}/3`, "--out", parts, "--resume"];

  await killWhen(shard(1), async () => await countFiles(parts, ".png") >= 2);
  const before = await countFiles(parts, ".png");
  assert(before >= 2 && before < 8, `killed with ${before} of 8 pictures`);

  const [said] = await Promise.all([
    succeed(shard(1).filter((flag) => flag !== "--quiet")),
    succeed(shard(0)),
    succeed(shard(2)),
    succeed([...bulk, "--out", whole]),
  ]);
  assertMatch(said.err, new RegExp(`${8 - before} pictures?, ${before} were there`));
  const made = await contents(whole);
  assertEquals(Object.keys(made).length, 24);
  assertEquals(await contents(parts), made);
});

Deno.test("archives: shards, one killed and resumed, merge to the bytes of one run", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const shard = (i: number) => [...bulk, "--shard", `${i}/2`, "--out", at(`part-${i}.npz`)];

  await killWhen(shard(1), async () => await sizeOf(at("part-1.npz.pixels")) > 1000);
  assertEquals(await sizeOf(at("part-1.npz")), 0, "nothing under the final name");

  const refused = await run(shard(1));
  assertEquals(refused.code, 2);
  assertMatch(refused.err, /pictures of a run that was stopped.*--resume/);

  await Promise.all([
    succeed([...shard(1), "--resume"]),
    succeed(shard(0)),
    succeed([...bulk, "--out", at("whole.npz")]),
  ]);
  const incomplete = await run(["merge", at("part-1.npz"), "--out", at("merged.npz")]);
  assertEquals([incomplete.code, incomplete.err], [2, "denoise: shards 0 of 2 are missing"]);

  await succeed(["merge", at("part-1.npz"), at("part-0.npz"), "--out", at("merged.npz")]);
  assertEquals(await hashOf(at("merged.npz")), await hashOf(at("whole.npz")));
  assertEquals(await countFiles(folder.path, ".npz"), 4);
  assertEquals(await countFiles(folder.path, ".pixels"), 0, "spools are removed");
});

Deno.test("an archive holds the folder's pixels, labels and seeds, in the seeds' order", async () => {
  await using folder = await temporaryFolder();
  const few = ["sample", ...request, "--seeds", "9,3,4", "--label", "2,0,1", "--quiet"];
  const [path, npz] = [`${folder.path}/few`, `${folder.path}/few.npz`];
  await Promise.all([succeed([...few, "--out", `${path}/`]), succeed([...few, "--out", npz])]);
  const arrays = await readNpz(await Deno.readFile(npz), npz);
  assertEquals([...arrays.get("seeds")!.data].map(Number), [9, 3, 4]);
  assertEquals([...arrays.get("arr_1")!.data].map(Number), [2, 0, 1]);
  const { shape, data } = arrays.get("arr_0")!;
  const size = data.length / shape[0];
  for (const [i, seed] of [9, 3, 4].entries()) {
    const { pixels } = decodePng(await Deno.readFile(`${path}/${seed}.png`));
    assertEquals(pixels, data.slice(i * size, (i + 1) * size) as Uint8Array, `seed ${seed}`);
  }
});

Deno.test("resuming refuses another run's files, and leaves them as they are", async () => {
  await using folder = await temporaryFolder();
  const [path, npz] = [`${folder.path}/few`, `${folder.path}/few.npz`];
  const few = ["sample", ...request, "--seeds", "0-1", "--quiet"];
  await Promise.all([succeed([...few, "--out", `${path}/`]), succeed([...few, "--out", npz])]);
  const before = [await contents(path), await hashOf(npz)];

  const other = [...few, "--scheduler", "dpmpp", "--resume", "--out"];
  const [inFolder, inArchive, again, noFlag] = await Promise.all([
    run([...other, `${path}/`]),
    run([...other, npz]),
    run([...few, "--resume", "--out", npz]),
    run([...few, "--out", `${path}/`]),
  ]);
  assertEquals(inFolder.code, 2);
  assertMatch(inFolder.err, /0\.png: made by another recipe/);
  assertEquals(inArchive.code, 2);
  assertMatch(inArchive.err, /belongs to another run \(scheduler "ddim" and "dpmpp"\)/);
  assertEquals([again.code, again.err], [0, ""]);
  assertMatch(noFlag.err, /the file is there already; --resume keeps it/);
  assertEquals([await contents(path), await hashOf(npz)], before);
});

Deno.test("a picture that cannot be written ends the run with one line; the others stay", async () => {
  await using folder = await temporaryFolder();
  // A folder in the place of a picture cannot be replaced, whoever asks.
  await Deno.mkdir(`${folder.path}/5.png`);
  await Deno.writeTextFile(`${folder.path}/5.png/inside`, "");
  const ended = await run([
    ...["sample", ...request, "--seeds", "3-8", "--quiet", "--force"],
    ...["--out", `${folder.path}/`],
  ]);
  assertEquals(ended.code, 2);
  assertMatch(
    ended.err,
    /^denoise: \S*5\.png: cannot be written \(.*\); 2 of 6 pictures are safe in \S+, the same command with --resume makes the rest$/,
  );
  assertEquals(Object.keys(await contentsOf(folder.path)), ["3.png", "4.png"]);
});

/** PNG files alone. */
async function contentsOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name, isFile } of Deno.readDir(folder)) {
    if (isFile) files[name] = await hashOf(`${folder}/${name}`);
  }
  return Object.fromEntries(Object.entries(files).sort());
}

/** Whether a file system of a given size can be mounted here, in a namespace of its own. */
const canMount = await new Deno.Command("unshare", {
  args: ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"],
  stderr: "null",
}).output().then(({ success }) => success, () => false);

/** Runs on a disc of its own of some bytes, whose files are then copied to `kept`. */
function runOnDisc(size: string, disc: string, kept: string, args: string[]) {
  const script = `mount -t tmpfs -o size=${size} none ${disc} && "$@"; code=$?
    cp ${disc}/* ${kept}/; exit $code`;
  return run(args, ["unshare", "-rm", "sh", "-c", script, "sh"]);
}

// 24 pictures of 144 bytes take one page of a disc, their note another, the archive two more.
for (
  const { size, full, safe } of [
    { size: "4k", full: "few.npz.pixels", safe: 0 },
    { size: "8k", full: "few.npz", safe: 24 },
  ]
) {
  Deno.test({
    name: `a disc of ${size} that fills up loses nothing made before, and the run can go on`,
    ignore: !canMount,
    async fn() {
      await using folder = await temporaryFolder();
      const [disc, kept] = [`${folder.path}/disc`, `${folder.path}/kept`];
      await Promise.all([Deno.mkdir(disc), Deno.mkdir(kept)]);
      const ended = await runOnDisc(size, disc, kept, [...bulk, "--out", `${disc}/few.npz`]);
      assertEquals(ended.code, 2);
      const expected = `${full}: cannot be written \\(No space left on device .*\\); ${safe} of 24`;
      assertMatch(ended.err, new RegExp(expected));
      assertEquals(await sizeOf(`${kept}/few.npz`), 0);
      assertEquals(await sizeOf(`${kept}/few.npz.pixels`), safe * 144);

      await Promise.all([
        succeed([...bulk, "--resume", "--out", `${kept}/few.npz`]),
        succeed([...bulk, "--out", `${folder.path}/whole.npz`]),
      ]);
      assertEquals(await hashOf(`${kept}/few.npz`), await hashOf(`${folder.path}/whole.npz`));
    },
  });
}

Deno.test("a folder that takes no files is one line, before any work", async () => {
  const ended = await run(["sample", ...request, "--seeds", "0-1", "--out", "/dev/null/x/"]);
  assertEquals(ended.code, 2);
  assertMatch(ended.err, /^denoise: --out \/dev\/null\/x\/: cannot be written \(.*\)$/);
});

Deno.test("merging folders keeps what is the same twice, and overwrites no other picture", async () => {
  await using folder = await temporaryFolder();
  const [a, b, to] = ["a", "b", "to"].map((name) => `${folder.path}/${name}`);
  for (const [path, byte] of [[a, 1], [b, 1]] as const) {
    await Deno.mkdir(path);
    await Deno.writeFile(`${path}/7.png`, Uint8Array.of(byte));
  }
  await Deno.writeFile(`${b}/8.png`, Uint8Array.of(3));
  assertEquals(await mergeFolders([a, b], to), 2);
  await Deno.writeFile(`${b}/7.png`, Uint8Array.of(2));
  await assertRejects(() => mergeFolders([a, b], to), InputError, "are different pictures");
  assertEquals(await Deno.readFile(`${to}/7.png`), Uint8Array.of(1));
});
