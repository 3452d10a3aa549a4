/** What this machine's SIMD can do at most, on one core and on several together. */
import { Worker } from "node:worker_threads";
import { instantiate, kernelBytes, unshared } from "../../src/engine/kernels_module.ts";
import { median } from "../sample/measure.ts";

const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
const kernels = instantiate(new WebAssembly.Module(unshared(kernelBytes())), memory);

/** GFLOP/s of multiply-adds in registers, one thread: the best of some tries. */
export function simdPeak(): number {
  const rounds = 20_000;
  const rates = Array.from({ length: 60 }, () => {
    const start = performance.now();
    kernels.peak(rounds, 0.5, 0.25);
    return 96 * rounds / (performance.now() - start) / 1e6;
  });
  return Math.max(...rates);
}

/**
 * How many times as much as one thread so many reach, each with work of its own in registers: no
 * program gains more from them. Cores of virtual machines are often less than cores.
 */
export async function coresTogether(threads: number): Promise<number> {
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./peak_worker.ts", import.meta.url)),
  );
  const answers = (some: readonly Worker[]) =>
    Promise.all(some.map((worker) => new Promise((resolve) => worker.once("message", resolve))));
  await answers(workers);
  const time = async (some: readonly Worker[]) => {
    const start = performance.now();
    const done = answers(some);
    for (const worker of some) worker.postMessage(2_000_000);
    await done;
    return performance.now() - start;
  };
  const gains: number[] = [];
  for (let i = 0; i < 7; i++) {
    gains.push(threads * await time(workers.slice(0, 1)) / await time(workers));
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  return median(gains);
}
