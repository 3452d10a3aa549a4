/** Damaged files, the same ones every time, and what may come of reading them. */
import { InputError } from "../src/errors.ts";
import { assert } from "@std/assert";

/** Numbers in 0 … 1 from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` damaged copies: bytes changed, numbers made huge, pieces cut, doubled or moved. */
export function* mutations(
  bytes: Uint8Array,
  count: number,
  seed: number,
): Generator<Uint8Array<ArrayBuffer>> {
  const random = seeded(seed);
  const below = (n: number) => Math.floor(random() * n);
  // Headers are short: half of the damage is done to the first and last 64 bytes.
  const place = (length: number) => {
    const near = below(Math.min(64, length));
    return [below(length), below(length), near, length - 1 - near][below(4)];
  };
  for (let i = 0; i < count; i++) {
    let file = [...bytes];
    for (let k = 1 + below(3); k > 0 && file.length > 8; k--) {
      const at = place(file.length);
      const span = 1 + below(Math.min(16, file.length - at));
      switch (below(7)) {
        case 0:
          file[at] ^= 1 << below(8);
          break;
        case 1:
          file[at] = below(256);
          break;
        case 2:
          file.fill([0, 0x7f, 0xff][below(3)], at, at + [1, 2, 4, 8][below(4)]);
          break;
        case 3:
          file.splice(at, span);
          break;
        case 4:
          file.splice(at, 0, ...file.slice(at, at + span));
          break;
        case 5:
          file = file.slice(0, at);
          break;
        case 6:
          file.splice(place(file.length), span, ...file.slice(at, at + span));
      }
    }
    yield Uint8Array.from(file);
  }
}

const arrays = ["Uint8Array", "Uint8ClampedArray", "Uint16Array", "Int32Array", "Float32Array"];

/** Runs `work` and returns the longest typed array that it made by length, in bytes. */
export async function largestAllocation(work: () => unknown): Promise<number> {
  const scope = globalThis as unknown as Record<string, Uint8ArrayConstructor>;
  const originals = arrays.map((name) => scope[name]);
  let largest = 0;
  for (const [i, name] of arrays.entries()) {
    scope[name] = new Proxy(originals[i], {
      construct(target, args, newTarget) {
        if (args[0] > 0) {
          largest = Math.max(largest, args[0] * originals[i].BYTES_PER_ELEMENT);
        }
        return Reflect.construct(target, args, newTarget);
      },
    });
  }
  try {
    await work();
  } finally {
    for (const [i, name] of arrays.entries()) scope[name] = originals[i];
  }
  return largest;
}

/**
 * Reads damaged files: each is refused with an InputError that names the file, or is read.
 * @returns how many were refused; none may ask for more than `mostBytes` at once
 */
export async function refusals(
  files: Iterable<Uint8Array<ArrayBuffer>>,
  read: (file: Uint8Array<ArrayBuffer>, where: string) => unknown,
  mostBytes: number,
): Promise<number> {
  let refused = 0;
  let at = 0;
  for (const file of files) {
    const where = `damaged ${at++}`;
    const largest = await largestAllocation(async () => {
      try {
        await read(file, where);
      } catch (error) {
        assert(error instanceof InputError, `${where}: ${(error as Error)?.stack ?? error}`);
        assert(error.message.startsWith(where), `${where}: ${error.message}`);
        refused++;
      }
    });
    assert(largest <= mostBytes, `${where} asked for ${largest} bytes at once`);
  }
  return refused;
}
