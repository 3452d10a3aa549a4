import { relative } from "node:path";
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { loadScheduler } from "../src/cli/sampling_options.ts";
import { resolveOptions } from "../src/recipe/options.ts";
import { checkScheduler } from "../src/sampling/plugin.ts";
import { sample } from "../src/sampling/sample.ts";
import { schedulers } from "../schedulers/mod.ts";
import { fakeNetwork } from "./sampling_network.ts";
import { temporaryFolder } from "./cli.ts";

/** What a stranger writes who has read the contract and imports nothing. */
const stranger = `
export default {
  name: "half",
  api: 1,
  options: { strength: { type: "number", description: "how much", default: 0.5, minimum: 0 } },
  timesteps: (n, schedule) => Array.from({ length: n }, (_, i) => schedule.T - 1 - i * 2.5),
  async *sampler(run) {
    let x = run.x;
    for (const t of run.timesteps) {
      const { x_0 } = await run.denoise(x, t);
      x = x.map((value) => value * run.options.strength);
      yield { t, x, x_0 };
    }
    return x;
  },
};`;

async function runStranger(spec: string) {
  const scheduler = await loadScheduler(spec);
  const network = fakeNetwork();
  const request = { seeds: [3], scheduler, steps: 2, options: { strength: 0.25 } };
  const frames = await Array.fromAsync(sample(network, request));
  const [{ x: first }] = network.asked;
  assertEquals(frames.map(({ t }) => t), [999, 996.5]);
  assertEquals(frames[1].x, first.map((value) => value / 16));
}

Deno.test("a stranger's plug-in runs from a path, whatever characters are in it", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/my #1 plug-in 100%.ts`;
  await Deno.writeTextFile(path, stranger);
  await runStranger(path);
});

Deno.test("a relative path is taken from the working folder", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/mine.js`, stranger);
  await runStranger(relative(Deno.cwd(), `${folder.path}/mine.js`));
});

Deno.test("a stranger's plug-in runs from an address", async () => {
  const headers = { "content-type": "text/javascript" };
  const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using server = Deno.serve(options, () => new Response(stranger, { headers }));
  await runStranger(`http://127.0.0.1:${server.addr.port}/half.js`);
});

Deno.test("what cannot be loaded is told by its name, with the reason in one line", async () => {
  await using folder = await temporaryFolder();
  const broken = `${folder.path}/broken.ts`;
  await Deno.writeTextFile(broken, `throw new Error("not today\\nsecond line")`);
  const syntax = `${folder.path}/syntax.ts`;
  await Deno.writeTextFile(syntax, "export default {{{");
  const cases: [string, RegExp][] = [
    ["dimm", /^scheduler dimm: expected one of linear, cosine, ddpm, ddim, .*path.*$/],
    ["constructor", /^scheduler constructor: expected one of/],
    ["./no/such.ts", /^scheduler \.\/no\/such\.ts: could not be loaded \(Module not found.*\)$/],
    [syntax, /^scheduler .*syntax\.ts: could not be loaded \([^\n]+\)$/],
    [broken, /^scheduler .*broken\.ts: could not be loaded \(not today\)$/],
  ];
  for (const [spec, message] of cases) {
    const error = await assertRejects(() => loadScheduler(spec), InputError);
    assertMatch(error.message, message);
  }
});

const misfits: [module: unknown, message: string][] = [
  [{}, 'mine: expected a default export { name, api: 1, … }, found "no export"'],
  [{ sampler() {} }, 'expected a default export { name, api: 1, … }, found "sampler"'],
  [
    { default: class Mine {} },
    "the default export to be an object { name, api: 1, … }, found a class",
  ],
  [{ default: [] }, "found []"],
  [{ default: { name: "a" } }, "expected api: 1 (the contract's version), found nothing"],
  [{ default: { name: "a", api: 2 } }, "expected api: 1 (the contract's version), found 2"],
  [{ default: { api: 1 } }, "expected name: lower-case letters"],
  [{ default: { api: 1, name: "Mine!" } }, 'found "Mine!"'],
  [{ default: { api: 1, name: "a", sampler: 3 } }, "expected sampler: a function, found 3"],
  [{ default: { api: 1, name: "a", betas: [0.1] } }, "expected betas: a function, found [0.1]"],
  [
    { default: { api: 1, name: "a", sample() {} } },
    'no keys but name, api, description, options, needs, betas, timesteps, sampler, found "sample"',
  ],
  [{ default: { api: 1, name: "a", options: [] } }, "expected options: schemas by name, found []"],
  [
    { default: { api: 1, name: "a", options: { eta: 1 } } },
    "options.eta: expected { type: number | integer | boolean | string, description, default }, found 1",
  ],
  [
    { default: { api: 1, name: "a", options: { eta: { type: "number", default: 1 } } } },
    "options.eta: expected { type: number | integer | boolean | string, description, default }, found ",
  ],
  [
    {
      default: {
        api: 1,
        name: "a",
        options: { eta: { type: "real", description: "", default: 1 } },
      },
    },
    "options.eta: expected { type: number | integer",
  ],
  [
    { default: { api: 1, name: "a", options: { eta: { type: "number", description: "" } } } },
    "options.eta.default: expected a number, found nothing",
  ],
  [
    {
      default: {
        api: 1,
        name: "a",
        options: { eta: { type: "number", description: "", default: 3, maximum: 1 } },
      },
    },
    "options.eta.default: expected a number of at most 1, found 3",
  ],
];
for (const [module, message] of misfits) {
  Deno.test(`a module that does not fit is refused: ${message.slice(0, 70)}`, () => {
    assertThrows(() => checkScheduler(module, "mine"), InputError, message);
  });
}

Deno.test("every built-in passes the check that strangers pass", () => {
  for (const scheduler of Object.values(schedulers)) {
    assertEquals(checkScheduler({ default: scheduler }, "built-in"), scheduler);
  }
});

Deno.test("options are checked against the plug-in's schema and completed from it", () => {
  const scheduler = checkScheduler({
    default: {
      name: "a",
      api: 1,
      options: {
        order: { type: "integer", description: "", default: 2, minimum: 1, maximum: 3 },
        clip: { type: "boolean", description: "", default: true },
        kind: { type: "string", description: "", default: "x", enum: ["x", "y"] },
      },
    },
  }, "a");
  assertEquals(resolveOptions(scheduler, { kind: "y" }), { order: 2, clip: true, kind: "y" });
  const refused: [object, string][] = [
    [{ oder: 1 }, 'options.oder: expected an option of "a" (order, clip, kind), found 1'],
    [{ toString: 1 }, "options.toString"],
    [{ order: 1.5 }, "options.order: expected a whole number from 1 to 3, found 1.5"],
    [{ order: 4 }, "options.order: expected a whole number from 1 to 3, found 4"],
    [{ order: NaN }, "options.order: expected a whole number from 1 to 3, found NaN"],
    [{ clip: "yes" }, 'options.clip: expected true or false, found "yes"'],
    [{ kind: "z" }, 'options.kind: expected one of x, y, found "z"'],
  ];
  for (const [options, message] of refused) {
    assertThrows(() => resolveOptions(scheduler, { ...options }), InputError, message);
  }
  assertThrows(
    () => resolveOptions(schedulers.linear, { eta: 1 }),
    InputError,
    'options.eta: expected an option of "linear" (none), found 1',
  );
});
