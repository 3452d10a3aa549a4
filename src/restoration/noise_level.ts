/** How noisy a picture is, from itself alone. */

/** The median of |z| for z ~ N(0, 1). */
const MEDIAN_OF_NORMAL = 0.6745;

/**
 * σ of white noise: the median absolute value of the diagonal Haar coefficients over 0.6745 (Donoho &
 * Johnstone 1994, §3.1.1). Strokes and edges touch few of them, so the median hardly sees a picture.
 * @param x [C, H, W]
 * @param kept 0 for pixels that were not measured, [H, W]: nothing is told from them
 * @returns in the units of x
 */
export function estimateNoise(
  x: Float32Array,
  [channels, height, width]: readonly number[],
  kept?: Uint8Array,
): number {
  const isKept = (p: number) => kept === undefined || kept[p] !== 0;
  const found: number[] = [];
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i + 1 < height; i += 2) {
      for (let j = 0; j + 1 < width; j += 2) {
        const p = i * width + j;
        if (![p, p + 1, p + width, p + width + 1].every(isKept)) continue;
        const at = c * height * width + p;
        found.push(Math.abs(x[at] - x[at + 1] - x[at + width] + x[at + width + 1]) / 2);
      }
    }
  }
  found.sort((a, b) => a - b);
  return (found[Math.floor(found.length / 2)] ?? 0) / MEDIAN_OF_NORMAL;
}
