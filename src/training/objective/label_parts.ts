/** Labels made of others: what "orc" and "wizard" learn, "orc-wizard" knows. */

/** How much of each class's row every class is, [classes, classes]. */
export interface LabelParts {
  readonly classes: number;
  readonly shares: Float32Array;
}

/**
 * A label whose parts between hyphens are labels too is their sum, from where "no class" is: its row is
 * ∅ + Σ (part − ∅). Every other class is itself. So what is common to many labels is learned from the
 * pictures of all of them, and not once for each.
 * @param classes rows of the class table, "no class" among them
 * @param nullLabel the row that means "no class"; without one the rows of the parts are added
 */
export function labelParts(
  labels: readonly string[],
  classes: number,
  nullLabel?: number,
): LabelParts {
  const index = new Map(labels.map((name, i) => [name, i]));
  const shares = new Float32Array(classes * classes);
  for (let i = 0; i < classes; i++) {
    const row = shares.subarray(i * classes, (i + 1) * classes);
    const names = labels[i]?.split("-") ?? [];
    const parts = names.map((name) => index.get(name));
    if (names.length < 2 || parts.includes(undefined)) {
      row[i] = 1;
      continue;
    }
    for (const part of parts) row[part!]++;
    if (nullLabel !== undefined) row[nullLabel] += 1 - parts.length;
  }
  return { classes, shares };
}

/** The classes of pictures as shares of the table's rows, [images, classes]. */
export function sharesOf({ classes, shares }: LabelParts, labels: Int32Array): Float32Array {
  const all = new Float32Array(labels.length * classes);
  labels.forEach((label, i) => {
    all.set(shares.subarray(label * classes, (label + 1) * classes), i * classes);
  });
  return all;
}

/** The class table [classes, width] with every class's own row in it, as a network reads it. */
export function wholeTable({ classes, shares }: LabelParts, table: Float32Array): Float32Array {
  const width = table.length / classes;
  const whole = new Float32Array(table.length);
  for (let i = 0; i < classes; i++) {
    for (let j = 0; j < classes; j++) {
      const share = shares[i * classes + j];
      if (share === 0) continue;
      for (let k = 0; k < width; k++) whole[i * width + k] += share * table[j * width + k];
    }
  }
  return whole;
}
