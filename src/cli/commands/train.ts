/** `train`: pictures in, weights out. */
import { backendByName } from "../../backends/select.ts";
import { distill } from "../../training/distill/distill.ts";
import type { Progress } from "../../training/run/loop.ts";
import { train } from "../../training/run/train.ts";
import type { Command } from "../command.ts";
import { downloadOptions, duration, partProgress, progressLines } from "../progress.ts";
import type { Io } from "../io.ts";
import { checkFolder } from "../files.ts";
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
    .option(
      "--watch [port]",
      "show the run on a page of this machine; without a port, any free one",
    )
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
  train --resume run --watch                   a page with the loss, the newest samples and the time left
  train --init run/weights --data more/ --lr 1e-4 --out tuned
  train --distill run/weights --data pictures/ --out few     students of 8, 4, 2 and 1 steps
The weights are in OUT/weights: sample --weights run/weights
A student's are in a folder of its own: sample --weights few/steps-4/weights`,
  ).action((flags: TrainFlags) => run(flags, io()));
}

async function run(flags: TrainFlags, io: Io): Promise<void> {
  const resume = flags.resume !== undefined;
  const run = await recipeOfRun(flags);
  if (flags.printRecipe) return io.out(JSON.stringify(run.recipe, null, 2));
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
  await using _page = await pageOf(flags.watch, folder, io);
  const options = {
    folder,
    resume,
    backend,
    session: { threads, spin: false },
    signal: AbortSignal.any([io.signal, termination.signal]),
    onNotice: say,
    onRead: (done: number, total: number) => reading("reading pictures", done, total),
    onDownload: downloadOptions(io).onProgress,
    onProgress: progressOn(io),
  };
  if (run.kind === "train") {
    const { recipe, init } = run;
    const result = await train({ ...options, recipe, init });
    io.status("");
    say(`${folder}: update ${result.step}, state SHA-256 ${result.hash}`);
    if (!result.finished) {
      const asTheyAre =
        `To have the weights as they are: train --resume ${folder} --steps ${result.step}`;
      stop(io, `${result.step} of ${recipe.steps} updates`, folder, asTheyAre);
    }
    say(`Sample with: sample --weights ${result.weights}`);
    return io.out(result.weights!);
  }
  const result = await distill({ ...options, recipe: run.recipe });
  io.status("");
  say(`${folder}: ${result.stage}, update ${result.step}, state SHA-256 ${result.hash}`);
  if (!result.finished) stop(io, `${result.step} updates of ${result.stage}`, folder);
  say(`Sample with: sample --weights ${result.students.at(-1)}`);
  for (const student of result.students) io.out(student);
}

/** The page of the run, where one was asked for. Without it the run is the same. */
async function pageOf(
  watch: string | true | undefined,
  folder: string,
  io: Io,
): Promise<AsyncDisposable | undefined> {
  if (watch === undefined) return undefined;
  const port = watch === true ? 0 : parseWhole("--watch", watch, 0, 65535);
  const { watchRun }: typeof import("../watch/watch.ts") = await import(
    new URL("../watch/watch.ts", import.meta.url).href
  );
  try {
    const page = await watchRun(folder, port);
    io.err(`Watch it at ${page.address}`);
    return page;
  } catch (error) {
    const reason = (error as Error).message;
    io.err(`--watch: no page at port ${port} (${reason}); the training goes on without it`);
  }
}

/** Says how to go on with a run that a signal stopped, and leaves. */
function stop(io: Io, done: string, folder: string, ...more: string[]): never {
  io.err(`Stopped after ${done}, with a checkpoint.`);
  io.err(`Go on with: train --resume ${folder}`);
  for (const line of more) io.err(line);
  io.signal.throwIfAborted();
  Deno.exit(TERMINATED);
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

function progressOn(io: Io): (progress: Progress & { stage?: string }) => void {
  const show = progressLines(io);
  return ({ stage, step, steps, loss, msPerStep, secondsLeft }) =>
    show(
      `${stage ? `${stage} ` : ""}${step}/${steps}  loss ${loss.toFixed(4)}  ${
        msPerStep.toFixed(0)
      } ms a step  ${duration(secondsLeft)} left`,
    );
}
