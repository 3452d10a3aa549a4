/**
 * Memory over time: `deno run -A bench/serve_soak.ts [--minutes 10] [--weights digits]`.
 *
 * Pictures, streams read to the end, clients that leave in the middle and requests that are refused,
 * eight at a time; then the server's memory must be what it was after the first fifth. Linux only.
 */
import { parseArgs } from "node:util";
import { startServe } from "./serve_process.ts";

const { values: flags } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    weights: { type: "string", default: "digits" },
    backend: { type: "string", default: "auto" },
  },
});
const end = performance.now() + Number(flags.minutes) * 60_000;
const { base, pid, stop } = await startServe(flags);
let requests = 0;

/** What the process holds in memory, in MB. */
async function residentMegabytes(): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}

async function leaveInTheMiddle(path: string): Promise<void> {
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(), 50 + Math.random() * 300);
  await fetch(new URL(path, base), { signal: leaving.signal }).then((r) => r.bytes()).catch(
    () => {},
  );
}

async function client(): Promise<void> {
  while (performance.now() < end) {
    const n = requests++;
    const seed = n % 100_000;
    if (n % 4 === 0) await leaveInTheMiddle(`v1/images/${seed}/events?steps=200&preview=both`);
    else if (n % 4 === 1) await leaveInTheMiddle(`v1/images/${seed}.png?steps=200`);
    else {
      const path = n % 4 === 2
        ? `${seed}.png?steps=5`
        : `${seed}/events?steps=${n % 16 === 3 ? 0 : 3}`;
      const response = await fetch(new URL(`v1/images/${path}`, base));
      if (response.status >= 500) throw new Error(`${path}: ${response.status}`);
      await response.bytes();
    }
  }
}

const samples: number[] = [];
const sampler = (async () => {
  while (performance.now() < end) {
    samples.push(await residentMegabytes());
    console.log(`${samples.at(-1)!.toFixed(0)} MB after ${requests} requests`);
    await new Promise((resolve) => setTimeout(resolve, Number(flags.minutes) * 60_000 / 40));
  }
})();
try {
  await Promise.all([sampler, ...Array.from({ length: 8 }, client)]);
} finally {
  await stop();
}
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1];
const early = median(samples.slice(samples.length / 5, samples.length * 2 / 5));
const late = median(samples.slice(-samples.length / 5));
console.log(`${early.toFixed(0)} MB early, ${late.toFixed(0)} MB late, ${requests} requests`);
if (late > early * 1.1) {
  console.error("memory grew by more than a tenth");
  Deno.exit(1);
}
