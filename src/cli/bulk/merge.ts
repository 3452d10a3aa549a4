/** Shards put together again: the same bytes as one run would have written. */
import { InputError } from "../../errors.ts";
import { concat, type OpenArchive, openArchive, writeArchive } from "./archive.ts";
import { isScratch, reasonOf } from "../files.ts";
import { differenceOf, requestHash } from "./request.ts";
import { exists, writePart, writing } from "./sink.ts";

/**
 * Joins the .npz of every shard of a run, given in any order.
 * @returns how many pictures there are
 * @throws InputError where a shard is missing, twice there, or of another run
 */
export async function mergeArchives(paths: readonly string[], to: string): Promise<number> {
  using stack = new DisposableStack();
  const shards: OpenArchive[] = [];
  for (const path of paths) shards.push(stack.use(await openArchive(path)));
  shards.sort((a, b) => a.about.shard.index - b.about.shard.index);
  await checkShards(shards);
  const { about } = shards[0];
  const jobs = shards.flatMap((shard) => shard.jobs);
  await writeArchive(to, {
    about: { ...about, shard: { index: 0, count: 1 } },
    jobs,
    pixels: () => concat(shards.map((shard) => shard.pixels)),
  });
  return jobs.length;
}

async function checkShards(shards: readonly OpenArchive[]): Promise<void> {
  const [{ path: firstPath, about: first }] = shards;
  const { count } = first.shard;
  for (const { path, about } of shards) {
    const difference = differenceOf(first.run, about.run) ??
      (about.shard.count === count ? undefined : `${count} and ${about.shard.count} shards`);
    if (difference) throw new InputError(`${firstPath} and ${path} differ: ${difference}`);
  }
  const indices = shards.map(({ about }) => about.shard.index);
  const twice = shards.findIndex((_, i) => i > 0 && indices[i] === indices[i - 1]);
  if (twice > 0) {
    const [a, b] = [shards[twice - 1].path, shards[twice].path];
    throw new InputError(`${a} and ${b} are both shard ${indices[twice]}/${count}`);
  }
  const missing = Array.from({ length: count }, (_, i) => i).filter((i) => !indices.includes(i));
  if (missing.length > 0) {
    throw new InputError(`shards ${missing.join(", ")} of ${count} are missing`);
  }
  const jobs = shards.flatMap((shard) => shard.jobs);
  if (await requestHash(jobs) !== first.run.request) {
    throw new InputError("the shards' seeds are not those of the run; a shard is damaged");
  }
}

/**
 * Copies the PNGs of folders into one.
 * @param force whether other pictures of those names that lie there already may be replaced
 * @returns how many pictures there are
 * @throws InputError where two folders hold different pictures of one name
 */
export async function mergeFolders(
  paths: readonly string[],
  to: string,
  force = false,
): Promise<number> {
  await writing(to, () => Deno.mkdir(to, { recursive: true }));
  // Never a picture of a folder that is read.
  const replaces = force && await isScratch(to, paths);
  const seen = new Map<string, string>();
  for (const path of paths) {
    for await (const { name, isFile } of list(path)) {
      if (!isFile || !name.endsWith(".png")) continue;
      const [from, target] = [`${path}/${name}`, `${to}/${name}`];
      const bytes = await Deno.readFile(from);
      const replaced = replaces && !seen.has(name);
      if (!replaced && await exists(target)) {
        if (!equal(bytes, await Deno.readFile(target))) {
          throw new InputError(`${seen.get(name) ?? target} and ${from} are different pictures`);
        }
      } else {
        await writePart(target, bytes);
      }
      seen.set(name, from);
    }
  }
  if (seen.size === 0) throw new InputError(`${paths.join(", ")}: expected PNG files, found none`);
  return seen.size;
}

async function* list(path: string): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* Deno.readDir(path);
  } catch (error) {
    throw new InputError(`${path}: cannot be read: ${reasonOf(error)}`);
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
