/**
 * Serving under load: `deno run -A bench/serve.ts [--weights digits] [--backend auto] [--steps 20]`.
 *
 * An open loop: requests start when their time has come, whether or not earlier ones are answered, so
 * that a slow server cannot slow its own load down. The server is a process of its own.
 */
import { parseArgs } from "node:util";
import { startServe } from "./serve_process.ts";

const { values: flags } = parseArgs({
  options: {
    weights: { type: "string", default: "digits" },
    backend: { type: "string", default: "auto" },
    steps: { type: "string", default: "20" },
    images: { type: "string", default: "48" },
  },
});
const steps = Number(flags.steps);
const images = Number(flags.images);

interface Result {
  readonly status: number;
  readonly milliseconds: number;
  readonly body: Uint8Array;
}

async function get(base: URL, seed: number): Promise<Result> {
  const begin = performance.now();
  const response = await fetch(new URL(`v1/images/${seed}.png?steps=${steps}`, base));
  const body = await response.bytes();
  return { status: response.status, milliseconds: performance.now() - begin, body };
}

/** One request after another. */
async function closed(base: URL): Promise<Result[]> {
  const results = [];
  for (let seed = 0; seed < images; seed++) results.push(await get(base, seed));
  return results;
}

/** The same requests at a fixed rate, as `clients` clients would send who each wait `gap` ms. */
async function open(base: URL, clients: number, gap: number): Promise<Result[]> {
  const begin = performance.now();
  return await Promise.all(Array.from({ length: images }, async (_, seed) => {
    const due = begin + Math.floor(seed / clients) * gap;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    return await get(base, seed);
  }));
}

/** How long /livez takes while `work` goes on. */
async function probing<T>(base: URL, work: Promise<T>): Promise<{ value: T; livez: number[] }> {
  let over = false;
  const ended = work.finally(() => over = true);
  const livez: number[] = [];
  while (!over) {
    const begin = performance.now();
    await (await fetch(new URL("livez", base))).text();
    livez.push(performance.now() - begin);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { value: await ended, livez };
}

function percentile(times: readonly number[], p: number): string {
  const sorted = times.toSorted((a, b) => a - b);
  return (sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)] ?? NaN).toFixed(1);
}

async function batches(base: URL): Promise<Map<string, number>> {
  const text = await (await fetch(new URL("metrics", base))).text();
  const lines = text.matchAll(/^denoise_batch_size_bucket\{.*le="([^"]+)"\} (\d+)$/gm);
  return new Map([...lines].map(([, le, count]) => [le, Number(count)]));
}

function histogram(before: Map<string, number>, after: Map<string, number>): string {
  let below = 0;
  const parts: string[] = [];
  for (const [le, count] of after) {
    const upTo = count - (before.get(le) ?? 0);
    if (upTo > below) parts.push(`≤${le}: ${upTo - below}`);
    below = upTo;
  }
  return parts.join(", ");
}

const { base, stop } = await startServe(flags);
try {
  await get(base, 0);
  const begin = performance.now();
  const alone = await closed(base);
  const seconds = (performance.now() - begin) / 1000;
  const times = alone.map(({ milliseconds }) => milliseconds);
  console.log(`${flags.weights}, ${steps} steps, ${images} requests`);
  console.log(
    `one after another: ${(images / seconds).toFixed(2)} images/s, ` +
      `p50 ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms`,
  );
  for (const clients of [1, 8, 32]) {
    const before = await batches(base);
    const start = performance.now();
    const gap = 1000 * seconds / images;
    const { value: results, livez } = await probing(base, open(base, clients, gap));
    const took = (performance.now() - start) / 1000;
    const failed = results.filter(({ status }) => status !== 200).length;
    const same = results.every(({ body }, i) => body.every((byte, j) => byte === alone[i].body[j]));
    const waits = results.map(({ milliseconds }) => milliseconds);
    console.log(
      `${clients} clients: ${(images / took).toFixed(2)} images/s, p50 ${
        percentile(waits, 0.5)
      } ms, ` +
        `p99 ${percentile(waits, 0.99)} ms, ${failed} failed, same pictures: ${same}, ` +
        `livez p99 ${percentile(livez, 0.99)} ms\n  batches ${
          histogram(before, await batches(base))
        }`,
    );
  }
} finally {
  await stop();
}
