/** What importing from an address fetches, may do, and can be extended with. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { temporaryFolder } from "./cli.ts";
import { serveRepository } from "./serve_repository.ts";

async function deno(args: string[], cwd: string, env: Record<string, string> = {}) {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1", DENOISE_CACHE: `${cwd}/downloads`, ...env },
    stdout: "null",
  }).output();
  return { code, err: new TextDecoder().decode(stderr) };
}

/** Where Deno keeps what it fetched. */
async function denoDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

/** What the README names in place of -A for `sample` from an address, in the folder it runs in. */
function minimalPermissions(host: string, cache: string): string[] {
  return [
    "--no-prompt",
    // The weights. Modules of the program's own host need no leave.
    `--allow-net=${host}`,
    // onnxruntime reads its .wasm out of the npm cache.
    `--allow-read=.,${cache}`,
    "--allow-write=.",
  ];
}

/** Names of the npm packages in a DENO_DIR. */
async function packagesIn(denoDir: string): Promise<string[]> {
  const names: string[] = [];
  for await (const registry of list(`${denoDir}/npm`)) {
    for await (const { name } of list(`${denoDir}/npm/${registry.name}`)) {
      if (!name.startsWith("@")) names.push(name);
      else {
        for await (const inner of list(`${denoDir}/npm/${registry.name}/${name}`)) {
          names.push(`${name}/${inner.name}`);
        }
      }
    }
  }
  return names.sort();
}

async function* list(path: string): AsyncGenerator<Deno.DirEntry> {
  try {
    for await (const entry of Deno.readDir(path)) if (entry.isDirectory) yield entry;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

Deno.test("importing mod.ts into an empty cache fetches no engine, server, trainer or weights", async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  const program = `${folder.path}/main.ts`;
  await Deno.writeTextFile(program, `import "${server.origin}/mod.ts";`);
  const env = { DENO_DIR: `${folder.path}/cache` };
  const { code, err } = await deno(["run", "-A", "--no-lock", program], folder.path, env);
  assertEquals(code, 0, err);

  const late = /^\/(weights|tests|bench|deploy|src\/(cli|server|training|evaluation))\//;
  assertEquals(server.requests.filter((path) => late.test(path)), []);
  const fetched = server.requests.filter((path) => path.startsWith("/src/backends/"));
  assertEquals(fetched, []);
  const packages = await packagesIn(env.DENO_DIR);
  for (const heavy of ["onnxruntime-web", "onnxruntime-node", "hono", "commander"]) {
    assert(!packages.includes(heavy), `${heavy} was fetched: ${packages}`);
  }
});

Deno.test("mod.ts sample from an address fetches one engine, and each file once", async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  const env = { DENO_DIR: `${folder.path}/cache` };
  const { code, err } = await deno(
    [
      ...["run", "-A", "--no-lock", `${server.origin}/mod.ts`, "sample", "--backend", "wasm"],
      ...["--n", "1", "--steps", "1", "--threads", "1", "--quiet"],
    ],
    folder.path,
    env,
  );
  assertEquals(code, 0, err);
  const packages = await packagesIn(env.DENO_DIR);
  assert(packages.includes("onnxruntime-web"), String(packages));
  assert(!packages.includes("onnxruntime-node") && !packages.includes("hono"), String(packages));
  const sources = server.requests.filter((path) => path.endsWith(".ts"));
  assertEquals(sources.filter((path) => /^\/src\/(server|training)\//.test(path)), []);
  assertEquals(sources.length, new Set(sources).size, "asked for twice");
});

Deno.test("the README's permissions are enough, and none of them can be left out", async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  const host = new URL(server.origin).host;
  const permissions = minimalPermissions(host, await denoDir());
  const run = (flags: string[]) =>
    deno([
      ...["run", "--no-lock", ...flags, `${server.origin}/mod.ts`, "sample", "--backend", "wasm"],
      ...["--n", "1", "--steps", "1", "--threads", "1", "--quiet", "--force"],
      ...["--out", "one.png"],
    ], folder.path);
  const enough = await run(permissions);
  assertEquals(enough.code, 0, enough.err);
  for (const flag of permissions.filter((flag) => flag.startsWith("--allow"))) {
    const without = await run(permissions.filter((other) => other !== flag));
    assert(without.code !== 0, `${flag} is not needed`);
  }
});

Deno.test("weights from the repository, a scheduler from a third place", async () => {
  await using server = serveRepository();
  await using folder = await temporaryFolder();
  const plugin = `export default {
    name: "halves",
    api: 1,
    async *sampler({ x, timesteps, schedule, denoise }) {
      for (const [i, t] of timesteps.entries()) {
        const { eps, x_0 } = await denoise(x, t);
        const alpha_bar = schedule.alpha_bar(timesteps[i + 1] ?? -1);
        x = x_0.map((v, j) => Math.sqrt(alpha_bar) * v + Math.sqrt(1 - alpha_bar) * eps[j]);
        yield { t, x, x_0 };
      }
      return x;
    },
  };`;
  await using stranger = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => new Response(plugin, { headers: { "content-type": "application/javascript" } }),
  );
  const address = `http://127.0.0.1:${stranger.addr.port}/halves.js`;
  const sample = (scheduler: string, out: string) =>
    deno([
      ...["run", "-A", "--no-lock", `${server.origin}/mod.ts`, "sample", "--scheduler", scheduler],
      ...["--n", "1", "--steps", "2", "--threads", "1", "--backend", "wasm", "--quiet"],
      ...["--out", `${folder.path}/${out}`],
    ], folder.path);
  const made = await sample(address, "halves.png");
  assertEquals(made.code, 0, made.err);
  assertMatch(await Deno.readTextFile(`${folder.path}/halves.png`), /"scheduler":"halves"/);

  const refused = await sample(`http://127.0.0.1:${stranger.addr.port + 1}/none.js`, "none.png");
  assertEquals(refused.code, 2, "a plug-in that cannot be reached is the user's to put right");
});

Deno.test("deno publish would take the repository as it is", async () => {
  const root = new URL("../", import.meta.url);
  await using folder = await temporaryFolder();
  const copy = await new Deno.Command("bash", {
    args: ["-c", `git ls-files -z | xargs -0 cp --parents -t "${folder.path}" --`],
    cwd: root,
  }).output();
  assert(copy.success, new TextDecoder().decode(copy.stderr));
  // Fails on slow types, which are those that are not written out.
  const { code, err } = await deno(
    ["publish", "--dry-run", "--allow-dirty", "--no-check"],
    folder.path,
  );
  assertEquals(code, 0, err);
});
