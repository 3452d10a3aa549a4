/** Classes that a data set numbers. */
import { InputError } from "../../errors.ts";

/** The largest label that is taken for a class's number. */
const MAX_LABEL = 999_999;

/**
 * Classes are the labels that occur, in order, under their numbers as names: a set that counts from 1,
 * or leaves numbers out, has no class without pictures.
 * @param others labels of the set's other parts, so that all parts agree on the classes
 * @throws InputError for a label that is no whole number from 0
 */
export function numberedClasses(
  labels: Labels,
  where: string,
  others: readonly Labels[] = [],
): { labels: Int32Array; labelNames: string[] } {
  const numbers = wholeLabels(labels, where);
  const all = [numbers, ...others.map((part) => wholeLabels(part, where))];
  const classes = [...new Set(all.flatMap((part) => [...new Set(part)]))].sort((a, b) => a - b);
  const indices = new Map(classes.map((label, index) => [label, index]));
  return {
    labels: numbers.map((label) => indices.get(label)!),
    labelNames: classes.map(String),
  };
}

type Labels = ArrayLike<number | bigint>;

function wholeLabels(labels: Labels, where: string): Int32Array {
  return Int32Array.from(labels, (value) => {
    const label = Number(value);
    if (Number.isInteger(label) && label >= 0 && label <= MAX_LABEL) return label;
    throw new InputError(
      `${where}: expected labels of whole numbers from 0 to ${MAX_LABEL}, found ${value}`,
    );
  });
}
