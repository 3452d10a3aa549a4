/** Where the randomness of dropout comes from. */

/** murmur3's finaliser: every bit of the result depends on every bit of x. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** A dropout key for each image of step k: a function of (seed, k, image), however it is batched. */
export function dropoutKeys(seed: number, k: number, images: number): Int32Array {
  const ofStep = mix(mix(seed | 0) ^ k);
  return Int32Array.from({ length: images }, (_, i) => mix(ofStep + Math.imul(i, 0x9e3779b9)));
}
