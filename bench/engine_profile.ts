/** Where an evaluation on the simd engine spends its time: a table by operation. */
import { pagesFor, placePlan, placeWeights } from "../src/engine/layout.ts";
import { encodeAlone } from "../src/engine/layout.ts";
import { startWorker } from "../src/backends/simd/threads.ts";
import { inlineCrew } from "../src/engine/inline_crew.ts";
import { instantiate, kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { packWeights, sourceOf, stagingFor } from "../src/engine/pack.ts";
import { planGraph } from "../src/engine/plan/plan.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import { teamOf } from "../src/engine/team.ts";
import { graphCost } from "../src/graph/cost.ts";
import { readFlags } from "./flags.ts";
import { median, printTable } from "./sample/measure.ts";
import { networkByName } from "./sample/networks.ts";

const { networks, batches, threads, row, repeats } = readFlags(
  "Where an evaluation on the simd engine spends its time.",
  {
    networks: [["digits"], "networks", ["digits", "cifar10"]],
    batches: [[1], "images in one evaluation"],
    threads: [1, "threads; what handing a step over to them takes is left out"],
    row: [1, "times each step is done in a row; several hide how late threads join"],
    repeats: [15, "measurements that each median is of"],
  },
);

/** Room for the commands of a step. */
const COMMANDS = 16384;

const worker = new URL("../src/backends/simd/worker.ts", import.meta.url);
const crew = threads === 1
  ? inlineCrew()
  : teamOf(threads, (events) => startWorker(worker, events));
const peak = instantiate(
  new WebAssembly.Module(unshared(kernelBytes())),
  new WebAssembly.Memory({ initial: 1, maximum: 65536 }),
).peak;

for (const name of networks) {
  const { graph, weights } = await networkByName(name);
  for (const n of batches) {
    const store = new WeightStore();
    const plan = planGraph(graph, { weights: store, sizes: new Map([["N", n]]), threads });
    const base = placeWeights(store);
    const placed = placePlan(plan, base, threads);
    const end = Math.max(placed.end, base + stagingFor(store)) + COMMANDS;
    const pages = pagesFor(end);
    const { shared } = crew;
    const memory = new WebAssembly.Memory({
      initial: pages,
      maximum: shared ? pages : 65536,
      shared,
    });
    const opened = await crew.open(memory);
    const numbersOf = ({ node: { op, attributes } }: (typeof graph.values)[number]) =>
      op === "constant" ? attributes.data as Float32Array : weights.get(attributes.name as string)!;
    await packWeights(store, sourceOf(numbersOf), memory, { from: base, to: end }, opened);
    const at = end - COMMANDS;
    /** Milliseconds of some commands. */
    const time = async (commands: Int32Array): Promise<number> => {
      const body = commands.subarray(0, -1);
      await opened.settle();
      const words = new Int32Array(memory.buffer, at, COMMANDS / 4);
      words.fill(0);
      for (let i = 0; i < row; i++) words.set(body, i * body.length);
      const start = performance.now();
      await opened.run(at);
      return performance.now() - start;
    };
    const times: number[][] = plan.steps.map(() => []);
    const nothing: number[] = [];
    const whole: number[] = [];
    const peaks: number[] = [];
    for (let round = -3; round < repeats; round++) {
      for (const { buffer } of plan.inputs.values()) {
        const words = new Float32Array(memory.buffer, buffer.address, buffer.bytes / 4);
        words.fill(0);
        if (buffer.bytes > 64 * n) words.forEach((_, i) => words[i] = Math.sin(i));
      }
      const began = performance.now();
      peak(100_000, 0.5, 0.25);
      peaks.push(9600 / (performance.now() - began) / 1000);
      let sum = 0;
      for (const [i, step] of plan.steps.entries()) {
        const took = await time(encodeAlone(step, placed, base)) / row;
        sum += took;
        if (round >= 0) times[i].push(took);
      }
      nothing.push(await time(Int32Array.of(0)));
      if (round >= 0) whole.push(sum);
    }
    opened.close();
    const handing = threads === 1 ? 0 : median(nothing) / row;
    const total = median(whole) - handing * plan.steps.length;
    const by = Map.groupBy(
      plan.steps.map((step, i) => ({ step, ms: Math.max(0, median(times[i]) - handing) })),
      ({ step }) => step.about,
    );
    const rows = [...by].map(([operation, of]) => {
      const ms = of.reduce((a, b) => a + b.ms, 0);
      return { operation, times: of.length, ms, share: ms / total };
    }).sort((a, b) => b.ms - a.ms);
    const { multiplyAdds } = graphCost(graph, n);
    printTable(
      `${name}, ${n} at once, threads ${threads}: ${total.toFixed(2)} ms, ${
        (2 * multiplyAdds / total / 1e6).toFixed(1)
      } effective GFLOP/s; SIMD peak ${median(peaks).toFixed(1)}, best ${
        Math.max(...peaks).toFixed(1)
      }`,
      rows.map(({ operation, times, ms, share }) => ({
        operation,
        times,
        ms: ms.toFixed(3),
        share: `${(100 * share).toFixed(1)} %`,
      })),
    );
  }
}
Deno.exit(0);
