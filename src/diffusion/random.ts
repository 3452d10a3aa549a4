/**
 * Gaussian noise as PyTorch's CPU generator draws it, so that a seed means the same picture here and
 * there. Own code rather than a package: the Mersenne Twister is twenty lines, and this entry point
 * stays without dependencies.
 */
import { check } from "../schema.ts";
import { MAX_SEED, seedType } from "./seed.ts";

export { MAX_SEED };

/** A source of N(0, I): each call continues the sequence. */
export interface Generator {
  /** The next n draws of N(0, 1). */
  randn(n: number): Float32Array;
  /** The next draw of a whole number in 0 … 2³² − 1, all equally likely. */
  uint32(): number;
}

/** MT19937's 32-bit outputs (Matsumoto & Nishimura 1998). */
function mersenneTwister(seed: number): () => number {
  const N = 624, M = 397;
  const state = new Uint32Array(N);
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const previous = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, previous) + i;
  }
  let next = N;

  function twist() {
    for (let i = 0; i < N; i++) {
      const y = (state[i] & 0x80000000) | (state[i + 1 < N ? i + 1 : 0] & 0x7fffffff);
      state[i] = state[i + M < N ? i + M : i + M - N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    next = 0;
  }

  return () => {
    if (next === N) twist();
    let y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  };
}

/** In place: 16 uniforms in [0, 1) become 16 normals, cosines in the first half, sines in the second. */
function boxMuller16(block: Float32Array) {
  for (let j = 0; j < 8; j++) {
    const r = Math.sqrt(-2 * Math.log(1 - block[j]));
    const theta = 2 * Math.PI * block[j + 8];
    block[j] = r * Math.cos(theta);
    block[j + 8] = r * Math.sin(theta);
  }
}

/**
 * `torch.Generator().manual_seed(seed)`: `randn(n)` gives what `torch.randn(n, generator=…)` gives on
 * the CPU, draw after draw.
 *
 * Throws `InputError` for a seed that is not a whole number in 0 … 2³² − 1: torch would keep only its
 * low 32 bits, so that two seeds would be one picture.
 *
 * @example
 * ```ts
 * import { createGenerator } from "@denoise/denoise/diffusion";
 * createGenerator(0).randn(1); // 1.5409960746765137
 * ```
 */
export function createGenerator(seed: number): Generator {
  check(seedType, seed, "seed");
  const uint32 = mersenneTwister(seed);
  let cached: number | undefined;

  const uniform24 = () => (uint32() & 0xffffff) / 2 ** 24;
  const uniform53 = () => {
    const high = uint32() & 0x1fffff;
    return (high * 2 ** 32 + uint32()) / 2 ** 53;
  };

  /** torch's path for fewer than 16 numbers: float64, and the sine is kept for the next call. */
  function randn1(): number {
    if (cached !== undefined) {
      const value = cached;
      cached = undefined;
      return value;
    }
    const theta = 2 * Math.PI * uniform53();
    const r = Math.sqrt(-2 * Math.log1p(-uniform53()));
    cached = r * Math.sin(theta);
    return r * Math.cos(theta);
  }

  function randn(n: number): Float32Array {
    const out = new Float32Array(n);
    if (n < 16) return out.map(randn1);
    for (let i = 0; i < n; i++) out[i] = uniform24();
    for (let i = 0; i + 16 <= n; i += 16) boxMuller16(out.subarray(i, i + 16));
    if (n % 16 !== 0) {
      const tail = out.subarray(n - 16);
      for (let i = 0; i < 16; i++) tail[i] = uniform24();
      boxMuller16(tail);
    }
    return out;
  }

  return { randn, uint32 };
}

/**
 * A seed in 0 … 2³² − 1 for any string, the same everywhere and at once: FNV-1a over its UTF-8 bytes,
 * then murmur3's finaliser, since FNV alone maps similar names to similar numbers.
 */
export function seedFromName(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
