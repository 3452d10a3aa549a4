/** Which of a network's labels to ask for, and how a classifier of the data should then read them. */
import { InputError } from "../errors.ts";

/** A label to ask the network for, and the data's class that it means. */
export interface AskedLabel {
  /** The network's index; undefined for a network without classes. */
  readonly ask?: number;
  /** The data's index. */
  readonly expect: number;
}

/**
 * Every label of the network that means one of the data's classes: its own name, or, where a label
 * names several things, one of its parts ("orc" of "orc-wizard"). Where no name fits, as with data whose
 * classes are called otherwise, the indices are the same.
 */
export function askedLabels(
  network: readonly string[] | undefined,
  data: readonly string[],
): AskedLabel[] {
  const byIndex = data.map((_, i) => ({ ask: network && i, expect: i }));
  if (!network) return byIndex;
  const index = new Map(data.map((name, i) => [name, i]));
  const meant = network.flatMap((name, ask) => {
    const found = [name, ...name.split("-")].find((part) => index.has(part));
    return found === undefined ? [] : [{ ask, expect: index.get(found)! }];
  });
  return new Set(meant.map(({ expect }) => expect)).size === data.length ? meant : byIndex;
}

/**
 * The labels of a network that mean a class of every one of these sets: one list a set, the same labels
 * at the same places.
 * @throws InputError where they leave out a class
 */
export function askedTogether(
  network: readonly string[] | undefined,
  sets: readonly (readonly string[])[],
): AskedLabel[][] {
  const all = sets.map((names) => askedLabels(network, names));
  if (sets.length === 1) return all;
  const inEvery = (wanted: number | undefined) =>
    all.every((asked) => asked.some(({ ask }) => ask === wanted));
  const common = all[0].map(({ ask }) => ask).filter(inEvery);
  return all.map((asked, i) => {
    const list = common.map((wanted) => asked.find(({ ask }) => ask === wanted)!);
    if (new Set(list.map(({ expect }) => expect)).size === sets[i].length) return list;
    throw new InputError(
      `the labels that name a class of each set leave out some of ${sets[i].join(", ")}`,
    );
  });
}

/**
 * The one label of the network that means a class of the data: of that name, or the only one that has it
 * for a part.
 * @throws InputError where several do, or none
 */
export function labelMeaning(
  network: readonly string[],
  data: readonly string[],
  expect: number,
): number {
  const meant = askedLabels(network, data).filter((label) => label.expect === expect);
  const named = meant.find(({ ask }) => network[ask!] === data[expect]);
  const found = named ?? (meant.length === 1 ? meant[0] : undefined);
  if (found && found.ask! < network.length) return found.ask!;
  throw new InputError(
    `the data's class "${data[expect]}" is ${
      meant.length > 1 ? "several of these weights' labels" : "no label of these weights"
    }`,
  );
}
