/** `deno serve` as Deno Deploy runs it: everything allowed, no unstable flags. */
import { answer, freePort, type ServerProcess, startServer } from "./process.ts";
import { DEFAULT_WEIGHTS } from "../../src/weights/find/sources.ts";
import { type Measured, median, pixelsAt, probeAddress, timePictures } from "./target.ts";

const root = new URL("../../", import.meta.url);
export const MAX_MEMORY = 450e6;
export const MAX_EXIT_MS = 5000;

/** Serves, makes `requests` pictures, interrupts. @throws Error where a budget is broken */
export async function measureDeno(requests = 100): Promise<Measured> {
  const port = freePort();
  await using server = startServer(Deno.execPath(), [
    ...["serve", "-A", "--no-lock", "--host", "127.0.0.1", "--port", String(port)],
    new URL("deploy/deno/main.ts", root).pathname,
  ], port);
  await (await answer(new URL("v1/images/0.png?steps=1", server.base))).body?.cancel();
  const coldStart = performance.now() - server.started;

  const pixels = await pixelsAt(new URL(probeAddress, server.base));
  const seconds = await timePictures(server.base, 1000);
  await manyPictures(server.base, requests);
  const bytes = await server.peakMemory();
  const { milliseconds, code, finished } = await interruptWhileBusy(server);
  if (bytes > MAX_MEMORY) throw new Error(`deno: peak memory ${bytes}, at most ${MAX_MEMORY}`);
  if (!finished) throw new Error("deno: a picture under way at SIGINT was not finished");
  if (milliseconds > MAX_EXIT_MS || code !== 0) {
    throw new Error(`deno: ended with ${code} after ${milliseconds} ms`);
  }
  return {
    target: "deno serve (Deno Deploy)",
    coldStart,
    memory: { bytes, of: `VmHWM over ${requests} requests` },
    size: await deployedBytes(),
    secondsAnImage: median(seconds),
    pixels,
    notes: [`SIGINT to exit ${Math.round(milliseconds)} ms`],
  };
}

/** SIGINT while a picture is being made; it still has to be finished. */
async function interruptWhileBusy(server: ServerProcess) {
  const response = await fetch(new URL("v1/images/5000/events", server.base));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value ?? "";
  const ending = server.interrupt();
  for (let part; !(part = await reader.read()).done;) text += part.value;
  return { ...await ending, finished: /^event: done$/m.test(text) };
}

/** Pictures from eight visitors at a time. */
async function manyPictures(base: URL, count: number): Promise<void> {
  let next = 2000;
  const visitor = async () => {
    while (next < 2000 + count) await pixelsAt(new URL(`v1/images/${next++}.png?steps=4`, base));
  };
  await Promise.all(Array.from({ length: 8 }, visitor));
}

/** The sources, the engine's .wasm in them, and the weights; npm packages are small beside them. */
async function deployedBytes(): Promise<number> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--no-lock", new URL("deploy/deno/main.ts", root).pathname],
    stderr: "null",
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { size?: number }[];
  };
  const source = modules.reduce((sum, { size = 0 }) => sum + size, 0);
  return source + await folderBytes(new URL(`weights/${DEFAULT_WEIGHTS}/`, root));
}

export async function folderBytes(folder: URL): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    bytes += isDirectory
      ? await folderBytes(new URL(`${name}/`, folder))
      : await bytesOf(new URL(name, folder));
  }
  return bytes;
}

async function bytesOf(file: URL): Promise<number> {
  return (await Deno.stat(file)).size;
}
