/** The compiled kernels: which build this runtime can run, and how they are instantiated. */
import plain from "./wasm/plain.ts";
import relaxed from "./wasm/relaxed.ts";

/** What the kernels export. */
export interface Kernels {
  /**
   * Carries out the commands from an address on, as thread `thread` of `threads`, beginning with the
   * phase that the memory is in; see `kernels/sync.ts`.
   */
  run(at: number, thread: number, threads: number, phase: number): void;
  /** 96 · rounds floating-point operations at this machine's best, for benchmarks. */
  peak(rounds: number, x: number, y: number): number;
}

/** A module of one function that multiplies and adds with relaxed SIMD. */
const RELAXED_PROBE = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0],
  ...[65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11],
);

/** Whether this runtime has the relaxed SIMD that the faster build needs. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_PROBE);
}

/** The bytes of the kernels for this runtime. */
export function kernelBytes(build: "relaxed" | "plain" = hasRelaxedSimd() ? "relaxed" : "plain") {
  const text = atob(build === "relaxed" ? relaxed : plain);
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/** The same kernels for a memory that is not shared: one bit of the memory's description. */
export function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice();
  const at = memoryFlags(copy);
  copy[at] &= ~2;
  return copy;
}

/** Where the flags of the imported memory "env.memory" lie. */
function memoryFlags(bytes: Uint8Array): number {
  const name = [...new TextEncoder().encode("\x03env\x06memory\x02")];
  const at = bytes.findIndex((_, i) => name.every((byte, j) => bytes[i + j] === byte));
  if (at < 0) throw new Error("the kernels import no memory");
  return at + name.length;
}

/** The kernels on a memory. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const { log, sin, cos } = Math;
  const instance = new WebAssembly.Instance(module, { env: { memory, log, sin, cos } });
  return instance.exports as unknown as Kernels;
}
