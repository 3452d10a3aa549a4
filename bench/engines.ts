/**
 * The engines beside each other, one evaluation after another in one run: milliseconds, what share of
 * the machine's SIMD peak that is, and how they stand beside a busy program.
 */
import type { Session } from "../src/backends/backend.ts";
import { native } from "../src/backends/onnxruntime/native.ts";
import { wasm } from "../src/backends/onnxruntime/wasm.ts";
import { simd } from "../src/backends/simd/threads.ts";
import { graphCost } from "../src/graph/cost.ts";
import { coresTogether, simdPeak } from "./engines/peak.ts";
import { hasTorch, startTorch } from "./engines/torch.ts";
import { readFlags } from "./flags.ts";
import { inTurns, median, printTable } from "./sample/measure.ts";
import { feedsFor, networkByName } from "./sample/networks.ts";

const { networks, batches, repeats, row, threads, engines, busy } = readFlags(
  "The engines beside each other: evaluations in turns.",
  {
    networks: [["digits"], "networks", ["digits", "cifar10"]],
    batches: [[1, 16], "images in one evaluation"],
    threads: [[1, 2], "threads"],
    engines: [["simd", "wasm", "native", "torch"], "engines", ["simd", "wasm", "native", "torch"]],
    busy: [[0, 1], "other programs that keep a core busy"],
    repeats: [9, "turns that each median is of"],
    row: [1, "evaluations in a row in a turn, as sampling makes them; their mean counts"],
  },
);

function ratio(a: number, b: number | undefined): string {
  return b === undefined ? "–" : (a / b).toFixed(2);
}

/** A turn. */
const inARow = (evaluate: () => Promise<unknown>) => async () => {
  for (let i = 0; i < row; i++) await evaluate();
};

const load = Deno.loadavg()[0].toFixed(1);
console.log(
  `Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load ${load}; medians of ${repeats}; ` +
    `SIMD peak of a core ${simdPeak().toFixed(1)} GFLOP/s`,
);
for (const count of threads.filter((count) => count > 1)) {
  const gain = await coresTogether(count);
  console.log(`${count} threads together reach ${gain.toFixed(2)} times the peak of one`);
}

const withTorch = engines.includes("torch") && await hasTorch();
const busyLoop = "for (;;);";

for (const name of networks) {
  const network = await networkByName(name);
  const sessions: { name: string; threads: number; session: Session }[] = [];
  for (const [engine, make] of Object.entries({ simd, wasm, native })) {
    if (!engines.includes(engine)) continue;
    for (const count of threads) {
      const session = await make().createSession(network.graph, network.weights, {
        threads: count,
        spin: false,
      });
      sessions.push({ name: `${engine}, ${count}`, threads: count, session });
    }
  }
  const torches = withTorch
    ? await Promise.all(threads.map(async (count) => ({
      name: `torch, ${count}`,
      threads: count,
      torch: await startTorch(network, count),
    })))
    : [];
  for (const others of busy) {
    const children = Array.from(
      { length: others },
      () => new Deno.Command(Deno.execPath(), { args: ["eval", busyLoop] }).spawn(),
    );
    for (const n of batches) {
      const feeds = feedsFor(network, n);
      const contestants = Object.fromEntries([
        ...sessions.map(({ name, session }) => [name, inARow(() => session.run(feeds))] as const),
        ...torches.map(({ name, torch }) => [name, inARow(() => torch.run(n))] as const),
      ]);
      const peaks = [simdPeak()];
      const took = await inTurns<string>(contestants, repeats);
      const ms = Object.fromEntries(Object.entries(took).map(([name, ms]) => [name, ms / row]));
      peaks.push(simdPeak());
      const peak = median(peaks);
      const work = 2 * graphCost(network.graph, n).multiplyAdds / 1e6;
      const rows = [...sessions, ...torches].map(({ name, threads }) => ({
        "engine, threads": name,
        ms: ms[name].toFixed(1),
        "effective GFLOP/s": (work / ms[name]).toFixed(1),
        "of the SIMD peak of its cores": `${(100 * work / ms[name] / peak / threads).toFixed(0)} %`,
        ...Object.fromEntries(
          ["wasm", "native", "torch"].map((other) => {
            return [`against ${other}`, ratio(ms[name], ms[`${other}, ${threads}`])];
          }),
        ),
        "against one thread": ratio(ms[name], ms[name.replace(/\d+$/, "1")]),
      }));
      const beside = others ? `, beside ${others} busy program${others > 1 ? "s" : ""}` : "";
      printTable(`${network.name}, ${n} at once${beside}`, rows);
    }
    for (const child of children) {
      child.kill("SIGKILL");
      await child.status;
    }
  }
  for (const { session } of sessions) await session.close();
  for (const { torch } of torches) await torch[Symbol.asyncDispose]();
}
Deno.exit(0);
