/** `inspect`: what weights are, without running them. */
import { readFolder } from "../../model/folder.ts";
import { inspectWeights, type WeightsReport } from "../../model/inspect.ts";
import { locate } from "../../model/locate.ts";
import type { Command } from "../command.ts";
import { downloadOptions } from "../downloads.ts";
import type { Io } from "../io.ts";
import { weightsArgument } from "../weights.ts";

export function define(command: Command, io: () => Io): void {
  command
    .addArgument(weightsArgument())
    .option("--json", "everything, as JSON", false)
    .action((weights: string, flags: { json: boolean }) => run(weights, flags, io()));
}

async function run(weights: string, { json }: { json: boolean }, io: Io): Promise<void> {
  const report = inspectWeights(await readFolder(await locate(weights, downloadOptions(io))));
  io.out(json ? JSON.stringify(report, null, 2) : describe(report));
}

function describe(report: WeightsReport): string {
  const { picture: [channels, height, width], unet, scheduler, classes, default_run: run } = report;
  const { beta_schedule, num_train_timesteps, prediction_type, variance_type } = scheduler;
  const facts: [string, string][] = [
    ["weights", report.source],
    ["hash", report.hash],
    ["pictures", `${width}×${height}, ${channels === 1 ? "grey" : `${channels} channels`}`],
    ["classes", classes ? classes.join(", ") : "none"],
    ["predicts", `${prediction_type}, ${variance_type}`],
    ["schedule", `${beta_schedule}, T = ${num_train_timesteps}`],
    ["blocks", [...unet.down_block_types, unet.mid_block_type, ...unet.up_block_types].join(" ")],
    ["parameters", `${count(report.parameters)} in ${report.tensors} tensors`],
    ["an evaluation", `${count(report.multiply_adds)} multiply-adds a picture`],
    [
      "memory",
      `${bytes(report.memory.weights)} weights + ${bytes(report.memory.activations)} a picture`,
    ],
    [
      "by default",
      `${run.scheduler}, ${run.steps} steps${
        run.guidance === 1 ? "" : `, guidance ${run.guidance}`
      }: ${report.evaluations} evaluations a picture`,
    ],
  ];
  const widest = Math.max(...report.blocks.map(({ name }) => name.length));
  return [
    ...facts.map(([name, value]) => `${name.padEnd(14)} ${value}`),
    "",
    ...report.blocks.map(({ name, tensors, parameters }) =>
      `${name.padEnd(widest)}  ${String(tensors).padStart(4)} tensors  ${
        count(parameters).padStart(12)
      }`
    ),
  ].join("\n");
}

function count(n: number): string {
  return n.toLocaleString("en");
}

function bytes(n: number): string {
  return n < 2 ** 20 ? `${(n / 2 ** 10).toFixed(0)} KiB` : `${(n / 2 ** 20).toFixed(1)} MiB`;
}
