/** What a terminal and a log show of a download. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { downloadOptions } from "../src/cli/progress.ts";
import type { Io } from "../src/cli/io.ts";
import { download } from "../src/weights/find/download.ts";
import { DownloadCache } from "../src/weights/find/cache.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { hub, serve, withEnvironment } from "./hub.ts";

function terminal(quiet = false) {
  const said: string[] = [];
  const shown: string[] = [];
  const io: Io = {
    quiet,
    signal: new AbortController().signal,
    out: (line) => said.push(line),
    err: (line) => said.push(line),
    status: (line) => shown.push(line),
    writeBytes: () => Promise.resolve(),
  };
  return { io, said, shown };
}

/** Three megabytes, slowly. */
const megabytes = (announced: boolean) => () => {
  const pieces = async function* () {
    for (let i = 0; i < 6; i++) {
      yield new Uint8Array(500_000);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  };
  const headers: HeadersInit = announced ? { "content-length": "3000000" } : {};
  return new Response(ReadableStream.from(pieces()), { headers });
};

Deno.test("a terminal sees bytes and share while a file comes, and one line once it is there", async () => {
  await using server = serve(megabytes(true));
  const { io, said, shown } = terminal();
  await download(new URL(`${server.origin}/w/unet.safetensors`), downloadOptions(io));
  const seen = shown.slice(0, -1).map((line) =>
    /^downloading unet\.safetensors: ([\d.]+) of 3\.0 MB, (\d+)%$/.exec(line)!.slice(1).map(Number)
  );
  for (const [received, share] of seen) assert(Math.abs(received / 3 - share / 100) < 0.03);
  assert(seen.some(([, share]) => share > 0), "it grows");
  assert(shown.length < 5, "it is not drawn again for every piece");
  assertEquals(shown.at(-1), "", "nothing is left of it");
  assertEquals(said, ["downloaded unet.safetensors: 3.0 MB"]);
});

Deno.test("without an announced length there are bytes alone", async () => {
  await using server = serve(megabytes(false));
  const { io, said, shown } = terminal();
  await download(new URL(`${server.origin}/unet.safetensors`), downloadOptions(io));
  assertMatch(shown[0], /^downloading unet\.safetensors: [\d.]+ MB$/);
  assertEquals(said, ["downloaded unet.safetensors: 3.0 MB"]);
});

Deno.test("--quiet, small files and files that are there already say nothing", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(megabytes(true));
  const url = new URL(`${server.origin}/w`);
  const store = new DownloadCache(folder.path);
  const quiet = terminal(true);
  await store.fetch(url, downloadOptions(quiet.io));
  assertEquals(quiet.said, []);
  const second = terminal();
  assertEquals((await store.fetch(url, downloadOptions(second.io)))?.length, 3_000_000);
  assertEquals([second.said, second.shown, server.requests.length], [[], [], 1]);

  await using small = serve(hub);
  const environment = { DENOISE_CACHE: `${folder.path}/small`, HF_ENDPOINT: small.origin };
  const { code, err } = await withEnvironment(environment, () => cli(["inspect", "hf:owner/name"]));
  assertEquals([code, err], [0, ""]);
});

Deno.test("Ctrl-C stops a download, and nothing half is left", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(megabytes(true));
  const stop = new AbortController();
  setTimeout(() => stop.abort(new DOMException("stopped", "AbortError")), 60);
  const { code, err } = await withEnvironment(
    { DENOISE_CACHE: folder.path },
    () => cli(["inspect", `${server.origin}/w.zip`], stop.signal),
  );
  assertEquals([code, err], [130, "denoise: stopped"]);
  assertEquals([...Deno.readDirSync(folder.path)], []);
});
