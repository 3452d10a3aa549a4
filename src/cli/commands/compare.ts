/** `compare`: one seed under several schedulers and numbers of steps, as a labelled grid. */
import { CAPTIONED_WIDTH, captionScale, labelledGrid } from "../../image/labelled_grid.ts";
import { encodePng } from "../../image/png.ts";
import { enlarge } from "../../image/resize.ts";
import {
  defineModelOptions,
  loadModel,
  loadScheduler,
  type ModelFlags,
} from "../sampling_options.ts";
import { generate } from "../../sampling/pictures.ts";
import { prepare } from "../../sampling/sample.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { openTarget, writeOutput } from "../files.ts";
import { Progress } from "../progress.ts";
import { parseNumber, parseSeed, parseWhole } from "../values.ts";

interface Flags extends ModelFlags {
  seed: string;
  schedulers: string;
  steps: string;
  label?: string;
  guidance?: string;
  out: string;
  force: boolean;
}

export function define(command: Command, io: () => Io): void {
  defineModelOptions(command)
    .option("--seed <n>", "whose picture", "0")
    .option(
      "--schedulers <names>",
      "a row each; names, paths or addresses",
      "ddpm,ddim,dpmpp,unipc",
    )
    .option("--steps <list>", "a column each", "5,10,20,50")
    .option("-l, --label <label>", "the class")
    .option("-g, --guidance <scale>", "how much the class counts")
    .option("--out <file>", "a .png, or -", "compare.png")
    .option("--force", "overwrite a file that is there", false)
    .action((flags: Flags) => run(flags, command.getOptionValueSource("out") === "default", io()));
}

async function run(flags: Flags, scratch: boolean, io: Io): Promise<void> {
  const seed = parseSeed("--seed", flags.seed);
  const guidance = flags.guidance === undefined
    ? undefined
    : parseNumber("--guidance", flags.guidance);
  const columns = flags.steps.split(",").map((n) => parseWhole("--steps", n.trim(), 1, 100_000));
  const schedulers = await Promise.all(
    flags.schedulers.split(",").map((s) => loadScheduler(s.trim())),
  );
  const target = await openTarget(flags.out, scratch || flags.force, ["png"]);
  await using model = await loadModel(flags, io);
  for (const scheduler of schedulers) {
    for (const steps of columns) prepare(model, { scheduler, steps, guidance });
  }

  const cells = schedulers.length * columns.length;
  const progress = new Progress(io, cells, cells, "images");
  let done = 0;
  const rows = [];
  for (const scheduler of schedulers) {
    const row = [];
    for (const steps of columns) {
      const options = {
        seeds: [seed],
        scheduler,
        steps,
        labels: flags.label,
        guidance,
        signal: io.signal,
      };
      const [picture] = await generate(model, options);
      row.push(enlarge(picture, Math.ceil(CAPTIONED_WIDTH / picture.width)));
      progress.update(++done);
    }
    rows.push(row);
  }
  progress.end();
  const png = encodePng(labelledGrid(rows, {
    rows: schedulers.map(({ name }) => name),
    columns: columns.map((steps) => `${steps} ${steps === 1 ? "step" : "steps"}`),
    scale: captionScale(rows[0][0].width),
  }));
  if (target.kind === "stdout") return io.writeBytes(png);
  await writeOutput(target.path, png);
  if (!io.quiet) {
    io.err(`${target.path}: seed ${seed}, a row a scheduler, a column a number of steps`);
  }
}
