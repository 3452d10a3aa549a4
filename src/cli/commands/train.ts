/** `train`: pictures in, weights out. */
import { backendByName } from "../../backends/select.ts";
import type { Progress } from "../../training/run/loop.ts";
import { train } from "../../training/run/train.ts";
import type { Command } from "../command.ts";
import { downloadOptions } from "../downloads.ts";
import type { Io } from "../io.ts";
import { partProgress, progressLines } from "../long_job.ts";
import { checkFolder } from "../output.ts";
import { duration } from "../progress.ts";
import { defineRecipeOptions, recipeOfRun, type TrainFlags } from "../recipe_flags.ts";
import { parseWhole } from "../values.ts";

export function define(command: Command, io: () => Io): void {
  command
    .option("--recipe <file>", "a JSON file with any of the keys below, in snake_case")
    .option("--out <folder>", "where the run lies", "run")
    .option("--resume <folder>", "go on with the run in a folder")
    .option("--init <weights>", "fine-tune weights: a built-in name, a folder or an address")
    .option("--backend <name>", "native, wasm, webgpu", "native")
    .option("--threads <n>", "CPU threads (default: every core)")
    .option("--print-recipe", "print the whole recipe, for a file to begin with, and do nothing");
  defineRecipeOptions(command);
  command.addHelpText(
    "after",
    `
Examples:
  train --data pictures/ --out run
  train --data pictures/ --size 64 --block-out-channels 64,128,128,256 --attention false,false,true,true
  train --print-recipe > my.json               every key with its default; then --recipe my.json
  train --resume run
  train --init run/weights --data more/ --lr 1e-4 --out tuned
The weights are in OUT/weights: sample --weights run/weights`,
  ).action((flags: TrainFlags) => run(flags, io()));
}

async function run(flags: TrainFlags, io: Io): Promise<void> {
  const resume = flags.resume !== undefined;
  const { recipe, init } = await recipeOfRun(flags);
  if (flags.printRecipe) return io.out(JSON.stringify(recipe, null, 2));
  const folder = (flags.resume ?? flags.out).replace(/(?<=.)\/+$/, "");
  await checkFolder(folder);
  const backend = await backendByName(flags.backend);
  const threads = flags.threads === undefined
    ? undefined
    : parseWhole("--threads", flags.threads, 1, 1024);

  const say = (notice: string) => {
    if (!io.quiet) io.err(notice);
  };
  const reading = partProgress(io);
  using termination = onTermination();
  const result = await train({
    recipe,
    folder,
    init,
    resume,
    backend,
    session: { threads, spin: false },
    signal: AbortSignal.any([io.signal, termination.signal]),
    onNotice: say,
    onRead: (done, total) => reading("reading pictures", done, total),
    onProgress: progressOn(io),
    onDownload: downloadOptions(io).onProgress,
  });
  io.status("");
  say(`${folder}: update ${result.step}, state SHA-256 ${result.hash}`);
  if (!result.finished) {
    io.err(`Stopped after ${result.step} of ${recipe.steps} updates, with a checkpoint.`);
    io.err(`Go on with: train --resume ${folder}`);
    io.err(`To have the weights as they are: train --resume ${folder} --steps ${result.step}`);
    io.signal.throwIfAborted();
    Deno.exit(TERMINATED);
  }
  say(`Sample with: sample --weights ${result.weights}`);
  io.out(result.weights!);
}

/** The exit code of a process that SIGTERM ended. */
const TERMINATED = 143;

/** SIGTERM, by which schedulers and `docker stop` ask a run to end, as a signal like Ctrl-C's. */
function onTermination(): { signal: AbortSignal } & Disposable {
  const stop = new AbortController();
  if (Deno.build.os === "windows") return { signal: stop.signal, [Symbol.dispose]: () => {} };
  const listener = () => stop.abort(new DOMException("stopped by SIGTERM", "AbortError"));
  Deno.addSignalListener("SIGTERM", listener);
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => Deno.removeSignalListener("SIGTERM", listener),
  };
}

function progressOn(io: Io): (progress: Progress) => void {
  const show = progressLines(io);
  return ({ step, steps, loss, msPerStep, secondsLeft }) =>
    show(
      `${step}/${steps}  loss ${loss.toFixed(4)}  ${msPerStep.toFixed(0)} ms a step  ${
        duration(secondsLeft)
      } left`,
    );
}
