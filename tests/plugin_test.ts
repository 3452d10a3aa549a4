import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { loadScheduler } from "../src/plugin.ts";
import { checkScheduler } from "../src/sampling/plugin.ts";
import { temporaryFolder } from "./cli.ts";

const mine = `export default {
  name: "mine",
  api: 1,
  options: { strength: { type: "number", description: "how much", default: 1 } },
  async *sampler(run) {
    let x = run.x;
    for (const t of run.timesteps) {
      const { x_0 } = await run.denoise(x, t);
      x = x_0.map((v) => v * run.options.strength);
      yield { t, x, x_0 };
    }
    return x;
  },
};`;

Deno.test("a stranger's plug-in is loaded from a path", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/mine.ts`, mine);
  const scheduler = await loadScheduler(`${folder.path}/mine.ts`);
  assertEquals(scheduler.name, "mine");
});

Deno.test("a stranger's plug-in is loaded from an address", async () => {
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    return new Response(mine, { headers: { "content-type": "application/typescript" } });
  });
  try {
    const scheduler = await loadScheduler(`http://127.0.0.1:${server.addr.port}/mine.ts`);
    assertEquals(scheduler.name, "mine");
  } finally {
    await server.shutdown();
  }
});

Deno.test("a name that is neither built in nor a module lists what there is", async () => {
  const error = await assertRejects(() => loadScheduler("euler"), InputError, "ddim");
  assert(error.message.includes('"euler"'));
});

Deno.test("a file that is not there, or no module, is refused in one line", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/broken.ts`, "export default {{{");
  for (const file of ["missing.ts", "broken.ts"]) {
    const error = await assertRejects(() => loadScheduler(`${folder.path}/${file}`), InputError);
    assert(!error.message.includes("\n"), error.message);
  }
});

const sampler = async function* () {};
const misfits: [string, unknown, string[]][] = [
  ["no default export", { sampler }, ["default export"]],
  ["a function as default export", { default: sampler }, ["default export", "function"]],
  ["another api", { default: { name: "a", api: 2, sampler } }, ["api: 1", "2"]],
  ["no name", { default: { api: 1, sampler } }, ["name"]],
  ["a sampler that is no function", { default: { name: "a", api: 1, sampler: 3 } }, [
    "sampler to be a function",
    "3",
  ]],
  ["nothing that it does", { default: { name: "a", api: 1 } }, ["betas, timesteps, sampler"]],
  ["an option without a schema", { default: { name: "a", api: 1, sampler, options: { k: 1 } } }, [
    "option k",
  ]],
];
for (const [what, module, mentions] of misfits) {
  Deno.test(`a plug-in with ${what} is refused with what was expected and found`, () => {
    const error = assertThrows(() => checkScheduler(module, "mine.ts"), InputError, "mine.ts");
    for (const mention of mentions) assert(error.message.includes(mention), error.message);
  });
}
