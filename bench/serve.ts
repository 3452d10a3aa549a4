/**
 * Serving under load: an open loop of 1, 8 and 32 clients against the same requests one after another.
 * The server is a process of its own. What the issue of such a service promises is checked: no failure,
 * /livez under 50 ms, and each picture under load the same as alone.
 */
import { readFlags } from "./flags.ts";
import { type Answer, BatchSizes, livezDuring, oneAfterAnother, openLoop } from "./serve_load.ts";
import { startServe } from "./serve_process.ts";

const { weights, backend, steps, images, clients: crowds } = readFlags(
  "Images a second with several clients against one request after another. Each client sends a " +
    "request\nwhenever one image alone would be done, whether or not the one before is answered.",
  {
    weights: ["digits", "weights to serve"],
    backend: ["auto", "the engine", ["auto", "native", "wasm", "webgpu"]],
    steps: [20, "steps of a picture"],
    images: [96, "pictures in each run"],
    clients: [[1, 8, 32], "clients of each run"],
  },
);

/** The promise for /livez under full load, in milliseconds. */
const MOST_LIVEZ = 50;

const requests = Array.from(
  { length: images },
  (_, seed) => `v1/images/${seed}.png?steps=${steps}`,
);

function percentile(times: readonly number[], p: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)] ?? NaN;
}

/** "overloaded: 3, network: 1", or "none". */
function failures(answers: readonly Answer[]): string {
  const failed = answers.filter(({ failure }) => failure !== undefined);
  const byReason = [...Map.groupBy(failed, ({ failure }) => failure)];
  return byReason.map(([reason, { length }]) => `${reason}: ${length}`).join(", ") || "none";
}

function samePicture(a: Answer, b: Answer): boolean {
  return a.body.length === b.body.length && a.body.every((byte, i) => byte === b.body[i]);
}

interface Run {
  readonly who: string;
  readonly perSecond: number;
  readonly answers: readonly Answer[];
  readonly livez: readonly number[];
  readonly batches: { readonly mean: number; readonly histogram: string };
}

/** Runs `work` and looks at the server meanwhile. */
async function observe(base: URL, who: string, work: () => Promise<Answer[]>): Promise<Run> {
  const before = await BatchSizes.read(base);
  const begin = performance.now();
  let end = begin;
  const ended = work().finally(() => end = performance.now());
  const { value: answers, livez } = await livezDuring(base, ended);
  const batches = (await BatchSizes.read(base)).since(before);
  return { who, perSecond: 1000 * images / (end - begin), answers, livez, batches };
}

function print(runs: readonly Run[]): void {
  const [alone] = runs;
  const columns = [
    "",
    "images/s",
    "×",
    "p50 ms",
    "p99 ms",
    "failures",
    "same as alone",
    "livez p99 ms",
    "images an evaluation",
    "evaluations by images in them",
  ];
  console.log(`| ${columns.join(" | ")} |\n|${columns.map(() => "---|").join("")}`);
  for (const { who, perSecond, answers, livez, batches } of runs) {
    const times = answers.map(({ milliseconds }) => milliseconds);
    const same = answers.filter((answer, i) => samePicture(answer, alone.answers[i])).length;
    const cells = [
      who,
      perSecond.toFixed(2),
      (perSecond / alone.perSecond).toFixed(2),
      percentile(times, 0.5).toFixed(0),
      percentile(times, 0.99).toFixed(0),
      failures(answers),
      `${same} of ${images}`,
      percentile(livez, 0.99).toFixed(1),
      batches.mean.toFixed(1),
      batches.histogram,
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

/** The promises that were not kept. */
function broken(runs: readonly Run[]): string[] {
  const [alone] = runs;
  return runs.flatMap(({ who, answers, livez }) => [
    ...(answers.some(({ failure }) => failure !== undefined) ? [`${who}: requests failed`] : []),
    ...(answers.every((a, i) => samePicture(a, alone.answers[i]))
      ? []
      : [`${who}: other pictures`]),
    ...(percentile(livez, 0.99) < MOST_LIVEZ ? [] : [`${who}: livez over ${MOST_LIVEZ} ms`]),
  ]);
}

const server = await startServe({ weights, backend });
const runs: Run[] = [];
try {
  const { base } = server;
  await oneAfterAnother(base, requests.slice(0, 1));
  runs.push(await observe(base, "one after another", () => oneAfterAnother(base, requests)));
  const interval = 1000 / runs[0].perSecond;
  for (const clients of crowds) {
    const who = clients === 1 ? "1 client" : `${clients} clients`;
    runs.push(await observe(base, who, () => openLoop(base, requests, { clients, interval })));
  }
} finally {
  await server.stop();
}
console.log(`${weights}, ${steps} steps, ${images} pictures a run, ${server.engine}\n`);
print(runs);
const wrong = broken(runs);
for (const line of wrong) console.error(line);
if (wrong.length > 0) Deno.exit(1);
