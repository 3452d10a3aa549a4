/** `inspect`: what weights are, without running them. */
import { InputError } from "../../errors.ts";
import type { Recommendation } from "../../model/network.ts";
import { inspectWeights, type WeightsReport } from "../../model/inspect.ts";
import { inspectOnnx, type OnnxReport } from "../../model/onnx/inspect.ts";
import { portText } from "../../weights/read/onnx/ports.ts";
import { readWeights } from "../../model/open.ts";
import { DEFAULT } from "../../recipe/recipe.ts";
import { chooseScheduler } from "../../recipe/resolve.ts";
import { countEvaluations } from "../../sampling/evaluations.ts";
import { planRun } from "../../sampling/plan.ts";
import { parseSchedulerConfig } from "../../diffusion/mod.ts";
import { schedulers } from "../../../schedulers/mod.ts";
import type { Command } from "../command.ts";
import type { Io } from "../io.ts";
import { type LoadFlags, loadFlags, readOptions, weightsArgument } from "../weights.ts";

export function define(command: Command, io: () => Io): void {
  loadFlags(command.addArgument(weightsArgument()))
    .option("--json", "everything, as JSON", false)
    .action((weights: string, flags: Flags) => run(weights, flags, io()));
}

interface Flags extends LoadFlags {
  json: boolean;
}

async function run(weights: string, flags: Flags, io: Io): Promise<void> {
  const { json } = flags;
  const { files, options } = await readOptions(weights, flags, io);
  const found = await readWeights(files, options);
  if ("notices" in found) found.notices.forEach((notice) => io.err(notice));
  const report = "onnx" in found ? inspectOnnx(found) : inspectWeights(found);
  const byDefault = await defaultRun(report);
  const text = () =>
    "config" in report ? describe(report, byDefault) : describeOnnx(report, byDefault);
  io.out(json ? JSON.stringify({ ...report, ...byDefault }, null, 2) : text());
}

/** What `sample` does with weights when nothing is asked for, and how often it asks the network. */
async function defaultRun({ recommended, scheduler: config }: WeightsReport | OnnxReport) {
  const { steps, guidance = 1, guided }: Recommendation = recommended ?? DEFAULT;
  const scheduler = chooseScheduler({ recommended: recommended ?? undefined }, schedulers);
  const default_run = { scheduler: scheduler.name, steps, guidance, ...(guided && { guided }) };
  try {
    const plan = planRun(config ?? parseSchedulerConfig({}), { scheduler, steps });
    return { default_run, evaluations: await countEvaluations(plan, { guidance, guided }) };
  } catch (error) {
    // Weights that cannot be sampled so can still be looked at.
    if (error instanceof InputError) return { default_run, refused: error.message };
    throw error;
  }
}
type DefaultRun = Awaited<ReturnType<typeof defaultRun>>;

type Facts = readonly (readonly [name: string, value: string])[];

function describe(report: WeightsReport, byDefault: DefaultRun): string {
  const facts: Facts = [
    ...pictureFacts(report),
    ["blocks", report.layers.join(" ")],
    ["parameters", `${count(report.parameters)} in ${report.tensors} tensors`],
    ["an evaluation", `${count(report.multiply_adds)} multiply-adds a picture`],
    [
      "memory",
      `${bytes(report.memory.weights)} weights + ${bytes(report.memory.activations)} a picture`,
    ],
    ["by default", defaultText(byDefault)],
  ];
  const widest = Math.max(...report.blocks.map(({ name }) => name.length));
  return [
    factsText(facts),
    "",
    ...report.blocks.map(({ name, tensors, parameters }) =>
      `${name.padEnd(widest)}  ${String(tensors).padStart(4)} tensors  ${
        count(parameters).padStart(12)
      }`
    ),
  ].join("\n");
}

function describeOnnx(report: OnnxReport, byDefault: DefaultRun): string {
  const { inputs, output, operators } = report;
  return factsText([
    ...pictureFacts(report),
    ["inputs", inputs.map(portText).join(", ")],
    ["output", portText(output)],
    ["made by", `${report.producer}, opset ${report.opset}`],
    ["operators", Object.entries(operators).map(([name, n]) => `${name} ${n}`).join(", ")],
    ["parameters", `${count(report.parameters)} in ${report.tensors} tensors`],
    ["by default", defaultText(byDefault)],
  ]);
}

/** What a folder and an ONNX file have in common. */
function pictureFacts({ source, hash, picture, classes, scheduler }: WeightsReport | OnnxReport) {
  const [channels, height, width] = picture;
  const schedule = scheduler
    ? [
      ["predicts", `${scheduler.prediction_type}, ${scheduler.variance_type}`],
      ["schedule", `${scheduler.beta_schedule}, T = ${scheduler.num_train_timesteps}`],
    ] as const
    : [["schedule", "not said: diffusers' defaults"]] as const;
  return [
    ["weights", source],
    ["hash", hash],
    ["pictures", `${width}×${height}, ${channels === 1 ? "grey" : `${channels} channels`}`],
    ["classes", classes ? classes.join(", ") : "none"],
    ...schedule,
  ] as const;
}

function factsText(facts: Facts): string {
  return facts.map(([name, value]) => `${name.padEnd(14)} ${value}`).join("\n");
}

function defaultText({ default_run, evaluations, refused }: DefaultRun): string {
  const { scheduler, steps, guidance, guided } = default_run;
  const when = guided ? ` at t = ${guided[0]} … ${guided[1]}` : "";
  const strength = guidance === 1 ? "" : `, guidance ${guidance}${when}`;
  const asked = `${evaluations} ${evaluations === 1 ? "evaluation" : "evaluations"} a picture`;
  return `${scheduler}, ${steps} ${steps === 1 ? "step" : "steps"}${strength}: ${refused ?? asked}`;
}

function count(n: number): string {
  return n.toLocaleString("en");
}

function bytes(n: number): string {
  return n < 2 ** 20 ? `${(n / 2 ** 10).toFixed(0)} KiB` : `${(n / 2 ** 20).toFixed(1)} MiB`;
}
