/** A folder with a PNG a seed. */
import { InputError } from "../../errors.ts";
import { toText } from "../../recipe/recipe.ts";
import type { Picture } from "../../sampling/pictures.ts";
import type { BulkRequest, Job } from "./request.ts";
import { exists, type Sink, type SinkOptions, writePart, writing } from "./sink.ts";

/** Opens a folder, making it where it is missing. @throws InputError for pictures of another run. */
export async function openFolder(
  path: string,
  request: BulkRequest,
  { resume, force }: SinkOptions,
): Promise<Sink> {
  await writing(path, () => Deno.mkdir(path, { recursive: true }));
  const fileOf = ({ seed }: Job) => `${path}/${seed}.png`;
  refuseDuplicateSeeds(request.jobs);
  const missing: number[] = [];
  for (const [index, job] of request.jobs.entries()) {
    const file = fileOf(job);
    if (force && !resume || !await exists(file)) {
      missing.push(index);
    } else if (!resume) {
      throw new InputError(
        `--out ${file}: the file is there already; --resume keeps it, --force overwrites it`,
      );
    } else if (!await isOf(file, request, job)) {
      if (!force) {
        throw new InputError(
          `--out ${file}: made by another recipe; choose another folder, or --force to overwrite such`,
        );
      }
      missing.push(index);
    }
  }
  return {
    path,
    missing,
    put: async (index: number, picture: Picture) =>
      writePart(fileOf(request.jobs[index]), await picture.png()),
    finish: () => Promise.resolve(),
    close() {},
  };
}

/** @throws InputError where two pictures would be one file. */
export function refuseDuplicateSeeds(jobs: readonly Job[]): void {
  const seen = new Set<number>();
  for (const { seed } of jobs) {
    if (seen.has(seed)) throw new InputError(`--seeds: ${seed} is there twice; files go by seed`);
    seen.add(seed);
  }
}

/** Whether a file carries the recipe that the request would give it. */
async function isOf(file: string, { method }: BulkRequest, job: Job): Promise<boolean> {
  const text = new TextEncoder().encode(toText([{ ...method, ...job }]));
  return indexOf(await Deno.readFile(file), text) >= 0;
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let at = bytes.indexOf(part[0]); at >= 0; at = bytes.indexOf(part[0], at + 1)) {
    let i = 1;
    while (i < part.length && bytes[at + i] === part[i]) i++;
    if (i === part.length) return at;
  }
  return -1;
}
