/**
 * Memory over time. Pictures, streams read to the end, clients that leave in the middle and requests
 * that are refused, eight at a time; then the server's memory must be what it was after the first fifth,
 * nothing may be held any more, and no request may have failed but by the server's leave. Linux only.
 */
import { readFlags } from "./flags.ts";
import { startServe } from "./serve_process.ts";

const { minutes, weights, backend } = readFlags(
  "The server's memory over time under mixed requests, and a verdict. Linux only.",
  {
    minutes: [10, "how long"],
    weights: ["digits", "weights to serve"],
    backend: ["auto", "the engine", ["auto", "native", "wasm", "webgpu"]],
  },
);
/** Requests at a time. */
const CLIENTS = 8;
/** Looks at the memory. */
const SAMPLES = 40;
/** How much more the last fifth may hold than the second. */
const MOST = 1.1;

const { base, pid, engine, stop } = await startServe({ weights, backend });
const end = performance.now() + minutes * 60_000;
const answers = new Map<string, number>();
let requests = 0;

/** What the process holds in memory, in MB. */
async function residentMegabytes(): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}

async function ask(path: string, signal?: AbortSignal): Promise<string> {
  try {
    const response = await fetch(new URL(path, base), { signal });
    await response.bytes();
    return String(response.status);
  } catch (error) {
    return signal?.aborted ? "left" : (error as Error).message;
  }
}

/** Some way into the work, the client is gone. */
function leaving(): AbortSignal {
  return AbortSignal.timeout(50 + Math.random() * 300);
}

async function client(): Promise<void> {
  while (performance.now() < end) {
    const n = requests++;
    const address = `v1/images/${n % 100_000}`;
    const answer = await [
      () => ask(`${address}/events?steps=200&preview=both`, leaving()),
      () => ask(`${address}.png?steps=200`, leaving()),
      () => ask(`${address}.png?steps=5`),
      () => ask(`${address}/events?steps=${n % 16 === 3 ? 0 : 3}`),
    ][n % 4]();
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
}

const samples: number[] = [];
async function watch(): Promise<void> {
  while (performance.now() < end) {
    samples.push(await residentMegabytes());
    const left = Math.max(0, (end - performance.now()) / 60_000);
    console.log(
      `${(minutes - left).toFixed(1).padStart(5)} min ${
        samples.at(-1)!.toFixed(0).padStart(6)
      } MB ` +
        `${String(requests).padStart(7)} requests`,
    );
    await new Promise((resolve) => setTimeout(resolve, minutes * 60_000 / SAMPLES));
  }
}

/** Gauges that must be 0 when nobody asks for anything. */
async function held(): Promise<string[]> {
  const gauge =
    /^denoise_(?:queue_cost|images_waiting|images_running|calls_pending\S*) (?!0$).*$/gm;
  for (let tries = 0;; tries++) {
    const text = await (await fetch(new URL("metrics", base))).text();
    const found = text.match(gauge) ?? [];
    if (found.length === 0 || tries === 50) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

let still: string[];
try {
  await Promise.all([watch(), ...Array.from({ length: CLIENTS }, client)]);
  still = await held();
} finally {
  await stop();
}
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
const fifth = Math.ceil(samples.length / 5);
const early = median(samples.slice(fifth, 2 * fifth));
const late = median(samples.slice(-fifth));
const told = [...answers].map(([answer, n]) => `${answer}: ${n}`).join(", ");
console.log(
  `${engine}, ${minutes} min, ${requests} requests (${told})\n` +
    `${early.toFixed(0)} MB in the second fifth, ${late.toFixed(0)} MB in the last: × ` +
    `${(late / early).toFixed(3)} (at most ${MOST})`,
);
const wrong = [
  ...(late > early * MOST ? ["memory grew"] : []),
  ...still.map((line) => `still held: ${line}`),
  ...[...answers.keys()].filter((answer) => !["200", "422", "left"].includes(answer))
    .map((answer) => `an answer that nobody asked for: ${answer}`),
];
console.log(wrong.length === 0 ? "flat: nothing grew and nothing is held" : wrong.join("\n"));
if (wrong.length > 0) Deno.exit(1);
