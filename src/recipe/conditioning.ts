/** Classes and guidance: what a network can be asked for, and what it draws when nothing is asked. */
import { type Guided, isGuided } from "../diffusion/guided.ts";
import { FieldError } from "../errors.ts";
import type { Network } from "../model/network.ts";
import { check, number } from "../schema.ts";

/** A class by its index or its name. */
export type Label = number | string;

/** How one image is conditioned. */
export interface Conditioning {
  /** The class; left out for a network without classes. */
  readonly label?: number;
  /** A second class, and its share of the network's output. */
  readonly mix?: { readonly label?: number; readonly share: number };
  /** s in raw_uncond + s·(raw_cond − raw_uncond); 1 asks for the class alone. */
  readonly guidance: number;
  /** When it is guided; left out, at every time. */
  readonly guided?: Guided;
  /** The class that means none; default what the weights say. */
  readonly nullLabel?: number;
}

/** What decides how often a network is asked. */
export type Asked = Pick<Conditioning, "guidance" | "guided" | "mix">;

/** How often the network is asked for a call at its time t: for its class, a second one, and none. */
export function evaluationsAt(asked: Asked, t: number): number {
  return 1 + Number(asked.mix?.label !== undefined) + Number(isGuided(asked, t));
}

/** How often it is asked for a call at most. */
export function mostEvaluations({ guidance, mix }: Asked): number {
  return evaluationsAt({ guidance, mix }, 0);
}

/** Of more classes messages list the first ones. */
const MAX_NAMES_SHOWN = 20;

/** How many class indices a network takes, its null class included. */
export function classCount({ labels, nullLabel }: Network): number {
  return Math.max(labels?.length ?? 0, labels && nullLabel !== undefined ? nullLabel + 1 : 0);
}

/** The class of a seed's picture when none is asked for: each seed has one, the same everywhere. */
export function defaultLabel(network: Network, seed: number): number | undefined {
  return network.labels?.length ? seed % network.labels.length : undefined;
}

/** The index of the class of a name, in whatever Unicode form; −1 where there is none. */
export function labelNamed(labels: readonly string[], name: string): number {
  const exact = labels.indexOf(name);
  if (exact >= 0) return exact;
  // macOS gives folders' names in another form (NFD) than keyboards give texts.
  const form = name.normalize("NFC");
  return labels.findIndex((known) => known.normalize("NFC") === form);
}

/**
 * The index of a class that was asked for by name or index.
 * @throws FieldError where the network has no such class
 */
export function labelIndex(network: Network, label: Label): number {
  const classes = classCount(network);
  if (classes === 0) throw new FieldError("label", "none: these weights know no classes", label);
  const named = labelNamed(network.labels!, String(label));
  if (named >= 0 && typeof label === "string") return named;
  const index = typeof label === "string" && /^\d+$/.test(label) ? Number(label) : label;
  if (Number.isInteger(index) && (index as number) >= 0 && (index as number) < classes) {
    return index as number;
  }
  throw new FieldError("label", `a class (${namesOf(network.labels!)}) or its index`, label);
}

/** Whether a network has a class of this name or index. */
export function isLabel(network: Network, label: Label): boolean {
  try {
    labelIndex(network, label);
    return true;
  } catch {
    return false;
  }
}

/** A class' name, or its index where it has none, as the null class. */
export function labelName({ labels }: Network, index: number): string {
  return labels?.[index] ?? String(index);
}

function namesOf(labels: readonly string[]): string {
  const names = labels.slice(0, MAX_NAMES_SHOWN).join(", ");
  return labels.length > MAX_NAMES_SHOWN ? `${names}, …` : names;
}

/** @throws FieldError where the network cannot be guided in this way */
export function checkGuidance(
  network: Network,
  { guidance, nullLabel }: Pick<Conditioning, "guidance" | "nullLabel">,
): void {
  check(number(), guidance, "guidance");
  const classes = classCount(network);
  if (
    nullLabel !== undefined &&
    !(Number.isInteger(nullLabel) && nullLabel >= 0 && nullLabel < classes)
  ) {
    const expected = classes === 0 ? "none: these weights know no classes" : `0 to ${classes - 1}`;
    throw new FieldError("nullLabel", expected, nullLabel);
  }
  if (guidance === 1) return;
  if (network.distilled) {
    const { teacher, guidance: folded } = network.distilled;
    throw new FieldError(
      "guidance",
      `1 or none: these weights were distilled from ${teacher} with guidance ${folded} folded in, and more would be applied on top; leave it out, or take ${teacher}`,
      guidance,
    );
  }
  if (classes === 0) {
    throw new FieldError("guidance", "1: these weights know no classes to be guided by", guidance);
  }
  if (nullLabel === undefined && network.nullLabel === undefined) {
    throw new FieldError(
      "guidance",
      '1, or nullLabel beside it: these weights do not say which class means "none"',
      guidance,
    );
  }
}

/** @throws FieldError where the network cannot be asked in this way */
export function checkConditioning(network: Network, conditioning: Conditioning): void {
  checkGuidance(network, conditioning);
  const { label, mix } = conditioning;
  if (mix?.label !== undefined) labelIndex(network, mix.label);
  if (label !== undefined) labelIndex(network, label);
  else if (classCount(network) > 0) {
    throw new FieldError("label", `a class (${namesOf(network.labels!)}) or its index`, label);
  }
}
