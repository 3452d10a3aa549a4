/** `train` as a user runs it: what it shows and says, how it is watched, what is refused first. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { watchRun } from "../src/cli/watch/watch.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { hub, serve, withEnvironment } from "./hub.ts";
import { sessionsOf } from "./ort_sessions.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

/** A folder with twelve pictures and a recipe of three updates. */
async function place() {
  const folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(at("pictures"), ["cat", "dog"], 6);
  const recipe = { ...tinyRecipe, data: at("pictures"), steps: 3, sample_every: 0, holdout: 0 };
  await Deno.writeTextFile(at("recipe.json"), JSON.stringify(recipe));
  const train = ["train", "--recipe", at("recipe.json"), "--threads", "1"];
  return { folder, at, train };
}

Deno.test("train shows what it reads and every update, and says where the weights are", async () => {
  const { folder, at, train } = await place();
  await using _ = folder;
  // No thread of the engine turns in circles between two evaluations: training works then.
  const trained = async (threads: number, work: () => Promise<unknown>) => {
    const { made, ...engine } = await sessionsOf(work);
    assertEquals([engine, made > 0], [{ threads: [threads], spins: ["0"], open: 0 }, true]);
  };
  let first: Awaited<ReturnType<typeof watched>>;
  await trained(1, async () => first = await watched([...train, "--out", at("run//")], {}));
  const { code, out, err, shown } = first!;
  assertEquals(code, 0, err.join("\n"));
  assertEquals(out, [at("run/weights")]);
  assert(shown.includes("reading pictures: 12 of 12"), shown.join("\n"));
  const updates = shown.filter((line) =>
    /^\d\/3 {2}loss \d+\.\d{4} {2}\d+ ms a step {2}/.test(line)
  );
  assertEquals(updates.map((line) => line[0]), ["1", "2", "3"]);
  assertMatch(updates[2], /a step {2}0\.0 s left$/);
  assertEquals(shown.at(-1), "");
  const [hash, use] = err.slice(-2);
  assertMatch(hash, /run: update 3, state SHA-256 [0-9a-f]{64}$/);
  assertEquals(hash.split(":")[0], at("run"));
  assertEquals(use, `Sample with: sample --weights ${at("run/weights")}`);
  const more = ["train", "--resume", `${at("run")}/`, "--steps", "4", "--quiet"];
  await trained(navigator.hardwareConcurrency, async () => {
    const quiet = await cli(more);
    assertEquals([quiet.code, quiet.out, quiet.err], [0, at("run/weights"), ""]);
  });
});

Deno.test("where a run could not lie is said before anything else of it", async () => {
  const { folder, at, train } = await place();
  await using _ = folder;
  const cases: [string[], string][] = [
    [
      ["--out", at("recipe.json/run"), "--backend", "abacus"],
      "cannot be written (part of its path is a file, not a folder)",
    ],
    [["--out", at("run"), "--backend", "abacus"], "expected a backend of auto, "],
    [["--out", at("run")], '--threads: expected a whole number from 1 to 1024, found "0"'],
    [
      ["--out", at("run"), "--threads", "1025"],
      '--threads: expected a whole number from 1 to 1024, found "1025"',
    ],
    [
      ["--out", at("run"), "--threads", "1", "--watch", "65536"],
      '--watch: expected a whole number from 0 to 65535, found "65536"',
    ],
  ];
  for (const [args, message] of cases) {
    const { code, err } = await cli([...train.slice(0, -1), "0", ...args]);
    assertEquals(code, 2);
    assertStringIncludes(err, message);
    assertEquals(await Deno.stat(at("run")).catch(() => undefined), undefined);
  }
});

Deno.test("two runs at once are each watched at a port of their own", async () => {
  const { folder, at, train } = await place();
  await using _ = folder;
  const address = async (name: string) => {
    const { code, err } = await watched([...train, "--out", at(name), "--watch"], {});
    assertEquals(code, 0, err.join("\n"));
    return err.find((line) => line.startsWith("Watch it at "));
  };
  const [first, second] = await Promise.all([address("a"), address("b")]);
  assertMatch(`${first}`, /^Watch it at http:\/\/127\.0\.0\.1:\d+\/$/);
  assertMatch(`${second}`, /^Watch it at http:\/\/127\.0\.0\.1:\d+\/$/);
  assert(first !== second);
});

Deno.test({
  name: "the page of a run answers on the loopback address that it names, and nowhere else",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const { folder, at } = await place();
    await using _ = folder;
    await using page = await watchRun(at("run"), 0);
    const { hostname, port } = new URL(page.address);
    assertEquals(hostname, "127.0.0.1");
    (await Deno.connect({ hostname, port: Number(port) })).close();
    // Every 127.x.y.z is this machine; a server for everybody would answer there too.
    const other = () => Deno.connect({ hostname: "127.0.0.2", port: Number(port) });
    await assertRejects(other, Deno.errors.ConnectionRefused);
  },
});

Deno.test("the thread of a run's page ends with it, and where there is no page at once", async () => {
  const { folder, at } = await place();
  await using _ = folder;
  const { terminate } = Worker.prototype;
  let ended = 0;
  Worker.prototype.terminate = function () {
    ended++;
    terminate.call(this);
  };
  try {
    using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = taken.addr as Deno.NetAddr;
    await assertRejects(() => watchRun(at("run"), port), Error, "another program listens there");
    assertEquals(ended, 1);
    await (await watchRun(at("run"), 0))[Symbol.asyncDispose]();
    assertEquals(ended, 2);
  } finally {
    Worker.prototype.terminate = terminate;
  }
});

Deno.test("a distillation that is stopped says at which stage, and how it goes on", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await pictureFolder(at("pictures"), ["0", "1"], 2);
  const teacher = new URL("./golden/class_conditional", import.meta.url).pathname;
  const args = ["train", "--distill", teacher, "--data", at("pictures"), "--out", at("few")];
  const stop = new AbortController();
  const status = (line: string) => {
    if (line.startsWith("guided 1/")) stop.abort(new DOMException("stopped", "AbortError"));
  };
  const quick = ["--batch", "1", "--threads", "1", "--sample-every", "0"];
  const { code, out, err, shown } = await watched([...args, ...quick], { status }, stop);
  assertEquals([code, out, shown.at(-1)], [130, [], ""]);
  assertEquals(err.slice(-3), [
    "Stopped after 1 updates of guided, with a checkpoint.",
    `Go on with: train --resume ${at("few")}`,
    "denoise: stopped",
  ]);
});

Deno.test("where a run lies and what runs it are said where nobody chooses", async () => {
  const { code, out } = await cli(["train", "--help"]);
  assertEquals(code, 0);
  assertMatch(out, /--out <folder> .*\(default: "run"\)/);
  assertMatch(out, /--backend <name> .*\(default:\s+"native"\)/);
});

Deno.test("weights to begin with are shown as they come, before the pictures are", async () => {
  await using folder = await temporaryFolder();
  await pictureFolder(`${folder.path}/pictures`, ["cat", "dog"], 1);
  await using server = serve(hub);
  const environment = { DENOISE_CACHE: `${folder.path}/cache`, HF_ENDPOINT: server.origin };
  const args = ["train", "--init", "hf:owner/name", "--data", `${folder.path}/pictures`];
  const { addSignalListener, removeSignalListener } = Deno;
  const listeners: string[] = [];
  Deno.addSignalListener = (signal, listener) => {
    listeners.push(signal);
    addSignalListener(signal, listener);
  };
  Deno.removeSignalListener = (signal, listener) => {
    assertEquals(listeners.pop(), signal);
    removeSignalListener(signal, listener);
  };
  const { code, err, shown } = await withEnvironment(
    environment,
    () => watched([...args, "--out", `${folder.path}/run`], {}),
  ).finally(() => Object.assign(Deno, { addSignalListener, removeSignalListener }));
  assertEquals(listeners, [], "who listens for the end of a process when its command has ended");
  assertEquals(code, 2);
  assertStringIncludes(err.join("\n"), 'found "cat" in the data');
  const coming = /^downloading \S+: \d+\.\d of \d+\.\d MB, \d+%$/;
  assert(shown.some((line) => coming.test(line)), shown.join("\n"));
  assert(shown.includes("reading pictures: 2 of 2"), shown.join("\n"));
});
