/** Which pictures of a folder are made, by what is there and what --resume and --force say. */
import { assertEquals, assertRejects } from "@std/assert";
import { openFolder } from "../src/cli/bulk/folder_sink.ts";
import type { BulkRequest } from "../src/cli/bulk/request.ts";
import { InputError } from "../src/errors.ts";
import { type Method, toText } from "../src/recipe/recipe.ts";
import { temporaryFolder } from "./cli.ts";

const method: Method = {
  weights: "ab".repeat(32),
  scheduler: "ddim",
  steps: 2,
  options: {},
  guidance: 1,
};
const request = { method, jobs: [0, 1, 2].map((seed) => ({ seed })) } as unknown as BulkRequest;

/** A folder with seed 0's picture of this request, and seed 1's of another. */
async function started() {
  const folder = await temporaryFolder();
  const write = (seed: number, made: Method) =>
    Deno.writeTextFile(`${folder.path}/${seed}.png`, `PNG ${toText([{ ...made, seed }])} end`);
  await write(0, method);
  return { folder, write };
}

const missing = async (path: string, resume: boolean, force: boolean) =>
  (await openFolder(path, request, { resume, force })).missing;

Deno.test("without a word nothing that is there is touched", async () => {
  const { folder } = await started();
  await using path = folder;
  await assertRejects(
    () => missing(path.path, false, false),
    InputError,
    "0.png: the file is there",
  );
  await Deno.remove(`${path.path}/0.png`);
  assertEquals(await missing(path.path, false, false), [0, 1, 2]);
});

Deno.test("--resume keeps the request's own pictures, and stops at others", async () => {
  const { folder, write } = await started();
  await using path = folder;
  assertEquals(await missing(path.path, true, false), [1, 2]);
  await write(1, { ...method, steps: 3 });
  await assertRejects(() => missing(path.path, true, false), InputError, "made by another recipe");
});

Deno.test("--force makes every picture anew; with --resume only those of another recipe", async () => {
  const { folder, write } = await started();
  await using path = folder;
  await write(1, { ...method, steps: 3 });
  assertEquals(await missing(path.path, false, true), [0, 1, 2]);
  assertEquals(await missing(path.path, true, true), [1, 2]);
});

Deno.test("a seed that is asked for twice would be one file", async () => {
  await using folder = await temporaryFolder();
  const twice = { ...request, jobs: [{ seed: 4 }, { seed: 4 }] };
  await assertRejects(
    () => openFolder(folder.path, twice, { resume: false, force: false }),
    InputError,
    "4 is there twice",
  );
});
