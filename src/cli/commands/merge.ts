/** `merge`: the shards of a bulk run put together. */
import { InputError } from "../../errors.ts";
import { mergeArchives, mergeFolders } from "../bulk/merge.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { openTarget } from "../files.ts";

interface Flags {
  out: string;
  force: boolean;
}

export function define(command: Command, io: () => Io): void {
  command
    .argument("<shards...>", "the .npz files of every shard, or folders")
    .requiredOption("--out <path>", "a .npz, or a folder/")
    .option("--force", "overwrite a file that is there", false)
    .action((shards: string[], flags: Flags) => run(shards, flags, io()));
}

async function run(shards: string[], flags: Flags, io: Io): Promise<void> {
  const { path, kind } = await openTarget(flags.out, flags.force);
  const archives = shards.filter((shard) => /\.npz$/i.test(shard)).length;
  if (kind === "npz" ? archives < shards.length : kind !== "folder" || archives > 0) {
    throw new InputError(
      `--out ${flags.out}: .npz shards make a .npz, folders a folder/; found ${shards.join(", ")}`,
    );
  }
  const count = kind === "npz"
    ? await mergeArchives(shards, path)
    : await mergeFolders(shards.map((shard) => shard.replace(/\/+$/, "")), path, flags.force);
  if (!io.quiet) {
    const [pictures, parts] = [plural(count, "picture"), plural(shards.length, "shard")];
    io.err(`${path}: ${pictures} of ${parts}`);
  }
}

function plural(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}
