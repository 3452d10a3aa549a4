/** Checkpoints and the log on disc. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { InputError } from "../src/errors.ts";
import { writeSafetensors } from "../src/files/safetensors.ts";
import { Checkpoints, encodeCheckpoint } from "../src/training/run/checkpoint.ts";
import { Log } from "../src/training/run/log.ts";
import { temporaryFolder } from "./cli.ts";

const vector = (x: number) => Float32Array.of(x, x + 0.5, -0);
const checkpointOf = (step: number) => ({
  step,
  state: { theta: vector(step), m: vector(1), v: vector(2), ema: vector(3) },
});

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
}

Deno.test("the newest checkpoint is read back bit by bit, and the last few stay", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(`${folder.path}/checkpoints`, 2);
  assertEquals(await checkpoints.newest(3), undefined);
  for (const step of [5, 100, 20]) await checkpoints.save(checkpointOf(step));
  assertEquals(await checkpoints.steps(), [20, 100]);
  const newest = await checkpoints.newest(3);
  assertEquals(newest, checkpointOf(100));
  assertEquals(encodeCheckpoint(newest!), encodeCheckpoint(checkpointOf(100)));
});

Deno.test("a checkpoint that was being written when the process was killed does not count", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(folder.path, 2);
  await checkpoints.save(checkpointOf(1));
  await Deno.writeFile(`${folder.path}/step-00000002.safetensors.0a1b2c3d.part`, new Uint8Array(9));
  assertEquals((await checkpoints.newest(3))!.step, 1);
  await checkpoints.save(checkpointOf(3));
  assertEquals(await names(folder.path), [
    "step-00000001.safetensors",
    "step-00000003.safetensors",
  ]);
});

Deno.test("a damaged checkpoint is refused, with a word on the one before it", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(folder.path, 2);
  await checkpoints.save(checkpointOf(1));
  const bytes = await Deno.readFile(await checkpoints.save(checkpointOf(2)));
  await Deno.writeFile(`${folder.path}/step-00000002.safetensors`, bytes.subarray(0, -1));
  const { message } = await assertRejects(() => checkpoints.newest(3), InputError);
  assertMatch(
    message,
    /^.*step-00000002\.safetensors: .*; without this file the run goes on after 1$/,
  );
  await Deno.remove(`${folder.path}/step-00000001.safetensors`);
  const alone = await assertRejects(() => checkpoints.newest(3), InputError);
  assertEquals(message, `${alone.message}; without this file the run goes on after 1`);
});

Deno.test("one checkpoint may be all that stays, and one of the same update is replaced", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(`${folder.path}/deep/er`, 1);
  assertEquals(await checkpoints.steps(), []);
  const path = await checkpoints.save(checkpointOf(7));
  assertEquals(path, `${folder.path}/deep/er/step-00000007.safetensors`);
  await checkpoints.save({ ...checkpointOf(8), step: 7 });
  assertEquals(await names(`${folder.path}/deep/er`), ["step-00000007.safetensors"]);
  assertEquals(await checkpoints.newest(3), { ...checkpointOf(8), step: 7 });
  for (
    const name of ["step-7.safetensors", "step-000000009.safetensors", "xstep-00000009.safetensors"]
  ) {
    await Deno.writeTextFile(`${folder.path}/deep/er/${name}`, "");
  }
  assertEquals(await checkpoints.steps(), [7], "files of other names are others'");
});

Deno.test("a checkpoint that cannot be written is an error with its path, and leaves the others", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(folder.path, 2);
  await checkpoints.save(checkpointOf(1));
  await Deno.mkdir(`${folder.path}/step-00000002.safetensors`);
  await assertRejects(
    () => checkpoints.save(checkpointOf(2)),
    Error,
    "step-00000002.safetensors: cannot be written",
  );
  await Deno.remove(`${folder.path}/step-00000002.safetensors`);
  assertEquals(await names(folder.path), ["step-00000001.safetensors"]);
});

Deno.test("a checkpoint of another network is refused", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(folder.path, 2);
  await checkpoints.save(checkpointOf(1));
  await assertRejects(
    () => checkpoints.newest(4),
    InputError,
    'step-00000001.safetensors: the recipe\'s network has 4 parameters, "theta" has 3',
  );
});

Deno.test("a file that says no step, or not all of a state, is no checkpoint", async () => {
  await using folder = await temporaryFolder();
  const checkpoints = new Checkpoints(folder.path, 2);
  const path = `${folder.path}/step-00000001.safetensors`;
  const write = async (metadata: Record<string, string>, names: readonly string[]) => {
    const tensors = new Map(names.map((name) => [name, { shape: [3], data: vector(1) }]));
    await Deno.writeFile(path, writeSafetensors(tensors, { metadata }));
  };
  const all = ["theta", "m", "v", "ema"];
  await write({ step: "1" }, all);
  assertEquals((await checkpoints.newest(3))!.step, 1);
  for (
    const metadata of [{}, { step: "-1" }, { step: "1.5" }, { step: "one" }] as Record<
      string,
      string
    >[]
  ) {
    await write(metadata, all);
    await assertRejects(
      () => checkpoints.newest(3),
      InputError,
      `${path}: expected a checkpoint with its step, found none`,
    );
  }
  for (const name of all) {
    await write({ step: "1" }, all.filter((other) => other !== name));
    await assertRejects(
      () => checkpoints.newest(3),
      InputError,
      `${path}: the recipe's network has 3 parameters, "${name}" has none`,
    );
  }
});

Deno.test("the log of a resumed run forgets what came after its checkpoint, and a torn line", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/log.jsonl`;
  const line = (step: number) => ({ step, loss: 1 / step, grad_norm: 1, lr: 0.1, ms: 3 });
  const first = await Log.open(path, 0);
  for (const step of [1, 2, 3]) await first.append(line(step));
  await Deno.writeTextFile(path, '{"step":4,"lo', { append: true });
  const log = await Log.open(path, 2);
  await log.trim();
  await log.append(line(3));
  assertEquals(log.lines, [line(1), line(2), line(3)]);
  const text = await Deno.readTextFile(path);
  assertEquals(text, [1, 2, 3].map((step) => `${JSON.stringify(line(step))}\n`).join(""));
});

Deno.test("a log that cannot be read, or is none, is left as it is", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/log.jsonl`;
  await Deno.mkdir(path);
  const { message } = await assertRejects(() => Log.open(path, 2), InputError);
  assertMatch(message, /^.*\/log\.jsonl: cannot be read \(.*\); nothing was changed$/);
  await Deno.remove(path);
  const text = '{"step":1,"loss":1}\nnot a line\n{"step":3,"loss":1}\n';
  await Deno.writeTextFile(path, text);
  await assertRejects(() => Log.open(path, 9), InputError, "line 2 is no update's");
  assertEquals(await Deno.readTextFile(path), text);
});

Deno.test("a checkpoint that cannot be read is an error that names it", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/step-00000002.safetensors`;
  await Deno.mkdir(path);
  const checkpoints = new Checkpoints(folder.path, 2);
  const said = async () => (await assertRejects(() => checkpoints.newest(3), InputError)).message;
  const alone = await said();
  assert(alone.startsWith(`${path}: cannot be read (`), alone);
  assert(alone.endsWith("); nothing was changed"), alone);
  await Deno.writeTextFile(`${folder.path}/step-00000001.safetensors`, "");
  assertEquals(await said(), `${alone}; without this file the run goes on after 1`);
});

Deno.test("a folder that cannot be read is an error, not a run without checkpoints", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/checkpoints`;
  await Deno.writeTextFile(path, "a file in its place");
  const { message } = await assertRejects(() => new Checkpoints(path, 2).newest(3), InputError);
  assertMatch(message, /^.*\/checkpoints: cannot be read \(.*\); nothing was changed$/);
});
