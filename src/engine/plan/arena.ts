/** Lays out buffers in one piece of memory: two that are in use at the same time never overlap. */
import { type Buffer, roundUp } from "./view.ts";

const ALIGNMENT = 64;

/** Gives every buffer an address from `base` on. @returns the bytes in all */
export function layOut(buffers: Iterable<Buffer>, base: number): number {
  const placed: Buffer[] = [];
  let end = base;
  // Large ones first: the small ones fit between them.
  for (const buffer of [...buffers].sort((a, b) => b.bytes - a.bytes)) {
    const others = placed
      .filter(({ first, last }) => first <= buffer.last && buffer.first <= last)
      .sort((a, b) => a.address - b.address);
    let at = base;
    for (const other of others) {
      if (at + buffer.bytes <= other.address) break;
      at = Math.max(at, roundUp(other.address + other.bytes, ALIGNMENT));
    }
    buffer.address = at;
    placed.push(buffer);
    end = Math.max(end, roundUp(at + buffer.bytes, ALIGNMENT));
  }
  return end - base;
}
