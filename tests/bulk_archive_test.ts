/** The archives of bulk runs: written, read, gone on with and put together, with damage told apart. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type ArchiveContent,
  concat,
  type OpenArchive,
  openArchive,
  writeArchive,
} from "../src/cli/bulk/archive.ts";
import { mergeArchives, mergeFolders } from "../src/cli/bulk/merge.ts";
import { openNpz } from "../src/cli/bulk/npz_sink.ts";
import {
  type BulkRequest,
  differenceOf,
  type Job,
  mixesText,
  rangeOf,
  requestHash,
  type RunIdentity,
} from "../src/cli/bulk/request.ts";
import { exists, WriteError, writePart, writing } from "../src/cli/bulk/sink.ts";
import { InputError } from "../src/errors.ts";
import { readZip, writeZip } from "../src/files/zip.ts";
import type { Method } from "../src/recipe/recipe.ts";
import type { Picture } from "../src/sampling/pictures.ts";
import { temporaryFolder } from "./cli.ts";

const method: Method = {
  weights: "ab".repeat(32),
  scheduler: "ddim",
  steps: 2,
  options: {},
  guidance: 1,
};

/** Five pictures of 1 × 2 × 3 bytes, mixed now and then. */
const jobs: Job[] = [
  { seed: 7, label: 0 },
  { seed: 2 ** 32 - 1, label: 3, mix: { seed: 9, label: 1, share: 0.25 } },
  { seed: 0, label: 2, mix: { label: 0, share: 0.5 } },
  { seed: 7, label: 1, mix: { seed: 0, share: 1 } },
  { seed: 8, label: 0 },
];
const SIZE = 6, shape = [1, 2, 3];
const bytesOf = (index: number) => new Uint8Array(SIZE).map((_, i) => 10 * index + i);

async function requestOf(
  { index = 0, count = 1, all = jobs, how = method, side = [1, 2] } = {},
): Promise<BulkRequest> {
  const { start, end } = rangeOf({ index, count }, all.length);
  const run = { recipe: how, pictures: all.length, request: await requestHash(all) };
  const network = { shape: [3, ...side] };
  const jobs = all.slice(start, end);
  return { network, method: how, jobs, shard: { index, count }, run } as unknown as BulkRequest;
}

/** Writes a shard as a run does, and gives its path. */
async function shardAt(path: string, request: BulkRequest, first = 0): Promise<string> {
  const sink = await openNpz(path, request, { resume: false, force: false });
  const order = request.jobs.map((_, i) => i).reverse();
  for (const i of order) await sink.put(i, { pixels: bytesOf(first + i) } as Picture);
  await sink.finish();
  return path;
}

async function pixelsOf(archive: OpenArchive): Promise<number[]> {
  return [...new Uint8Array(await new Response(archive.pixels()).arrayBuffer())];
}

/** How many files this process has open. */
const open = () => Deno.build.os === "linux" ? [...Deno.readDirSync("/proc/self/fd")].length : 0;

const names = (path: string) => Array.from(Deno.readDirSync(path), ({ name }) => name).sort();

Deno.test("an archive gives back what it was written from, pictures in the order of the seeds", async () => {
  await using folder = await temporaryFolder();
  const request = await requestOf();
  using archive = await openArchive(await shardAt(`${folder.path}/a.npz`, request));
  assertEquals(names(folder.path), ["a.npz"], "nothing is left beside it");
  assertEquals(archive.about, { api: 1, run: request.run, shard: { index: 0, count: 1 }, shape });
  assertEquals(archive.jobs, jobs.map(({ seed, label, mix }) => ({ seed, label, mix })));
  assertEquals(await pixelsOf(archive), jobs.flatMap((_, i) => [...bytesOf(i)]));
  assertEquals((await pixelsOf(archive)).length, jobs.length * SIZE, "as often as one likes");
  const plain = [{ seed: 1 }, { seed: 2 }];
  using other = await openArchive(
    await shardAt(`${folder.path}/b.npz`, await requestOf({ all: plain })),
  );
  assertEquals(other.jobs, plain.map(({ seed }) => ({ seed, label: undefined, mix: undefined })));
  const entries = await readZip(await Deno.readFile(`${folder.path}/b.npz`), "b.npz");
  assertEquals([...entries.keys()], ["arr_0.npy", "seeds.npy", "denoise.json"]);
  const about = new TextDecoder().decode(entries.get("denoise.json"));
  assertEquals(about, `${JSON.stringify(other.about)}\n`, "a text file");
});

Deno.test("pictures that are more than one piece of a file come back whole, and put together", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const pixels = new Uint8Array(3 * 200 * 300).map((_, i) => i % 251);
  const shards = [];
  for (const index of [0, 1]) {
    const request = await requestOf({ index, count: 2, all: jobs.slice(0, 2), side: [200, 300] });
    const sink = await openNpz(at(`${index}.npz`), request, { resume: false, force: false });
    await sink.put(0, { pixels: pixels.map((v) => v + index) } as Picture);
    await sink.finish();
    shards.push(at(`${index}.npz`));
  }
  assertEquals(await mergeArchives(shards, at("both.npz")), 2);
  using archive = await openArchive(at("both.npz"));
  const found = new Uint8Array(await new Response(archive.pixels()).arrayBuffer());
  assertEquals([found.length, archive.about.shape], [2 * pixels.length, [200, 300, 3]]);
  assert(found.every((v, i) => v === pixels[i % pixels.length] + Math.floor(i / pixels.length)));
});

Deno.test("a shard that has no picture is an archive of none, and one of the whole", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const all = jobs.slice(0, 1);
  const shards = [];
  for (const index of [0, 1]) {
    shards.push(await shardAt(at(`${index}.npz`), await requestOf({ index, count: 2, all })));
  }
  using none = await openArchive(shards[0]);
  assertEquals([none.jobs, await pixelsOf(none)], [[], []]);
  assertEquals(await mergeArchives(shards, at("merged.npz")), 1);
  using whole = await openArchive(at("merged.npz"));
  assertEquals(whole.jobs.map(({ seed }) => seed), [7]);
});

Deno.test("streams put together are one, whatever pieces they come in", async () => {
  const piece = (...parts: number[][]) => () =>
    ReadableStream.from(parts.map((part) => Uint8Array.from(part)));
  const all = concat([piece([1, 2], [3]), piece(), piece([4])]);
  assertEquals([...new Uint8Array(await new Response(all).arrayBuffer())], [1, 2, 3, 4]);
});

Deno.test("a file that is no archive of a bulk run, or a damaged one, is told apart and closed", async () => {
  await using folder = await temporaryFolder();
  const path = await shardAt(`${folder.path}/a.npz`, await requestOf());
  const entries = await readZip(await Deno.readFile(path), path);
  const text = (value: string) => new TextEncoder().encode(value);
  const about = JSON.parse(new TextDecoder().decode(entries.get("denoise.json")));
  const changed = async (name: string, bytes: Uint8Array | undefined) => {
    const files = new Map(entries);
    if (bytes) files.set(name, bytes as Uint8Array<ArrayBuffer>);
    else files.delete(name);
    const to = `${folder.path}/changed.npz`;
    await Deno.writeFile(to, await writeZip(files));
    return to;
  };
  const cases: [string, Uint8Array | undefined, string][] = [
    ["denoise.json", text(JSON.stringify({ ...about, api: 2 })), "has version 2, not 1"],
    ["denoise.json", text("null"), "has version undefined, not 1"],
    ["denoise.json", text("{"), "denoise.json is damaged"],
    ["denoise.json", undefined, "no denoise.json in it; expected the .npz of a bulk run"],
    ["mixes.json", text("{}"), "mixes.json is damaged"],
    ["seeds.npy", undefined, "no seeds.npy in it"],
    ["arr_0.npy", undefined, "no arr_0.npy in it"],
    ["arr_0.npy", entries.get("arr_0.npy")!.slice(0, -1), "arr_0.npy does not fit 5 pictures"],
    ["arr_0.npy", new Uint8Array([...entries.get("arr_0.npy")!, 0]), "does not fit 5 pictures"],
  ];
  const before = open();
  for (const [name, bytes, message] of cases) {
    const to = await changed(name, bytes);
    await assertRejects(() => openArchive(to), InputError, message);
  }
  assertEquals(open(), before, "what is refused is closed");
  const none = `${folder.path}/none.npz`;
  await assertRejects(() => openArchive(none), InputError, "there is no such file");
});

Deno.test("shards in any order are put together to the archive of one run", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await shardAt(at("whole.npz"), await requestOf());
  const shards = await Promise.all([0, 1, 2].map(async (index) => {
    const request = await requestOf({ index, count: 3 });
    return await shardAt(at(`${index}.npz`), request, rangeOf({ index, count: 3 }, 5).start);
  }));
  const [a, b, c] = shards;
  const before = open();
  assertEquals(await mergeArchives([c, a, b], at("merged.npz")), 5);
  assertEquals(await Deno.readFile(at("merged.npz")), await Deno.readFile(at("whole.npz")));
  const half = await shardAt(at("half.npz"), await requestOf({ index: 1, count: 2 }));
  const steps = await requestOf({ index: 1, count: 3, how: { ...method, steps: 3 } });
  const other = await shardAt(at("other.npz"), steps);
  const forged = await requestOf({ index: 1, count: 3 });
  const wrong = await shardAt(at("forged.npz"), {
    ...forged,
    jobs: forged.jobs.map((job) => ({ ...job, seed: job.seed + 1 })),
  }, 1);
  const refused: [string[], string][] = [
    [[a, c], "shards 1 of 3 are missing"],
    [[b], "shards 0, 2 of 3 are missing"],
    [[a, b, a, c], `${a} and ${a} are both shard 0/3`],
    [[b, a, c, c], `${c} and ${c} are both shard 2/3`],
    [[a, half], "differ: 3 and 2 shards"],
    [[a, other, c], "differ: steps 2 and 3"],
    [[a, wrong, c], "the shards' seeds are not those of the run; a shard is damaged"],
  ];
  for (const [paths, message] of refused) {
    await assertRejects(() => mergeArchives(paths, at("no.npz")), InputError, message);
  }
  assertEquals(await exists(at("no.npz")), false);
  assertEquals(open(), before, "what was read is closed");
});

Deno.test("two runs are one where their pictures, method, seeds, labels and mixtures are", async () => {
  const run = async (all = jobs, recipe = method): Promise<RunIdentity> => ({
    recipe,
    pictures: all.length,
    request: await requestHash(all),
  });
  const base = await run();
  assertEquals(differenceOf(base, await run(jobs.map((job) => ({ ...job })))), undefined);
  const change = (i: number, more: Partial<Job>) =>
    jobs.map((job, k) => k === i ? { ...job, ...more } : job);
  const others = [
    change(0, { seed: 8 }),
    change(0, { label: 1 }),
    change(0, { label: undefined }),
    change(1, { mix: undefined }),
    change(1, { mix: { seed: 1, label: 9, share: 0.25 } }),
    change(1, { mix: { seed: 9, label: 1, share: 0.3 } }),
    change(0, { mix: { seed: 9, share: 0.5 } }),
    jobs.toReversed(),
  ];
  for (const all of others) {
    assertEquals(differenceOf(base, await run(all)), "other seeds or labels");
  }
  assertEquals(differenceOf(base, await run(jobs.slice(1))), "5 and 4 pictures");
  assertEquals(differenceOf(base, await run(jobs, { ...method, steps: 3 })), "steps 2 and 3");
  const sized = await run(jobs, { ...method, scale: 2 });
  assertEquals(differenceOf(base, sized), "scale (none) and 2");
  assertEquals(differenceOf(sized, base), "scale 2 and (none)");
  assertEquals(mixesText([{ seed: 1 }, { seed: 2, label: 3 }]).length, 0);
  assertEquals(
    new TextDecoder().decode(mixesText(jobs)),
    "[null,[9,1,0.25],[null,0,0.5],[0,null,1],null]",
  );
});

/** Begins a run, puts some of its pictures and leaves; `cut` bytes more lie in the file of pixels. */
async function stopped(path: string, put: number, cut = 0, request?: BulkRequest) {
  const asked = request ?? await requestOf();
  const sink = await openNpz(path, asked, { resume: false, force: true });
  for (let i = 0; i < put; i++) await sink.put(i, { pixels: bytesOf(i) } as Picture);
  sink.close();
  sink.close();
  const file = `${path}.pixels`;
  await Deno.writeFile(file, new Uint8Array(cut).fill(255), { append: true });
}

Deno.test("a run that was stopped goes on after its last whole picture, and only with --resume", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  const request = await requestOf();
  for (const [put, cut] of [[0, 0], [1, 0], [2, SIZE - 1], [5, 0], [5, 3 * SIZE]]) {
    await stopped(path, put, cut);
    if (put > 0) {
      const message = `${put + Math.min(5 - put, Math.floor(cut / SIZE))} pictures of a run that`;
      const open = () => openNpz(path, request, { resume: false, force: false });
      await assertRejects(open, InputError, message);
    }
    const sink = await openNpz(path, request, { resume: true, force: false });
    const missing = [0, 1, 2, 3, 4].slice(put);
    assertEquals(sink.missing, missing, `${put} and ${cut} bytes`);
    for (const i of missing) await sink.put(i, { pixels: bytesOf(i) } as Picture);
    await sink.finish();
    using archive = await openArchive(path);
    assertEquals(await pixelsOf(archive), jobs.flatMap((_, i) => [...bytesOf(i)]));
    assertEquals(names(folder.path), ["a.npz"]);
    await Deno.remove(path);
  }
});

Deno.test("an archive that is finished has nothing missing; files of another run are not gone on with", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  const request = await requestOf();
  await shardAt(path, request);
  const openAt = (asked: BulkRequest, resume: boolean, force = false) =>
    openNpz(path, asked, { resume, force });
  const before = open();
  const again = await openAt(request, true);
  assertEquals(again.missing, []);
  await assertRejects(() => again.put(0, {} as Picture), Error, "the archive is finished");
  await again.finish();
  await assertRejects(() => openAt(request, false), InputError, "the file is there already");
  const others: [BulkRequest, string][] = [
    [await requestOf({ how: { ...method, steps: 3 } }), "(steps 2 and 3)"],
    [await requestOf({ all: jobs.toReversed() }), "(other seeds or labels)"],
    [await requestOf({ index: 0, count: 2 }), "(shard 0/1 and 0/2)"],
  ];
  for (const [other, difference] of others) {
    await assertRejects(() => openAt(other, true), InputError, difference);
    // The file of pixels of a run that was stopped, too.
    await stopped(`${folder.path}/b.npz`, 2);
    const spool = () => openNpz(`${folder.path}/b.npz`, other, { resume: true, force: false });
    await assertRejects(spool, InputError, difference);
  }
  await assertRejects(() => openAt(others[0][0], true, true), InputError, "or --force without");
  const both = await openAt(request, true, true);
  assertEquals(both.missing, [], "what is the run's own is kept");
  const anew = await openAt(request, false, true);
  assertEquals(anew.missing, [0, 1, 2, 3, 4], "--force begins again");
  anew.close();
  assertEquals(open(), before, "what was looked at is closed");
});

Deno.test("pixels whose note is damaged, or of another version, are of no run", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  for (const note of ["{", '{"api":2}', "null"]) {
    await stopped(path, 3);
    await Deno.writeTextFile(`${path}.pixels.json`, note);
    const sink = await openNpz(path, await requestOf(), { resume: true, force: false });
    assertEquals(sink.missing, [0, 1, 2, 3, 4], note);
    sink.close();
    assertEquals((await Deno.stat(`${path}.pixels`)).size, 0);
  }
  // A note whose pixels are gone is of a run of which nothing is left.
  await stopped(path, 3);
  assertEquals(
    await Deno.readTextFile(`${path}.pixels.json`),
    `${
      JSON.stringify({ api: 1, run: (await requestOf()).run, shard: { index: 0, count: 1 }, shape })
    }\n`,
  );
  await Deno.remove(`${path}.pixels`);
  const sink = await openNpz(path, await requestOf(), { resume: false, force: false });
  assertEquals(sink.missing, [0, 1, 2, 3, 4]);
  sink.close();
});

Deno.test("an archive that could not be written is not there", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  const { run, shard } = await requestOf();
  const content: ArchiveContent = {
    about: { api: 1, run, shard, shape },
    jobs,
    pixels: () =>
      ReadableStream.from(function* () {
        yield bytesOf(0);
        throw new Error("gone");
      }()),
  };
  await assertRejects(() => writeArchive(path, content), Error);
  assertEquals(await exists(path), false);
});

Deno.test("what the system refuses is a WriteError with the path; what was refused before stays as it is", async () => {
  const input = new InputError("mine");
  assertEquals(await writing("p", () => Promise.resolve(3)), 3);
  const kept = await assertRejects(() => writing("p", () => Promise.reject(input)), InputError);
  assert(kept === input);
  const full = () => writing("p", () => Promise.reject(new Error("no space")));
  const error = await assertRejects(full, WriteError, "p: cannot be written (no space)");
  assertEquals((error as WriteError).path, "p");
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await Deno.symlink(at("nowhere"), at("link"));
  assertEquals([await exists(at("link")), await exists(at("nowhere"))], [true, false]);
  await assertRejects(() => writePart(at("none/x"), new Uint8Array(1)), WriteError, "none/x");
});

Deno.test("of folders the PNG files are put together, and nothing else", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  for (const name of ["a", "b", "b/7.png"]) await Deno.mkdir(at(name));
  await Deno.writeFile(at("a/1.png"), Uint8Array.of(1, 2));
  await Deno.writeFile(at("a/2.png.part"), Uint8Array.of(2));
  await Deno.writeFile(at("b/notes.txt"), Uint8Array.of(3));
  assertEquals(await mergeFolders([at("a"), at("b")], at("to")), 1);
  assertEquals(names(at("to")), ["1.png"]);
  for (const other of [[1], [1, 2, 3], [1, 3]]) {
    await Deno.writeFile(at("b/1.png"), Uint8Array.from(other));
    const merge = () => mergeFolders([at("a"), at("b")], at("two"));
    await assertRejects(merge, InputError, "a/1.png and ");
  }
  await assertRejects(() => mergeFolders([at("b/7.png")], at("to")), InputError, "found none");
  await assertRejects(() => mergeFolders([at("none")], at("to")), InputError, "cannot be read");
});
