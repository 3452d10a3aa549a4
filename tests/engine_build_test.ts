import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Build, builds, compile, moduleOf, write } from "../deploy/build_kernels.ts";
import { temporaryFolder } from "./cli.ts";

const folder = new URL("../src/engine/wasm/", import.meta.url);
let bytesInAll = 0;

for (const build of Object.keys(builds) as Build[]) {
  Deno.test(`engine: ${build}.wasm is what its source compiles to`, async () => {
    const kept = await Deno.readFile(new URL(`${build}.wasm`, folder));
    bytesInAll += kept.length;
    assertEquals(await compile(build), kept, "run: deno task build:engine");
    assertEquals(await Deno.readTextFile(new URL(`${build}.ts`, folder)), moduleOf(build, kept));
  });
}

Deno.test("engine: each build is written as WebAssembly and as a module, its size told", async () => {
  await using folder = await temporaryFolder();
  const to = new URL(`file://${folder.path}/new/wasm/`);
  const { log } = console;
  const said: string[] = [];
  console.log = (text: string) => void said.push(text);
  const bytesOf = (build: Build) => Promise.resolve(new TextEncoder().encode(build));
  try {
    await write(to, bytesOf);
  } finally {
    console.log = log;
  }
  assertEquals(said, ["relaxed.wasm: 7 bytes", "plain.wasm: 5 bytes"]);
  for (const build of Object.keys(builds) as Build[]) {
    const bytes = await bytesOf(build);
    assertEquals(await Deno.readFile(new URL(`${build}.wasm`, to)), bytes);
    const module = new URL(`${build}.ts`, to);
    assertEquals(await Deno.readTextFile(module), moduleOf(build, bytes));
    assertEquals(Uint8Array.fromBase64((await import(module.href)).default), bytes);
  }
  assertEquals(Array.from(Deno.readDirSync(to), ({ name }) => name).length, 4);
});

Deno.test("engine: what cannot be compiled says why", async () => {
  const broken = "broken" as Build;
  Object.assign(builds, { [broken]: ["--enable", "nothing"] });
  try {
    await assertRejects(() => compile(broken), Error, "Feature 'nothing' is unknown.");
  } finally {
    delete (builds as Partial<Record<string, unknown>>)[broken];
  }
});

Deno.test("engine: both builds together are at most 100 KB", () => {
  assert(bytesInAll > 0 && bytesInAll <= 100_000, `${bytesInAll} bytes`);
});
