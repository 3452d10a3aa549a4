/** Wilson's confidence interval of a proportion. */

/** The standard normal distribution's 97.5 % point. */
const Z = 1.959964;

/**
 * The 95 % confidence interval of a share that was counted on n trials (Wilson 1927, eq. 7): unlike
 * share ± 2σ it holds at shares near 0 and 1, and stays between them.
 */
export function wilsonInterval(share: number, n: number): readonly [number, number] {
  const middle = share + Z ** 2 / (2 * n);
  const reach = Z * Math.sqrt((share * (1 - share) + Z ** 2 / (4 * n)) / n);
  const whole = 1 + Z ** 2 / n;
  return [(middle - reach) / whole, (middle + reach) / whole];
}
