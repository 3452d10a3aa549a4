/** The kernel distance (KID) of classifier features: unbiased for small sets. */

/** (x·y/d + 1)³ of rows of d features. */
function kernel(x: Float32Array, y: Float32Array): number {
  let dot = 0;
  for (let i = 0; i < x.length; i++) dot += x[i] * y[i];
  return (dot / x.length + 1) ** 3;
}

/** The mean of the kernel over all pairs of two different rows. */
function meanWithin(rows: readonly Float32Array[]): number {
  let sum = 0;
  for (let i = 1; i < rows.length; i++) for (let j = 0; j < i; j++) sum += kernel(rows[i], rows[j]);
  return 2 * sum / (rows.length * (rows.length - 1));
}

/**
 * The kernel distance of any set from a reference: the unbiased estimate of the squared maximum mean
 * discrepancy under a cubic kernel (Bińkowski et al. 2018, §3 and eq. 4). The Fréchet distance of a
 * few hundred samples mostly says how few they are, and is the smaller the less they vary; the mean of
 * this one is 0 for two sets of one distribution, whatever their size, so that it may be below 0.
 * @param reference features, a row each; at least two rows, as in the sets
 */
export function kernelDistanceTo(
  reference: readonly Float32Array[],
): (rows: readonly Float32Array[]) => number {
  const own = meanWithin(reference);
  return (rows) => {
    let between = 0;
    for (const x of rows) for (const y of reference) between += kernel(x, y);
    return own + meanWithin(rows) - 2 * between / (rows.length * reference.length);
  };
}

/** The mean of the kernel over all pairs of rows, each with itself too. */
function meanOfAll(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  let sum = 0;
  for (const x of a) for (const y of b) sum += kernel(x, y);
  return sum / (a.length * b.length);
}

/**
 * The biased estimate of the same (Gretton et al. 2012, eq. 5): never below 0, and of two sets of one
 * distribution the larger the fewer they are. Unlike the unbiased one it can be divided by that of two
 * sets of real pictures, of the same numbers.
 */
export function biasedKernelDistance(
  a: readonly Float32Array[],
  b: readonly Float32Array[],
): number {
  return meanOfAll(a, a) + meanOfAll(b, b) - 2 * meanOfAll(a, b);
}
