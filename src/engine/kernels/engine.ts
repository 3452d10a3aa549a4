// The whole of an evaluation in one call: a list of commands, carried out one after another by all
// threads together.
import { attention } from "./attention";
export { peak } from "./gemm";
import { writeConstants } from "./constants";
import { conv } from "./conv";
import { groupNorm } from "./norm";
import { packConv, packKernels, packWinograd } from "./pack";
import { enter } from "./sync";
import { elementwise, fill, gather, matmul, reduce, resample, softmax } from "./tensors";
import { winograd } from "./winograd";

/**
 * Carries out the commands from `at` on, up to the number 0. Each is [operation, words, …]; threads
 * 0 … threads − 1 call this, at any time from when `first` is the phase that the memory is in.
 */
export function run(at: usize, thread: i32, threads: i32, first: u32): void {
  writeConstants();
  enter(thread, threads, first);
  for (let op = load<i32>(at); op != 0; op = load<i32>(at)) {
    command(op, at);
    at += <usize> load<i32>(at, 4) << 2;
  }
}

function command(op: i32, at: usize): void {
  switch (op) {
    case 1: return winograd(at);
    case 2: return conv(at);
    case 3: return groupNorm(at);
    case 4: return attention(at);
    case 5: return matmul(at);
    case 6: return elementwise(at);
    case 7: return softmax(at);
    case 8: return reduce(at);
    case 9: return gather(at);
    case 10: return resample(at);
    case 11: return fill(at);
    case 12: return packConv(at);
    case 13: return packWinograd(at);
    case 14: return packKernels(at);
    default: unreachable();
  }
}
