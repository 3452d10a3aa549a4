/** How near one picture is to another. */

/** Peak signal-to-noise ratio in dB of pictures in −1 … 1; what lies outside is clipped first. */
export function psnr(x: Float32Array, truth: Float32Array): number {
  const error = x.reduce((sum, v, i) => sum + (clipped(v) - truth[i]) ** 2, 0) / x.length;
  // Half a level stands for no error at all.
  return 10 * Math.log10(4 / Math.max(error, (1 / 255) ** 2));
}

const clipped = (v: number) => Math.min(1, Math.max(-1, v));

const WINDOW = 11, WINDOW_SIGMA = 1.5;

/**
 * Structural similarity (Wang, Bovik, Sheikh & Simoncelli 2004): Gaussian windows of 11 × 11, the mean
 * over all that lie inside the picture and over its channels. 1 is equal.
 * @param shape [C, H, W]; smaller pictures take windows of their own size
 */
export function ssim(
  x: Float32Array,
  truth: Float32Array,
  [channels, height, width]: readonly [number, number, number],
): number {
  const side = Math.min(WINDOW, height, width);
  const kernel = Array.from(
    { length: side },
    (_, i) => Math.exp(-((i - (side - 1) / 2) ** 2) / (2 * WINDOW_SIGMA ** 2)),
  );
  const total = kernel.reduce((a, b) => a + b, 0);
  const c1 = (0.01 * 2) ** 2, c2 = (0.03 * 2) ** 2;
  const area = height * width;
  let sum = 0, windows = 0;
  for (let c = 0; c < channels; c++) {
    const at = c * area;
    for (let top = 0; top + side <= height; top++) {
      for (let left = 0; left + side <= width; left++) {
        let a = 0, b = 0, aa = 0, bb = 0, ab = 0;
        for (let i = 0; i < side; i++) {
          for (let j = 0; j < side; j++) {
            const weight = kernel[i] * kernel[j] / total ** 2;
            const p = at + (top + i) * width + left + j;
            const u = clipped(x[p]), v = truth[p];
            a += weight * u;
            b += weight * v;
            aa += weight * u * u;
            bb += weight * v * v;
            ab += weight * u * v;
          }
        }
        const [va, vb, cov] = [aa - a * a, bb - b * b, ab - a * b];
        sum += (2 * a * b + c1) * (2 * cov + c2) / ((a * a + b * b + c1) * (va + vb + c2));
        windows++;
      }
    }
  }
  return sum / windows;
}
