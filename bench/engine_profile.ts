/** Where an evaluation on the simd engine spends its time: a table by operation, one thread. */
import { pagesFor, placePlan, placeWeights } from "../src/engine/layout.ts";
import { encodeAlone } from "../src/engine/layout.ts";
import { instantiate, kernelBytes, unshared } from "../src/engine/kernels_module.ts";
import { packWeights, stagingFor } from "../src/engine/pack.ts";
import { planGraph } from "../src/engine/plan/plan.ts";
import { WeightStore } from "../src/engine/plan/weights.ts";
import { graphCost } from "../src/graph/cost.ts";
import { readFlags } from "./flags.ts";
import { median, printTable } from "./sample/measure.ts";
import { networkByName } from "./sample/networks.ts";

const { networks, batches, repeats } = readFlags(
  "Where an evaluation on the simd engine spends its time.",
  {
    networks: [["digits"], "networks", ["digits", "cifar10"]],
    batches: [[1], "images in one evaluation"],
    repeats: [15, "measurements that each median is of"],
  },
);

for (const name of networks) {
  const { graph, weights } = await networkByName(name);
  for (const n of batches) {
    const store = new WeightStore();
    const plan = planGraph(graph, { weights: store, sizes: new Map([["N", n]]), threads: 1 });
    const base = placeWeights(store);
    const placed = placePlan(plan, base, 1);
    const end = Math.max(placed.end, base + stagingFor(store)) + 4096;
    const memory = new WebAssembly.Memory({ initial: pagesFor(end), maximum: 65536 });
    const kernels = instantiate(new WebAssembly.Module(unshared(kernelBytes())), memory);
    const numbersOf = ({ node: { op, attributes } }: (typeof graph.values)[number]) =>
      op === "constant" ? attributes.data as Float32Array : weights.get(attributes.name as string)!;
    await packWeights(store, numbersOf, memory, { from: base, to: end }, {
      run: (at) => Promise.resolve(kernels.run(at, 0, 1, 0)),
      settle: () => Promise.resolve(),
    });
    const at = end - 4096;
    const times: number[][] = plan.steps.map(() => []);
    const whole: number[] = [];
    const peaks: number[] = [];
    for (let round = -3; round < repeats; round++) {
      for (const { buffer } of plan.inputs.values()) {
        const words = new Float32Array(memory.buffer, buffer.address, buffer.bytes / 4);
        words.fill(0);
        if (buffer.bytes > 64 * n) words.forEach((_, i) => words[i] = Math.sin(i));
      }
      const began = performance.now();
      kernels.peak(100_000, 0.5, 0.25);
      peaks.push(9600 / (performance.now() - began) / 1000);
      let sum = 0;
      plan.steps.forEach((step, i) => {
        new Int32Array(memory.buffer, at, 512).set(encodeAlone(step, placed, base));
        const start = performance.now();
        kernels.run(at, 0, 1, 0);
        const took = performance.now() - start;
        sum += took;
        if (round >= 0) times[i].push(took);
      });
      if (round >= 0) whole.push(sum);
    }
    const total = median(whole);
    const by = Map.groupBy(
      plan.steps.map((step, i) => ({ step, ms: Math.min(...times[i]) })),
      ({ step }) => step.about,
    );
    const rows = [...by].map(([operation, of]) => {
      const ms = of.reduce((a, b) => a + b.ms, 0);
      return { operation, times: of.length, ms, share: ms / total };
    }).sort((a, b) => b.ms - a.ms);
    const { multiplyAdds } = graphCost(graph, n);
    printTable(
      `${name}, ${n} at once, one thread: ${total.toFixed(2)} ms, ${
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
