/** One core's share of `coresTogether` in `peak.ts`: says when it begins and ends. */
import { parentPort } from "node:worker_threads";
import { instantiate, kernelBytes, unshared } from "../../src/engine/kernels_module.ts";

const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
const { peak } = instantiate(new WebAssembly.Module(unshared(kernelBytes())), memory);
peak(100_000, 0.5, 0.25);
parentPort!.on("message", (rounds: number) => {
  peak(rounds, 0.5, 0.25);
  parentPort!.postMessage("done");
});
parentPort!.postMessage("ready");
