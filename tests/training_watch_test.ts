/** `train --watch`: the page of a run, from the files that the run writes. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { backendByName } from "../src/backends/select.ts";
import { watchApp } from "../src/cli/watch/app.ts";
import { LogTail } from "../src/cli/watch/log_tail.ts";
import { RunFolder, type RunState } from "../src/cli/watch/run_state.ts";
import { decodePng } from "../src/image/png.ts";
import { parseDistillRecipe } from "../src/training/distill/recipe.ts";
import { distill } from "../src/training/distill/distill.ts";
import { parseTrainingRecipe } from "../src/training/recipe.ts";
import { lossPlot } from "../src/training/run/plot.ts";
import { train } from "../src/training/run/train.ts";
import { run } from "../src/cli/main.ts";
import { cli, temporaryFolder } from "./cli.ts";
import { pictureFolder, tinyRecipe } from "./training_pictures.ts";

const line = (step: number) => ({ step, loss: 1 / step, grad_norm: 1, lr: 1e-3, ms: 10 * step });
const logOf = (...steps: number[]) => steps.map((k) => `${JSON.stringify(line(k))}\n`).join("");

/** The lines without the time that they took. */
async function lossesOf(folder: string): Promise<unknown[]> {
  const text = await Deno.readTextFile(`${folder}/log.jsonl`);
  return text.trimEnd().split("\n").map((line) => ({ ...JSON.parse(line), ms: 0 }));
}

Deno.test("a log is read on as it grows, and anew where a run went back to its checkpoint", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/log.jsonl`;
  const log = new LogTail(path);
  const steps = async () => (await log.read()).map(({ step }) => step);
  assertEquals(await steps(), [], "there is no log before the first update");
  await Deno.writeTextFile(path, logOf(1, 2));
  assertEquals(await steps(), [1, 2]);
  await Deno.writeTextFile(path, `${logOf(3)}{"step":4,"lo`, { append: true });
  assertEquals(await steps(), [1, 2, 3], "a line that is half there");
  await Deno.writeTextFile(path, logOf(1, 2, 3, 4));
  assertEquals(await steps(), [1, 2, 3, 4]);
  await Deno.writeTextFile(path, logOf(1, 2));
  assertEquals(await steps(), [1, 2], "shorter");
  await Deno.writeTextFile(path, logOf(1, 2, 2, 3));
  assertEquals(await steps(), [1, 2, 2, 3], "other lines where it had read on");
});

Deno.test("the loss plot's levels can be told apart, however near they are", () => {
  const plot = lossPlot([1, 2, 3].map((step) => ({ step, loss: 0.12 + step / 1000 })));
  const levels = [...plot.matchAll(/text-anchor="end">([^<]+)</g)].map(([, text]) => text);
  assertEquals(levels, ["0.1210", "0.1215", "0.1220", "0.1225", "0.1230"]);
});

Deno.test("how far a run is, and how long it takes yet", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/mine`;
  const before = await new RunFolder(path).state();
  assertEquals([before.name, before.done, before.updates], ["mine", 0, undefined]);
  await Deno.mkdir(`${path}/samples`, { recursive: true });
  await Deno.writeTextFile(`${path}/recipe.json`, JSON.stringify({ steps: 10 }));
  await Deno.writeTextFile(`${path}/log.jsonl`, logOf(1, 2, 3, 4));
  await Deno.writeTextFile(`${path}/samples/step-00000002.png.part`, "");
  for (const k of [4, 2]) await Deno.writeTextFile(`${path}/samples/step-0000000${k}.png`, "");
  const { stages, ...state } = await new RunFolder(path).state();
  // 25 ms an update, six to go.
  assertEquals(state, { name: "mine", current: 0, done: 4, updates: 10, secondsLeft: 0.15 });
  assertEquals(stages[0].grids, [2, 4]);
  assertEquals(stages[0].loss, (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4);
});

Deno.test("the page answers to this machine's names alone, and gives no other files", async () => {
  await using folder = await temporaryFolder();
  await Deno.mkdir(`${folder.path}/run`);
  await Deno.mkdir(`${folder.path}/samples`);
  await Deno.writeTextFile(`${folder.path}/samples/step-00000001.png`, "not the run's");
  await Deno.writeTextFile(`${folder.path}/log.jsonl`, logOf(1));
  const app = watchApp(new RunFolder(`${folder.path}/run`), { ended: () => false });
  const status = async (address: string) => (await app.request(address)).status;
  assertEquals(await status("http://127.0.0.1:8000/"), 200);
  assertEquals(await status("http://localhost:8000/state.json"), 200);
  assertEquals(await status("http://pictures.example:8000/state.json"), 421);
  for (const stage of ["..", "../", "%2e%2e", "steps-1/..", "/etc"]) {
    assertEquals(await status(`http://localhost/samples/1.png?stage=${stage}`), 404, stage);
    assertEquals(await status(`http://localhost/loss.svg?stage=${stage}`), 404, stage);
  }
  assertEquals(await status("http://localhost/samples/1.png"), 404);
});

Deno.test("train --watch shows the run while it trains, and changes nothing of it", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["cat", "dog"], 6);
  const recipe = `${folder.path}/recipe.json`;
  const rest = { data, steps: 40, sample_every: 20, checkpoint_every: 20, holdout: 0 };
  await Deno.writeTextFile(recipe, JSON.stringify({ ...tinyRecipe, ...rest }));
  const seen: RunState[] = [];
  let grid: Uint8Array | undefined, page = "", plot = "", last: { ended: boolean } | undefined;
  let visit: Promise<void> | undefined;
  const lookAt = async (address: string) => {
    page = await (await fetch(address)).text();
    for (;;) {
      const state = await (await fetch(`${address}state.json`)).json();
      seen.push(last = state);
      const [newest] = state.stages[0].grids.slice(-1);
      if (state.ended) {
        grid = await (await fetch(`${address}samples/${newest}.png?stage=`)).bytes();
        plot = await (await fetch(`${address}loss.svg?stage=`)).text();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const err: string[] = [];
  const args = ["train", "--recipe", recipe, "--threads", "1"];
  const code = await run([...args, "--out", `${folder.path}/watched`, "--watch"], {
    quiet: false,
    signal: new AbortController().signal,
    out: () => {},
    err: (text) => {
      err.push(text);
      const address = /http:\S+/.exec(text)?.[0];
      if (address) visit = lookAt(address);
    },
    status: () => {},
    writeBytes: () => Promise.resolve(),
  });
  await visit;
  assertEquals(code, 0, err.join("\n"));
  assertMatch(err.join("\n"), /Watch it at http:\/\/127\.0\.0\.1:\d+\//);
  assertStringIncludes(page, "page.js");
  assert(seen.some(({ done }) => done > 0 && done < 40), "it was seen on its way");
  assert(seen.some(({ secondsLeft }) => secondsLeft! > 0));
  assertEquals([seen.at(-1)!.done, seen.at(-1)!.updates, last?.ended], [40, 40, true]);
  const { width, height } = decodePng(grid!);
  assertEquals([width, height], [32, 32]);
  assert(plot.includes("<polyline"));
  assertEquals(await gone(err), true, "the page is gone with the run");

  const alone = await cli([...args, "--out", `${folder.path}/alone`]);
  assertEquals(alone.code, 0, alone.err);
  for (
    const file of [
      "checkpoints/step-00000040.safetensors",
      "samples/step-00000040.png",
      "weights/unet/diffusion_pytorch_model.safetensors",
    ]
  ) {
    const bytes = (run: string) => Deno.readFile(`${folder.path}/${run}/${file}`);
    assertEquals(await bytes("watched"), await bytes("alone"), file);
  }
  assertEquals(
    await lossesOf(`${folder.path}/watched`),
    await lossesOf(`${folder.path}/alone`),
  );
});

async function gone(err: string[]): Promise<boolean> {
  const [address] = /http:\S+/.exec(err.join("\n"))!;
  return await fetch(address).then(async (response) => {
    await response.body?.cancel();
    return false;
  }, () => true);
}

Deno.test("a port that is taken is said, and the run goes on; a resumed run is watched too", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["cat", "dog"], 6);
  const recipe = `${folder.path}/recipe.json`;
  await Deno.writeTextFile(
    recipe,
    JSON.stringify({ ...tinyRecipe, data, steps: 2, sample_every: 0, holdout: 0 }),
  );
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const out = `${folder.path}/run`;
  const first = await cli(["train", "--recipe", recipe, "--out", out, "--watch", String(port)]);
  assertEquals(first.code, 0, first.err);
  assertStringIncludes(
    first.err,
    `--watch: no page at port ${port} (another program listens there); the training goes on without it`,
  );
  const more = await cli(["train", "--resume", out, "--steps", "4", "--watch"]);
  assertEquals(more.code, 0, more.err);
  assertStringIncludes(more.err, "Watch it at http://127.0.0.1:");
  const wrong = await cli(["train", "--resume", out, "--watch", "many"]);
  assertEquals(wrong.code, 2);
  assertStringIncludes(wrong.err, "--watch");
});

Deno.test("a distillation is shown stage by stage, those to come too", async () => {
  await using folder = await temporaryFolder();
  const data = `${folder.path}/pictures`;
  await pictureFolder(data, ["a", "b"], 10);
  const backend = await backendByName("native");
  const { weights } = await train({
    recipe: parseTrainingRecipe(tinyRecipe, { data, steps: 2, sample_every: 0 }),
    folder: `${folder.path}/run`,
    backend,
  });
  const stop = new AbortController();
  const path = `${folder.path}/few`;
  await distill({
    recipe: parseDistillRecipe({ distill: weights, data, batch: 4, sample_every: 2 }, {
      guide_updates: 2,
      students: [2, 1],
      student_updates: [3, 5],
    }),
    folder: path,
    backend,
    signal: stop.signal,
    onProgress: ({ stage, step }) => {
      if (stage === "steps-2" && step === 2) stop.abort();
    },
  });
  const state = await new RunFolder(path).state();
  assertEquals(
    state.stages.map(({ name, done, updates }) => [name, done, updates]),
    [["guided", 2, 2], ["steps-2", 2, 3], ["steps-1", 0, 5]],
  );
  assertEquals([state.current, state.done, state.updates], [1, 4, 10]);
  const app = watchApp(new RunFolder(path), { ended: () => true });
  const grid = await app.request("http://localhost/samples/2.png?stage=guided");
  assertEquals(grid.headers.get("content-type"), "image/png");
  assertEquals(decodePng(await grid.bytes()).width, 32);
});
