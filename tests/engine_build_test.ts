import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Build, builds, compile, moduleOf } from "../deploy/build_kernels.ts";

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
