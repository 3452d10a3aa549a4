/** The steps of a plan: operations of the kernels with the memory they use. */
import type { Buffer, View } from "./view.ts";

/** The operations' numbers, as `kernels/engine.ts` reads them. */
export const opcodes = {
  winograd: 1,
  conv: 2,
  groupNorm: 3,
  attention: 4,
  matmul: 5,
  elementwise: 6,
  softmax: 7,
  reduce: 8,
  gather: 9,
  resample: 10,
  fill: 11,
  packConv: 12,
  packWinograd: 13,
  packKernels: 14,
} as const;

/** The functions of `elementwise`, as `kernels/tensors.ts` reads them. */
export const functions: Readonly<Record<string, number>> = {
  copy: 0,
  neg: 1,
  exp: 2,
  sqrt: 3,
  reciprocal: 4,
  sigmoid: 5,
  silu: 6,
  log: 7,
  sin: 8,
  cos: 9,
  add: 20,
  sub: 21,
  mul: 22,
  div: 23,
  min: 24,
  max: 25,
  lessOrEqual: 26,
};

/** A number of a command: as it is, a float, a place in memory, or a thread's own memory. */
export type Word =
  | number
  | { readonly float: number }
  | { readonly double: number }
  | { readonly place: View }
  | { readonly scratch: number };

/** One command of the kernels, before memory is laid out. */
export interface Step {
  readonly op: keyof typeof opcodes;
  readonly words: readonly Word[];
  /** Buffers it reads or writes. */
  readonly touches: readonly Buffer[];
  /** What it is for, in profiles. */
  readonly about: string;
}

/** Bytes of each thread's own memory that a step asks for. */
export function scratchOf(step: Step): number {
  return step.words.reduce<number>(
    (most, word) => typeof word === "object" && "scratch" in word ? word.scratch : most,
    0,
  );
}

const floats = new Float32Array(1);
const floatBits = new Int32Array(floats.buffer);
const doubles = new Float64Array(1);
const doubleBits = new Int32Array(doubles.buffer);

/** The commands as the kernels read them; 0 ends the list. */
export function encode(
  steps: readonly Step[],
  scratch: { readonly address: number; readonly bytes: number },
): Int32Array {
  const all: number[] = [];
  for (const { op, words } of steps) {
    const begin = all.length;
    all.push(opcodes[op], 0);
    for (const word of words) {
      if (typeof word === "number") all.push(word);
      else if ("float" in word) {
        floats[0] = word.float;
        all.push(floatBits[0]);
      } else if ("double" in word) {
        doubles[0] = word.double;
        all.push(doubleBits[0], doubleBits[1]);
      } else if ("place" in word) {
        all.push(word.place.buffer.address + 4 * word.place.offset);
      } else all.push(scratch.address, scratch.bytes);
    }
    all[begin + 1] = all.length - begin;
  }
  all.push(0);
  return Int32Array.from(all);
}
