/** Brings weights into memory: as they are, or through the kernels that pack and transform them. */
import type { Value } from "../graph/mod.ts";
import { fitsHalf } from "./half.ts";
import { opcodes } from "./plan/step.ts";
import { product, roundUp } from "./plan/view.ts";
import type { Packed, WeightStore } from "./plan/weights.ts";

/** The numbers of a parameter or constant. */
export type Numbers = ArrayBufferView & ArrayLike<number>;

/** Where numbers come from. */
export interface NumberSource {
  /** Whether 16-bit floats hold all numbers of a value. */
  fitsHalf(value: Value): boolean;
  /** The numbers of each of these values once, in any order; an array is read before the next is asked for. */
  each(values: ReadonlySet<Value>): AsyncIterable<readonly [Value, Numbers]>;
}

/** Numbers that are there at any time. */
export function sourceOf(numbersOf: (value: Value) => Numbers): NumberSource {
  return {
    fitsHalf: (value) => fitsHalf(numbersOf(value)),
    async *each(values) {
      for (const value of values) yield [value, numbersOf(value)];
    },
  };
}

/** Room for the commands that pack what is staged. */
const COMMANDS = 64 * 1024;
/** A thread's own numbers of a channel, and how many threads may have some. */
const SCRATCH = 640;
const MOST_THREADS = 16;

/** Bytes that packing needs behind the weights at least. */
export function stagingFor(store: WeightStore): number {
  const largest = Math.max(0, ...[...store.packed.values()].map(bytesOf));
  return COMMANDS + SCRATCH * MOST_THREADS + roundUp(largest, 64);
}

function bytesOf({ value, packing }: Packed): number {
  return packing.kind === "raw" ? 0 : 4 * product(value.shape as number[]);
}

/** What packs: `CrewMemory` of `engine_session.ts`. */
interface Packer {
  run(at: number): Promise<void>;
  settle(): Promise<void>;
}

/** Fills memory with the weights. `packer` carries out commands; `from` … `to` is free for them. */
export async function packWeights(
  store: WeightStore,
  numbers: NumberSource,
  memory: WebAssembly.Memory,
  { from, to }: { from: number; to: number },
  packer: Packer,
): Promise<void> {
  const scratch = roundUp(from, 64) + COMMANDS;
  const staging = scratch + SCRATCH * MOST_THREADS;
  const bytes = new Uint8Array(memory.buffer);
  let commands: number[] = [];
  let at = staging;
  const flush = async () => {
    if (commands.length === 0) return;
    commands.push(0);
    await packer.settle();
    new Int32Array(memory.buffer, roundUp(from, 64), commands.length).set(commands);
    await packer.run(roundUp(from, 64));
    commands = [];
    at = staging;
  };
  const pack = async ({ packing, buffer }: Packed, raw: Uint8Array) => {
    const { byteLength } = raw;
    if (packing.kind === "raw") {
      bytes.set(raw, buffer.address);
      return;
    }
    if (at + byteLength > to || (commands.length + 16) * 4 > COMMANDS) await flush();
    bytes.set(raw, at);
    const { outChannels, channels } = packing;
    const own = packing.kind === "conv"
      ? [
        ...[opcodes.packConv, 9, at, buffer.address, outChannels, channels, channels],
        ...[packing.taps, Number(packing.half)],
      ]
      : packing.kind === "winograd"
      ? [
        ...[opcodes.packWinograd, 11, at, buffer.address, outChannels, channels, channels],
        ...[packing.m, packing.range, scratch, SCRATCH],
      ]
      : [
        ...[opcodes.packKernels, 9, at, buffer.address, outChannels, channels],
        ...[Number(packing.half), scratch, SCRATCH],
      ];
    commands.push(...own);
    at = roundUp(at + byteLength, 64);
  };
  const wanted = Map.groupBy(store.packed.values(), ({ value }) => value);
  for await (
    const [value, { buffer, byteOffset, byteLength }] of numbers.each(new Set(wanted.keys()))
  ) {
    const raw = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
    for (const packed of wanted.get(value)!) await pack(packed, raw);
  }
  await flush();
}
