/** How commands come by their weights: what is asked for of a place, what is said of them, and who stops waiting. */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { Io } from "../src/cli/io.ts";
import { loadModel, type ModelFlags, untilStopped } from "../src/cli/sampling_options.ts";
import { readOptions } from "../src/cli/weights.ts";
import { defaultWeights } from "../src/cli/commands/sample.ts";
import { InputError } from "../src/errors.ts";
import type { Model } from "../src/model/model.ts";
import { readFolder } from "../src/weights/read/folder.ts";
import { cli, temporaryFolder, watched } from "./cli.ts";
import { sessionsOf } from "./ort_sessions.ts";
import { hub, serve, withEnvironment } from "./hub.ts";
import { emptyWeights, tinyWeights } from "./tiny_weights.ts";
import { squarePng } from "./training_pictures.ts";

function recording() {
  const said: string[] = [], shown: string[] = [];
  const io: Io = {
    quiet: false,
    signal: new AbortController().signal,
    out: () => {},
    err: (line) => said.push(line),
    status: (line) => shown.push(line),
    writeBytes: () => Promise.resolve(),
  };
  return { io, said, shown };
}

const native = { backend: "native", threads: "1" };

/** The hash of the weights that a command would run with, and that of those it would look at. */
async function hashes(flags: Pick<ModelFlags, "weights" | "variant" | "configs" | "refresh">) {
  await using model = await loadModel({ ...native, ...flags }, recording().io);
  const { files, options } = await readOptions(flags.weights, flags, recording().io);
  assertEquals((await readFolder(files, options)).hash, model.hash, "one and the same");
  return model.hash;
}

Deno.test("--variant takes that file of the weights, --configs lends those that come without", async () => {
  await using folder = await temporaryFolder();
  const weights = await tinyWeights(`${folder.path}/w`, { variant: "ema" });
  const plain = await hashes({ weights });
  assertNotEquals(await hashes({ weights, variant: "ema" }), plain);
  const bare = `${folder.path}/bare.safetensors`;
  await Deno.copyFile(`${weights}/unet/diffusion_pytorch_model.safetensors`, bare);
  await assertRejects(() => hashes({ weights: bare }), InputError, "--configs");
  assertEquals(await hashes({ weights: bare, configs: weights }), plain);
});

Deno.test("--refresh asks anew for weights, and for configs, that were downloaded before", async () => {
  await using folder = await temporaryFolder();
  await using server = serve(hub);
  const environment = { DENOISE_CACHE: folder.path, HF_ENDPOINT: server.origin };
  const bare = `${folder.path}/bare.safetensors`;
  const golden = new URL("./golden/class_conditional/unet/", import.meta.url);
  await Deno.copyFile(new URL("diffusion_pytorch_model.safetensors", golden), bare);
  await withEnvironment(environment, async () => {
    const asks = async (work: () => Promise<unknown>) => {
      const before = server.requests.length;
      await work();
      return server.requests.length - before;
    };
    const weights = "hf:owner/name";
    const { io, shown } = recording();
    const load = (refresh?: boolean) => async () => {
      await (await loadModel({ ...native, weights, refresh }, io)).close();
    };
    const look = (refresh?: boolean) => async () => {
      const { files } = await readOptions(weights, { refresh }, io);
      await readFolder(files);
    };
    const lent = (refresh?: boolean) => async () => {
      const flags = { configs: weights, refresh };
      const { files, options } = await readOptions(bare, flags, io);
      await readFolder(files, options);
    };
    assert(await asks(load()) > 0);
    for (const work of [load, look, lent]) {
      // A file that is not there is asked for each time.
      const kept = await asks(work());
      shown.length = 0;
      assert(await asks(work(true)) > kept, `asked anew, not ${kept} times as before`);
      assert(shown.length > 0, "it is shown as it comes");
    }
    const teacher = ["eval", weights, "--teacher", "hf:owner/name@v1", "--data", folder.path];
    const seen = await watched([...teacher, "--threads", "1", "--holdout", "7"], {});
    assertEquals(seen.code, 2);
    assert(seen.shown.length > 0, "a teacher too");
  });
});

Deno.test("what is remarkable about weights is said by every command that reads them", async () => {
  await using folder = await temporaryFolder();
  const weights = await tinyWeights(`${folder.path}/w`, { schedule: false });
  const expected = "no scheduler_config.json says how it was trained";
  const { io, said } = recording();
  await (await loadModel({ weights, ...native }, io)).close();
  assertStringIncludes(said.join("\n"), expected);
  const inspected = await cli(["inspect", weights]);
  assertEquals(inspected.code, 0);
  assertStringIncludes(inspected.err, expected);
  const evaluated = await cli(["eval", weights, "--data", `${folder.path}/none`]);
  assertEquals(evaluated.code, 2);
  assertStringIncludes(evaluated.err, expected);
});

Deno.test("who stops does not wait for a model, and closes one that comes all the same", async () => {
  let closed = 0;
  const model = { close: () => Promise.resolve(void closed++) } as unknown as Model;
  const reason = new DOMException("stopped", "AbortError");
  const stop = new AbortController();
  const late = Promise.withResolvers<Model>();
  const waiting = untilStopped(late.promise, stop.signal);
  stop.abort(reason);
  assertEquals(await assertRejects(() => waiting), reason);
  late.resolve(model);
  await late.promise;
  assertEquals(closed, 1);
  // One that failed in the meantime is nobody's concern.
  const failing = untilStopped(Promise.reject(new Error("gone")), AbortSignal.abort(reason));
  await assertRejects(() => failing);

  const other = new AbortController();
  assertEquals(await untilStopped(Promise.resolve(model), other.signal), model);
  other.abort(reason);
  await Promise.resolve();
  assertEquals(closed, 1, "what was in time is the caller's");
  const error = new InputError("no weights");
  const refused = untilStopped(Promise.reject(error), new AbortController().signal);
  assertEquals(await assertRejects(() => refused), error);
});

Deno.test("sample draws with few-step weights, unless something is asked that those do not leave open", async () => {
  const flags = { weights: "heroes-4", backend: "auto", out: "a.png" };
  const chosen = (more: Record<string, unknown>) =>
    defaultWeights({ ...flags, ...more }, undefined);
  for (
    const more of [{}, { seed: "1" }, { n: "4" }, { label: "orc" }, { size: "64" }, { with: "3" }]
  ) {
    assertEquals(chosen(more), "heroes-4", JSON.stringify(more));
  }
  const choices = {
    scheduler: "ddim",
    schedule: "cosine",
    steps: "20",
    timesteps: "9,4",
    guidance: "2",
    guided: "170-880",
    option: ["eta=1"],
  };
  for (const [name, value] of Object.entries(choices)) {
    assertEquals(chosen({ [name]: value }), "heroes", name);
  }
  await withEnvironment({ DENOISE_WEIGHTS: "./mine" }, () => {
    assertEquals(chosen({ steps: "20" }), "./mine", "the deployment's");
    return Promise.resolve();
  });
});

Deno.test("--threads is how many the engine takes; without it, as many as there are cores", async () => {
  await using folder = await temporaryFolder();
  const weights = await tinyWeights(`${folder.path}/w`);
  const cores = navigator.hardwareConcurrency;
  for (const [threads, expected] of [["3", 3], [undefined, cores]] as const) {
    const flags = { weights, backend: "native", threads };
    const load = async () => await (await loadModel(flags, recording().io)).close();
    const asked = await sessionsOf(load);
    assertEquals([asked.threads, asked.spins], [[expected], ["1"]]);
    const given = threads === undefined ? [] : ["--threads", threads];
    const args = ["eval", weights, "--data", `${folder.path}/none`, ...given];
    assertEquals((await sessionsOf(() => cli(args))).threads, [expected]);
  }
});

Deno.test("whatever becomes of a command, every engine that it opened is let go", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const weights = await emptyWeights(at("w"));
  await Deno.writeFile(at("x.png"), squarePng(1, 8));
  const common = ["-w", weights, "--backend", "native", "--threads", "1"];
  const one = [...common, "--steps", "1"];
  const noise = ["--noise", "0.5"];
  const cases: [string[], number][] = [
    [["sample", ...one, "--n", "1", "--out", "-"], 0],
    [["sample", ...one, "--n", "1", "--out", at("a.npz")], 0],
    [["sample", ...one, "--label", "0", "--out", "-"], 2],
    [["compare", ...one, "--schedulers", "ddim", "--out", "-"], 0],
    [["compare", ...common, "--steps", "2000", "--out", "-"], 2],
    [["interpolate", "1", "2", ...one, "--frames", "2", "--out", "-"], 0],
    [["interpolate", "1", "2", ...one, "--label", "0", "--out", "-"], 2],
    [["restore", at("x.png"), ...one, ...noise, "--out", "-"], 0],
    [["restore", at("x.png"), ...one, "--colour", "--out", "-"], 2],
  ];
  for (const [args, expected] of cases) {
    let code: number | undefined;
    const { made, open, threads } = await sessionsOf(async () => code = (await cli(args)).code);
    const shown = `${args.join(" ")}: ${open} of ${made} are open`;
    assertEquals([code, open, made > 0, threads], [expected, 0, true, [1]], shown);
  }
  const stop = new AbortController();
  const serve = ["serve", ...common, "--port", "0", "--host", "127.0.0.1"];
  const err = (line: string) => line.includes("listening on") && stop.abort();
  const served = await sessionsOf(() => watched(serve, { err }, stop));
  assertEquals([served.open, served.made > 0], [0, true]);
});
